//! One part of the cache behind one latch.
//!
//! Nothing here runs user code: an entry is named by the 64-bit hash of its key, and the few that
//! share a hash are called its chain. Who needs to know *which* of a chain it wants takes the chain
//! out, compares keys after the latch has opened, and comes back with a [`Spot`], which is good as long
//! as its `seq` is: every link and every replacement stamps its slot anew.
//!
//! Hits pass the latch by, in the table's other half (`raw::table`). So what is unlinked here may still
//! be looked at: a share of it is handed out in the caller's `Trash` at once, if it is of use, and the
//! table's own when nobody looks any more ([`Shard::collect`]). Nothing is dropped here.

use crate::{
    entry::{Cause, Held, Trash},
    flight::Flight,
    policy::{Evict, FIRST_DIAL, Marks},
    raw::{budget::Budget, table::Writer},
};
use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

/// Nanoseconds since the cache was built; the instant that never comes.
pub(crate) const NEVER: u64 = u64::MAX;

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

/// What only the latch's owner knows of a slot.
#[derive(Clone, Copy)]
struct Slot {
    /// 0 while nothing is linked.
    seq: u64,
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
    table: Writer<Held<K, V>>,
    slots: Vec<Slot>,
    weight: u64,
    seq: u64,
    /// When to look at which entry: its `expires`, or the end of its idle time as known when queued.
    wakes: BTreeSet<(u64, u32)>,
    order: Box<dyn Evict>,
    dial: usize,
    /// What the order is expected to hold.
    share: u64,
    budget: Arc<Budget>,
    /// Idle time in nanoseconds, `NEVER` for none.
    idle: u64,
    /// Loads under way, few per hash.
    flights: ByHash<Vec<Arc<Flight<K, V>>>>,
    /// What was unlinked since the last look at the records: how many, and their weight.
    gathered: (usize, u64),
    gathered_max: usize,
    /// Whether there is a listener.
    listens: bool,
    pub(crate) counts: Counts,
}

/// What the table's index knows of a hash: the bits that do not choose the shard.
pub(crate) fn tag(hash: u64) -> u32 {
    hash.rotate_left(16) as u32
}

impl<T> Marks for Writer<T> {
    fn mark(&self, slot: u32) -> u64 {
        Self::mark(self, slot)
    }
    fn set_mark(&self, slot: u32, mark: u64) {
        Self::set_mark(self, slot, mark);
    }
}

impl<K, V> Shard<K, V> {
    /// It looks through the records after `gathered_max` evictions, or fewer heavy ones.
    pub(crate) fn new(
        table: Writer<Held<K, V>>,
        order: Box<dyn Evict>,
        share: u64,
        budget: Arc<Budget>,
        idle: u64,
        gathered_max: usize,
        listens: bool,
    ) -> Self {
        let mut new = Self {
            table,
            slots: Vec::new(),
            weight: 0,
            seq: 0,
            wakes: BTreeSet::new(),
            order,
            dial: FIRST_DIAL,
            share,
            budget,
            idle,
            flights: ByHash::default(),
            gathered: (0, 0),
            gathered_max,
            listens,
            counts: Counts::default(),
        };
        new.publish();
        new
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
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
        self.share = share;
        self.order.resize(share);
    }

    // ---- looking ----

    /// One look, counted. `now` is asked only where an entry has a time.
    pub(crate) fn look(&mut self, hash: u64, now: impl FnOnce() -> u64) -> Look<K, V> {
        let mut walk = self.walk(hash);
        let (first, second) = (walk.next(), walk.next());
        drop(walk);
        let Some(slot) = first else {
            self.counts.misses += 1;
            return Look::Absent;
        };
        if second.is_some() {
            return Look::Several;
        }
        let (_, accessed_before) = self.table.times(slot);
        if !self.read(slot, now) {
            return Look::Stale;
        }
        let (_, accessed) = self.table.times(slot);
        let undo = Undo { spot: self.spot(slot), accessed_before, accessed };
        Look::One(self.held(slot), undo)
    }

    /// Counts a read of a spot that is known to be good; tells whether the entry lives.
    pub(crate) fn read_at(&mut self, spot: Spot, now: u64) -> bool {
        self.read(spot.slot, || now)
    }

    fn read(&mut self, slot: u32, now: impl FnOnce() -> u64) -> bool {
        if self.slots[slot as usize].wake != NEVER {
            let now = now();
            if self.deadline(slot) <= now {
                self.counts.misses += 1;
                return false;
            }
            // Writers read the clock before the latch closes, so it may seem to go back.
            if self.idle != NEVER {
                self.table.touch(slot, now);
            }
        }
        self.order.hit(slot, &self.table);
        self.counts.hits += 1;
        true
    }

    /// Takes back a hit that turned out to be on another key with the same hash.
    pub(crate) fn undo(&mut self, hit: &Undo) {
        self.counts.hits -= 1;
        self.counts.misses += 1;
        if self.is(hit.spot) {
            self.table.untouch(hit.spot.slot, hit.accessed, hit.accessed_before);
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
        self.walk(hash).next().is_some()
    }

    /// Whether the spot is still what it was.
    pub(crate) fn is(&self, spot: Spot) -> bool {
        self.slots.get(spot.slot as usize).is_some_and(|slot| slot.seq == spot.seq)
    }

    /// The entry at a good spot.
    pub(crate) fn at(&self, spot: Spot) -> Held<K, V> {
        self.held(spot.slot)
    }

    pub(crate) fn weight_at(&self, spot: Spot) -> u32 {
        self.hash_and_weight(spot.slot).1
    }

    /// Whether the entry's time is not over.
    pub(crate) fn lives(&self, spot: Spot, now: u64) -> bool {
        self.deadline(spot.slot) > now
    }

    /// The living entries in `limit` slots from `from` on, and where to go on.
    pub(crate) fn page(&self, from: usize, limit: usize, now: u64) -> (Vec<Link<K, V>>, Option<usize>) {
        let to = self.slots.len().min(from.saturating_add(limit));
        let page = (from..to)
            .filter(|&at| self.slots[at].seq != 0)
            .filter_map(|at| u32::try_from(at).ok())
            .filter(|&slot| self.deadline(slot) > now)
            .map(|slot| self.linked(slot))
            .collect();
        (page, (to < self.slots.len()).then_some(to))
    }

    fn walk(&self, hash: u64) -> impl Iterator<Item = u32> + '_ {
        let same = move |&slot: &u32| self.table.read(slot, |held| held.hash == hash) == Some(true);
        self.table.walk(tag(hash)).filter(same)
    }

    fn linked(&self, slot: u32) -> Link<K, V> {
        Link { spot: self.spot(slot), held: self.held(slot), deadline: self.deadline(slot) }
    }

    fn spot(&self, slot: u32) -> Spot {
        Spot { slot, seq: self.slots[slot as usize].seq }
    }

    fn held(&self, slot: u32) -> Held<K, V> {
        self.table.read(slot, Held::clone).expect("linked slots hold an entry")
    }

    fn hash_and_weight(&self, slot: u32) -> (u64, u32) {
        self.table.read(slot, |held| (held.hash, held.weight)).expect("linked slots hold an entry")
    }

    fn deadline(&self, slot: u32) -> u64 {
        let (expires, accessed) = self.table.times(slot);
        expires.min(accessed.saturating_add(self.idle))
    }

    // ---- changing ----

    /// Links an entry for whose weight room was taken.
    pub(crate) fn link(&mut self, entry: Held<K, V>, times: Times) {
        let (hash, weight) = (entry.hash, entry.weight);
        let slot = self.table.link(tag(hash), entry, times.expires, times.now);
        self.enter(slot);
        self.weight += u64::from(weight);
        self.order.admit(slot, hash, weight, &self.table);
        self.publish();
    }

    /// Puts an entry in the place of another with the same key, for whose weight room was exchanged.
    pub(crate) fn replace(&mut self, spot: Spot, entry: Held<K, V>, times: Times, trash: &mut Trash<K, V>) {
        let cause = if self.lives(spot, times.now) { Cause::Replaced } else { Cause::Expired };
        let (hash, weight) = (entry.hash, entry.weight);
        let (_, old) = self.hash_and_weight(spot.slot);
        self.tell(spot.slot, cause, trash);
        self.leave(spot.slot);
        let slot = self.table.replace(tag(hash), spot.slot, entry, times.expires, times.now);
        self.enter(slot);
        self.weight = self.weight - u64::from(old) + u64::from(weight);
        self.gather(old);
        self.counts.left(cause);
        self.order.moved(spot.slot, slot);
        self.order.reweigh(slot, weight);
        self.order.hit(slot, &self.table);
        self.publish();
    }

    fn enter(&mut self, slot: u32) {
        let at = slot as usize;
        if at >= self.slots.len() {
            self.slots.resize(at + 1, Slot { seq: 0, wake: NEVER });
        }
        self.seq += 1;
        self.slots[at].seq = self.seq;
        self.counts.inserts += 1;
        self.wake_at(slot, self.deadline(slot));
    }

    fn leave(&mut self, slot: u32) {
        self.wake_at(slot, NEVER);
        self.slots[slot as usize].seq = 0;
    }

    /// Tells those who hit without the latch what stamp to leave.
    fn publish(&mut self) {
        self.table.set_stamp(self.order.now());
    }

    /// Unlinks the entry at a good spot.
    pub(crate) fn remove(&mut self, spot: Spot, cause: Cause, trash: &mut Trash<K, V>) {
        self.order.remove(spot.slot);
        self.unlink(spot.slot, cause, trash);
    }

    /// Makes room by one entry: an expired one, if there is one, else what the policy gives up; tells
    /// whether there was any. `replaced` is about to be replaced, which is then its cause.
    pub(crate) fn evict(&mut self, now: u64, replaced: Option<Spot>, trash: &mut Trash<K, V>) -> bool {
        let before = trash.gone.len();
        self.expire(now, 1, trash);
        if trash.gone.len() > before {
            return true;
        }
        let Some(slot) = self.order.victim(&self.table) else { return false };
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

    /// The stamp of the newest entry, for [`clear`](Self::clear).
    pub(crate) fn newest(&self) -> u64 {
        self.seq
    }

    /// Unlinks the entries in `limit` slots from `from` on that are no newer than `newest`; tells where to
    /// go on. After the last slot an empty shard has the order that it is given.
    pub(crate) fn clear(
        &mut self,
        from: usize,
        limit: usize,
        newest: u64,
        now: u64,
        fresh: impl FnOnce() -> Box<dyn Evict>,
        trash: &mut Trash<K, V>,
    ) -> Option<usize> {
        let to = self.slots.len().min(from.saturating_add(limit));
        for at in from..to {
            let Ok(slot) = u32::try_from(at) else { break };
            if (1..=newest).contains(&self.slots[at].seq) {
                let cause = if self.deadline(slot) > now { Cause::Explicit } else { Cause::Expired };
                self.remove(self.spot(slot), cause, trash);
            }
        }
        if to < self.slots.len() {
            return Some(to);
        }
        if self.table.is_empty() {
            self.order = fresh();
            self.order.resize(self.share);
            self.order.turn(self.dial);
            self.publish();
        }
        None
    }

    /// Hands out the table's shares of what nobody looks at any more: at once when that was `asked` for,
    /// else when enough has been gathered to pay for the look.
    pub(crate) fn collect(&mut self, asked: bool, trash: &mut Trash<K, V>) {
        let (count, weight) = self.gathered;
        let due = count >= self.gathered_max || weight.saturating_mul(16) >= self.share;
        if asked || (count > 0 && due) {
            self.table.collect(|held| trash.shares.push(held));
            self.gathered = (0, 0);
        }
    }

    fn gather(&mut self, weight: u32) {
        let (count, sum) = self.gathered;
        self.gathered = (count + 1, sum + u64::from(weight));
    }

    /// Entries that were unlinked and may still be looked at.
    pub(crate) fn retired(&self) -> usize {
        self.table.retired()
    }

    fn unlink(&mut self, slot: u32, cause: Cause, trash: &mut Trash<K, V>) {
        let (hash, weight) = self.hash_and_weight(slot);
        self.tell(slot, cause, trash);
        self.leave(slot);
        self.table.unlink(tag(hash), slot);
        self.weight -= u64::from(weight);
        self.gather(weight);
        self.budget.release(u64::from(weight));
        self.counts.left(cause);
    }

    /// Hands a share of what leaves out, to whom it is of use.
    fn tell(&self, slot: u32, cause: Cause, trash: &mut Trash<K, V>) {
        if self.listens || matches!(cause, Cause::Expired | Cause::Explicit) {
            trash.gone.push((self.held(slot), cause));
        }
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
