//! How the books and the words agree.
//!
//! A slot's word is the truth about what [claims](crate::Claim) hold of it, and changes without the latch, until a step
//! under the latch *diverts* it. From then on it stands still, and what it says is written into the books as well: its
//! holders have their places among those of the leases, so that everything else here need not tell them apart. At the end
//! of each step, a slot that only claims hold and nobody stands in line for is *admitted* again. So:
//!
//! * while anybody stands in line for a slot or has a lease on it, it is diverted, and claims come to the latch;
//! * a step that judges a set has diverted all of it before, so it judges one state of the whole set;
//! * whoever stands in line is overtaken under the latch alone, where it is counted.
//!
//! An exclusive claim is named by the word. Readers and units are attributed to those claims whose record says that they
//! hold; the rest is *vague*: a claim between two of its steps, which will either hold or be back here to give it back.
//! Before deadlocks are looked for, what was vague is looked at again: an owner that waits is past those steps.

use super::{Holder, Kind, Slab, State, Wakes};
use crate::{
    Mode, Owner,
    raw::{
        set::{Asker, Record},
        word::MAX_UNITS,
    },
    request::Item,
};
use std::{sync::Arc, time::Instant};

/// Tells claims from leases among the holders of a slot.
const CLAIM: usize = 1 << (usize::BITS - 1);

/// A claim's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClaimId(usize);

impl ClaimId {
    /// Its name in the words.
    pub(crate) fn holder(self) -> u32 {
        u32::try_from(self.0 + 1).expect("fewer than 2^32 claims")
    }
}

pub(crate) struct ClaimState {
    pub(crate) owner: usize,
    pub(crate) items: Arc<[Item]>,
    pub(crate) record: Arc<Record>,
    /// Of which lease, counted from the first, the number has been given, and the number.
    fencing: Option<(u64, u64)>,
    /// The lease that is out has been taken away, and its number is that above.
    is_void: bool,
    /// Which lease a look has seen first, and when.
    seen: Option<(u64, Instant)>,
}

impl Holder {
    fn is_claim(&self) -> bool {
        self.lease & CLAIM != 0
    }
}

impl State {
    /// Opens the books of these slots: what claims hold of them stands still from here to the end of the step.
    pub(super) fn divert(&mut self, items: &[Item], now: Instant) {
        for item in items {
            self.divert_one(item.slot, now);
        }
    }

    pub(super) fn divert_one(&mut self, at: usize, now: Instant) {
        self.touched.push(at);
        let slot = &mut self.slots[at];
        if slot.diverted {
            return;
        }
        slot.meter_to(now);
        slot.diverted = true;
        let view = slot.word.divert();
        match slot.kind {
            Kind::Lock => {
                if let Some(holder) = view.holder() {
                    let claim = holder as usize - 1;
                    let owner = self.claims[claim].owner;
                    self.owners[owner].booked += 1;
                    slot.holders.push(Holder { lease: CLAIM | claim, owner, mode: Mode::Exclusive });
                }
                slot.vague = view.readers();
            }
            Kind::Counted { .. } => {
                slot.vague = slot.base - view.free();
                slot.used += slot.vague;
            }
        }
        if slot.vague > 0 {
            self.vague.push(at);
            self.identify_one(at);
        }
    }

    /// Opens all books that claims may have written to.
    pub(crate) fn adopt(&mut self, now: Instant) {
        let claims = self.claims.iter().map(|(_, claim)| claim.items.clone()).collect::<Vec<_>>();
        claims.iter().for_each(|items| self.divert(items, now));
    }

    /// Opens the book of one slot.
    pub(crate) fn adopt_one(&mut self, name: &str, now: Instant) -> Option<usize> {
        let slot = self.slot_of(name)?;
        self.divert_one(slot, now);
        Some(slot)
    }

    /// Looks again for who has what is vague.
    pub(crate) fn identify(&mut self) {
        for i in (0..self.vague.len()).rev() {
            let at = self.vague[i];
            self.identify_one(at);
            if self.slots.get(at).is_none_or(|slot| slot.vague == 0) {
                self.vague.swap_remove(i);
            }
        }
    }

    fn identify_one(&mut self, at: usize) {
        let Some(slot) = self.slots.get(at).filter(|slot| slot.vague > 0) else { return };
        for claim in slot.tracked.clone() {
            let (lease, state) = (CLAIM | claim, &self.claims[claim]);
            let slot = &mut self.slots[at];
            if !state.record.is_held() || slot.holders.iter().any(|h| h.lease == lease) {
                continue;
            }
            let Some(mode) = mode_of(&state.items, at) else { continue };
            slot.vague -= amount(mode);
            self.owners[state.owner].booked += 1;
            slot.holders.push(Holder { lease, owner: state.owner, mode });
        }
    }

    /// Ends a step: closes the books of slots that claims alone may have from here on.
    pub(crate) fn settle(&mut self, now: Instant) {
        if self.closed {
            self.touched.clear();
        }
        while let Some(at) = self.touched.pop() {
            let Some(slot) = self.slots.get_mut(at) else { continue };
            let is_claims = slot.line.is_empty() && slot.holders.iter().all(Holder::is_claim);
            if !slot.diverted || !is_claims {
                continue;
            }
            let mut view = slot.word.view();
            if let Kind::Counted { capacity } = slot.kind {
                // A debt is paid under the latch.
                let Some(free) = capacity.min(MAX_UNITS).checked_sub(slot.used) else { continue };
                slot.meter_to(now);
                slot.base = free + slot.used;
                slot.used = 0;
                view = view.with_free(free);
            } else {
                slot.meter_to(now);
            }
            for holder in slot.holders.drain(..) {
                self.owners[holder.owner].booked -= 1;
            }
            slot.vague = 0;
            slot.diverted = false;
            slot.word.admit(view);
        }
    }

    /// Whether an owner holds anything that somebody may wait for. Exact after [`identify`](Self::identify).
    pub(super) fn holds_in_books(&self, owner: usize) -> bool {
        self.owners[owner].held + self.owners[owner].booked > 0
    }

    /// Whether an owner holds anything.
    pub(crate) fn holds(&self, owner: usize) -> bool {
        let owner = &self.owners[owner];
        owner.held > 0 || owner.claims.iter().any(|&claim| self.may_hold(claim))
    }

    /// Whether a claim holds, or may be about to.
    fn may_hold(&self, claim: usize) -> bool {
        self.is_out(claim)
            || self.claims[claim].items.iter().any(|item| {
                let slot = &self.slots[item.slot];
                slot.vague > 0 && slot.tracked.contains(&claim)
            })
    }

    /// Whether a claim holds its whole set.
    pub(crate) fn is_out(&self, claim: usize) -> bool {
        let state = &self.claims[claim];
        let is_tracked = state.items.iter().any(|item| item.mode != Mode::Exclusive);
        if is_tracked {
            return state.record.is_held();
        }
        let holder = Some(ClaimId(claim).holder());
        let mut items = state.items.iter();
        !state.items.is_empty() && items.all(|item| self.slots[item.slot].word.view().holder() == holder)
    }

    /// A new waiter stands behind claims, whose owners may wait for something else at the same time, and were not known to
    /// hold anything when they began to: they pass barriers now.
    pub(super) fn let_holders_pass(&mut self, ticket: u64, now: Instant, wakes: &mut Wakes) {
        let items = self.waiters[&ticket].items.clone();
        let mut owners = Vec::new();
        for item in items.iter() {
            let slot = &self.slots[item.slot];
            owners.extend(slot.holders.iter().filter(|h| h.is_claim()).map(|h| h.owner));
            if slot.vague > 0 {
                owners.extend(slot.tracked.iter().map(|&claim| self.claims[claim].owner));
            }
        }
        for owner in owners {
            if self.owners.get(owner).is_some_and(|o| !o.waiting.is_empty()) {
                self.recheck(owner, now, wakes);
            }
        }
    }

    /// A new claim of `owner` on a pinned set.
    pub(crate) fn add_claim(&mut self, owner: &Owner, items: Arc<[Item]>) -> (ClaimId, Arc<Record>) {
        let owner = self.owner(owner);
        let asker = self.owners[owner].asker.get_or_insert_with(Arc::<Asker>::default).clone();
        let record = Arc::new(Record::new(asker));
        let (fencing, is_void, seen) = (None, false, None);
        let state =
            ClaimState { owner, items: items.clone(), record: record.clone(), fencing, is_void, seen };
        let at = self.claims.insert(state);
        self.owners[owner].claims.push(at);
        for item in items.iter().filter(|item| item.mode != Mode::Exclusive) {
            self.slots[item.slot].tracked.push(at);
        }
        self.divert_claims(owner);
        (ClaimId(at), record)
    }

    /// What an owner takes while it waits for something else is taken under the latch: its older wait may pass barriers then.
    /// Where that is not seen in time, [`let_holders_pass`](Self::let_holders_pass) makes up for it.
    pub(super) fn divert_claims(&self, owner: usize) {
        let owner = &self.owners[owner];
        if let Some(asker) = &owner.asker {
            asker.divert(!owner.waiting.is_empty());
        }
    }

    /// A claim that holds nothing is gone.
    pub(crate) fn remove_claim(&mut self, ClaimId(at): ClaimId) {
        let claim = self.claims.remove(at);
        let taken = claim.record.taken();
        self.tally.acquired += taken;
        for item in claim.items.iter() {
            let slot = &mut self.slots[item.slot];
            slot.tracked.retain(|&claim| claim != at);
            slot.meter.acquired += taken;
        }
        self.owners[claim.owner].claims.retain(|&claim| claim != at);
        self.retire_owner(claim.owner);
    }

    /// A claim gives these of its set back, which it could not by itself.
    pub(crate) fn release_late(&mut self, id: ClaimId, late: &[usize], now: Instant, wakes: &mut Wakes) {
        let claim = &mut self.claims[id.0];
        if claim.is_void {
            claim.is_void = false;
            claim.record.reset();
            return;
        }
        let late = late.iter().map(|&at| claim.items[at]).collect::<Vec<_>>();
        self.divert(&late, now);
        self.give_back(id, &late, now);
        self.serve_slots(&late, now, wakes);
    }

    fn give_back(&mut self, id: ClaimId, items: &[Item], now: Instant) {
        let lease = CLAIM | id.0;
        for &Item { slot: at, mode } in items {
            self.touched.push(at);
            let slot = &mut self.slots[at];
            let view = slot.word.view();
            slot.word.keep(view.without(mode));
            slot.meter_to(now);
            match slot.holders.iter().position(|h| h.lease == lease) {
                Some(place) => {
                    let holder = slot.holders.swap_remove(place);
                    self.owners[holder.owner].booked -= 1;
                }
                None => slot.vague -= amount(mode),
            }
            if let Mode::Units(units) = mode {
                slot.used -= units;
            }
        }
    }

    /// Takes what the claims of an owner hold away; tells how many leases that were.
    pub(crate) fn reclaim_claims(&mut self, owner: usize, now: Instant, wakes: &mut Wakes) -> usize {
        let mut reclaimed = Vec::new();
        for claim in self.owners[owner].claims.clone() {
            let items = self.claims[claim].items.clone();
            self.divert(&items, now);
            let is_tracked = items.iter().any(|item| item.mode != Mode::Exclusive);
            // In the midst of taking or giving back, nobody is stuck.
            if !self.is_out(claim) || (is_tracked && !self.claims[claim].record.void()) {
                continue;
            }
            self.fencing_of(ClaimId(claim));
            self.claims[claim].is_void = true;
            self.give_back(ClaimId(claim), &items, now);
            reclaimed.push(items);
        }
        for items in &reclaimed {
            self.serve_slots(items, now, wakes);
        }
        reclaimed.len()
    }

    /// The number of the lease that a claim has out: given when it is asked for, or when the lease is taken away, and while
    /// it is held, so it is higher than those of the leases that had the same resources before.
    pub(crate) fn fencing_of(&mut self, ClaimId(at): ClaimId) -> u64 {
        let claim = &mut self.claims[at];
        let lease = claim.record.taken();
        if let Some((_, number)) = claim.fencing.filter(|(of, _)| *of == lease || claim.is_void) {
            return number;
        }
        let number = self.next_fencing;
        self.next_fencing += 1;
        claim.fencing = Some((lease, number));
        number
    }

    pub(crate) fn is_claim_void(&self, ClaimId(at): ClaimId) -> bool {
        self.claims[at].is_void
    }

    /// The claims that hold their sets, with their numbers and since when they are known to. All books are open.
    pub(crate) fn claims_out(&mut self, now: Instant) -> Vec<(usize, u64, Instant)> {
        self.identify();
        let out = self.claims.iter().map(|(at, _)| at).filter(|&at| self.is_out(at)).collect::<Vec<_>>();
        let looked = out.into_iter().map(|at| {
            let fencing = self.fencing_of(ClaimId(at));
            let claim = &mut self.claims[at];
            let taken = claim.record.taken();
            let seen = claim.seen.filter(|(lease, _)| *lease == taken).map_or(now, |(_, since)| since);
            claim.seen = Some((taken, seen));
            (at, fencing, seen)
        });
        looked.collect()
    }
}

fn mode_of(items: &[Item], slot: usize) -> Option<Mode> {
    items.iter().find(|item| item.slot == slot).map(|item| item.mode)
}

/// How much of what is vague it is.
fn amount(mode: Mode) -> u64 {
    match mode {
        Mode::Units(units) => units,
        Mode::Shared | Mode::Exclusive => 1,
    }
}

impl<T> Slab<T> {
    fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.get(at).is_some().then(|| &mut self[at])
    }
}
