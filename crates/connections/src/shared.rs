//! The pool's core: what happens to a connection between callers and drivers.
//!
//! While nobody waits, a connection goes from the lane's shelf to a caller and back in one step each way.
//! Everything else is a section, which locks one lane, changes slots and line together, collects what is left
//! to do in a [`Todo`], opens the latch, and only then starts steps, runs user code or wakes the keeper. Opening
//! the latch wakes waiters, and wakers are user code: a section that grants opens it by [`Section::unlatch`], so
//! that a panic of one of them goes on when all else is done.

use crate::{
    builder::{Config, OnConnectFailure},
    conn::Lease,
    driver::{Exec, Op, Outcome},
    error::{ConnectError, GetError, TryGetError},
    holder::Owners,
    lane::{Fitness, Lane, Section, Woken},
    manager::{Managed, Role},
    raw::shelf::{Place, Take},
    state::{Bounds, CHECKING, Entry, Meta, Party, Phase, RESETTING, SERVING, SlotId, Step, Todo},
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
        q.grant_first(|state, party| {
            let entry = entry.take()?;
            state.enter(meta.slot, Phase::Serving, now);
            holder.set(now, party.location, party.owner.as_deref());
            Some(Ok(entry))
        });
        match entry {
            None => {
                q.alarm_at(now.saturating_add(self.config.leak_after), todo);
                q.patrols = 2;
                self.patrol(q, now, todo);
            }
            Some(entry) => {
                q.enter(meta.slot, Phase::Serving, now);
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

    /// Wakes the keeper. On a spawner its waker is the spawner's, and what that throws (the panic hook has
    /// reported it) must not cost a caller its connection.
    fn ring(&self) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.keeper.notify()));
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
        self.restock(&mut q, now, &mut todo);
        let closed = q.closed;
        let woken = q.unlatch();
        drop_quietly(old_error);
        self.run(lane, todo);
        if closed {
            self.look_whether_drained();
        }
        woken.go_on();
    }

    /// A step that outlived its bound has come to its end: its thread is back, its slot is another's.
    fn unstick(&self, q: &mut Section<'_, M>) {
        q.stuck = q.stuck.saturating_sub(1);
        self.exec.workers.found_one();
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
