//! The pool's core: what happens to a connection between callers and drivers.
//!
//! While nobody waits, a connection goes from the lane's shelf to a caller and back in one step each way.
//! Everything else is a section, which locks one lane, changes slots and line together, collects what is left
//! to do in a [`Todo`], opens the latch, and only then starts steps, runs user code or wakes the keeper. Opening
//! the latch wakes waiters, and wakers are user code: a section that grants opens it by [`Section::unlatch`], so
//! that a panic of one of them goes on when all else is done.

use crate::{
    builder::Config,
    conn::Lease,
    driver::Exec,
    error::{ConnectError, GetError, TryGetError},
    holder::Owners,
    lane::{Fitness, Lane, Section, Woken},
    manager::{Managed, Role},
    raw::shelf::Take,
    state::{Bounds, CHECKING, Entry, Party, Phase, RESETTING, SERVING, Step, Todo},
    stats::CloseCause,
    tick::{NEVER, Origin, Tick, span},
};
use ropewalk_measure::Histogram;
use ropewalk_sync::{Event, Signal, Ticket};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Waker,
    time::Duration,
};

/// What a waiter is handed.
pub(crate) type Grant<M> = Result<Entry<<M as Managed>::Conn>, Refusal<<M as Managed>::Error>>;

/// Why a waiter is sent away.
pub(crate) enum Refusal<E> {
    Closed,
    Connect(ConnectError<E>, u32),
    TimedOut,
}

pub(crate) enum Entered<M: Managed> {
    Served(Lease<M>),
    Waiting(Ticket<Party, Grant<M>>),
}

pub(crate) struct Shared<M: Managed> {
    pub(crate) manager: Arc<M>,
    pub(crate) config: Config,
    pub(crate) exec: Exec,
    /// One, or the readers' and the writer's.
    pub(crate) lanes: Box<[Lane<M>]>,
    pub(crate) origin: Origin,
    pub(crate) owners: Arc<Owners>,
    pub(crate) keeper: Signal,
    pub(crate) drained: Event,
    pub(crate) waits: Histogram,
}

impl<M: Managed> Shared<M> {
    #[inline]
    pub(crate) fn now(&self) -> Tick {
        self.origin.tick(self.exec.clock.now())
    }

    /// The bounds that the keeper watches: those of blocking steps. Async ones end by themselves.
    pub(crate) fn bounds(&self) -> Option<Bounds> {
        (!M::ASYNC).then_some(Bounds {
            connect: span(self.exec.connect_timeout),
            check: span(self.exec.check_timeout),
        })
    }

    pub(crate) fn lane_of(&self, role: Role) -> usize {
        match role {
            Role::Any => 0,
            Role::Writer => self.lanes.len() - 1,
        }
    }

    /// Takes a connection or joins the line, to be woken by `waker`; `unfit` was taken off the shelf before.
    pub(crate) fn enter(
        self: &Arc<Self>,
        lane: usize,
        party: Party,
        unfit: Option<Entry<M::Conn>>,
        waker: Waker,
    ) -> Result<Entered<M>, GetError<M::Error>> {
        let (now, deadline) = (party.since, party.deadline);
        let mut todo = Todo::default();
        let mut q = self.lanes[lane].lock();
        let is_checking = self.sort_out(&mut q, unfit, now, &mut todo);
        if q.closed {
            drop(q);
            self.run(lane, todo);
            return Err(GetError::Closed);
        }
        self.lanes[lane].gets.incr();
        if q.is_empty() && !is_checking {
            if let Some(entry) = q.take_idle(&self.config, self.bounds(), now, &mut todo) {
                drop(q);
                todo.ring |= self.hold(lane, &entry, &party);
                self.run(lane, todo);
                return Ok(Entered::Served(Lease::new(self.clone(), lane, entry, party.owner)));
            }
        }
        let waiting = q.len();
        if waiting >= self.config.max_waiters {
            drop(q);
            self.run(lane, todo);
            return Err(GetError::TooManyWaiters { waiting });
        }
        q.tally.waits += 1;
        let ticket = q.join_waking(party, waker);
        // What is missing is decided in the same step as the joining, so nobody waits for a
        // connection that everybody believes another will open.
        self.restock(&mut q, now, &mut todo);
        self.patrol(&mut q, now, &mut todo);
        drop(q);
        self.lanes[lane].deadlines.by(self.origin.instant(deadline));
        self.run(lane, todo);
        Ok(Entered::Waiting(ticket))
    }

    pub(crate) fn try_enter(self: &Arc<Self>, lane: usize, party: Party) -> Result<Lease<M>, TryGetError> {
        let now = party.since;
        let unfit = match self.take(lane, &party) {
            Ok(lease) => return Ok(lease),
            Err(unfit) => unfit,
        };
        let mut todo = Todo::default();
        let mut q = self.lanes[lane].lock();
        let is_checking = self.sort_out(&mut q, unfit, now, &mut todo);
        if q.closed {
            drop(q);
            self.run(lane, todo);
            return Err(TryGetError::Closed);
        }
        let mut found = None;
        if q.is_empty() {
            self.lanes[lane].gets.incr();
            if !is_checking {
                found = q.take_idle(&self.config, self.bounds(), now, &mut todo);
            }
            if found.is_none() {
                // Callers that only try are demand too.
                q.turn_away(now, &mut todo);
                let missing = q.wanted(1, None, now);
                q.open(missing, self.bounds(), now, &mut todo);
            }
        }
        drop(q);
        if let Some(entry) = &found {
            todo.ring |= self.hold(lane, entry, &party);
        }
        let checking = todo.steps.iter().any(|step| matches!(step, Step::Check(_)));
        self.run(lane, todo);
        match found {
            Some(entry) => Ok(Lease::new(self.clone(), lane, entry, party.owner)),
            None if checking => Err(TryGetError::Checking),
            None => Err(TryGetError::Busy),
        }
    }

    /// Takes what lies idle while nobody waits, in one step; gives what was taken and is not fit.
    #[inline]
    pub(crate) fn take(
        self: &Arc<Self>,
        lane: usize,
        party: &Party,
    ) -> Result<Lease<M>, Option<Entry<M::Conn>>> {
        let Take::Taken(place, laid) = self.lanes[lane].shelf.take() else { return Err(None) };
        let entry = Entry::of((place, laid));
        if entry.meta.fitness(&self.config, party.since) != Fitness::Fit {
            return Err(Some(entry));
        }
        self.lanes[lane].gets.incr();
        if self.hold(lane, &entry, party) {
            self.ring();
        }
        Ok(Lease::new(self.clone(), lane, entry, party.owner.clone()))
    }

    /// Sends a connection that is not fit where it belongs; tells whether it is being checked.
    fn sort_out(
        &self,
        q: &mut Section<'_, M>,
        unfit: Option<Entry<M::Conn>>,
        now: Tick,
        todo: &mut Todo<M::Conn>,
    ) -> bool {
        let Some(entry) = unfit else { return false };
        if q.closed {
            q.close(entry, CloseCause::PoolClosed, self.bounds(), now, todo);
            false
        } else if entry.meta.fitness(&self.config, now) == Fitness::Expired {
            q.close(entry, CloseCause::Lifetime, self.bounds(), now, todo);
            false
        } else {
            q.start(entry, Phase::Checking, self.bounds(), now, todo);
            true
        }
    }

    /// Notes who holds a connection; tells whether the keeper must be rung.
    fn hold(&self, lane: usize, entry: &Entry<M::Conn>, party: &Party) -> bool {
        let lane = &self.lanes[lane];
        lane.holder(entry).set(party.since, party.location, party.owner.as_deref());
        lane.alarm.lower(party.since.saturating_add(self.config.leak_after))
    }

    /// Takes back what a caller held.
    pub(crate) fn give_back(
        self: &Arc<Self>,
        lane: usize,
        mut entry: Entry<M::Conn>,
        fate: Option<CloseCause>,
    ) {
        let conn = &entry.conn;
        let judged =
            catch_unwind(AssertUnwindSafe(|| (self.manager.is_broken(conn), self.manager.needs_reset(conn))));
        let (broken, dirty) = judged.unwrap_or((true, false));
        let fate = fate.or(broken.then_some(CloseCause::Broken));
        let now = self.now();
        entry.meta.uses += 1;
        (entry.meta.verified, entry.meta.idle_since) = (now, now);
        self.end_hold(lane, &entry, now);
        if fate.is_none() && !dirty && now < entry.meta.expires {
            let due = entry.meta.expires;
            let (place, laid) = entry.lay();
            match self.lanes[lane].shelf.put(place, laid) {
                Ok(_) => {
                    let soonest = self.config.check_every.min(self.config.idle_timeout);
                    if self.lanes[lane].alarm.lower(due.min(now.saturating_add(soonest))) {
                        self.ring();
                    }
                    return;
                }
                Err(back) => entry = Entry::of(back),
            }
        }
        let mut todo = Todo::default();
        let mut q = self.lanes[lane].lock();
        match fate {
            Some(cause) => q.close(entry, cause, self.bounds(), now, &mut todo),
            None if dirty && !q.closed => q.start(entry, Phase::Resetting, self.bounds(), now, &mut todo),
            None => self.hand_over(&mut q, lane, entry, now, &mut todo),
        }
        let woken = q.unlatch();
        self.run(lane, todo);
        woken.go_on();
    }

    /// Forgets a connection that a caller keeps for good.
    pub(crate) fn detach(self: &Arc<Self>, lane: usize, entry: Entry<M::Conn>) -> M::Conn {
        let now = self.now();
        self.end_hold(lane, &entry, now);
        let mut todo = Todo::default();
        let mut q = self.lanes[lane].lock();
        q.release(entry.meta.slot);
        q.places.give_back(entry.place);
        q.tally.closed[CloseCause::Detached.index()] += 1;
        self.restock(&mut q, now, &mut todo);
        let closed = q.closed;
        drop(q);
        self.run(lane, todo);
        if closed {
            // A closer's waker that panics (the panic hook has reported it) must not cost the caller its
            // connection.
            let _ = catch_unwind(AssertUnwindSafe(|| self.look_whether_drained()));
        }
        entry.conn
    }

    fn end_hold(&self, lane: usize, entry: &Entry<M::Conn>, now: Tick) {
        let lane = &self.lanes[lane];
        if let Some(since) = lane.holder(entry).clear() {
            lane.holds.record(now.saturating_sub(since));
        }
    }

    /// Gives a connection that works to the oldest waiter, or lays it by, or closes it if it should
    /// not live on.
    pub(crate) fn hand_over(
        &self,
        q: &mut Section<'_, M>,
        lane: usize,
        entry: Entry<M::Conn>,
        now: Tick,
        todo: &mut Todo<M::Conn>,
    ) {
        let holder = self.lanes[lane].holder(&entry);
        holder.clear();
        let end = if q.closed {
            Some(CloseCause::PoolClosed)
        } else if q.staying() > q.max {
            Some(CloseCause::Resized)
        } else if entry.meta.expires <= now {
            Some(CloseCause::Lifetime)
        } else {
            None
        };
        if let Some(cause) = end {
            return q.close(entry, cause, self.bounds(), now, todo);
        }
        let meta = entry.meta;
        let mut entry = Some(entry);
        q.enter(meta.slot, Phase::Serving, now);
        if q.busy() <= q.target {
            q.grant_first(|_, party| {
                let entry = entry.take()?;
                holder.set(now, party.location, party.owner.as_deref());
                Some(Ok(entry))
            });
        }
        match entry {
            None => {
                q.alarm_at(now.saturating_add(self.config.leak_after), todo);
                q.patrols = 2;
                self.patrol(q, now, todo);
            }
            Some(entry) => {
                q.lay_on_top(entry);
                q.alarm_at(meta.expires, todo);
                q.alarm_at(meta.verified.saturating_add(self.config.check_every), todo);
                if q.staying() > q.min {
                    q.alarm_at(meta.idle_since.saturating_add(self.config.idle_timeout), todo);
                }
            }
        }
    }

    /// Gives on what was handed to a waiter that went away.
    pub(crate) fn pass_on(self: &Arc<Self>, lane: usize, entry: Entry<M::Conn>) {
        let now = self.now();
        let mut todo = Todo::default();
        let mut q = self.lanes[lane].lock();
        self.hand_over(&mut q, lane, entry, now, &mut todo);
        let woken = q.unlatch();
        self.run(lane, todo);
        woken.go_on();
    }

    /// Makes the keeper look at the line from time to time while anybody stands in it or has been
    /// handed something lately.
    pub(crate) fn patrol(&self, q: &mut Section<'_, M>, now: Tick, todo: &mut Todo<M::Conn>) {
        q.wake_pilot(now, todo);
        if q.patrol_at == NEVER {
            q.patrol_at = now.saturating_add(self.config.regrant_after);
            let at = q.patrol_at;
            q.alarm_at(at, todo);
        }
    }

    /// Starts to open what the line and the least size call for.
    pub(crate) fn restock(&self, q: &mut Section<'_, M>, now: Tick, todo: &mut Todo<M::Conn>) {
        let missing = q.wanted(q.len(), None, now);
        q.open(missing, self.bounds(), now, todo);
    }

    pub(crate) fn restock_all(self: &Arc<Self>) {
        for lane in 0..self.lanes.len() {
            let now = self.now();
            let mut todo = Todo::default();
            let mut q = self.lanes[lane].lock();
            self.restock(&mut q, now, &mut todo);
            drop(q);
            self.run(lane, todo);
        }
    }

    /// Serves the head of the line from what lies idle: a waiter whose grant was taken back has
    /// returned.
    pub(crate) fn serve(self: &Arc<Self>, lane: usize) {
        let now = self.now();
        let mut todo = Todo::default();
        let mut q = self.lanes[lane].lock();
        if q.closed {
            q.grant_all(|| Err(Refusal::Closed));
        }
        while !q.is_empty() {
            let Some(entry) = q.take_idle(&self.config, self.bounds(), now, &mut todo) else { break };
            self.hand_over(&mut q, lane, entry, now, &mut todo);
        }
        self.restock(&mut q, now, &mut todo);
        self.patrol(&mut q, now, &mut todo);
        let deadline = earliest(&q);
        let woken = q.unlatch();
        self.lanes[lane].deadlines.by(self.origin.instant(deadline));
        self.run(lane, todo);
        woken.go_on();
    }

    /// Sends away those whose time is over; tells when the next one's is.
    pub(crate) fn expire(&self, lane: usize, now: Tick) -> Tick {
        let mut q = self.lanes[lane].lock();
        while q.grant_first(|_, party| (party.deadline <= now).then(|| Err(Refusal::TimedOut))) {}
        let next = earliest(&q);
        // A waker that panics (the panic hook has reported it) must not end the others' time.
        let _woken = q.unlatch();
        next
    }

    /// Says why a waiter got nothing in time.
    pub(crate) fn explain(&self, lane: usize, waited: Duration) -> GetError<M::Error> {
        let mut q = self.lanes[lane].lock();
        q.tally.timeouts += 1;
        let last_error = q.last_error.clone().filter(|_| q.failures > 0);
        let exist = q.count(SERVING) + q.count(CHECKING) + q.count(RESETTING);
        let in_use = q.count(SERVING).saturating_sub(self.lanes[lane].shelf.len());
        match last_error {
            Some(cause) if exist == 0 => GetError::Connect { cause, attempts: q.failures },
            last_error => GetError::Timeout { waited, standing: q.standing(q.len(), in_use), last_error },
        }
    }

    /// Wakes the keeper. On a spawner its waker is the spawner's, and what that throws (the panic hook has
    /// reported it) must not cost a caller its connection.
    pub(crate) fn ring(&self) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.keeper.notify()));
    }

    /// Stops handing out, sends waiters away and closes what lies idle.
    pub(crate) fn begin_close(self: &Arc<Self>) -> Woken {
        let mut woken = Woken::none();
        for lane in 0..self.lanes.len() {
            let now = self.now();
            let mut todo = Todo::default();
            let mut q = self.lanes[lane].lock();
            if !q.closed {
                q.closed = true;
                q.grant_all(|| Err(Refusal::Closed));
                for entry in q.lift().into_iter().rev() {
                    q.close(entry, CloseCause::PoolClosed, self.bounds(), now, &mut todo);
                }
            }
            woken = woken.or(q.unlatch());
            self.run(lane, todo);
        }
        self.look_whether_drained();
        woken
    }

    pub(crate) fn look_whether_drained(&self) {
        let empty = self.lanes.iter().all(|lane| {
            let q = lane.lock();
            q.closed && q.size() == 0
        });
        if empty {
            // The workers first: who waits for the end is user code.
            self.exec.workers.stop();
            self.drained.set();
        }
    }
}

fn earliest<M: Managed>(q: &Section<'_, M>) -> Tick {
    q.iter().map(|party| party.deadline).min().unwrap_or(NEVER)
}

/// Drops what may hold an error of the user's, whose drop may panic (the panic hook has reported it).
pub(crate) fn drop_quietly<T>(value: T) {
    let _ = catch_unwind(AssertUnwindSafe(move || drop(value)));
}
