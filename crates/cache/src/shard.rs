//! One part of the cache behind one latch.
//!
//! Nothing here runs user code: an entry is named by the 64-bit hash of its key, and the few that
//! share a hash are chained. Who needs to know *which* of a chain it wants takes the chain out,
//! compares keys after the latch has opened, and comes back with a [`Spot`], which is good as long as
//! its `seq` is: every link and every replacement stamps the slot anew.
//!
//! Unlinked entries are handed out in the caller's `Trash`, never dropped here.

use crate::{
    entry::{Cause, Held, Trash},
    flight::Flight,
    policy::{Evict, FIRST_DIAL},
    raw::budget::Budget,
};
use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

/// Nanoseconds since the cache was built; the instant that never comes.
pub(crate) const NEVER: u64 = u64::MAX;

const NONE: u32 = u32::MAX;

/// A map from hashes that are mixed already.
pub(crate) type ByHash<T> = HashMap<u64, T, BuildHasherDefault<AsIs>>;

/// Takes a `u64` as its own hash.
#[derive(Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

struct Slot<K, V> {
    /// Absent while the slot is free; then `next` is the next free one.
    entry: Option<Held<K, V>>,
    seq: u64,
    /// The next slot with the same hash.
    next: u32,
    /// When the entry ends, whatever happens.
    expires: u64,
    /// The last use, where that matters.
    accessed: u64,
    /// Its place in `wakes`; `NEVER` when it has none.
    wake: u64,
}

/// A slot as it was when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    slot: u32,
    seq: u64,
}

/// An entry taken out for a look, with what is known of it.
pub(crate) struct Link<K, V> {
    pub(crate) spot: Spot,
    pub(crate) held: Held<K, V>,
    pub(crate) deadline: u64,
}

/// What one look at a hash found.
pub(crate) enum Look<K, V> {
    /// Nothing linked.
    Absent,
    /// One entry, whose time is over.
    Stale,
    /// One living entry, counted as used, and what takes that back.
    One(Held<K, V>, Undo),
    /// Several share the hash.
    Several,
}

/// What a read has changed.
pub(crate) struct Undo {
    spot: Spot,
    accessed_before: u64,
    accessed: u64,
}

/// The times of an entry that is being written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) now: u64,
    pub(crate) expires: u64,
}

/// What a shard counts under its latch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) inserts: u64,
    pub(crate) expired: u64,
    pub(crate) explicit: u64,
    pub(crate) replaced: u64,
    pub(crate) size: u64,
}

impl Counts {
    pub(crate) fn left(&mut self, cause: Cause) {
        match cause {
            Cause::Expired => self.expired += 1,
            Cause::Explicit => self.explicit += 1,
            Cause::Replaced => self.replaced += 1,
            Cause::Size => self.size += 1,
        }
    }
}

pub(crate) struct Shard<K, V> {
    index: ByHash<u32>,
    slots: Vec<Slot<K, V>>,
    free: u32,
    len: usize,
    weight: u64,
    seq: u64,
    /// When to look at which entry: its `expires`, or the end of its idle time as known when queued.
    wakes: BTreeSet<(u64, u32)>,
    order: Box<dyn Evict>,
    dial: usize,
    budget: Arc<Budget>,
    /// Idle time in nanoseconds, `NEVER` for none.
    idle: u64,
    /// Loads under way, few per hash.
    flights: ByHash<Vec<Arc<Flight<K, V>>>>,
    pub(crate) counts: Counts,
}

impl<K, V> Shard<K, V> {
    pub(crate) fn new(order: Box<dyn Evict>, budget: Arc<Budget>, idle: u64) -> Self {
        Self {
            index: ByHash::default(),
            slots: Vec::new(),
            free: NONE,
            len: 0,
            weight: 0,
            seq: 0,
            wakes: BTreeSet::new(),
            order,
            dial: FIRST_DIAL,
            budget,
            idle,
            flights: ByHash::default(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }

    /// Follows the dial and the share of the capacity.
    pub(crate) fn turn(&mut self, dial: usize) {
        if self.dial != dial {
            self.dial = dial;
            self.order.turn(dial);
        }
    }

    pub(crate) fn resize(&mut self, share: u64) {
        self.order.resize(share);
    }

    // ---- looking ----

    /// The read path: one look, counted. `now` is asked only where an entry has a time.
    pub(crate) fn look(&mut self, hash: u64, now: impl FnOnce() -> u64) -> Look<K, V> {
        let Some(&first) = self.index.get(&hash) else {
            self.counts.misses += 1;
            return Look::Absent;
        };
        if self.slots[first as usize].next != NONE {
            return Look::Several;
        }
        let accessed_before = self.slots[first as usize].accessed;
        if !self.read(first, now) {
            return Look::Stale;
        }
        let accessed = self.slots[first as usize].accessed;
        let undo = Undo { spot: self.spot(first), accessed_before, accessed };
        Look::One(self.held(first).clone(), undo)
    }

    /// Counts a read of a spot that is known to be good; tells whether the entry lives.
    pub(crate) fn read_at(&mut self, spot: Spot, now: u64) -> bool {
        self.read(spot.slot, || now)
    }

    fn read(&mut self, slot: u32, now: impl FnOnce() -> u64) -> bool {
        let at = &mut self.slots[slot as usize];
        if at.wake != NEVER {
            let now = now();
            if at.expires.min(at.accessed.saturating_add(self.idle)) <= now {
                self.counts.misses += 1;
                return false;
            }
            // Writers read the clock before the latch closes, so it may seem to go back.
            at.accessed = at.accessed.max(now);
        }
        self.order.hit(slot);
        self.counts.hits += 1;
        true
    }

    /// Takes back a hit that turned out to be on another key with the same hash.
    pub(crate) fn undo(&mut self, hit: &Undo) {
        self.counts.hits -= 1;
        self.counts.misses += 1;
        if self.is(hit.spot) {
            let at = &mut self.slots[hit.spot.slot as usize];
            // Unless it was really read since.
            if at.accessed == hit.accessed {
                at.accessed = hit.accessed_before;
            }
        }
    }

    /// All entries with this hash.
    pub(crate) fn chain(&self, hash: u64) -> Vec<Link<K, V>> {
        self.walk(hash).map(|slot| self.linked(slot)).collect()
    }

    /// Whether the entries with this hash are still these.
    pub(crate) fn chain_is(&self, hash: u64, chain: &[Link<K, V>]) -> bool {
        self.walk(hash).map(|slot| self.spot(slot)).eq(chain.iter().map(|link| link.spot))
    }

    pub(crate) fn has(&self, hash: u64) -> bool {
        self.index.contains_key(&hash)
    }

    /// Whether the spot is still what it was.
    pub(crate) fn is(&self, spot: Spot) -> bool {
        self.slots.get(spot.slot as usize).is_some_and(|slot| slot.entry.is_some() && slot.seq == spot.seq)
    }

    /// The entry at a good spot.
    pub(crate) fn at(&self, spot: Spot) -> Held<K, V> {
        self.held(spot.slot).clone()
    }

    pub(crate) fn weight_at(&self, spot: Spot) -> u32 {
        self.held(spot.slot).weight
    }

    /// Whether the entry's time is not over.
    pub(crate) fn lives(&self, spot: Spot, now: u64) -> bool {
        self.deadline(spot.slot) > now
    }

    /// The living entries in `limit` slots from `from` on, and where to go on.
    pub(crate) fn page(&self, from: usize, limit: usize, now: u64) -> (Vec<Link<K, V>>, Option<usize>) {
        let to = self.slots.len().min(from.saturating_add(limit));
        let page = (from..to)
            .filter(|&at| self.slots[at].entry.is_some())
            .filter_map(|at| u32::try_from(at).ok())
            .map(|slot| self.linked(slot))
            .filter(|link| link.deadline > now)
            .collect();
        (page, (to < self.slots.len()).then_some(to))
    }

    fn walk(&self, hash: u64) -> impl Iterator<Item = u32> + '_ {
        std::iter::successors(self.index.get(&hash).copied(), |&slot| {
            Some(self.slots[slot as usize].next).filter(|&next| next != NONE)
        })
    }

    fn linked(&self, slot: u32) -> Link<K, V> {
        Link { spot: self.spot(slot), held: self.held(slot).clone(), deadline: self.deadline(slot) }
    }

    fn spot(&self, slot: u32) -> Spot {
        Spot { slot, seq: self.slots[slot as usize].seq }
    }

    fn held(&self, slot: u32) -> &Held<K, V> {
        self.slots[slot as usize].entry.as_ref().expect("linked slots hold an entry")
    }

    fn deadline(&self, slot: u32) -> u64 {
        let at = &self.slots[slot as usize];
        at.expires.min(at.accessed.saturating_add(self.idle))
    }

    // ---- changing ----

    /// Links an entry for whose weight room was taken.
    pub(crate) fn link(&mut self, entry: Held<K, V>, times: Times) {
        let (hash, weight) = (entry.hash, entry.weight);
        let next = self.index.get(&hash).copied().unwrap_or(NONE);
        self.seq += 1;
        let slot = Slot {
            entry: Some(entry),
            seq: self.seq,
            next,
            expires: times.expires,
            accessed: times.now,
            wake: NEVER,
        };
        let at = if self.free == NONE {
            let at = u32::try_from(self.slots.len()).ok().filter(|&at| at != NONE);
            let at = at.expect("under 2^32 entries a shard");
            self.slots.push(slot);
            at
        } else {
            let at = self.free;
            self.free = std::mem::replace(&mut self.slots[at as usize], slot).next;
            at
        };
        self.index.insert(hash, at);
        self.len += 1;
        self.weight += u64::from(weight);
        self.counts.inserts += 1;
        self.order.admit(at, hash, weight);
        self.wake_at(at, self.deadline(at));
    }

    /// Puts an entry in the place of another with the same key, for whose weight room was exchanged.
    pub(crate) fn replace(&mut self, spot: Spot, entry: Held<K, V>, times: Times, trash: &mut Trash<K, V>) {
        let cause = if self.lives(spot, times.now) { Cause::Replaced } else { Cause::Expired };
        let weight = entry.weight;
        self.seq += 1;
        let slot = &mut self.slots[spot.slot as usize];
        slot.seq = self.seq;
        slot.expires = times.expires;
        slot.accessed = times.now;
        let old = slot.entry.replace(entry).expect("a good spot holds an entry");
        self.weight = self.weight - u64::from(old.weight) + u64::from(weight);
        self.counts.inserts += 1;
        self.counts.left(cause);
        trash.push((old, cause));
        self.order.reweigh(spot.slot, weight);
        self.order.hit(spot.slot);
        self.wake_at(spot.slot, self.deadline(spot.slot));
    }

    /// Unlinks the entry at a good spot.
    pub(crate) fn remove(&mut self, spot: Spot, cause: Cause, trash: &mut Trash<K, V>) {
        self.order.remove(spot.slot);
        self.unlink(spot.slot, cause, trash);
    }

    /// Makes room by one entry: an expired one, if there is one, else what the policy gives up; tells
    /// whether there was any. `replaced` is about to be replaced, which is then its cause.
    pub(crate) fn evict(&mut self, now: u64, replaced: Option<Spot>, trash: &mut Trash<K, V>) -> bool {
        let before = trash.len();
        self.expire(now, 1, trash);
        if trash.len() > before {
            return true;
        }
        let Some(slot) = self.order.victim() else { return false };
        let expected = replaced.is_some_and(|spot| spot.slot == slot && self.is(spot));
        let cause = match (self.deadline(slot) > now, expected) {
            (false, _) => Cause::Expired,
            (true, true) => Cause::Replaced,
            (true, false) => Cause::Size,
        };
        self.unlink(slot, cause, trash);
        true
    }

    /// Unlinks expired entries; looks at `limit` wakes at most and tells how many it looked at.
    pub(crate) fn expire(&mut self, now: u64, limit: usize, trash: &mut Trash<K, V>) -> usize {
        for looked in 0..limit {
            let Some(&(wake, slot)) = self.wakes.first() else { return looked };
            if wake > now {
                return looked;
            }
            let deadline = self.deadline(slot);
            if deadline > now {
                // It was used since it was queued.
                self.wake_at(slot, deadline);
            } else {
                self.order.remove(slot);
                self.unlink(slot, Cause::Expired, trash);
            }
        }
        limit
    }

    /// Unlinks everything, cuts all flights off, and hands both out in the shape of the shard that was,
    /// so that the latch is held for a moment only. Follow it with [`Shard::emptied`].
    pub(crate) fn clear(&mut self, fresh: Box<dyn Evict>) -> Self {
        let mut old = Self::new(fresh, self.budget.clone(), self.idle);
        std::mem::swap(self, &mut old);
        self.seq = old.seq;
        self.counts = old.counts;
        self.counts.explicit += old.len as u64;
        self.turn(old.dial);
        self.budget.release(old.weight);
        old
    }

    /// What a cleared shard held, with the cause for each entry to be gone. The clearing counted all as
    /// explicit; those that had expired are still to be moved.
    pub(crate) fn emptied(mut self, now: u64) -> Trash<K, V> {
        let slots = std::mem::take(&mut self.slots);
        let idle = self.idle;
        slots
            .into_iter()
            .filter_map(|slot| {
                let lives = slot.expires.min(slot.accessed.saturating_add(idle)) > now;
                slot.entry.map(|held| (held, if lives { Cause::Explicit } else { Cause::Expired }))
            })
            .collect()
    }

    fn unlink(&mut self, slot: u32, cause: Cause, trash: &mut Trash<K, V>) {
        self.wake_at(slot, NEVER);
        let at = &mut self.slots[slot as usize];
        let held = at.entry.take().expect("linked slots hold an entry");
        let next = std::mem::replace(&mut at.next, self.free);
        self.free = slot;
        let head = self.index.get(&held.hash).copied().expect("linked slots are indexed");
        if head != slot {
            let mut before = head;
            while self.slots[before as usize].next != slot {
                before = self.slots[before as usize].next;
            }
            self.slots[before as usize].next = next;
        } else if next == NONE {
            self.index.remove(&held.hash);
        } else {
            self.index.insert(held.hash, next);
        }
        self.len -= 1;
        self.weight -= u64::from(held.weight);
        self.budget.release(u64::from(held.weight));
        self.counts.left(cause);
        trash.push((held, cause));
    }

    fn wake_at(&mut self, slot: u32, wake: u64) {
        let old = std::mem::replace(&mut self.slots[slot as usize].wake, wake);
        if old != wake {
            if old != NEVER {
                self.wakes.remove(&(old, slot));
            }
            if wake != NEVER {
                self.wakes.insert((wake, slot));
            }
        }
    }

    // ---- loads under way ----

    pub(crate) fn flights(&self, hash: u64) -> &[Arc<Flight<K, V>>] {
        self.flights.get(&hash).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn register(&mut self, hash: u64, flight: Arc<Flight<K, V>>) {
        self.flights.entry(hash).or_default().push(flight);
    }

    /// Takes one flight out; tells whether it was still registered. The caller holds a share of it,
    /// so nothing is dropped here.
    pub(crate) fn deregister(&mut self, hash: u64, flight: &Arc<Flight<K, V>>) -> bool {
        let Some(flights) = self.flights.get_mut(&hash) else { return false };
        let Some(at) = flights.iter().position(|other| Arc::ptr_eq(other, flight)) else { return false };
        flights.swap_remove(at);
        if flights.is_empty() {
            self.flights.remove(&hash);
        }
        true
    }

    /// Cuts the flights for this hash off: what they bring is not cached. The caller drops them after
    /// the latch has opened.
    #[must_use]
    pub(crate) fn detach(&mut self, hash: u64) -> Vec<Arc<Flight<K, V>>> {
        self.flights.remove(&hash).unwrap_or_default()
    }

    /// Cuts all flights off.
    #[must_use]
    pub(crate) fn detach_all(&mut self) -> Vec<Arc<Flight<K, V>>> {
        std::mem::take(&mut self.flights).into_values().flatten().collect()
    }
}
