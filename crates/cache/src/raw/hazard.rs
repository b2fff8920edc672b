//! Who looks at what: the records of Michael's hazard pointers ("Hazard Pointers: Safe Memory Reclamation for Lock-Free
//! Objects", IEEE TPDS 15(6), 2004), with names of slots in the place of pointers.
//!
//! # Protocol
//!
//! A record is one word: 0, or the name of the slot that its owner looks at.
//!
//! ```text
//! reader: claim (0 -> name) ; look whether a cell leads to the slot ; use it ; clear (-> 0)
//! writer: lead the cell elsewhere ; look through the records ; reuse the slot if none names it
//! ```
//!
//! Each writes its own word before it reads the other's, and both pairs are in the one order of sequentially consistent
//! operations, so at least one sees the other: a reader that finds the slot linked has its name seen by whoever unlinks it
//! from then on, until it clears the record. A reader that comes later finds that no cell leads there, or one does anew.
//!
//! A record is claimed and named in one compare-exchange, which is all that a look costs: there is no fence, because the
//! claim and the look are `SeqCst` and the writer has a `SeqCst` fence. (C++20 [atomics.order]: the writer's look misses the
//! claim, so the fence comes before the claim in the one order; the reader's look misses the unlinking, so it comes before
//! the fence; but the claim comes before the look.) loom takes `SeqCst` accesses for `AcqRel` ones, so a model has weaker
//! accesses and a fence in their midst, which orders the same.
//!
//! Each record also counts the hits of its owners, in the same cache line. An owner is alone with it, so a load and a
//! store count exactly.

#[cfg(ropewalk_loom)]
use ropewalk_prove::sync::atomic::fence;
use ropewalk_prove::sync::{
    Arc,
    atomic::{
        AtomicU64, Ordering,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// The fence after it makes it `Acquire`, as below.
#[cfg(ropewalk_loom)]
const CLAIM: Ordering = Relaxed;
/// Before the look in the one order, and `Acquire` pairs with the `Release` of whoever cleared the record: its count is exact.
#[cfg(not(ropewalk_loom))]
const CLAIM: Ordering = Ordering::SeqCst;

/// `Release` pairs with the `Acquire` of a writer's look: what was read of the slot before is over.
#[cfg(ropewalk_loom)]
const RENAME: Ordering = Release;
/// Before the look in the one order, and `Release` pairs with the `Acquire` of a writer's look.
#[cfg(not(ropewalk_loom))]
const RENAME: Ordering = Ordering::SeqCst;

/// `Acquire` pairs with the `Release` that leads a cell to a slot.
#[cfg(ropewalk_loom)]
pub(super) const LOOK: Ordering = Acquire;
/// After the claim in the one order, and `Acquire` pairs with the `Release` that leads a cell to a slot.
#[cfg(not(ropewalk_loom))]
pub(super) const LOOK: Ordering = Ordering::SeqCst;

/// Only before or after it in the one order does this count, and in a model the fence sees to that.
#[cfg(ropewalk_loom)]
pub(super) const LOOK_AT_LEVEL: Ordering = Relaxed;
/// After the claim in the one order; its partner there is the fence of a writer that collects.
#[cfg(not(ropewalk_loom))]
pub(super) const LOOK_AT_LEVEL: Ordering = Ordering::SeqCst;

/// A record on a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Record {
    /// 0, or what its owner looks at.
    name: AtomicU64,
    hits: AtomicU64,
}

/// A number of records, shared by all tables of a cache.
#[derive(Clone, Debug)]
pub struct Records(Arc<Box<[Record]>>);

impl Records {
    /// This many records, or more up to a power of 2.
    pub fn new(count: usize) -> Self {
        let record = |_| Record { name: AtomicU64::new(0), hits: AtomicU64::new(0) };
        Self(Arc::new((0..count.next_power_of_two()).map(record).collect()))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The hits counted by all owners so far; exact when none is inside.
    pub fn hits(&self) -> u64 {
        self.0.iter().map(|record| record.hits.load(Relaxed)).sum()
    }

    /// Claims a free record for `name`, which is not 0, trying from `start` on; `None` when all are taken.
    #[inline]
    pub(super) fn claim(&self, start: usize, name: u64) -> Option<Claim<'_>> {
        let records = &self.0[..];
        for at in 0..records.len() {
            let record = &records[start.wrapping_add(at) & (records.len() - 1)];
            if record.name.compare_exchange(0, name, CLAIM, Relaxed).is_ok() {
                order();
                return Some(Claim(record));
            }
        }
        None
    }

    /// Calls `f` with each name. The caller has unlinked before what it wants to reuse, with a `SeqCst` fence in between.
    pub(super) fn names(&self, mut f: impl FnMut(u64)) {
        for record in &self.0[..] {
            // Acquire: pairs with the Release of a clearing or renaming: the look that the record stood for is over.
            let name = record.name.load(Acquire);
            if name != 0 {
                f(name);
            }
        }
    }
}

/// A record that names what the caller looks at, until it is dropped.
#[derive(Debug)]
pub(super) struct Claim<'a>(&'a Record);

impl Claim<'_> {
    /// Names something else, which is not 0.
    #[inline]
    pub(super) fn rename(&self, name: u64) {
        self.0.name.store(name, RENAME);
        order();
    }

    /// Counts one hit.
    #[inline]
    pub(super) fn count(&self) {
        // Two owners in a row are ordered by the clearing and the claim.
        self.0.hits.store(self.0.hits.load(Relaxed) + 1, Relaxed);
    }
}

impl Drop for Claim<'_> {
    #[inline]
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `names` (what was read is over) and in `claim` (the count).
        self.0.name.store(0, Release);
    }
}

/// Stands in a model for the one order of the accesses around it.
#[inline]
#[cfg_attr(ropewalk_loom, track_caller)]
fn order() {
    // SeqCst: the partner of the fence of a writer that collects.
    #[cfg(ropewalk_loom)]
    fence(Ordering::SeqCst);
}
