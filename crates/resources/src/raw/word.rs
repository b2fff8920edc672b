//! A resource as one word, which is taken and given back by one compare-exchange while nobody stands in line for it.
//!
//! # The word
//!
//! ```text
//! held exclusively or shared:  | holder (32) | readers (31) | QUEUED (1) |
//! counted:                     |       free units (63)      | QUEUED (1) |
//! ```
//!
//! * `holder` names the claim that holds it alone; 0 is nobody. Readers and units carry no names: their claims' records say
//!   who holds ([`Set`](super::set::Set)).
//! * `QUEUED` sends takers and givers away, to do what they want under the latch. It is there while anybody stands in line
//!   for the resource or holds it by a lease of the latch's books, and while these are being written. It lies in the word
//!   that they change, so each of them either comes before [`divert`](Word::divert), and is seen by it, or sees the bit: "it
//!   is not free" and "I stand in line for it" cannot be separated, and neither can "it is free" and "nobody waits".
//! * While the bit is there only the owner of the latch writes, so the words of a whole set, diverted one after the other,
//!   stand still together: that is how a set is judged in one step.
//!
//! # Orderings
//!
//! Who takes by compare-exchange acquires what the last one released: a giver's compare-exchange, or the latch's owner at
//! [`admit`](Word::admit), who acquired what the givers before it released when it diverted. Under the latch all is in order.

use crate::Mode;
use ropewalk_prove::sync::atomic::{AtomicU64, Ordering};

/// Somebody stands in line, or the books are open: go to the latch.
const QUEUED: u64 = 1;
/// One who shares it.
const READER: u64 = 1 << 1;
const READERS: u64 = (1 << HOLDER) - READER;
/// Where the holder's name begins.
const HOLDER: u32 = 32;
/// Where the free units begin.
const UNITS: u32 = 1;
/// The most units a word counts.
pub const MAX_UNITS: u64 = u64::MAX >> UNITS;

/// One resource; begins diverted.
#[repr(align(64))]
#[derive(Debug)]
pub struct Word(AtomicU64);

/// What a word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View(u64);

impl View {
    /// Who holds it alone.
    pub fn holder(self) -> Option<u32> {
        Some((self.0 >> HOLDER) as u32).filter(|&holder| holder != 0)
    }

    /// How many share it.
    pub fn readers(self) -> u64 {
        (self.0 & READERS) / READER
    }

    /// How many units of a counted one are free.
    pub fn free(self) -> u64 {
        self.0 >> UNITS
    }

    /// With so many units free.
    ///
    /// # Panics
    ///
    /// Above [`MAX_UNITS`].
    #[must_use]
    pub fn with_free(self, units: u64) -> Self {
        assert!(units <= MAX_UNITS, "more units than fit");
        Self(units << UNITS | self.0 & QUEUED)
    }

    /// Without one who held it so.
    #[must_use]
    pub fn without(self, mode: Mode) -> Self {
        Self(match mode {
            Mode::Exclusive => self.0 & !(!0 << HOLDER),
            Mode::Shared => self.0 - READER,
            Mode::Units(units) => self.0 + (units << UNITS),
        })
    }
}

fn held_by(holder: u32) -> u64 {
    u64::from(holder) << HOLDER
}

impl Default for Word {
    fn default() -> Self {
        Self::new()
    }
}

impl Word {
    /// One that nobody holds, diverted.
    pub fn new() -> Self {
        Self(AtomicU64::new(QUEUED))
    }

    /// Takes it for `holder`, if it can be had so and nobody stands in line.
    #[inline]
    pub fn take(&self, mode: Mode, holder: u32) -> bool {
        match mode {
            // Acquire: pairs with the Releases in `give` and `admit`, for what the resource protects.
            Mode::Exclusive => {
                self.0.compare_exchange(0, held_by(holder), Ordering::Acquire, Ordering::Relaxed).is_ok()
            }
            // Acquire: pairs as above with `give` and `admit`.
            Mode::Shared => {
                self.change(Ordering::Acquire, |word| (word & !READERS == 0).then_some(word + READER))
            }
            // Acquire: pairs as above with `give` and `admit`.
            Mode::Units(units) => self.change(Ordering::Acquire, |word| {
                (word & QUEUED == 0 && View(word).free() >= units).then(|| word - (units << UNITS))
            }),
        }
    }

    /// Gives back what `holder` took, if nobody stands in line and it has not been taken away.
    #[inline]
    pub fn give(&self, mode: Mode, holder: u32) -> bool {
        match mode {
            // Release: pairs with the Acquires in `take` and `divert`.
            Mode::Exclusive => {
                self.0.compare_exchange(held_by(holder), 0, Ordering::Release, Ordering::Relaxed).is_ok()
            }
            // Release: pairs as above with `take` and `divert`.
            mode => self
                .change(Ordering::Release, |word| (word & QUEUED == 0).then(|| View(word).without(mode).0)),
        }
    }

    fn change(&self, order: Ordering, next: impl Fn(u64) -> Option<u64>) -> bool {
        let mut word = self.0.load(Ordering::Relaxed);
        while let Some(changed) = next(word) {
            match self.0.compare_exchange_weak(word, changed, order, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => word = seen,
            }
        }
        false
    }

    /// What it says now.
    #[inline]
    pub fn view(&self) -> View {
        View(self.0.load(Ordering::Relaxed))
    }

    /// Whether it could be had so by one who holds nothing of it.
    #[inline]
    pub fn looks_free(&self, mode: Mode) -> bool {
        let word = self.0.load(Ordering::Relaxed);
        match mode {
            Mode::Exclusive => word == 0,
            Mode::Shared => word & !READERS == 0,
            Mode::Units(units) => word & QUEUED == 0 && View(word).free() >= units,
        }
    }

    /// Sends takers and givers away from here on; what it says then stands still. By the latch's owner alone.
    pub fn divert(&self) -> View {
        // Acquire: pairs with the Release in `give`, for whoever the latch's owner hands it to.
        View(self.0.fetch_or(QUEUED, Ordering::Acquire))
    }

    /// Writes what it says while it is diverted. By the latch's owner alone.
    pub fn keep(&self, view: View) {
        self.0.store(view.0 | QUEUED, Ordering::Relaxed);
    }

    /// Lets takers and givers back in. By the latch's owner alone.
    pub fn admit(&self, view: View) {
        // Release: pairs with the Acquire in `take`.
        self.0.store(view.0 & !QUEUED, Ordering::Release);
    }
}
