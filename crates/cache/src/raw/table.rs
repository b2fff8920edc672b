//! A table whose readers wait for nobody: entries by tag, looked at in place, reclaimed when no reader names them.
//!
//! # Protocol
//!
//! One [`Writer`], behind the latch of its shard, and any number of [`Reader`]s.
//!
//! ```text
//!            fill, cell leads there
//!   free ------------------------------> linked
//!    ^                                     |  no cell leads there
//!    |   no record names it: content out   v
//!    +--------------------------------- retired
//! ```
//!
//! * A reader walks the [index](super::index). For each cell with its tag it names the slot in a
//!   [record](super::hazard), then looks whether the cell still leads there, in the present table. If so the content stays
//!   as it is until the record is cleared, even if it is unlinked meanwhile, and it is what the index says at that instant.
//!   If not, it starts again: the cell or the table has changed since it was read, so each start anew is paid for by a
//!   step of a writer that went on. There is no step at which a reader waits, so `find` is lock-free.
//! * The look at the cell cannot be replaced by one at the slot. A slot that is reused for the same key is full before the
//!   cell leads there, and a reader with an old cell in its hand would see the new value before all others, then the old.
//! * A replacement is a new slot: it is filled, the cell is led to it, the old one is retired. At each instant the cell
//!   leads to one of them.
//! * What is retired is bounded: by what the writer gathers before it looks through the records, plus one for each record.
//!   A reader that stalls inside keeps the one entry that it looks at, and its slot; nothing else.

use super::{
    hazard::{Claim, Records},
    index::Index,
    slots::{Slot, Slots},
};
use ropewalk_prove::sync::{
    Arc,
    atomic::{
        AtomicU64,
        Ordering::{Relaxed, SeqCst},
        fence,
    },
};
use std::fmt;

/// Every hit reads the first words: they share a cache line.
#[repr(C, align(64))]
struct Shared<T> {
    records: Records,
    /// Tells the slots of this table from those of others in the records: their number is in the lower half.
    id: u64,
    /// The policy's clock.
    stamp: AtomicU64,
    index: Index,
    slots: Slots<T>,
}

// SAFETY: readers on any thread look at contents (`T: Sync`), the writer's thread moves them in and out (`T: Send`). Cells
// are accessed by the protocol in the head of this file and of `slots` and `index`.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}
// SAFETY: as above; what drops it is alone with it.
unsafe impl<T: Send + Sync> Send for Shared<T> {}

impl<T> Shared<T> {
    /// What names a slot in the records.
    #[inline]
    fn name(&self, slot: u32) -> u64 {
        self.id | (u64::from(slot) + 1)
    }
}

/// Both halves of a table.
#[derive(Debug)]
pub struct Table<T> {
    /// The half that looks.
    pub reader: Reader<T>,
    /// The half that changes it.
    pub writer: Writer<T>,
}

impl<T> Table<T> {
    /// An empty one; `id` is its number among those that share the records.
    pub fn new(id: u32, records: &Records) -> Self {
        let shared = Arc::new(Shared {
            index: Index::new(),
            slots: Slots::new(),
            records: records.clone(),
            stamp: AtomicU64::new(0),
            id: u64::from(id) << 32,
        });
        let reader = Reader(shared.clone());
        let (tags, free, retired, names) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { reader, writer: Writer { shared, tags, len: 0, free, retired, names } }
    }
}

/// Looks for entries.
pub struct Reader<T>(Arc<Shared<T>>);

/// What a reader found.
pub enum Found<'a, T> {
    /// This.
    Entry(Look<'a, T>),
    /// Nothing, at some instant of the call.
    Absent,
    /// All records are taken.
    Crowded,
}

impl<T> Reader<T> {
    /// The entry with this tag for which `is` says so. `start` is the record to try first.
    ///
    /// Neither this nor `is` is called under a latch, and the caller waits for nobody. `is` may panic, and may use the table.
    #[inline]
    pub fn find(&self, start: usize, tag: u32, mut is: impl FnMut(&T) -> bool) -> Found<'_, T> {
        let shared = &*self.0;
        let mut claim: Option<Claim<'_>> = None;
        loop {
            let word = shared.index.word();
            let mut again = false;
            for lead in shared.index.walk(word, tag) {
                let name = shared.name(lead.slot());
                // SAFETY: the slot's number comes from a cell, loaded with Acquire.
                let at = unsafe { shared.slots.get(lead.slot()) };
                // The claim holds up what comes after it.
                at.prefetch();
                let named = match claim.take() {
                    Some(claim) => {
                        claim.rename(name);
                        claim
                    }
                    None => match shared.records.claim(start, name) {
                        Some(claim) => claim,
                        None => return Found::Crowded,
                    },
                };
                again = !shared.index.leads(&lead);
                if again {
                    claim = Some(named);
                    break;
                }
                // SAFETY: the record names the slot, and the cell was found to lead there since.
                if unsafe { at.with(|content| content.is_some_and(&mut is)) } {
                    return Found::Entry(Look { slot: at, claim: named });
                }
                claim = Some(named);
            }
            if !again && shared.index.is_still(word) {
                return Found::Absent;
            }
        }
    }

    /// The policy's clock.
    #[inline]
    pub fn stamp(&self) -> u64 {
        self.0.stamp.load(Relaxed)
    }
}

/// An entry that is looked at: it stays as it is until this is dropped, whatever happens to the table.
pub struct Look<'a, T> {
    slot: &'a Slot<T>,
    claim: Claim<'a>,
}

impl<T> Look<'_, T> {
    /// Calls `f` with the entry. `f` may panic, and may use the table.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        // SAFETY: the record names the slot, and a cell was found to lead there since.
        unsafe { self.slot.with(|content| f(content.expect("linked slots have content"))) }
    }

    /// When it ends, whatever happens.
    #[inline]
    pub fn expires(&self) -> u64 {
        self.slot.expires.load(Relaxed)
    }

    /// Its last use, where that is kept.
    #[inline]
    pub fn accessed(&self) -> u64 {
        self.slot.accessed.load(Relaxed)
    }

    /// It is used now. Who is late does not bring the last use back.
    #[inline]
    pub fn touch(&self, now: u64) {
        self.slot.touch(now);
    }

    /// What the policy wants to know of its last uses.
    #[inline]
    pub fn mark(&self) -> u64 {
        self.slot.mark.load(Relaxed)
    }

    /// Changes that.
    #[inline]
    pub fn set_mark(&self, mark: u64) {
        self.slot.mark.store(mark, Relaxed);
    }

    /// Counts one hit.
    #[inline]
    pub fn count(&self) {
        self.claim.count();
    }
}

/// Changes the table. There is one, so `&mut` is alone.
pub struct Writer<T> {
    shared: Arc<Shared<T>>,
    /// The tags of all slots that exist, of those that are linked.
    tags: Vec<Option<u32>>,
    len: usize,
    free: Vec<u32>,
    /// Unlinked, perhaps looked at.
    retired: Vec<u32>,
    names: Vec<u64>,
}

impl<T> Writer<T> {
    /// How many are linked.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Unlinked slots whose content has not been handed out.
    pub fn retired(&self) -> usize {
        self.retired.len()
    }

    fn slot(&self, slot: u32) -> Option<&Slot<T>> {
        // SAFETY: this is the writer, which has made all slots that have a tag.
        self.tags.get(slot as usize).map(|_| unsafe { self.shared.slots.get(slot) })
    }

    fn tag(&self, slot: u32) -> Option<u32> {
        self.tags.get(slot as usize).copied().flatten()
    }

    /// What `f` makes of a slot's content, linked or retired.
    pub fn read<R>(&self, slot: u32, f: impl FnOnce(&T) -> R) -> Option<R> {
        // SAFETY: only the writer changes contents, and it is borrowed.
        self.slot(slot).and_then(|slot| unsafe { slot.with(|content| content.map(f)) })
    }

    /// The linked slots with this tag.
    pub fn walk(&self, tag: u32) -> impl Iterator<Item = u32> + '_ {
        self.shared.index.walk(self.shared.index.word(), tag).map(|lead| lead.slot())
    }

    /// When a slot's entry ends, and its last use.
    pub fn times(&self, slot: u32) -> (u64, u64) {
        self.slot(slot).map_or((0, 0), |slot| (slot.expires.load(Relaxed), slot.accessed.load(Relaxed)))
    }

    /// It is used now.
    pub fn touch(&mut self, slot: u32, now: u64) {
        if let Some(slot) = self.slot(slot) {
            slot.touch(now);
        }
    }

    /// Takes a use back, unless there was one since.
    pub fn untouch(&mut self, slot: u32, used: u64, before: u64) {
        if let Some(slot) = self.slot(slot) {
            // A failure means that it was used since.
            let _ = slot.accessed.compare_exchange(used, before, Relaxed, Relaxed);
        }
    }

    /// What the policy wants to know of a slot's last uses.
    pub fn mark(&self, slot: u32) -> u64 {
        self.slot(slot).map_or(0, |slot| slot.mark.load(Relaxed))
    }

    /// Changes that. A hit beside it may be lost, or undo it.
    pub fn set_mark(&self, slot: u32, mark: u64) {
        if let Some(slot) = self.slot(slot) {
            slot.mark.store(mark, Relaxed);
        }
    }

    /// Sets the policy's clock.
    pub fn set_stamp(&mut self, stamp: u64) {
        // Every hit reads the line, so it is written only to change it.
        if self.shared.stamp.load(Relaxed) != stamp {
            self.shared.stamp.store(stamp, Relaxed);
        }
    }

    /// Links an entry.
    pub fn link(&mut self, tag: u32, content: T, expires: u64, accessed: u64) -> u32 {
        let slot = self.fill(tag, content, expires, accessed);
        self.shared.index.insert(tag, slot, self.len);
        self.len += 1;
        slot
    }

    /// Links an entry in the place of a linked one with the same tag, whose mark it inherits.
    pub fn replace(&mut self, tag: u32, old: u32, content: T, expires: u64, accessed: u64) -> u32 {
        if !self.is(tag, old) {
            return self.link(tag, content, expires, accessed);
        }
        let slot = self.fill(tag, content, expires, accessed);
        self.set_mark(slot, self.mark(old));
        self.shared.index.replace(tag, old, slot);
        self.retire(old);
        slot
    }

    /// Unlinks the entry of a slot; says `false` if none is linked there with this tag.
    pub fn unlink(&mut self, tag: u32, slot: u32) -> bool {
        if !self.is(tag, slot) {
            return false;
        }
        self.shared.index.remove(tag, slot);
        self.len -= 1;
        self.retire(slot);
        true
    }

    /// Looks through the records and hands out what was unlinked and nobody looks at.
    pub fn collect(&mut self, mut out: impl FnMut(T)) {
        if self.retired.is_empty() {
            return;
        }
        // SeqCst: between the stores to the cells that led there and the look at the records; the partner of a reader's
        // claim, as `hazard` argues.
        fence(SeqCst);
        self.names.clear();
        self.shared.records.names(|name| self.names.push(name));
        let (shared, names, free) = (&self.shared, &self.names, &mut self.free);
        self.retired.retain(|&slot| {
            if names.contains(&shared.name(slot)) {
                return true;
            }
            // SAFETY: this is the writer, which has made all that is retired.
            let at = unsafe { shared.slots.get(slot) };
            // SAFETY: no cell leads there since before the fence, and no record names it, or its owner will find out.
            if let Some(content) = unsafe { at.swap(None) } {
                out(content);
            }
            free.push(slot);
            false
        });
    }

    fn is(&self, tag: u32, slot: u32) -> bool {
        self.tag(slot) == Some(tag)
    }

    fn fill(&mut self, tag: u32, content: T, expires: u64, accessed: u64) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            let slot = u32::try_from(self.tags.len()).unwrap_or(u32::MAX);
            assert!(slot < u32::MAX >> 1, "under 2^31 slots a shard");
            // SAFETY: this is the writer, and the numbers go up one by one.
            unsafe { self.shared.slots.make(slot) };
            self.tags.push(None);
            slot
        });
        self.tags[slot as usize] = Some(tag);
        // SAFETY: this is the writer, which has made the slot.
        let at = unsafe { self.shared.slots.get(slot) };
        // SAFETY: it is new or was collected: no cell leads there, and no record that counts names it. What is swapped out
        // is nothing.
        unsafe { at.swap(Some(content)) };
        at.time(expires, accessed);
        slot
    }

    /// Unlinks a slot to which no cell leads any more.
    fn retire(&mut self, slot: u32) {
        self.tags[slot as usize] = None;
        self.retired.push(slot);
    }
}

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Writer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Look<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Look").finish_non_exhaustive()
    }
}
