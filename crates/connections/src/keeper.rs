//! The pool's keeper: what happens by time alone.
//!
//! Lifetimes and idle timeouts, background checks, bounds of blocking steps, retries and probes,
//! grants that nobody polls, reports of leaks. It sleeps until the earliest of them and is rung when
//! an earlier one comes up.

use crate::{
    error::ConnectError,
    lane::Section,
    manager::Managed,
    shared::{Refusal, Shared, drop_quietly},
    state::{CHECKING, Entry, Phase, SERVING, Todo},
    stats::CloseCause,
    tick::{NEVER, Tick},
    waits::Held,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

pub(crate) async fn keep<M: Managed>(shared: Arc<Shared<M>>) {
    while !shared.drained.is_set() {
        let now = shared.now();
        let next = (0..shared.lanes.len()).map(|lane| shared.upkeep(lane, now)).min().unwrap_or(NEVER);
        // Being rung and waking by time lead to the same look around.
        let _ = shared.exec.clock.timeout_at(shared.origin.instant(next), shared.keeper.notified()).await;
    }
}

impl<M: Managed> Shared<M> {
    /// Does what is due in a lane; tells when to look again.
    fn upkeep(self: &Arc<Self>, lane: usize, now: Tick) -> Tick {
        let mut todo = Todo::default();
        let mut leaks = Vec::new();
        let mut q = self.lanes[lane].lock();
        // Whatever is put on the shelf or taken from it after the lift below sees this, and rings for itself.
        q.alarm.reset();
        // What may hold an error of the user's is dropped outside the latch.
        let refusals = self.take_back_unpolled(&mut q, lane, now, &mut todo);
        let old_errors = self.give_up_stuck(&mut q, now, &mut todo);
        let mut idle = q.lift();
        if !q.closed {
            self.reap(&mut q, &mut idle, now, &mut todo);
            self.refresh(&mut q, &mut idle, now, &mut todo);
            q.probe(now, &mut todo);
            self.restock(&mut q, now, &mut todo);
        }
        let in_hands = q.count(SERVING).saturating_sub(idle.len());
        self.find_leaks(&mut q, lane, in_hands, now, &mut leaks, &mut todo);
        self.set_alarms(&mut q, &idle, now, &mut todo);
        q.lay(idle);
        self.pilot(&mut q, lane, now, &mut todo);
        let alarm = q.alarm.at();
        let closed = q.closed;
        // A waker that panics must not end the keeper; the panic hook has reported it.
        let _woken = q.unlatch();
        drop_quietly((refusals, old_errors));
        // This is the keeper: it need not be rung.
        todo.ring = false;
        self.run(lane, todo);
        if let Some(on_leak) = &self.config.on_leak {
            for held in &leaks {
                // The panic hook has reported it.
                let _ = catch_unwind(AssertUnwindSafe(|| on_leak(held)));
            }
        }
        if closed {
            self.look_whether_drained();
        }
        alarm
    }

    /// Grants that lay unpolled go to the next in line. Steps that take long no longer count as
    /// connections about to come.
    fn take_back_unpolled(
        &self,
        q: &mut Section<'_, M>,
        lane: usize,
        now: Tick,
        todo: &mut Todo<M::Conn>,
    ) -> Vec<Refusal<M::Error>> {
        let mut refusals = Vec::new();
        if now < q.patrol_at {
            return refusals;
        }
        for (_, grant) in q.revoke_stale() {
            match grant {
                Ok(entry) => {
                    q.tally.regrants += 1;
                    self.hand_over(q, lane, entry, now, todo);
                }
                // Told again when its waiter returns.
                Err(refusal) => refusals.push(refusal),
            }
        }
        q.patrols = q.patrols.saturating_sub(1);
        let busy = !q.is_empty() || q.patrols > 0;
        q.patrol_at = if busy { now.saturating_add(self.config.regrant_after) } else { NEVER };
        if !q.is_empty() {
            let trusted = now.saturating_sub(self.config.regrant_after);
            let missing = q.wanted(q.len(), Some(trusted), now);
            q.open(missing, self.bounds(), now, todo);
        }
        refusals
    }

    /// Frees the slots of blocking steps that outlived their bound, as long as not too many threads
    /// have been lost that way.
    ///
    /// Gives errors that must be dropped outside the latch.
    fn give_up_stuck(
        &self,
        q: &mut Section<'_, M>,
        now: Tick,
        todo: &mut Todo<M::Conn>,
    ) -> Vec<ConnectError<M::Error>> {
        let mut old = Vec::new();
        let Some(bounds) = self.bounds() else { return old };
        while q.stuck < self.config.max_stuck {
            let overdue = q.live().find_map(|(slot, phase, since)| {
                let bound = match phase {
                    Phase::Opening => bounds.connect,
                    Phase::Checking | Phase::Resetting | Phase::Closing(_) => bounds.check,
                    Phase::Serving => return None,
                };
                (since.saturating_add(bound) <= now).then_some(slot)
            });
            let Some(slot) = overdue else { break };
            let phase = q.release(slot);
            q.stuck += 1;
            self.exec.workers.lost_one();
            match phase {
                Some(Phase::Opening) => {
                    old.extend(self.failed(q, ConnectError::TimedOut(self.exec.connect_timeout), now, todo));
                }
                Some(Phase::Checking) => {
                    q.tally.checks_failed += 1;
                    q.tally.closed[CloseCause::Stuck.index()] += 1;
                }
                Some(Phase::Serving | Phase::Resetting | Phase::Closing(_)) | None => {
                    q.tally.closed[CloseCause::Stuck.index()] += 1;
                }
            }
        }
        old
    }

    /// Closes idle connections that are too old or too many.
    fn reap(
        &self,
        q: &mut Section<'_, M>,
        idle: &mut Vec<Entry<M::Conn>>,
        now: Tick,
        todo: &mut Todo<M::Conn>,
    ) {
        // Those that have lain for longest first.
        for at in (0..idle.len()).rev() {
            let meta = &idle[at].meta;
            let old = meta.expires <= now;
            let rested = meta.idle_since.saturating_add(self.config.idle_timeout) <= now;
            let cause = if old {
                CloseCause::Lifetime
            } else if rested && q.staying() > q.min {
                CloseCause::Idle
            } else if q.staying() > q.max {
                CloseCause::Resized
            } else {
                continue;
            };
            q.close(idle.remove(at), cause, self.bounds(), now, todo);
        }
    }

    /// Checks the idle connection that has gone unchecked for longest, if it is time.
    fn refresh(
        &self,
        q: &mut Section<'_, M>,
        idle: &mut Vec<Entry<M::Conn>>,
        now: Tick,
        todo: &mut Todo<M::Conn>,
    ) {
        if !q.is_empty() || q.count(CHECKING) > 0 {
            return;
        }
        let due = |verified: Tick| verified.saturating_add(self.config.check_every) <= now;
        let oldest = (0..idle.len()).rev().min_by_key(|&at| idle[at].meta.verified);
        let Some(at) = oldest.filter(|&at| due(idle[at].meta.verified)) else { return };
        q.start(idle.remove(at), Phase::Checking, self.bounds(), now, todo);
    }

    fn find_leaks(
        &self,
        q: &mut Section<'_, M>,
        lane: usize,
        in_hands: usize,
        now: Tick,
        leaks: &mut Vec<Held>,
        todo: &mut Todo<M::Conn>,
    ) {
        let after = self.config.leak_after;
        if after == NEVER {
            return;
        }
        let role = q.role;
        let (mut next, mut seen) = (NEVER, 0);
        for holder in self.lanes[lane].shelf.labels(&q.places) {
            let Some(since) = holder.since() else { continue };
            seen += 1;
            let at = since.saturating_add(after);
            if holder.is_reported() {
                continue;
            }
            if at <= now {
                holder.excuse();
                let party = holder.look(&self.owners);
                leaks.extend(party.map(|party| Held::new(&self.config.name, &party, role, now)));
            } else {
                next = next.min(at);
            }
        }
        if seen < in_hands {
            // One took it before the lift and has not said so yet: it may have looked at the alarm before its reset.
            next = next.min(now.saturating_add(after));
        }
        q.tally.leaks += leaks.len() as u64;
        q.alarm_at(next, todo);
    }

    /// The earliest thing that is still to come.
    fn set_alarms(
        &self,
        q: &mut Section<'_, M>,
        idle: &[Entry<M::Conn>],
        now: Tick,
        todo: &mut Todo<M::Conn>,
    ) {
        let spare = q.staying() > q.min;
        let checking = q.count(CHECKING) > 0;
        let mut next = q.patrol_at.min(q.probe_at);
        // What is due and was left undone waits for an event (the end of a check, of a stuck step), which
        // rings; looking again at once would be a busy loop.
        let mut consider = |at: Tick| next = if at > now { next.min(at) } else { next };
        consider(q.retry_at);
        for entry in idle {
            consider(entry.meta.expires);
            if spare {
                consider(entry.meta.idle_since.saturating_add(self.config.idle_timeout));
            }
            // While one is being checked its end brings the next look.
            if !checking {
                consider(entry.meta.verified.saturating_add(self.config.check_every));
            }
        }
        if let Some(bounds) = self.bounds() {
            for (_, phase, since) in q.live() {
                match phase {
                    Phase::Opening => consider(since.saturating_add(bounds.connect)),
                    Phase::Checking | Phase::Resetting | Phase::Closing(_) => {
                        consider(since.saturating_add(bounds.check));
                    }
                    Phase::Serving => {}
                }
            }
        }
        q.alarm_at(next, todo);
    }
}
