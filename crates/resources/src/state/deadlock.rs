//! Requests that nobody can ever serve.
//!
//! Only an owner that holds something and waits can be part of a deadlock. Such an owner *can finish* when
//! all it waits for is free, or would be if those who can finish had given back what they hold. Those that
//! are left when no more can be found are deadlocked (Holt 1972; Coffman and others 1971). With units this
//! matters: a circle of waits is none if another holder can finish.
//!
//! Every request is looked at in the step in which it would begin to wait, so the state is free of
//! deadlocks before, and the new request is on a cycle when it makes one. Barriers add no waits for owners
//! that hold something, so they add no cycles.

use super::{Phase, State, Wakes, slot::Kind};
use crate::{
    AcquireError, Mode,
    error::{Cycle, CycleStep},
    request::Item,
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Instant,
};

impl State {
    /// The cycle that `ticket` closes, if it waits in vain.
    pub(super) fn cycle_of(&self, ticket: u64) -> Option<Cycle> {
        let owner = self.waiters[&ticket].owner;
        if !self.holds_in_books(owner) {
            return None;
        }
        let stuck = self.stuck();
        stuck.contains(&owner).then(|| self.shortest_cycle(owner, &stuck))
    }

    /// The owners that hold something, wait, and cannot finish.
    fn stuck(&self) -> HashSet<usize> {
        let waiting = self.owners.iter().filter(|(_, o)| !o.waiting.is_empty()).map(|(at, _)| at);
        let mut stuck = waiting.filter(|&at| self.holds_in_books(at)).collect::<HashSet<_>>();
        loop {
            let before = stuck.len();
            let can_finish = stuck.iter().copied().filter(|&owner| self.can_finish(owner, &stuck));
            for owner in can_finish.collect::<Vec<_>>() {
                stuck.remove(&owner);
            }
            if stuck.len() == before {
                return stuck;
            }
        }
    }

    /// Whether all that `owner` waits for is to be had once everybody outside of `stuck` has finished.
    fn can_finish(&self, owner: usize, stuck: &HashSet<usize>) -> bool {
        let mut wants =
            self.owners[owner].waiting.iter().flat_map(|ticket| self.waiters[ticket].items.iter());
        wants.all(|item| {
            let slot = &self.slots[item.slot];
            let mut kept = slot.holders.iter().filter(|holder| stuck.contains(&holder.owner));
            match (item.mode, slot.kind) {
                (Mode::Units(wanted), Kind::Counted { capacity }) => {
                    let kept = kept.map(|h| if let Mode::Units(n) = h.mode { n } else { 0 }).sum::<u64>();
                    kept.saturating_add(wanted) <= capacity
                }
                (mode, _) => !kept.any(|holder| holder.blocks(mode, owner)),
            }
        })
    }

    /// The shortest way from `start` back to itself over stuck owners.
    fn shortest_cycle(&self, start: usize, stuck: &HashSet<usize>) -> Cycle {
        // How each owner was reached: from whom, and by the slot that one wants and this one holds.
        let mut reached = HashMap::<usize, (usize, usize)>::new();
        let mut open = VecDeque::from([start]);
        'search: while let Some(owner) = open.pop_front() {
            for ticket in &self.owners[owner].waiting {
                for item in self.waiters[ticket].items.iter() {
                    if self.slots[item.slot].fits(item.mode, owner) {
                        continue;
                    }
                    for holder in self.slots[item.slot].blockers(item.mode, owner) {
                        if stuck.contains(&holder) && !reached.contains_key(&holder) {
                            reached.insert(holder, (owner, item.slot));
                            open.push_back(holder);
                            if holder == start {
                                break 'search;
                            }
                        }
                    }
                }
            }
        }
        // Back along the way, from the start to the start.
        let mut links = Vec::new();
        let mut at = start;
        while let Some(&(from, slot)) = reached.get(&at) {
            links.push((from, slot));
            at = from;
            if at == start {
                break;
            }
        }
        links.reverse();
        // Link i: owner i wants slot i, which owner i + 1 holds. So owner i holds slot i - 1.
        let name = |slot: usize| self.slots[slot].name.to_string();
        let steps = links.iter().enumerate().map(|(i, &(owner, wants))| {
            let (_, holds) = links[(i + links.len() - 1) % links.len()];
            CycleStep { owner: self.owners[owner].name.clone(), holds: name(holds), wants: name(wants) }
        });
        Cycle::new(steps.collect())
    }

    /// Refuses the youngest waiter of a deadlock until there is none. Needed only where one can come into
    /// being without a request: an owner with several requests is served, or a capacity shrinks.
    pub(super) fn break_deadlocks(&mut self, now: Instant, wakes: &mut Wakes) {
        self.identify();
        loop {
            let stuck = self.stuck();
            let youngest = stuck.iter().flat_map(|&o| self.owners[o].waiting.iter().copied()).max();
            let Some(ticket) = youngest else { return };
            let cycle = self.shortest_cycle(self.waiters[&ticket].owner, &stuck);
            self.tally.deadlocks += 1;
            let items = self.waiters[&ticket].items.clone();
            self.refuse_one(ticket, AcquireError::Deadlock { cycle }, wakes);
            self.serve_slots(&items, now, wakes);
        }
    }

    /// Who waits for whom: waiter, owner waited for, slot, since when, and whether it is a holder.
    pub(crate) fn edges(&self) -> Vec<(usize, usize, usize, Instant, bool)> {
        let mut edges = Vec::new();
        for (&ticket, waiter) in self.waiters.iter().filter(|(_, w)| matches!(w.phase, Phase::Waiting)) {
            for &Item { slot, mode } in waiter.items.iter() {
                let state = &self.slots[slot];
                if !state.fits(mode, waiter.owner) {
                    let mut blockers = state.blockers(mode, waiter.owner).collect::<Vec<_>>();
                    blockers.sort_unstable();
                    blockers.dedup();
                    edges.extend(blockers.into_iter().map(|b| (waiter.owner, b, slot, waiter.since, true)));
                } else if !self.holds(waiter.owner) {
                    for rival in state.line.range(..ticket).map(|t| &self.waiters[t]) {
                        let theirs = rival.items.iter().find(|i| i.slot == slot);
                        if rival.passed >= self.overtaking && theirs.is_some_and(|i| i.mode.conflicts(mode)) {
                            edges.push((waiter.owner, rival.owner, slot, waiter.since, false));
                        }
                    }
                }
            }
        }
        edges
    }
}
