//! Where entries lie: slots in segments that double, so that none is ever moved, and none freed before the table is.

use ropewalk_prove::{
    cell::UnsafeCell,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Slots of the first segment, as a power of 2.
const FIRST_BITS: u32 = if cfg!(ropewalk_loom) { 1 } else { 4 };
/// 2^32 slots with the last one, less those of one first segment.
const SEGMENTS: usize = if cfg!(ropewalk_loom) { 2 } else { 28 };

/// Room for one entry.
///
/// `content` is written while no cell leads to the slot and no record names it, and taken out in the same state; in between
/// it is only read. `expires` is written with it.
#[derive(Debug)]
#[cfg_attr(not(ropewalk_loom), repr(align(32)))]
pub(super) struct Slot<T> {
    /// What the policy wants to know of the last uses; any value is good.
    pub(super) mark: AtomicU64,
    pub(super) expires: AtomicU64,
    pub(super) accessed: AtomicU64,
    pub(super) content: UnsafeCell<Option<T>>,
}

type Segment<T> = Box<[Slot<T>]>;

#[derive(Debug)]
pub(super) struct Slots<T> {
    segments: [UnsafeCell<Option<Segment<T>>>; SEGMENTS],
}

/// The segment of a slot, and its place there.
#[inline]
fn place(slot: u32) -> (usize, usize) {
    let at = u64::from(slot) + (1 << FIRST_BITS);
    let bits = at.ilog2();
    ((bits - FIRST_BITS) as usize, (at - (1 << bits)) as usize)
}

impl<T> Slots<T> {
    pub(super) fn new() -> Self {
        Self { segments: std::array::from_fn(|_| UnsafeCell::new(None)) }
    }

    /// The slot of this number.
    ///
    /// # Safety
    ///
    /// The caller knows the number from an `Acquire` load of a cell of the index, or is the writer and has called
    /// [`make`](Self::make) for it.
    #[inline]
    pub(super) unsafe fn get(&self, slot: u32) -> &Slot<T> {
        let (segment, at) = place(slot);
        // SAFETY: a segment is written once, before a cell of the index leads into it with Release, and only read after.
        let segment = self.segments[segment].with(|segment| unsafe { (*segment).as_deref() });
        &segment.unwrap_or_default()[at]
    }

    /// Makes the segment of `slot` if it is its first.
    ///
    /// # Safety
    ///
    /// The caller is the only writer, and asks for each slot once, in order.
    pub(super) unsafe fn make(&self, slot: u32) {
        let (segment, at) = place(slot);
        if at == 0 {
            let new = (0..1_usize << (FIRST_BITS as usize + segment)).map(|_| Slot {
                mark: AtomicU64::new(0),
                expires: AtomicU64::new(0),
                accessed: AtomicU64::new(0),
                content: UnsafeCell::new(None),
            });
            let new: Segment<T> = new.collect();
            // SAFETY: no cell leads there yet, so no reader looks at it.
            self.segments[segment].with_mut(|segment| unsafe { *segment = Some(new) });
        }
    }
}

impl<T> Slot<T> {
    /// Asks for its cache line before it is needed.
    #[inline]
    pub(super) fn prefetch(&self) {
        #[cfg(all(target_arch = "x86_64", not(ropewalk_loom)))]
        // SAFETY: a prefetch reads nothing that the program could tell.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(self).cast());
        }
    }

    /// What is inside.
    ///
    /// # Safety
    ///
    /// A record of the caller names the slot and a cell was found since that leads to it, or the caller is the writer.
    #[inline]
    pub(super) unsafe fn with<R>(&self, f: impl FnOnce(Option<&T>) -> R) -> R {
        // SAFETY: the content is written only by the writer, while no cell leads to the slot and no record names it.
        self.content.with(|content| f(unsafe { (*content).as_ref() }))
    }

    /// Fills or empties it.
    ///
    /// # Safety
    ///
    /// The caller is the writer, no cell leads to the slot, and since then no record has named it that counts.
    pub(super) unsafe fn swap(&self, new: Option<T>) -> Option<T> {
        // SAFETY: nobody else looks at it, by the caller's word.
        self.content.with_mut(|content| unsafe { std::mem::replace(&mut *content, new) })
    }

    /// Raises the time of the last use: who is late does not bring it back.
    #[inline]
    pub(super) fn touch(&self, now: u64) {
        let mut accessed = self.accessed.load(Relaxed);
        while accessed < now {
            match self.accessed.compare_exchange_weak(accessed, now, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(other) => accessed = other,
            }
        }
    }

    pub(super) fn time(&self, expires: u64, accessed: u64) {
        // Both are published by the Release store of the cell that leads here.
        self.expires.store(expires, Relaxed);
        self.accessed.store(accessed, Relaxed);
    }
}
