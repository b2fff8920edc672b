//! What lies idle: a stack whose top, length and gate are one word.
//!
//! # The word
//!
//! ```text
//! | pushes (28 bits) | length (17) | top: place + 1, or 0 (18) | DIVERT (1) |
//! ```
//!
//! * Each thing has a [`Place`] of its own on the shelf, for as long as its owner likes. Places never move and are never
//!   freed before the shelf is, so whoever has read a top may look at its `next` even if another has taken it meanwhile.
//! * Taking moves the top to the next, putting moves it to the new one and counts a push. A taker whose top was taken
//!   and put back meanwhile finds another count and tries again (Treiber's stack, 1986, with IBM's counter). The count
//!   wraps after 2^28 pushes: a taker would have to sleep through exactly a multiple of that, between two of its steps,
//!   and wake to the same top and length.
//! * `DIVERT` sends takers and putters away, to do what they want under the owner's latch. It lies in the word that they
//!   change, so after [`divert`](Shelf::divert) has returned each of them either has happened, and is seen, or sees the
//!   bit: "nothing lies here" and "somebody stands in line" cannot be separated.
//!
//! # Orderings
//!
//! The word is changed by read-modify-writes alone, so each putter's `Release` heads a release sequence that holds all
//! later values: whoever sees the word by an `Acquire` sees every thing and every `next` that was put before, and whatever
//! their putters did. A putter acquires as well: it sees what the last to [`lift`](Shelf::lift) did before.
//!
//! All operations are lock-free: a step is repeated only because another's step succeeded.

use crate::identity::Identity;
use ropewalk_prove::{
    cell::UnsafeCell,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

const DIVERT: u64 = 1;
const TOP: u32 = 1;
const TOP_BITS: u32 = 18;
const LENGTH: u32 = TOP + TOP_BITS;
const LENGTH_BITS: u32 = 17;
const PUSHES: u32 = LENGTH + LENGTH_BITS;

/// The most places a shelf has.
pub const MAX_PLACES: usize = (1 << TOP_BITS) - 1;

/// Places come in rows, each as long as all before it. In a model the first is short, so that a client reaches the second.
const FIRST_ROW: u32 = if cfg!(ropewalk_loom) { 2 } else { 8 };
const ROWS: usize = (TOP_BITS - FIRST_ROW.trailing_zeros() + 1) as usize;

/// A place on a shelf. There is one of each, so who has it has the place to itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    index: u32,
    shelf: Identity,
}

impl Place {
    /// Its number, from 0.
    pub fn index(&self) -> u32 {
        self.index
    }
}

/// The places of a shelf that nobody has.
#[derive(Debug)]
pub struct Places {
    next: u32,
    free: Vec<Place>,
    shelf: Identity,
}

impl Places {
    /// Gives a place back.
    pub fn give_back(&mut self, place: Place) {
        debug_assert_eq!(place.shelf, self.shelf);
        self.free.push(place);
    }
}

/// What [`Shelf::take`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Take<T> {
    /// What lay on top.
    Taken(Place, T),
    /// Nothing lies here.
    Empty,
    /// Go to the latch.
    Diverted,
}

struct Spot<T, I> {
    /// The place below, plus 1; written by whoever has the place.
    next: AtomicU32,
    thing: UnsafeCell<Option<T>>,
    label: I,
}

type Row<T, I> = UnsafeCell<Option<Box<[Spot<T, I>]>>>;

/// A stack of things that lie idle; each place has a label that stays when its thing is taken.
pub struct Shelf<T, I = ()> {
    word: Padded,
    rows: [Row<T, I>; ROWS],
    identity: Identity,
}

#[repr(align(64))]
struct Padded(AtomicU64);

// SAFETY: a thing is reached only through its place, which one thread has, and moves between threads by the Release and
// Acquire of the word, so it need not be `Sync`. Labels are shared.
unsafe impl<T: Send, I: Send + Sync> Sync for Shelf<T, I> {}
// SAFETY: it owns all that it holds.
unsafe impl<T: Send, I: Send> Send for Shelf<T, I> {}

#[derive(Clone, Copy)]
struct Word(u64);

impl Word {
    fn top(self) -> Option<u32> {
        (((self.0 >> TOP) & ((1 << TOP_BITS) - 1)) as u32).checked_sub(1)
    }

    fn length(self) -> u32 {
        ((self.0 >> LENGTH) & ((1 << LENGTH_BITS) - 1)) as u32
    }

    fn is_diverted(self) -> bool {
        self.0 & DIVERT != 0
    }

    /// With another top and length; `above` is the top plus 1.
    fn with(self, above: u32, length: u32) -> Self {
        let kept = self.0 & (DIVERT | !0 << PUSHES);
        Self(kept | u64::from(above) << TOP | u64::from(length) << LENGTH)
    }

    fn pushed(self) -> Self {
        Self(self.0.wrapping_add(1 << PUSHES))
    }
}

impl<T, I: Default> Shelf<T, I> {
    /// An empty shelf and its places.
    pub fn new() -> (Self, Places) {
        let identity = Identity::new();
        let shelf = Self {
            word: Padded(AtomicU64::new(0)),
            rows: std::array::from_fn(|_| UnsafeCell::new(None)),
            identity,
        };
        (shelf, Places { next: 0, free: Vec::new(), shelf: identity })
    }

    /// A place that nobody has; `None` when there are [`MAX_PLACES`].
    ///
    /// # Panics
    ///
    /// When the places are another shelf's.
    pub fn place(&self, places: &mut Places) -> Option<Place> {
        assert_eq!(places.shelf, self.identity, "the places of another shelf");
        if let Some(place) = places.free.pop() {
            return Some(place);
        }
        let index = places.next;
        if index as usize == MAX_PLACES {
            return None;
        }
        let (row, at) = row_of(index);
        if at == 0 {
            let length = if row == 0 { FIRST_ROW } else { FIRST_ROW << (row - 1) };
            let spots = (0..length).map(|_| Spot {
                next: AtomicU32::new(0),
                thing: UnsafeCell::new(None),
                label: I::default(),
            });
            let spots: Box<[_]> = spots.collect();
            // SAFETY: who has `places` is the only one to write rows, and nobody reads a row before it has a place in it.
            self.rows[row].with_mut(|row| unsafe { *row = Some(spots) });
        }
        places.next += 1;
        Some(Place { index, shelf: self.identity })
    }
}

impl<T, I> Shelf<T, I> {
    /// Takes what lies on top, unless diverted.
    #[inline]
    pub fn take(&self) -> Take<T> {
        self.pop(DIVERT)
    }

    /// Takes what lies on top, diverted or not.
    pub fn take_anyway(&self) -> Option<(Place, T)> {
        match self.pop(0) {
            Take::Taken(place, thing) => Some((place, thing)),
            Take::Empty | Take::Diverted => None,
        }
    }

    #[inline]
    fn pop(&self, stop: u64) -> Take<T> {
        // Acquire, here and below: pairs with the Release in `push`, for the top's place, its `next` and the thing itself.
        let mut word = Word(self.word.0.load(Ordering::Acquire));
        loop {
            if word.0 & stop != 0 {
                return Take::Diverted;
            }
            let Some(top) = word.top() else { return Take::Empty };
            let below = self.spot(top).next.load(Ordering::Relaxed);
            let taken = word.with(below, word.length() - 1);
            // Relaxed on success: what lies there has been acquired with the word. Acquire on failure: pairs with the
            // Release in `push`, as above.
            match self.word.0.compare_exchange_weak(word.0, taken.0, Ordering::Relaxed, Ordering::Acquire) {
                Ok(_) => return self.unload(top),
                Err(seen) => word = Word(seen),
            }
        }
    }

    fn unload(&self, index: u32) -> Take<T> {
        // SAFETY: whoever takes a place off the word has it to itself until it is put back.
        let thing = self.spot(index).thing.with_mut(|thing| unsafe { (*thing).take() });
        let thing = thing.expect("what is put has a thing");
        Take::Taken(Place { index, shelf: self.identity }, thing)
    }

    /// Puts a thing on top, unless diverted; tells how many lie here now.
    ///
    /// # Errors
    ///
    /// Gives both back when diverted.
    ///
    /// # Panics
    ///
    /// When the place is another shelf's.
    #[inline]
    pub fn put(&self, place: Place, thing: T) -> Result<u32, (Place, T)> {
        self.push(place, thing, DIVERT)
    }

    /// Puts a thing on top, diverted or not.
    ///
    /// # Panics
    ///
    /// When the place is another shelf's.
    pub fn put_anyway(&self, place: Place, thing: T) {
        let put = self.push(place, thing, 0);
        debug_assert!(put.is_ok(), "nothing stops it");
    }

    #[inline]
    fn push(&self, place: Place, thing: T, stop: u64) -> Result<u32, (Place, T)> {
        assert_eq!(place.shelf, self.identity, "a place of another shelf");
        let mut word = Word(self.word.0.load(Ordering::Relaxed));
        if word.0 & stop != 0 {
            return Err((place, thing));
        }
        let spot = self.spot(place.index);
        // SAFETY: there is one `Place` for each place, and it is here.
        spot.thing.with_mut(|there| unsafe { *there = Some(thing) });
        loop {
            spot.next.store(word.top().map_or(0, |top| top + 1), Ordering::Relaxed);
            let put = word.with(place.index + 1, word.length() + 1).pushed();
            // Release: pairs with the Acquires in `pop` and `lift`. Acquire: pairs with the Release in `lift`, so that
            // what the lifter did before is seen from here on.
            match self.word.0.compare_exchange_weak(word.0, put.0, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Ok(put.length()),
                Err(seen) => word = Word(seen),
            }
            if word.0 & stop != 0 {
                // SAFETY: as above; nobody has been shown the place yet.
                let thing = spot.thing.with_mut(|there| unsafe { (*there).take() });
                return Err((place, thing.expect("it was laid there above")));
            }
        }
    }

    /// Takes everything at once, into `things`, the top first.
    pub fn lift(&self, things: &mut Vec<(Place, T)>) {
        let mut word = Word(self.word.0.load(Ordering::Relaxed));
        loop {
            // Acquire: pairs with the Release in `push`. Release: pairs with the Acquire there.
            match self.word.0.compare_exchange_weak(
                word.0,
                word.with(0, 0).0,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(seen) => word = Word(seen),
            }
        }
        let mut at = word.top();
        while let Some(index) = at {
            at = self.spot(index).next.load(Ordering::Relaxed).checked_sub(1);
            if let Take::Taken(place, thing) = self.unload(index) {
                things.push((place, thing));
            }
        }
    }

    /// Sends takers and putters away from here on.
    pub fn divert(&self) {
        // Relaxed: publishes nothing; who is before it and who after is the order of changes of the one word.
        self.word.0.fetch_or(DIVERT, Ordering::Relaxed);
    }

    /// Lets them back in.
    pub fn admit(&self) {
        // Relaxed: what is put here is published by `push`.
        self.word.0.fetch_and(!DIVERT, Ordering::Relaxed);
    }

    /// Whether takers and putters are sent away.
    pub fn is_diverted(&self) -> bool {
        Word(self.word.0.load(Ordering::Relaxed)).is_diverted()
    }

    /// How many things lie here.
    pub fn len(&self) -> usize {
        Word(self.word.0.load(Ordering::Relaxed)).length() as usize
    }

    /// Whether nothing lies here.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The label of a place.
    ///
    /// # Panics
    ///
    /// When the place is another shelf's.
    pub fn label(&self, place: &Place) -> &I {
        assert_eq!(place.shelf, self.identity, "a place of another shelf");
        &self.spot(place.index).label
    }

    /// The labels of all places that there are.
    ///
    /// # Panics
    ///
    /// When the places are another shelf's.
    pub fn labels(&self, places: &Places) -> impl Iterator<Item = &I> {
        assert_eq!(places.shelf, self.identity, "the places of another shelf");
        (0..places.next).map(|index| &self.spot(index).label)
    }

    /// The spot of a place that somebody has or had.
    #[inline]
    fn spot(&self, index: u32) -> &Spot<T, I> {
        let (row, at) = row_of(index);
        // SAFETY: a row is written once, before its first place exists; who knows of a place has synchronised with that:
        // by having the place, the places, or a word that was read by an Acquire.
        let row = self.rows[row].with(|row| unsafe { (*row).as_deref() });
        &row.expect("a place lies in a row")[at as usize]
    }
}

/// The row of a place, and where in it.
fn row_of(index: u32) -> (usize, u32) {
    match (index / FIRST_ROW).checked_ilog2() {
        None => (0, index),
        Some(log) => (log as usize + 1, index - (FIRST_ROW << log)),
    }
}

impl<T, I> std::fmt::Debug for Shelf<T, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf").field("len", &self.len()).finish_non_exhaustive()
    }
}
