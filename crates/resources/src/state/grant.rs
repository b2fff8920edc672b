//! Who may take what, and when.
//!
//! A request takes its whole set in the step in which all of it is free, also past older waiters, but:
//!
//! * each older waiter that wants one of the same resources in a conflicting way counts it, and one that
//!   has counted `overtaking` of them is a *barrier*: no younger request may take any resource in its way.
//!   So nobody is overtaken more often than that, and the oldest waiter waits for holders alone.
//! * An owner that holds something passes barriers. Otherwise a barrier that waits for this owner's
//!   resource would keep it from the free one it needs to finish: a deadlock through the line. It is counted
//!   on the barrier all the same (`nested_overtakes`).
//!
//! A waiter may *yield*: it is a thread that sleeps, and what it is handed lies idle until it runs. It is called instead, and
//! takes what it waits for when it comes, if nobody has in between. Whoever does overtakes it, so that happens as often as
//! allowed, and after that it is handed what it waits for like others.
//!
//! Whoever gives something back, or leaves a line, serves those in line there: higher priorities first,
//! older ones first among equals.

use super::{LeaseId, LeaseState, Phase, State, Wakes};
use crate::request::Item;
use std::{cmp::Reverse, collections::BTreeSet, time::Instant};

impl State {
    /// Whether `owner` may take `items` now, arriving at `ticket`.
    pub(super) fn may_take(&self, owner: usize, items: &[Item], ticket: u64) -> bool {
        items.iter().all(|item| self.slots[item.slot].fits(item.mode, owner))
            && (!self.is_barred(items, ticket) || self.holds(owner))
    }

    fn is_barred(&self, items: &[Item], ticket: u64) -> bool {
        self.older_rivals(items, ticket).any(|rival| self.waiters[&rival].passed >= self.overtaking)
    }

    /// The waiters older than `ticket` that want one of `items` in a way that conflicts; some twice.
    fn older_rivals<'a>(&'a self, items: &'a [Item], ticket: u64) -> impl Iterator<Item = u64> + 'a {
        items.iter().flat_map(move |item| {
            self.slots[item.slot].line.range(..ticket).copied().filter(move |rival| {
                let theirs = self.waiters[rival].items.iter().find(|i| i.slot == item.slot);
                theirs.is_some_and(|theirs| theirs.mode.conflicts(item.mode))
            })
        })
    }

    /// Takes `items`, which must be possible.
    pub(super) fn take(&mut self, owner: usize, items: &[Item], ticket: u64, now: Instant) -> LeaseId {
        let passed = self.older_rivals(items, ticket).collect::<BTreeSet<_>>();
        for rival in passed {
            if self.waiters[&rival].passed >= self.overtaking && self.holds(owner) {
                self.tally.nested_overtakes += 1;
                continue;
            }
            self.tally.overtakes += 1;
            if let Some(rival) = self.waiters.get_mut(&rival) {
                rival.passed += 1;
                self.tally.most_overtaken = self.tally.most_overtaken.max(rival.passed);
            }
        }
        let fencing = self.next_fencing;
        self.next_fencing += 1;
        let at = self.leases.insert(LeaseState { owner, items: items.to_vec(), since: now, fencing });
        for item in items {
            self.slots[item.slot].add(at, owner, item.mode, now);
        }
        self.owners[owner].held += items.len();
        self.owners[owner].leases += 1;
        self.tally.acquired += 1;
        LeaseId { at, fencing }
    }

    /// After `owner` took something by itself: what else it waits for in other tasks may pass barriers now, or
    /// may have become a deadlock.
    pub(super) fn recheck(&mut self, owner: usize, now: Instant, wakes: &mut Wakes) {
        if !self.owners[owner].waiting.is_empty() {
            let tickets = self.owners[owner].waiting.iter().copied().collect();
            self.serve(tickets, now, wakes);
            self.break_deadlocks(now, wakes);
        }
    }

    /// Whether a lease is still what it was when it was given.
    pub(crate) fn is_current(&self, lease: LeaseId) -> bool {
        self.leases.get(lease.at).is_some_and(|state| state.fencing == lease.fencing)
    }

    /// Gives a lease back and serves who waited for it; tells since when it was held.
    pub(crate) fn release(&mut self, lease: LeaseId, now: Instant, wakes: &mut Wakes) -> Option<Instant> {
        if !self.is_current(lease) {
            return None; // reclaimed
        }
        let state = self.leases.remove(lease.at);
        for item in &state.items {
            self.slots[item.slot].remove(lease.at, now);
            self.touched.push(item.slot);
        }
        let owner = &mut self.owners[state.owner];
        owner.held -= state.items.len();
        owner.leases -= 1;
        self.retire_owner(state.owner);
        self.pin(&state.items);
        self.serve_slots(&state.items, now, wakes);
        self.unpin(&state.items);
        Some(state.since)
    }

    /// Serves those who wait for any of these.
    pub(crate) fn serve_slots(&mut self, items: &[Item], now: Instant, wakes: &mut Wakes) {
        let mut tickets = BTreeSet::new();
        for item in items {
            tickets.extend(&self.slots[item.slot].line);
        }
        self.serve(tickets, now, wakes);
    }

    /// Looks at each of these waiters and gives it what it waits for, if it may take it.
    pub(crate) fn serve(&mut self, tickets: BTreeSet<u64>, now: Instant, wakes: &mut Wakes) {
        self.serve_all(tickets, None, now, wakes);
    }

    /// Gives one that has been called what it waits for, if it may still take it.
    pub(super) fn serve_caller(&mut self, ticket: u64, now: Instant, wakes: &mut Wakes) {
        self.serve_all([ticket].into(), Some(ticket), now, wakes);
    }

    fn serve_all(&mut self, tickets: BTreeSet<u64>, caller: Option<u64>, now: Instant, wakes: &mut Wakes) {
        let mut open = tickets
            .into_iter()
            .map(|t| (Reverse(self.waiters[&t].standing.priority), t))
            .collect::<BTreeSet<_>>();
        let mut several = false;
        while let Some((_, ticket)) = open.pop_first() {
            let waiter = &self.waiters[&ticket];
            if !matches!(waiter.phase, Phase::Waiting) || !self.may_take(waiter.owner, &waiter.items, ticket)
            {
                continue;
            }
            if waiter.standing.yields && waiter.passed < self.overtaking && caller != Some(ticket) {
                if let Some(waiter) = self.waiters.get_mut(&ticket).filter(|waiter| !waiter.called) {
                    waiter.called = true;
                    wakes.push(waiter.waker.take());
                }
                continue;
            }
            let (owner, items, since) = (waiter.owner, waiter.items.clone(), waiter.since);
            let was_barrier = waiter.passed >= self.overtaking;
            self.unstand(ticket);
            let lease = self.take(owner, &items, ticket, now);
            let waited = now.saturating_duration_since(since);
            for item in items.iter() {
                self.slots[item.slot].waited(waited);
            }
            if let Some(waiter) = self.waiters.get_mut(&ticket) {
                waiter.phase = Phase::Granted { lease, at: now };
                wakes.push(waiter.waker.take());
            }
            for &other in &self.owners[owner].waiting {
                // It holds something now, so it passes barriers with what else it wants.
                several = true;
                open.insert((Reverse(self.waiters[&other].standing.priority), other));
            }
            if was_barrier {
                // Those it stood before, on resources of which something is left, may go now.
                for item in items.iter() {
                    for &other in &self.slots[item.slot].line {
                        open.insert((Reverse(self.waiters[&other].standing.priority), other));
                    }
                }
            }
        }
        // An owner that was given one thing while it waits for another may have closed a cycle.
        if several {
            self.break_deadlocks(now, wakes);
        }
    }
}
