//! A set of resources, taken and given back by one compare-exchange each, in the order of the pool.
//!
//! # Protocol
//!
//! * A set has one user, who takes and gives by turns (`&mut`), and the latch's owner, who looks at its [`Record`].
//! * All sets go through their words in the same order, and one that meets a word that is not free gives back what it has
//!   taken and goes to the latch: it never waits while it has a part, so nobody waits for one that waits here.
//! * A word that was queued meanwhile cannot be given back by its compare-exchange. Its place in the set is reported, for
//!   the latch's owner to give it back and to hand it on.
//! * Exclusive words name the set's holder themselves. Readers and units do not, so a set that has some keeps a phase:
//!
//! ```text
//!         take (all words had)          give
//! FREE -------------------------> HELD ------> FREE, then the words are given back
//!                                  | void (latch)
//!                                  v
//!                                 VOID: the latch's owner has given all back; `give` tells so
//! ```
//!
//!   So `HELD` is said only while all its words are had, and whoever moves it away from there gives them back.

use super::word::Word;
use crate::Mode;
use ropewalk_prove::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::Arc;

const FREE: u32 = 0;
const HELD: u32 = 1;
const VOID: u32 = 2;

/// What the latch's owner sees of a set.
#[derive(Debug)]
pub struct Record {
    phase: AtomicU32,
    taken: AtomicU64,
    asker: Arc<Asker>,
}

/// What the sets of one owner share.
#[derive(Debug, Default)]
pub struct Asker {
    diverted: AtomicBool,
}

impl Asker {
    /// Sends its sets to the latch to be taken, or lets them be taken without it again: a hint, not seen at once.
    pub fn divert(&self, diverted: bool) {
        self.diverted.store(diverted, Ordering::Relaxed);
    }
}

impl Record {
    /// Of a set that is not held.
    pub fn new(asker: Arc<Asker>) -> Self {
        Self { phase: AtomicU32::new(FREE), taken: AtomicU64::new(0), asker }
    }

    /// Whether a set that keeps a phase is held whole.
    pub fn is_held(&self) -> bool {
        // Relaxed: it is read while a word of the set is diverted. The words then say what is had; who moved the phase away
        // before that word was given back is seen by the Acquire of `Word::divert`.
        self.phase.load(Ordering::Relaxed) == HELD
    }

    /// Takes a held set away from its user, so that the latch's owner gives it back; tells whether it was held.
    pub fn void(&self) -> bool {
        self.phase.compare_exchange(HELD, VOID, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// After `give` has said that it was void.
    pub fn reset(&self) {
        self.phase.store(FREE, Ordering::Relaxed);
    }

    /// How often it was taken.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Step {
    word: Arc<Word>,
    mode: Mode,
}

/// Resources to be had together, and the name under which they are.
#[derive(Debug)]
pub struct Set {
    steps: Box<[Step]>,
    record: Arc<Record>,
    holder: u32,
    tracked: bool,
}

/// How a set went back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// By its user.
    Back,
    /// By its user, but for those that were reported.
    Late,
    /// It had been taken away.
    Void,
}

impl Set {
    /// Of words in the order of the pool. The holder is not 0, and no other set has it.
    pub fn new(words: impl IntoIterator<Item = (Arc<Word>, Mode)>, record: Arc<Record>, holder: u32) -> Self {
        let steps = words.into_iter().map(|(word, mode)| Step { word, mode }).collect::<Box<[_]>>();
        let tracked = steps.iter().any(|step| step.mode != Mode::Exclusive);
        Self { steps, record, holder, tracked }
    }

    /// Takes all or nothing, if all can be had and nobody stands in line. Places of words that could not be given back
    /// again are added to `late`. An empty set has no word that would tell it to go to the latch, so it always does.
    #[inline]
    pub fn take(&mut self, late: &mut Vec<usize>) -> bool {
        if self.tracked {
            return self.take_tracked(late);
        }
        if self.record.asker.diverted.load(Ordering::Relaxed) {
            return false;
        }
        for (at, step) in self.steps.iter().enumerate() {
            if !step.word.take(Mode::Exclusive, self.holder) {
                self.back_off(at, late);
                return false;
            }
        }
        self.count();
        !self.steps.is_empty()
    }

    fn take_tracked(&mut self, late: &mut Vec<usize>) -> bool {
        if self.record.asker.diverted.load(Ordering::Relaxed) {
            return false;
        }
        for (at, step) in self.steps.iter().enumerate() {
            if !step.word.take(step.mode, self.holder) {
                self.back_off(at, late);
                return false;
            }
        }
        self.record.phase.store(HELD, Ordering::Relaxed);
        self.count();
        true
    }

    #[inline]
    fn count(&self) {
        // Written by the one user alone.
        self.record.taken.store(self.record.taken.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Gives all back. Places of words that somebody queued for are added to `late`.
    #[inline]
    pub fn give(&mut self, late: &mut Vec<usize>) -> Given {
        if self.tracked {
            return self.give_tracked(late);
        }
        for (at, step) in self.steps.iter().enumerate() {
            if !step.word.give(Mode::Exclusive, self.holder) {
                self.give_between(at, self.steps.len(), late);
                return Given::Late;
            }
        }
        Given::Back
    }

    fn give_tracked(&mut self, late: &mut Vec<usize>) -> Given {
        let phase = &self.record.phase;
        if phase.compare_exchange(HELD, FREE, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return Given::Void;
        }
        self.give_between(0, self.steps.len(), late);
        if late.is_empty() { Given::Back } else { Given::Late }
    }

    /// Gives the first ones back again.
    #[cold]
    fn back_off(&self, to: usize, late: &mut Vec<usize>) {
        self.give_between(0, to, late);
    }

    fn give_between(&self, from: usize, to: usize, late: &mut Vec<usize>) {
        for (at, step) in self.steps.iter().enumerate().take(to).skip(from) {
            if !step.word.give(step.mode, self.holder) {
                late.push(at);
            }
        }
    }

    /// Whether it could be had, as far as a look at one word after the other tells.
    #[inline]
    pub fn looks_free(&self) -> bool {
        !self.steps.is_empty() && self.steps.iter().all(|step| step.word.looks_free(step.mode))
    }
}
