//! One kind of connections: the shelf of those that lie idle, and the line of those who wait.
//!
//! While nobody waits, taking and giving back are one step each on the [`Shelf`]. Everything else happens in a
//! [`Section`] under the latch of the line: joining, granting, opening, closing. A section that looks for what lies idle
//! diverts the shelf first, so that between its look and its joining nothing is put there unseen; when it ends it lets
//! takers and putters back in, unless the latch must see to what they bring.

use crate::{
    builder::{Config, IdleOrder},
    holder::Holder,
    manager::Managed,
    raw::shelf::{Place, Places, Shelf},
    shared::Grant,
    state::{Bounds, Entry, Meta, Party, Phase, State, Todo},
    stats::CloseCause,
    tick::{Alarm, Tick},
};
use ropewalk_measure::{Counter, Histogram};
use ropewalk_sync::{Cancelled, Deadlines, Locked, Polled, Ticket, WaitQueue};
use std::{
    any::Any,
    ops::{Deref, DerefMut},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    task::Context,
    thread::panicking,
};

pub(crate) type LaneState<M> = State<<M as Managed>::Error>;
type Laid<M> = (<M as Managed>::Conn, Meta);
type LockedLine<'a, M> = Locked<'a, Party, Grant<M>, LaneState<M>>;

pub(crate) struct Lane<M: Managed> {
    pub(crate) shelf: Shelf<Laid<M>, Holder>,
    pub(crate) gets: Counter,
    pub(crate) holds: Histogram,
    pub(crate) alarm: Alarm,
    /// When those who wait give up.
    pub(crate) deadlines: Deadlines,
    line: WaitQueue<Party, Grant<M>, LaneState<M>>,
    order: IdleOrder,
}

impl<M: Managed> Lane<M> {
    pub(crate) fn new(
        order: IdleOrder,
        alarm: Alarm,
        deadlines: Deadlines,
        state: impl FnOnce(Alarm, Places) -> LaneState<M>,
    ) -> Self {
        let (shelf, places) = Shelf::new();
        if order != IdleOrder::Lifo {
            shelf.divert();
        }
        Self {
            shelf,
            gets: Counter::new(),
            holds: Histogram::new(),
            deadlines,
            line: WaitQueue::with_state(state(alarm.clone(), places)),
            alarm,
            order,
        }
    }

    /// Closes the latch.
    pub(crate) fn lock(&self) -> Section<'_, M> {
        Section { lane: self, line: Some(self.line.lock()) }
    }

    pub(crate) fn poll(&self, ticket: &Ticket<Party, Grant<M>>, cx: &Context<'_>) -> Polled<Grant<M>> {
        self.line.poll(ticket, cx)
    }

    pub(crate) fn cancel(&self, ticket: Ticket<Party, Grant<M>>) -> Cancelled<Grant<M>> {
        self.line.cancel(ticket)
    }

    /// The label of a connection.
    pub(crate) fn holder(&self, entry: &Entry<M::Conn>) -> &Holder {
        self.shelf.label(&entry.place)
    }
}

/// A lane under its latch.
pub(crate) struct Section<'a, M: Managed> {
    lane: &'a Lane<M>,
    line: Option<LockedLine<'a, M>>,
}

impl<'a, M: Managed> Section<'a, M> {
    /// The next idle connection fit to be handed out. Those that are too old or have lain for too
    /// long go to the drivers.
    pub(crate) fn take_idle(
        &mut self,
        config: &Config,
        bounds: Option<Bounds>,
        now: Tick,
        todo: &mut Todo<M::Conn>,
    ) -> Option<Entry<M::Conn>> {
        self.lane.shelf.divert();
        loop {
            let entry = match self.lane.order {
                IdleOrder::Lifo => Entry::of(self.lane.shelf.take_anyway()?),
                IdleOrder::Fifo => {
                    let mut idle = self.lift();
                    let oldest = idle.pop();
                    self.lay(idle);
                    oldest?
                }
            };
            match entry.meta.fitness(config, now) {
                Fitness::Fit => return Some(entry),
                Fitness::Expired => self.close(entry, CloseCause::Lifetime, bounds, now, todo),
                Fitness::Unchecked => {
                    self.start(entry, Phase::Checking, bounds, now, todo);
                    return None;
                }
            }
        }
    }

    /// Everything that lies idle, what was given back last first. Lay back what stays.
    pub(crate) fn lift(&mut self) -> Vec<Entry<M::Conn>> {
        self.lane.shelf.divert();
        let mut laid = Vec::new();
        self.lane.shelf.lift(&mut laid);
        laid.into_iter().map(Entry::of).collect()
    }

    /// Lays back what was lifted, in the order of lifting.
    pub(crate) fn lay(&mut self, entries: Vec<Entry<M::Conn>>) {
        entries.into_iter().rev().for_each(|entry| self.lay_on_top(entry));
    }

    pub(crate) fn lay_on_top(&mut self, entry: Entry<M::Conn>) {
        let (place, laid) = entry.lay();
        self.lane.shelf.put_anyway(place, laid);
    }

    /// A place for a connection that is new.
    pub(crate) fn place(&mut self) -> Place {
        let lane = self.lane;
        // Stuck steps keep theirs, so `Builder::max_stuck` is bounded too.
        lane.shelf.place(&mut self.places).expect("there are more places than connections")
    }

    /// Opens the latch, which wakes whoever was granted something.
    pub(crate) fn unlatch(self) -> Woken {
        Woken(catch_unwind(AssertUnwindSafe(move || drop(self))).err())
    }
}

impl<'a, M: Managed> Deref for Section<'a, M> {
    type Target = LockedLine<'a, M>;
    fn deref(&self) -> &Self::Target {
        self.line.as_ref().expect("the latch is held until drop")
    }
}

impl<M: Managed> DerefMut for Section<'_, M> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.line.as_mut().expect("the latch is held until drop")
    }
}

impl<M: Managed> Drop for Section<'_, M> {
    fn drop(&mut self) {
        let is_plain = self.lane.order == IdleOrder::Lifo
            && self.is_empty()
            && !self.closed
            && self.staying() <= self.max;
        // The look spares the word in most sections: nothing has changed.
        if is_plain == self.lane.shelf.is_diverted() {
            if is_plain { self.lane.shelf.admit() } else { self.lane.shelf.divert() }
        }
        drop(self.line.take());
    }
}

/// A panic of a waiter's waker, if there was one.
#[must_use = "it goes on when all else is done"]
pub(crate) struct Woken(Option<Box<dyn Any + Send>>);

impl Woken {
    pub(crate) fn none() -> Self {
        Self(None)
    }

    pub(crate) fn go_on(self) {
        // A second panic while unwinding would abort.
        if let Some(panic) = self.0.filter(|_| !panicking()) {
            resume_unwind(panic);
        }
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0.or(other.0))
    }
}

/// Whether an idle connection may be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fitness {
    Fit,
    /// Too old.
    Expired,
    /// It has lain for too long to be handed out unchecked.
    Unchecked,
}

impl Meta {
    pub(crate) fn fitness(&self, config: &Config, now: Tick) -> Fitness {
        if self.expires <= now {
            Fitness::Expired
        } else if now.saturating_sub(self.verified) >= config.check_after {
            Fitness::Unchecked
        } else {
            Fitness::Fit
        }
    }
}

impl<C> Entry<C> {
    pub(crate) fn of((place, (conn, meta)): (Place, (C, Meta))) -> Self {
        Self { conn, meta, place }
    }

    pub(crate) fn lay(self) -> (Place, (C, Meta)) {
        (self.place, (self.conn, self.meta))
    }
}
