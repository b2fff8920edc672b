//! Lookups: without a latch where the policy allows, and under it where there is something to settle.

use crate::{
    core::Core,
    entry::{Held, Seen},
    policy::Trace,
    raw::table::{self, Found},
    shard::{Look, NEVER, tag},
    tune::Fed,
};
use std::{
    cell::Cell,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// What a look without the latch came to.
enum Looked<'a, K, V> {
    Hit(table::Look<'a, Held<K, V>>),
    Miss,
    /// The latch is needed to tell, or to count: there is no trace of the look.
    Unsettled,
}

impl<K, V> Core<K, V> {
    /// One counted lookup. It waits for nobody, unless the policy moves entries on hits, or the key is in the
    /// tuner's sample and misses.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is_key: impl Fn(&K) -> bool) -> Option<Seen<'_, K, V>> {
        match self.look(hash, &is_key) {
            Looked::Hit(at) => Some(Seen::InPlace(at)),
            Looked::Miss => {
                self.tally.misses.incr();
                self.tuner.looked(hash, Fed::Miss);
                None
            }
            Looked::Unsettled => self.find_latched(hash, is_key).map(Seen::Shared),
        }
    }

    /// Looks without the latch. A hit is counted.
    #[inline]
    fn look(&self, hash: u64, is_key: &impl Fn(&K) -> bool) -> Looked<'_, K, V> {
        if self.trace == Trace::Move {
            return Looked::Unsettled;
        }
        let reader = &self.readers[self.index(hash)];
        let at = match reader.find(stripe(), tag(hash), |held| is_key(&held.key)) {
            Found::Entry(at) => at,
            Found::Absent => return Looked::Miss,
            Found::Crowded => return Looked::Unsettled,
        };
        if self.is_over(&at) {
            return Looked::Unsettled;
        }
        match self.trace {
            Trace::Stamp => {
                let stamp = reader.stamp();
                if at.mark() < stamp {
                    at.set_mark(stamp);
                }
            }
            Trace::Count(most) => {
                let uses = at.mark();
                if uses < most {
                    at.set_mark(uses + 1);
                }
            }
            Trace::Move => {}
        }
        if self.idle != NEVER {
            at.touch(self.now());
        }
        at.count();
        self.tuner.hit(hash, || at.with(|held| held.weight));
        Looked::Hit(at)
    }

    /// Whether the time of an entry is over. Time is asked only where there is one.
    #[inline]
    fn is_over(&self, at: &table::Look<'_, Held<K, V>>) -> bool {
        let expires = at.expires();
        if self.idle == NEVER && expires == NEVER {
            return false;
        }
        expires.min(at.accessed().saturating_add(self.idle)) <= self.now()
    }

    /// A lookup that finds under the latch what there is.
    #[cold]
    fn find_latched(&self, hash: u64, is_key: impl Fn(&K) -> bool) -> Option<Held<K, V>> {
        let (found, fed) = self.find_unfed(hash, is_key);
        self.tuner.looked(hash, fed);
        found
    }

    fn find_unfed(&self, hash: u64, is_key: impl Fn(&K) -> bool) -> (Option<Held<K, V>>, Fed) {
        let look = self.lock(hash).look(hash, || self.now());
        match look {
            Look::Absent => (None, Fed::Miss),
            Look::Stale => (None, Fed::Stale),
            Look::One(held, _) if is_key(&held.key) => {
                let weight = held.weight;
                (Some(held), Fed::Hit(weight))
            }
            Look::One(held, hit) => {
                self.lock(hash).undo(&hit);
                drop(held);
                (None, Fed::Miss)
            }
            Look::Several => {
                let now = self.now();
                let (mut shard, spot) = self.lock_at(hash, is_key);
                match spot {
                    None => {
                        shard.counts.misses += 1;
                        (None, Fed::Miss)
                    }
                    Some(spot) if shard.read_at(spot, now) => {
                        let held = shard.at(spot);
                        let weight = held.weight;
                        (Some(held), Fed::Hit(weight))
                    }
                    Some(_) => (None, Fed::Stale),
                }
            }
        }
    }

    /// A lookup that leaves no trace, and waits for nobody while a record is free.
    pub(crate) fn glance(&self, hash: u64, is_key: impl Fn(&K) -> bool) -> Option<Seen<'_, K, V>> {
        let reader = &self.readers[self.index(hash)];
        match reader.find(stripe(), tag(hash), |held| is_key(&held.key)) {
            Found::Entry(at) => (!self.is_over(&at)).then_some(Seen::InPlace(at)),
            Found::Absent => None,
            Found::Crowded => {
                let now = self.now();
                let chain = self.lock(hash).chain(hash);
                let link = chain.into_iter().find(|link| is_key(&link.held.key))?;
                (link.deadline > now).then_some(Seen::Shared(link.held))
            }
        }
    }
}

/// Records for readers: so many that hardly ever all are taken.
pub(crate) fn records() -> usize {
    const PER_PROCESSOR: usize = 4;
    // Asking takes a look at files.
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    let processors = *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from));
    processors.saturating_mul(PER_PROCESSOR).clamp(8, 256)
}

/// The record that this thread tries first. Threads are dealt out in turn; one that is being torn down tries the first.
#[inline]
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    const UNKNOWN: usize = usize::MAX;
    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(UNKNOWN) };
    }
    let mine = |mine: &Cell<usize>| {
        if mine.get() == UNKNOWN {
            mine.set(NEXT.fetch_add(1, Relaxed) & (UNKNOWN >> 1));
        }
        mine.get()
    };
    MINE.try_with(mine).unwrap_or(0)
}
