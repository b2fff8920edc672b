//! Self-tuning: shadow caches that try the other settings.
//!
//! A shadow holds hashes and weights, no values, of a hash-sampled part of the keys, under a budget
//! that is the same part of the capacity (Waldspurger et al., SHARDS, FAST 2015), so its hit ratio
//! estimates what a whole cache of its kind would have. The cache runs a few of them:
//!
//! * with the adaptive policy, one per setting of the dial. Their recent hits are their scores; the dial
//!   moves when another setting leads by more than the move costs, which is priced by the entries it
//!   displaces;
//! * one of half and one of twice the capacity, for [`advise`](crate::Cache::advise).
//!
//! The part is about `512` entries whatever the capacity: where weights make the number of entries
//! unknown, sampling starts with every key and halves its rate whenever the shadows hold too many.

use crate::{
    Policy,
    advice::Advice,
    policy::{COLD_SHARES, Evict, FIRST_DIAL, Marks, Ticks},
    shard::ByHash,
};
use std::{
    cell::Cell,
    sync::{
        Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

/// Entries a shadow of the whole capacity should hold.
const SAMPLE: u64 = 512;
/// What a shadow may hold before the rate is halved.
const SAMPLE_MAX: usize = 2 * SAMPLE as usize;
/// Ghosts that the whole cache keeps at least.
pub(crate) const GHOSTS_MIN: u64 = 1_024;
/// What a period leaves of the scores before it.
const DECAY: f64 = 0.98;
/// The price of moving the dial, in hits per entry displaced.
const MOVE_PRICE: f64 = 0.2;
/// The lead that pays for noise: relative, and in hits.
const LEAD: (f64, f64) = (1.01, 2.0);

/// What a lookup found, for the shadows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    /// An entry of this weight.
    Hit(u32),
    /// Nothing.
    Miss,
    /// An entry whose time is over: a shadow's copy must not count as a hit.
    Stale,
}

pub(crate) struct Tuner {
    /// Keys whose sampling hash is below are fed to the shadows.
    threshold: AtomicU64,
    dial: AtomicUsize,
    tournament: Apart,
}

/// On cache lines of its own: every hit reads what stands beside it. The lock is `std`'s because hits that got it open it,
/// and that waits for nobody: `parking_lot` would look into a table of waiters under a lock.
#[repr(align(128))]
struct Apart(Mutex<Tournament>);

impl Apart {
    // No user code runs inside, so what a panic would leave is as good as ever.
    fn lock(&self) -> MutexGuard<'_, Tournament> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Tournament>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

struct Tournament {
    capacity: u64,
    threshold: u64,
    /// The settings of the dial, or the fixed policy alone.
    arms: Vec<Arm>,
    half: Arm,
    twice: Arm,
    current: usize,
    lookups: f64,
    since_period: u64,
}

struct Arm {
    shadow: Shadow,
    score: f64,
}

impl Tuner {
    pub(crate) fn new(policy: Policy, capacity: u64, weighted: bool) -> Self {
        let threshold = if weighted || capacity <= SAMPLE { u64::MAX } else { u64::MAX / capacity * SAMPLE };
        let arm = |dial: usize, size: f64| {
            let mut shadow = Shadow::new(policy);
            shadow.size = size;
            shadow.budget(capacity, threshold);
            shadow.order.turn(dial);
            Arm { shadow, score: 0.0 }
        };
        let arms = match policy {
            Policy::Adaptive => (0..COLD_SHARES.len()).map(|dial| arm(dial, 1.0)).collect(),
            Policy::Lru | Policy::S3Fifo | Policy::Sieve => vec![arm(0, 1.0)],
        };
        let current = if arms.len() > 1 { FIRST_DIAL } else { 0 };
        let tournament = Tournament {
            capacity,
            threshold,
            arms,
            half: arm(current, 0.5),
            twice: arm(current, 2.0),
            current,
            lookups: 0.0,
            since_period: 0,
        };
        Self {
            threshold: AtomicU64::new(if capacity == 0 { 0 } else { threshold }),
            dial: AtomicUsize::new(FIRST_DIAL),
            tournament: Apart(Mutex::new(tournament)),
        }
    }

    /// The setting that the cache should have.
    pub(crate) fn dial(&self) -> usize {
        self.dial.load(Relaxed)
    }

    pub(crate) fn looked(&self, hash: u64, found: Fed) {
        self.feed(hash, |tournament, hash| tournament.looked(hash, found));
    }

    /// As `looked`, but goes on uncounted rather than wait.
    #[inline]
    pub(crate) fn hit(&self, hash: u64, weight: impl FnOnce() -> u32) {
        if sample(hash) < self.threshold.load(Relaxed) {
            self.hit_sampled(hash, weight());
        }
    }

    #[cold]
    fn hit_sampled(&self, hash: u64, weight: u32) {
        if let Some(mut tournament) = self.tournament.try_lock() {
            let looked = |to: &mut Tournament, hash| to.looked(hash, Fed::Hit(weight));
            self.feed_to(&mut tournament, sample(hash), hash, looked);
        }
    }

    pub(crate) fn wrote(&self, hash: u64, weight: u32) {
        self.feed(hash, |tournament, hash| tournament.each(|arm| arm.shadow.write(hash, weight)));
    }

    pub(crate) fn removed(&self, hash: u64) {
        self.feed(hash, |tournament, hash| tournament.each(|arm| arm.shadow.forget(hash)));
    }

    pub(crate) fn resize(&self, capacity: u64) {
        let mut tournament = self.tournament.lock();
        tournament.capacity = capacity;
        tournament.budget();
        // From 0 or to it, sampling starts or stops; between others its rate follows the entries.
        let threshold = if capacity == 0 { 0 } else { tournament.threshold };
        self.threshold.store(threshold, Relaxed);
    }

    pub(crate) fn clear(&self) {
        let mut tournament = self.tournament.lock();
        tournament.each(|arm| arm.shadow.retain(|_| false));
    }

    pub(crate) fn advise(&self) -> Advice {
        self.tournament.lock().advise()
    }

    fn feed(&self, hash: u64, f: impl FnOnce(&mut Tournament, u64)) {
        let sample = sample(hash);
        if sample >= self.threshold.load(Relaxed) {
            return;
        }
        self.feed_to(&mut self.tournament.lock(), sample, hash, f);
    }

    fn feed_to(
        &self,
        tournament: &mut Tournament,
        sample: u64,
        hash: u64,
        f: impl FnOnce(&mut Tournament, u64),
    ) {
        // The rate may just have changed.
        if sample >= tournament.threshold {
            return;
        }
        f(tournament, hash);
        if tournament.arms[0].shadow.len > SAMPLE_MAX {
            tournament.halve();
            self.threshold.store(tournament.threshold, Relaxed);
        }
        if tournament.dial() != self.dial() {
            self.dial.store(tournament.dial(), Relaxed);
        }
    }
}

/// What decides whether a key is in the sample: not the bits that choose shard, bucket or tag.
fn sample(hash: u64) -> u64 {
    hash.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Tournament {
    fn dial(&self) -> usize {
        if self.arms.len() > 1 { self.current } else { FIRST_DIAL }
    }

    fn each(&mut self, f: impl FnMut(&mut Arm)) {
        self.arms.iter_mut().chain([&mut self.half, &mut self.twice]).for_each(f);
    }

    fn looked(&mut self, hash: u64, found: Fed) {
        self.each(|arm| {
            if found == Fed::Stale {
                arm.shadow.forget(hash);
            } else if arm.shadow.hit(hash) {
                arm.score += 1.0;
            } else if let Fed::Hit(weight) = found {
                // After a miss the caller writes, or the key has no value; after a hit nobody writes.
                arm.shadow.write(hash, weight);
            }
        });
        self.lookups += 1.0;
        self.since_period += 1;
        let entries = self.arms[0].shadow.len;
        if self.since_period >= (entries as u64 / 10).max(64) {
            self.since_period = 0;
            self.compare(entries);
        }
    }

    fn compare(&mut self, entries: usize) {
        let full = self.arms[0].shadow.full;
        let current = self.arms[self.current].score;
        let best = (0..self.arms.len()).fold(self.current, |best, arm| {
            if self.arms[arm].score > self.arms[best].score { arm } else { best }
        });
        let displaced = (COLD_SHARES[best] - COLD_SHARES[self.current]).abs() * entries as f64;
        if full
            && best != self.current
            && self.arms[best].score > current * LEAD.0 + LEAD.1 + MOVE_PRICE * displaced
        {
            self.current = best;
            self.half.shadow.order.turn(best);
            self.twice.shadow.order.turn(best);
        }
        // What happened while they filled says nothing.
        let decay = if full { DECAY } else { 0.0 };
        self.each(|arm| arm.score *= decay);
        self.lookups *= decay;
    }

    fn halve(&mut self) {
        self.threshold /= 2;
        let threshold = self.threshold;
        self.each(|arm| arm.shadow.retain(|hash| sample(hash) < threshold));
        self.budget();
    }

    fn budget(&mut self) {
        let (capacity, threshold) = (self.capacity, self.threshold);
        self.each(|arm| arm.shadow.budget(capacity, threshold));
    }

    fn advise(&self) -> Advice {
        let ratio = |arm: &Arm| if self.lookups > 0.0 { arm.score / self.lookups } else { 0.0 };
        let now = ratio(&self.arms[self.current]);
        Advice {
            capacity: self.capacity,
            // More room cannot be worse but by the noise of the sample.
            half: ratio(&self.half).min(now),
            now,
            twice: ratio(&self.twice).max(now),
            cold_share: (self.arms.len() > 1).then(|| COLD_SHARES[self.current]),
            sampled: self.lookups as u64,
            full: self.arms[0].shadow.full,
        }
    }
}

/// The marks of a shadow's entries.
#[derive(Default)]
struct ItsMarks(Vec<Cell<u64>>);

impl Marks for ItsMarks {
    fn mark(&self, slot: u32) -> u64 {
        self.0[slot as usize].get()
    }
    fn set_mark(&self, slot: u32, mark: u64) {
        self.0[slot as usize].set(mark);
    }
}

/// A cache of hashes.
struct Shadow {
    order: Box<dyn Evict>,
    index: ByHash<u32>,
    /// Hash and weight; free ones are in `free`.
    slots: Vec<(u64, u32)>,
    marks: ItsMarks,
    free: Vec<u32>,
    len: usize,
    weight: u64,
    budget: u64,
    /// Its capacity as a multiple of the cache's.
    size: f64,
    /// It has had to evict.
    full: bool,
}

impl Shadow {
    fn new(policy: Policy) -> Self {
        Self {
            order: policy.order(0, GHOSTS_MIN as usize, Ticks::Uses),
            index: ByHash::default(),
            slots: Vec::new(),
            marks: ItsMarks::default(),
            free: Vec::new(),
            len: 0,
            weight: 0,
            budget: 0,
            size: 1.0,
            full: false,
        }
    }

    fn budget(&mut self, capacity: u64, threshold: u64) {
        let part = threshold as f64 / u64::MAX as f64;
        // Truncation is meant; at least one entry of weight 1 fits.
        self.budget = ((capacity as f64 * self.size * part) as u64).max(1);
        self.order.resize(self.budget);
        self.make_room(0);
    }

    fn hit(&mut self, hash: u64) -> bool {
        let Some(&slot) = self.index.get(&hash) else { return false };
        self.order.hit(slot, &self.marks);
        true
    }

    fn write(&mut self, hash: u64, weight: u32) {
        if let Some(&slot) = self.index.get(&hash) {
            let old = std::mem::replace(&mut self.slots[slot as usize].1, weight);
            self.weight = self.weight - u64::from(old) + u64::from(weight);
            self.order.reweigh(slot, weight);
            self.order.hit(slot, &self.marks);
            return self.make_room(0);
        }
        if u64::from(weight) > self.budget {
            return;
        }
        self.make_room(u64::from(weight));
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, 0));
            self.marks.0.push(Cell::new(0));
            // Shadows hold about a thousand entries.
            u32::try_from(self.slots.len() - 1).unwrap_or(0)
        });
        self.slots[slot as usize] = (hash, weight);
        self.index.insert(hash, slot);
        self.len += 1;
        self.weight += u64::from(weight);
        self.order.admit(slot, hash, weight, &self.marks);
    }

    fn make_room(&mut self, wanted: u64) {
        while self.weight + wanted > self.budget {
            let Some(slot) = self.order.victim(&self.marks) else { return };
            self.full = true;
            self.unlink(slot);
        }
    }

    fn forget(&mut self, hash: u64) {
        if let Some(&slot) = self.index.get(&hash) {
            self.order.remove(slot);
            self.unlink(slot);
        }
    }

    fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        let mut gone: Vec<u64> = self.index.keys().copied().filter(|&hash| !keep(hash)).collect();
        // The map's order is no one's business.
        gone.sort_unstable();
        gone.into_iter().for_each(|hash| self.forget(hash));
    }

    fn unlink(&mut self, slot: u32) {
        let (hash, weight) = self.slots[slot as usize];
        self.index.remove(&hash);
        self.free.push(slot);
        self.len -= 1;
        self.weight -= u64::from(weight);
    }
}
