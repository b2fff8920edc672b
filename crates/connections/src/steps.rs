//! What happens to a connection on the pool's drivers: opening, checking, resetting and closing, and their ends.

use crate::{
    builder::OnConnectFailure,
    driver::{Op, Outcome},
    error::ConnectError,
    lane::Section,
    manager::{Managed, Role},
    raw::shelf::Place,
    shared::{Refusal, Shared, drop_quietly},
    state::{Entry, Meta, Phase, SlotId, Step, Todo},
    stats::CloseCause,
    tick::{Tick, span},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

impl<M: Managed> Shared<M> {
    /// Starts the steps that a section left behind.
    pub(crate) fn run(self: &Arc<Self>, lane: usize, todo: Todo<M::Conn>) {
        if todo.ring {
            self.ring();
        }
        for step in todo.steps {
            let (op, running) = match step {
                Step::Open(slot) => {
                    let writer = self.lanes[lane].lock().role == Role::Writer;
                    (Op::Open { writer }, Running::opening(self, lane, slot))
                }
                Step::Check(entry) => {
                    let (conn, running) = Running::on(self, lane, entry);
                    (Op::Check(conn), running)
                }
                Step::Reset(entry) => {
                    let (conn, running) = Running::on(self, lane, entry);
                    (Op::Reset(conn), running)
                }
                Step::Close(entry) => {
                    let (conn, running) = Running::on(self, lane, entry);
                    (Op::Close(conn), running)
                }
            };
            self.manager.clone().start(&self.exec, op, Box::new(move |outcome| running.finish(outcome)));
        }
    }

    /// Ends a connection that no slot accounts for any more.
    fn dispose(&self, conn: M::Conn) {
        self.manager.clone().start(&self.exec, Op::Close(conn), Box::new(drop));
    }

    fn opened(self: &Arc<Self>, lane: usize, slot: SlotId, result: Result<M::Conn, ConnectError<M::Error>>) {
        let refused = match &result {
            Err(ConnectError::Failed(error)) => {
                catch_unwind(AssertUnwindSafe(|| self.manager.is_refusal(error))).unwrap_or(false)
            }
            Ok(_) | Err(_) => false,
        };
        let now = self.now();
        let mut todo = Todo::default();
        let mut q = self.lanes[lane].lock();
        if q.phase(slot).is_none() {
            // Its bound passed long ago and its slot is another's.
            self.unstick(&mut q);
            drop(q);
            // Another stuck step may be given up now.
            self.ring();
            if let Ok(conn) = result {
                self.dispose(conn);
            }
            return;
        }
        let old_error = match result {
            Ok(conn) => {
                q.tally.opened += 1;
                (q.failures, q.retry_at) = (0, 0);
                q.probe_delay = (q.probe_delay / 2).max(crate::state::PROBE_LEAST);
                let expires = q.expiry(&self.config, now);
                let meta = Meta { slot, opened: now, expires, verified: now, idle_since: now, uses: 0 };
                let entry = Entry { conn, meta, place: q.place() };
                self.hand_over(&mut q, lane, entry, now, &mut todo);
                q.last_error.take()
            }
            Err(error) => {
                q.release(slot);
                if refused {
                    q.refused(now, &mut todo);
                }
                self.failed(&mut q, error, now, &mut todo)
            }
        };
        self.restock(&mut q, now, &mut todo);
        self.leave(lane, q, old_error, todo);
    }

    /// Ends the section of a step that may have been the last of a closed pool.
    fn leave(
        self: &Arc<Self>,
        lane: usize,
        q: Section<'_, M>,
        old_error: Option<ConnectError<M::Error>>,
        todo: Todo<M::Conn>,
    ) {
        let closed = q.closed;
        let woken = q.unlatch();
        drop_quietly(old_error);
        self.run(lane, todo);
        if closed {
            self.look_whether_drained();
        }
        woken.go_on();
    }

    /// Notes a failed attempt; gives the error noted before, to be dropped outside the latch.
    pub(crate) fn failed(
        &self,
        q: &mut Section<'_, M>,
        error: ConnectError<M::Error>,
        now: Tick,
        todo: &mut Todo<M::Conn>,
    ) -> Option<ConnectError<M::Error>> {
        q.tally.connect_failures += 1;
        q.failures = q.failures.saturating_add(1);
        let delay = q.backoff();
        q.retry_at = now.saturating_add(span(delay));
        let at = q.retry_at;
        q.alarm_at(at, todo);
        if self.config.on_failure == OnConnectFailure::Fail && q.size() == 0 {
            let attempts = q.failures;
            q.grant_all(|| Err(Refusal::Connect(error.clone(), attempts)));
        }
        q.last_error.replace(error)
    }

    fn judged(
        self: &Arc<Self>,
        lane: usize,
        entry: Entry<M::Conn>,
        verdict: Result<(), ConnectError<M::Error>>,
    ) {
        let now = self.now();
        let mut todo = Todo::default();
        let mut q = self.lanes[lane].lock();
        let resetting = match q.phase(entry.meta.slot) {
            Some(phase) => matches!(phase, Phase::Resetting),
            None => {
                self.unstick(&mut q);
                q.places.give_back(entry.place);
                drop(q);
                // Another stuck step may be given up now.
                self.ring();
                self.dispose(entry.conn);
                return;
            }
        };
        let verified = if verdict.is_ok() { now } else { entry.meta.verified };
        let entry = Entry { meta: Meta { verified, ..entry.meta }, ..entry };
        if resetting {
            q.tally.resets += 1;
        } else {
            q.tally.checks += 1;
            // The next background check may begin.
            todo.ring = true;
        }
        match &verdict {
            Ok(()) => self.hand_over(&mut q, lane, entry, now, &mut todo),
            Err(error) => {
                if !resetting {
                    q.tally.checks_failed += 1;
                }
                let cause = match (error, resetting) {
                    (ConnectError::TimedOut(_), _) => CloseCause::Stuck,
                    (_, false) => CloseCause::CheckFailed,
                    (_, true) => CloseCause::ResetFailed,
                };
                q.close(entry, cause, self.bounds(), now, &mut todo);
            }
        }
        let woken = q.unlatch();
        drop_quietly(verdict);
        self.run(lane, todo);
        woken.go_on();
    }

    /// A step has ended its connection, or was lost with it.
    fn gone(self: &Arc<Self>, lane: usize, slot: SlotId, place: Option<Place>, lost: bool) {
        let now = self.now();
        let mut todo = Todo::default();
        let mut q = self.lanes[lane].lock();
        if let Some(place) = place {
            q.places.give_back(place);
        }
        let old_error = match q.release(slot) {
            None => {
                self.unstick(&mut q);
                // Another stuck step may be given up now.
                todo.ring = true;
                None
            }
            Some(Phase::Opening) => self.failed(&mut q, ConnectError::Lost, now, &mut todo),
            Some(Phase::Closing(cause)) => {
                q.tally.closed[cause.index()] += 1;
                None
            }
            Some(Phase::Serving | Phase::Checking | Phase::Resetting) => {
                debug_assert!(lost, "only a lost step ends without a verdict");
                q.tally.closed[CloseCause::Lost.index()] += 1;
                None
            }
        };
        self.let_in(&mut q, lane, now, &mut todo);
        self.restock(&mut q, now, &mut todo);
        self.leave(lane, q, old_error, todo);
    }

    /// A step that outlived its bound has come to its end: its thread is back, its slot is another's.
    fn unstick(&self, q: &mut Section<'_, M>) {
        q.stuck = q.stuck.saturating_sub(1);
        self.exec.workers.found_one();
    }
}

/// A step under way; dropped unfinished, it was lost.
struct Running<M: Managed> {
    shared: Arc<Shared<M>>,
    lane: usize,
    slot: SlotId,
    /// What is known of the connection that the step has, and its place.
    open: Option<(Meta, Place)>,
    finished: bool,
}

impl<M: Managed> Running<M> {
    fn opening(shared: &Arc<Shared<M>>, lane: usize, slot: SlotId) -> Self {
        Self { shared: shared.clone(), lane, slot, open: None, finished: false }
    }

    fn on(shared: &Arc<Shared<M>>, lane: usize, entry: Entry<M::Conn>) -> (M::Conn, Self) {
        let open = Some((entry.meta, entry.place));
        let running = Self { shared: shared.clone(), lane, slot: entry.meta.slot, open, finished: false };
        (entry.conn, running)
    }

    fn finish(mut self, outcome: Outcome<M::Conn, M::Error>) {
        self.finished = true;
        match (outcome, self.open.take()) {
            (Outcome::Opened(result), _) => self.shared.opened(self.lane, self.slot, result),
            (Outcome::Judged(conn, verdict), Some((meta, place))) => {
                self.shared.judged(self.lane, Entry { conn, meta, place }, verdict);
            }
            (Outcome::Judged(..), None) => unreachable!("only a connection that is open is judged"),
            (Outcome::Closed, open) => {
                self.shared.gone(self.lane, self.slot, open.map(|(_, place)| place), false);
            }
        }
    }
}

impl<M: Managed> Drop for Running<M> {
    fn drop(&mut self) {
        if !self.finished {
            let place = self.open.take().map(|(_, place)| place);
            self.shared.gone(self.lane, self.slot, place, true);
        }
    }
}
