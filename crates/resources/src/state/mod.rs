//! All that changes, behind one latch.
//!
//! # Protocol
//!
//! * A *slot* is a resource: who holds it, and the tickets of those who wait for it.
//! * A *lease* is a set of items taken in one step. A *waiter* is a request that could not be taken; it
//!   stands in the line of each of its slots under one ticket, and all lines are in ticket order, because
//!   joining is one step too.
//! * A waiter is `Waiting` until a step of another hands it a lease (`Granted`) or an error (`Refused`);
//!   its future takes that at its next poll. A grant that is not polled for the regrant interval is taken
//!   back, and the waiter is `Dormant` until its future is polled again and it stands in line with its old
//!   ticket.
//! * `grant.rs` says who may take what and when; `deadlock.rs` finds requests that nobody can ever serve;
//!   `books.rs` says how these books and the words, which claims change without the latch, agree.
//!
//! Steps run no user code: wakers are collected in [`Wakes`] and fired by the caller after the latch has
//! opened, and cloned before it closes.

mod books;
mod deadlock;
mod grant;
mod slab;
mod slot;

pub(crate) use books::ClaimId;
pub(crate) use slot::{Kind, Slot};

use crate::{AcquireError, Mode, Owner, Request, raw::set::Asker, request::Item};
use books::ClaimState;
use slab::Slab;
use slot::Holder;
use std::{
    collections::{HashMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    task::Waker,
    thread::panicking,
    time::{Duration, Instant},
};

/// Wakers to fire after the latch has opened.
#[derive(Default)]
pub(crate) struct Wakes(Vec<Waker>);

impl Wakes {
    pub(crate) fn push(&mut self, waker: Option<Waker>) {
        self.0.extend(waker);
    }

    /// Wakes all. A waker is user code: one that panics must not take the wake-ups behind it along, so its
    /// panic goes on when all are done.
    pub(crate) fn fire(self) {
        let mut panic = None;
        for waker in self.0 {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                panic.get_or_insert(payload);
            }
        }
        // A second panic while unwinding would abort.
        if let Some(payload) = panic.filter(|_| !panicking()) {
            resume_unwind(payload);
        }
    }
}

pub(crate) struct State {
    pub(crate) slots: Slab<Slot>,
    by_name: HashMap<Arc<str>, usize>,
    /// Slots of locks that fell idle, oldest first; some may be in use again.
    idle: VecDeque<usize>,
    max_idle: usize,
    pub(crate) owners: Slab<OwnerState>,
    owner_by_name: HashMap<Owner, usize>,
    pub(crate) leases: Slab<LeaseState>,
    pub(crate) claims: Slab<ClaimState>,
    /// Diverted slots that may be admitted again when the step ends.
    touched: Vec<usize>,
    /// Diverted slots of which claims without a name may hold something.
    vague: Vec<usize>,
    pub(crate) waiters: HashMap<u64, Waiter>,
    next_ticket: u64,
    next_fencing: u64,
    pub(crate) overtaking: u32,
    patrolled: Option<Instant>,
    pub(crate) closed: bool,
    pub(crate) tally: Tally,
}

/// Plain counts, kept under the latch.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) acquired: u64,
    pub(crate) waited: u64,
    pub(crate) cancelled: u64,
    pub(crate) deadlocks: u64,
    pub(crate) regranted: u64,
    pub(crate) overtakes: u64,
    pub(crate) nested_overtakes: u64,
    pub(crate) most_overtaken: u32,
    pub(crate) reclaimed: u64,
}

pub(crate) struct OwnerState {
    pub(crate) name: Owner,
    /// Items held, over all its leases.
    pub(crate) held: usize,
    pub(crate) leases: usize,
    /// Tickets in line.
    pub(crate) waiting: Vec<u64>,
    /// Waiters of any phase.
    pub(crate) waiters: usize,
    pub(crate) claims: Vec<usize>,
    /// Holders of slots that its claims are, while their books are open.
    booked: usize,
    asker: Option<Arc<Asker>>,
}

pub(crate) struct LeaseState {
    pub(crate) owner: usize,
    pub(crate) items: Vec<Item>,
    pub(crate) since: Instant,
    pub(crate) fencing: u64,
}

pub(crate) struct Waiter {
    pub(crate) owner: usize,
    pub(crate) items: Arc<[Item]>,
    pub(crate) standing: Standing,
    pub(crate) since: Instant,
    /// It has been woken to take what it waits for, and has not come yet.
    pub(crate) called: bool,
    /// Younger ones who took something this one waits for.
    pub(crate) passed: u32,
    pub(crate) phase: Phase,
    pub(crate) waker: Option<Waker>,
}

/// How one stands in line.
#[derive(Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) priority: u8,
    /// It would rather be called than handed a lease while it sleeps, as long as it may be overtaken.
    pub(crate) yields: bool,
}

pub(crate) enum Phase {
    Waiting,
    Granted { lease: LeaseId, at: Instant },
    Refused(AcquireError),
    Dormant,
}

/// A lease's place, with the number that tells it from later leases in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeaseId {
    pub(crate) at: usize,
    pub(crate) fencing: u64,
}

/// What a request met.
pub(crate) enum Entered<L = LeaseId> {
    Lease(L),
    /// It waits under this ticket.
    Waits(u64),
}

/// What a poll met.
pub(crate) enum Polled<L = LeaseId> {
    Ready(L, Instant),
    Refused(AcquireError),
    Pending,
}

impl Entered {
    pub(crate) fn map<L>(self, make: impl FnOnce(LeaseId) -> L) -> Entered<L> {
        match self {
            Self::Lease(lease) => Entered::Lease(make(lease)),
            Self::Waits(ticket) => Entered::Waits(ticket),
        }
    }
}

impl Polled {
    pub(crate) fn map<L>(self, make: impl FnOnce(LeaseId) -> L) -> Polled<L> {
        match self {
            Self::Ready(lease, since) => Polled::Ready(make(lease), since),
            Self::Refused(error) => Polled::Refused(error),
            Self::Pending => Polled::Pending,
        }
    }
}

impl State {
    pub(crate) fn new(overtaking: u32, max_idle: usize) -> Self {
        Self {
            slots: Slab::new(),
            by_name: HashMap::new(),
            idle: VecDeque::new(),
            max_idle,
            owners: Slab::new(),
            owner_by_name: HashMap::new(),
            leases: Slab::new(),
            claims: Slab::new(),
            touched: Vec::new(),
            vague: Vec::new(),
            waiters: HashMap::new(),
            next_ticket: 0,
            next_fencing: 1,
            overtaking,
            patrolled: None,
            closed: false,
            tally: Tally::default(),
        }
    }

    pub(crate) fn slot_of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn owner_of(&self, name: &Owner) -> Option<usize> {
        self.owner_by_name.get(name).copied()
    }

    pub(crate) fn insert_slot(&mut self, name: Arc<str>, kind: Kind, now: Instant) -> usize {
        let slot = self.slots.insert(Slot::new(name.clone(), kind, now));
        self.by_name.insert(name, slot);
        self.touched.push(slot);
        slot
    }

    /// Finds or makes the slots of a request and pins them, sorted. Nothing is made when it fails.
    pub(crate) fn resolve(&mut self, request: &Request, now: Instant) -> Result<Vec<Item>, AcquireError> {
        if self.closed {
            return Err(AcquireError::Closed);
        }
        let wants = request.shared_wants();
        for (i, (name, mode)) in wants.iter().enumerate() {
            let kind = self.slot_of(name).map(|at| self.slots[at].kind);
            match (kind, *mode) {
                (Some(Kind::Counted { capacity }), Mode::Units(wanted)) if wanted > capacity => {
                    return Err(AcquireError::TooMany { name: name.to_string(), wanted, capacity });
                }
                (Some(Kind::Counted { .. }), Mode::Units(_)) => {}
                (Some(Kind::Counted { .. }), _) => {
                    return Err(AcquireError::Counted { name: name.to_string() });
                }
                (Some(Kind::Lock) | None, Mode::Units(_)) => {
                    return Err(AcquireError::Undefined { name: name.to_string() });
                }
                (Some(Kind::Lock) | None, _) => {
                    debug_assert!(wants[..i].iter().all(|(n, _)| n != name), "requests merge their names");
                }
            }
        }
        let mut items = Vec::with_capacity(wants.len());
        for (name, mode) in wants {
            let slot = match self.slot_of(name) {
                Some(slot) => slot,
                None => self.insert_slot(name.clone(), Kind::Lock, now),
            };
            self.slots[slot].pins += 1;
            items.push(Item { slot, mode: *mode });
        }
        items.sort_unstable_by_key(|item| item.slot);
        Ok(items)
    }

    pub(crate) fn pin(&mut self, items: &[Item]) {
        for item in items {
            self.slots[item.slot].pins += 1;
        }
    }

    pub(crate) fn unpin(&mut self, items: &[Item]) {
        for item in items {
            self.slots[item.slot].pins -= 1;
            self.retire_idle(item.slot);
        }
    }

    /// Forgets the oldest idle names beyond the number that is kept for their statistics.
    fn retire_idle(&mut self, slot: usize) {
        if !self.slots[slot].is_idle() || self.slots[slot].listed_idle {
            return;
        }
        self.slots[slot].listed_idle = true;
        self.idle.push_back(slot);
        while self.idle.len() > self.max_idle {
            let Some(oldest) = self.idle.pop_front() else { return };
            self.slots[oldest].listed_idle = false;
            if self.slots[oldest].is_idle() {
                let gone = self.slots.remove(oldest);
                self.by_name.remove(&gone.name);
            }
        }
    }

    fn owner(&mut self, name: &Owner) -> usize {
        if let Some(&at) = self.owner_by_name.get(name) {
            return at;
        }
        let fresh = OwnerState {
            name: name.clone(),
            held: 0,
            leases: 0,
            waiting: Vec::new(),
            waiters: 0,
            claims: Vec::new(),
            booked: 0,
            asker: None,
        };
        let at = self.owners.insert(fresh);
        self.owner_by_name.insert(name.clone(), at);
        at
    }

    fn retire_owner(&mut self, at: usize) {
        let owner = &self.owners[at];
        if owner.leases == 0 && owner.waiters == 0 && owner.claims.is_empty() {
            let gone = self.owners.remove(at);
            self.owner_by_name.remove(&gone.name);
        }
    }

    /// Takes the whole set, or joins the lines, or refuses. The items must be pinned once; they stay so
    /// while it waits, and are unpinned otherwise.
    pub(crate) fn enter(
        &mut self,
        owner: &Owner,
        items: Arc<[Item]>,
        standing: Standing,
        now: Instant,
        wakes: &mut Wakes,
    ) -> Result<Entered, AcquireError> {
        let ticket = self.next_ticket;
        if let Err(error) = self.admits(&items) {
            self.unpin(&items);
            return Err(error);
        }
        self.divert(&items, now);
        let at = self.owner(owner);
        if self.may_take(at, &items, ticket) {
            let lease = self.take(at, &items, ticket, now);
            self.recheck(at, now, wakes);
            self.unpin(&items);
            return Ok(Entered::Lease(lease));
        }
        self.next_ticket += 1;
        self.owners[at].waiters += 1;
        let phase = Phase::Waiting;
        let (since, called) = (now, false);
        let waiter = Waiter { owner: at, items, standing, since, passed: 0, called, phase, waker: None };
        self.waiters.insert(ticket, waiter);
        self.stand(ticket, now);
        self.identify();
        if let Some(cycle) = self.cycle_of(ticket) {
            self.tally.deadlocks += 1;
            self.unstand(ticket);
            self.forget(ticket);
            return Err(AcquireError::Deadlock { cycle });
        }
        self.tally.waited += 1;
        self.let_holders_pass(ticket, now, wakes);
        Ok(Entered::Waits(ticket))
    }

    /// Takes the whole set or says which resource was not to be had. The items must be pinned once; they
    /// are unpinned.
    pub(crate) fn try_enter(
        &mut self,
        owner: &Owner,
        items: &[Item],
        now: Instant,
        wakes: &mut Wakes,
    ) -> Result<LeaseId, Result<(String, Vec<Owner>), AcquireError>> {
        let result = match self.admits(items) {
            Err(error) => Err(Err(error)),
            Ok(()) => {
                self.divert(items, now);
                let (at, ticket) = (self.owner(owner), self.next_ticket);
                if self.may_take(at, items, ticket) {
                    let lease = self.take(at, items, ticket, now);
                    self.recheck(at, now, wakes);
                    Ok(lease)
                } else {
                    let busy = self.busy(at, items);
                    self.retire_owner(at);
                    Err(Ok(busy))
                }
            }
        };
        self.unpin(items);
        result
    }

    /// Whether the request can be served at all; what was resolved may have changed since.
    fn admits(&self, items: &[Item]) -> Result<(), AcquireError> {
        if self.closed {
            return Err(AcquireError::Closed);
        }
        for item in items {
            let slot = &self.slots[item.slot];
            if let (Kind::Counted { capacity }, Mode::Units(wanted)) = (slot.kind, item.mode) {
                if wanted > capacity {
                    return Err(AcquireError::TooMany { name: slot.name.to_string(), wanted, capacity });
                }
            }
        }
        Ok(())
    }

    /// The first resource that keeps a request waiting, and who holds it; nobody does when one in line
    /// comes first.
    pub(crate) fn busy(&self, owner: usize, items: &[Item]) -> (String, Vec<Owner>) {
        for item in items {
            let slot = &self.slots[item.slot];
            if !slot.fits(item.mode, owner) {
                let mut holders = slot
                    .blockers(item.mode, owner)
                    .map(|holder| self.owners[holder].name.clone())
                    .collect::<Vec<_>>();
                holders.sort();
                holders.dedup();
                return (slot.name.to_string(), holders);
            }
        }
        let first = items.first().map(|item| self.slots[item.slot].name.to_string());
        (first.unwrap_or_default(), Vec::new())
    }

    /// Puts a waiter into the line of each of its slots.
    fn stand(&mut self, ticket: u64, now: Instant) {
        let items = self.waiters[&ticket].items.clone();
        self.divert(&items, now);
        let waiter = &self.waiters[&ticket];
        for item in waiter.items.iter() {
            self.slots[item.slot].line.insert(ticket);
        }
        let owner = waiter.owner;
        self.owners[owner].waiting.push(ticket);
        self.divert_claims(owner);
    }

    fn unstand(&mut self, ticket: u64) {
        let waiter = &self.waiters[&ticket];
        for item in waiter.items.iter() {
            self.slots[item.slot].line.remove(&ticket);
            self.touched.push(item.slot);
        }
        let owner = waiter.owner;
        self.owners[owner].waiting.retain(|t| *t != ticket);
        self.divert_claims(owner);
    }

    /// Forgets a waiter that stands in no line.
    fn forget(&mut self, ticket: u64) -> Option<Waiter> {
        let waiter = self.waiters.remove(&ticket)?;
        self.unpin(&waiter.items);
        self.owners[waiter.owner].waiters -= 1;
        self.retire_owner(waiter.owner);
        Some(waiter)
    }

    /// Asks what became of a waiter, and leaves a waker with it if nothing did. `waker` holds the old one
    /// afterwards, to be dropped outside.
    pub(crate) fn poll(
        &mut self,
        ticket: u64,
        waker: &mut Option<Waker>,
        now: Instant,
        wakes: &mut Wakes,
    ) -> Polled {
        let waiter = self.waiters.get_mut(&ticket).expect("a future's ticket is known until it is ready");
        match &waiter.phase {
            Phase::Waiting => {
                std::mem::swap(&mut waiter.waker, waker);
                if std::mem::take(&mut waiter.called) {
                    self.serve_caller(ticket, now, wakes);
                    if !matches!(self.waiters[&ticket].phase, Phase::Waiting) {
                        return self.poll(ticket, waker, now, wakes);
                    }
                }
                return Polled::Pending;
            }
            Phase::Granted { .. } | Phase::Refused(_) => {
                let waiter = self.forget(ticket).expect("just seen");
                return match waiter.phase {
                    Phase::Granted { lease, .. } => Polled::Ready(lease, waiter.since),
                    Phase::Refused(error) => Polled::Refused(error),
                    Phase::Waiting | Phase::Dormant => unreachable!("just matched"),
                };
            }
            Phase::Dormant => {}
        }
        // It stands in line again where it stood; what came to it meanwhile is looked at at once.
        std::mem::swap(&mut waiter.waker, waker);
        waiter.phase = Phase::Waiting;
        let items = waiter.items.clone();
        self.stand(ticket, now);
        self.identify();
        if let Err(error) = self.admits(&items) {
            self.refuse_one(ticket, error, wakes);
        } else if let Some(cycle) = self.cycle_of(ticket) {
            self.tally.deadlocks += 1;
            self.refuse_one(ticket, AcquireError::Deadlock { cycle }, wakes);
        } else {
            self.let_holders_pass(ticket, now, wakes);
            self.serve([ticket].into(), now, wakes);
        }
        match self.waiters[&ticket].phase {
            Phase::Waiting => Polled::Pending,
            // Granted or refused by the steps above: once more, which ends it.
            _ => self.poll(ticket, waker, now, wakes),
        }
    }

    /// What a waiter whose time is over still waits for.
    pub(crate) fn late(&self, ticket: u64) -> (String, Vec<Owner>) {
        match self.waiters.get(&ticket) {
            Some(waiter) => self.busy(waiter.owner, &waiter.items),
            None => (String::new(), Vec::new()),
        }
    }

    /// The future of a waiter is gone.
    pub(crate) fn cancel(&mut self, ticket: u64, now: Instant, wakes: &mut Wakes) -> Option<Waker> {
        let waiting = matches!(self.waiters.get(&ticket)?.phase, Phase::Waiting);
        self.tally.cancelled += 1;
        if waiting {
            self.unstand(ticket);
        }
        let items = self.waiters[&ticket].items.clone();
        self.pin(&items);
        let waiter = self.forget(ticket)?;
        if let Phase::Granted { lease, .. } = waiter.phase {
            self.release(lease, now, wakes);
        } else if waiting {
            // It may have been a barrier to others.
            self.serve_slots(&items, now, wakes);
        }
        self.unpin(&items);
        waiter.waker
    }

    /// Takes a waiter out of line with an error.
    pub(crate) fn refuse_one(&mut self, ticket: u64, error: AcquireError, wakes: &mut Wakes) {
        self.unstand(ticket);
        if let Some(waiter) = self.waiters.get_mut(&ticket) {
            waiter.phase = Phase::Refused(error);
            wakes.push(waiter.waker.take());
        }
    }

    /// Changes how a lease holds one resource; tells whether it does and `change` agreed.
    pub(crate) fn alter(
        &mut self,
        lease: LeaseId,
        name: &str,
        change: impl FnOnce(Mode) -> Option<Option<Mode>>,
        now: Instant,
        wakes: &mut Wakes,
    ) -> bool {
        let Some(slot) = self.slot_of(name).filter(|_| self.is_current(lease)) else { return false };
        let items = &mut self.leases[lease.at].items;
        let Some(at) = items.iter().position(|item| item.slot == slot) else { return false };
        let before = items[at];
        match change(before.mode) {
            None => return false,
            Some(Some(mode)) => {
                items[at].mode = mode;
                self.slots[slot].alter(lease.at, mode, now);
            }
            Some(None) => {
                items.swap_remove(at);
                self.slots[slot].remove(lease.at, now);
                self.touched.push(slot);
                let owner = self.leases[lease.at].owner;
                self.owners[owner].held -= 1;
            }
        }
        self.pin(&[before]);
        self.serve_slots(&[before], now, wakes);
        self.unpin(&[before]);
        true
    }

    /// Takes back grants that were not polled for an `interval`. All who wait call this; one of them each
    /// interval looks.
    pub(crate) fn revoke(&mut self, interval: Duration, now: Instant, wakes: &mut Wakes) {
        let Some(before) = now.checked_sub(interval) else { return };
        if self.patrolled.is_some_and(|last| last > before) {
            return;
        }
        self.patrolled = Some(now);
        let stale = self.waiters.iter().filter_map(|(ticket, waiter)| match waiter.phase {
            Phase::Granted { lease, at } if at <= before => Some((*ticket, lease)),
            _ => None,
        });
        let mut stale = stale.collect::<Vec<_>>();
        stale.sort_unstable_by_key(|(ticket, _)| *ticket);
        for (ticket, lease) in stale {
            // An empty lease keeps nobody waiting.
            self.tally.regranted += 1;
            if let Some(waiter) = self.waiters.get_mut(&ticket) {
                waiter.phase = Phase::Dormant;
            }
            self.release(lease, now, wakes);
        }
    }

    /// Changes the capacity of a counted resource.
    pub(crate) fn resize(&mut self, slot: usize, capacity: u64, now: Instant, wakes: &mut Wakes) {
        self.divert_one(slot, now);
        self.slots[slot].meter_to(now);
        self.slots[slot].kind = Kind::Counted { capacity };
        let mut open = self.slots[slot].line.clone();
        for ticket in self.slots[slot].line.clone() {
            if let Err(error) = self.admits(&self.waiters[&ticket].items) {
                self.refuse_one(ticket, error, wakes);
                // It may have been a barrier on its other resources.
                for item in self.waiters[&ticket].items.iter() {
                    open.extend(&self.slots[item.slot].line);
                }
                open.remove(&ticket);
            }
        }
        self.serve(open, now, wakes);
        self.break_deadlocks(now, wakes);
    }

    /// Refuses all who wait and all who come.
    pub(crate) fn close(&mut self, now: Instant, wakes: &mut Wakes) {
        self.closed = true;
        // For good: claims that come are refused under the latch.
        self.adopt(now);
        let waiting = self.waiters.iter().filter(|(_, w)| matches!(w.phase, Phase::Waiting));
        for ticket in waiting.map(|(ticket, _)| *ticket).collect::<Vec<_>>() {
            self.refuse_one(ticket, AcquireError::Closed, wakes);
        }
    }
}
