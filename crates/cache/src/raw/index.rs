//! Where to look for a tag: an open-addressed table of cells that readers walk while a writer changes it.
//!
//! # Protocol
//!
//! A cell is 0 or `tag << 32 | slot + 1`; a walk starts at the tag's home and ends at a 0. Only the writer writes, one at a
//! time. Readers must find an entry that stays, so an entry is never absent, though it may be in two cells for a while:
//!
//! * A newcomer takes the first empty cell of its walk; a replacement writes over the cell in one store.
//! * A removal closes the gap by moving later entries of the run forward. Each is copied before the cell it leaves is
//!   written over. A reader that passed the new cell too early and the old one too late has missed it, so before a cell
//!   whose entry was moved is written over, `word` is raised: who walks and finds nothing looks at `word` again, and walks
//!   again if it changed. So each repetition is paid for by a step of a writer that went on.
//! * Growth fills the table of the next level, then raises `word`, which tells the level too. Smaller tables stay until
//!   the index is dropped: they are a geometric sum, at most as much as the present one.

use super::hazard::{LOOK, LOOK_AT_LEVEL};
use ropewalk_prove::{
    cell::UnsafeCell,
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// A cell that leads to a slot, as it was read.
pub(super) struct Lead<'a> {
    at: &'a AtomicU64,
    cell: u64,
    word: u64,
}

impl Lead<'_> {
    #[inline]
    pub(super) fn slot(&self) -> u32 {
        slot_of(self.cell)
    }
}

/// Cells of the first level, as a power of 2. A model grows at once.
const FIRST_BITS: u32 = if cfg!(ropewalk_loom) { 2 } else { 4 };
/// The part of the cells that is in use at most: walks are short, and mostly end where they begin.
const FULL: (usize, usize) = if cfg!(ropewalk_loom) { (3, 4) } else { (1, 2) };
/// The last level has 2^31 cells.
const LEVELS: usize = if cfg!(ropewalk_loom) { 2 } else { 28 };

/// The bits of `word` that tell the level; the others count changes.
const LEVEL: u64 = 0xFF;
const CHANGE: u64 = LEVEL + 1;

type Cells = Box<[AtomicU64]>;

/// A walk from the home of a tag to the first empty cell. A quarter of the cells is empty, at least, at any time.
pub(super) struct Walk<'a> {
    cells: &'a [AtomicU64],
    at: usize,
    tag: u32,
    word: u64,
}

impl<'a> Iterator for Walk<'a> {
    type Item = Lead<'a>;

    #[inline]
    fn next(&mut self) -> Option<Lead<'a>> {
        let len = self.cells.len();
        if len == 0 {
            return None;
        }
        loop {
            let at = &self.cells[self.at & (len - 1)];
            // Acquire: pairs with the Release of every store to a cell: the slot's segment is seen, and who misses what was
            // moved away from here sees that `word` was raised.
            let cell = at.load(Acquire);
            if cell == 0 {
                return None;
            }
            self.at += 1;
            if tag_of(cell) == self.tag {
                return Some(Lead { at, cell, word: self.word });
            }
        }
    }
}

#[derive(Debug)]
#[repr(C)]
pub(super) struct Index {
    word: AtomicU64,
    levels: [UnsafeCell<Option<Cells>>; LEVELS],
}

#[inline]
fn cell(tag: u32, slot: u32) -> u64 {
    u64::from(tag) << 32 | (u64::from(slot) + 1)
}

/// What a cell that is not 0 says.
#[inline]
fn tag_of(cell: u64) -> u32 {
    (cell >> 32) as u32
}

#[inline]
fn slot_of(cell: u64) -> u32 {
    // The lower half is a slot plus 1, so it is not 0.
    (cell as u32).wrapping_sub(1)
}

fn empty(level: usize) -> Cells {
    (0..1_usize << (FIRST_BITS as usize + level)).map(|_| AtomicU64::new(0)).collect()
}

impl Index {
    pub(super) fn new() -> Self {
        let new = Self { word: AtomicU64::new(0), levels: std::array::from_fn(|_| UnsafeCell::new(None)) };
        // SAFETY: nobody else knows of it yet.
        new.levels[0].with_mut(|level| unsafe { *level = Some(empty(0)) });
        new
    }

    /// What a walk starts from.
    #[inline]
    pub(super) fn word(&self) -> u64 {
        // Acquire: pairs with the Release in `overwrite` and `grow`: the cells copied before are seen, and the table's level.
        self.word.load(Acquire)
    }

    /// Whether nothing was moved since `word` was read.
    #[inline]
    pub(super) fn is_still(&self, word: u64) -> bool {
        // Relaxed: it comes after the Acquire loads of cells, and who has seen a cell written over sees the word raised.
        self.word.load(Relaxed) == word
    }

    /// Whether a cell leads where it did, in the present table.
    #[inline]
    pub(super) fn leads(&self, lead: &Lead<'_>) -> bool {
        // LOOK: after the claim in the one order, and pairs with the Release of the store to the cell: the slot's content
        // is seen. Smaller tables are not kept up, so the level counts as well.
        lead.at.load(LOOK) == lead.cell && (self.word.load(LOOK_AT_LEVEL) ^ lead.word) & LEVEL == 0
    }

    #[inline]
    fn cells(&self, word: u64) -> &[AtomicU64] {
        let level = (word & LEVEL) as usize;
        // SAFETY: a level is written once, before `word` names it with Release; who has `word` has it by Acquire, or is
        // the writer. After that it is only read, and freed with the index.
        self.levels[level].with(|level| unsafe { (*level).as_deref() }).unwrap_or_default()
    }

    /// The cells with this tag, by the table that `word` tells.
    #[inline]
    pub(super) fn walk(&self, word: u64, tag: u32) -> Walk<'_> {
        Walk { cells: self.cells(word), at: tag as usize, tag, word }
    }

    // ---- by the writer alone ----

    /// Enters a slot; `len` is how many there are already.
    pub(super) fn insert(&self, tag: u32, slot: u32, len: usize) {
        let word = self.word.load(Relaxed);
        let mut cells = self.cells(word);
        if (len + 1) * FULL.1 > cells.len() * FULL.0 {
            self.grow();
            cells = self.cells(self.word.load(Relaxed));
        }
        put(cells, cell(tag, slot));
    }

    /// Enters `new` in the place of `old`.
    pub(super) fn replace(&self, tag: u32, old: u32, new: u32) {
        let cells = self.cells(self.word.load(Relaxed));
        if let Some(at) = position(cells, cell(tag, old)) {
            // Release: pairs with LOOK in `leads`: who finds the slot sees its segment and its content.
            cells[at].store(cell(tag, new), Release);
        }
    }

    /// Takes a slot out.
    pub(super) fn remove(&self, tag: u32, slot: u32) {
        let cells = self.cells(self.word.load(Relaxed));
        let mask = cells.len() - 1;
        let Some(mut hole) = position(cells, cell(tag, slot)) else { return };
        let mut moved = false;
        let mut next = hole;
        loop {
            next = (next + 1) & mask;
            let cell = cells[next].load(Relaxed);
            if cell == 0 {
                break;
            }
            let home = tag_of(cell) as usize;
            // Its walk passes the hole.
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(hole) & mask {
                self.overwrite(&cells[hole], cell, moved);
                hole = next;
                moved = true;
            }
        }
        self.overwrite(&cells[hole], 0, moved);
    }

    /// Writes over a cell; if what it held was `moved`, not removed, readers who have passed must look again.
    fn overwrite(&self, at: &AtomicU64, cell: u64, moved: bool) {
        if moved {
            // Release: pairs with the Acquire in `word`: who walks from here on sees the copy.
            self.word.store(self.word.load(Relaxed) + CHANGE, Release);
        }
        // Release: pairs with the Acquire in `walk`: who misses what stood here sees `word` raised.
        at.store(cell, Release);
    }

    fn grow(&self) {
        let word = self.word.load(Relaxed);
        let level = (word & LEVEL) as usize + 1;
        assert!(level < LEVELS, "under 2^30 entries a shard");
        let new = empty(level);
        for old in self.cells(word) {
            let old = old.load(Relaxed);
            if old != 0 {
                put(&new, old);
            }
        }
        // SAFETY: readers touch a level only once `word` has named it, and it has not yet; there is one writer.
        self.levels[level].with_mut(|at| unsafe { *at = Some(new) });
        // Release: pairs with the Acquire in `word`: the table is seen, full.
        self.word.store(word + CHANGE + 1, Release);
    }
}

fn put(cells: &[AtomicU64], cell: u64) {
    let mask = cells.len() - 1;
    let mut at = tag_of(cell) as usize;
    while cells[at & mask].load(Relaxed) != 0 {
        at += 1;
    }
    // Release: pairs with LOOK in `leads`: who finds the slot sees its segment and its content.
    cells[at & mask].store(cell, Release);
}

fn position(cells: &[AtomicU64], cell: u64) -> Option<usize> {
    let mask = cells.len() - 1;
    let mut at = tag_of(cell) as usize;
    for _ in 0..cells.len() {
        match cells[at & mask].load(Relaxed) {
            0 => return None,
            found if found == cell => return Some(at & mask),
            _ => at += 1,
        }
    }
    None
}
