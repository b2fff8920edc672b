//! A sum kept in several words, so that writers on different stripes share no cache line.
//!
//! Every word only grows (until it wraps), each `add` is one `fetch_add` on one word, and a reader adds
//! the words up one after the other. So:
//!
//! * nothing is lost: once all adds are over, the sum is exact;
//! * sums read one after the other by one thread never shrink: each word is read in coherence order;
//! * a sum read beside adds lies between the sum before the first and the sum after the last of them,
//!   but it is **not linearizable**: of two adds on different stripes, the reader may see the later one
//!   only. It has then read an intermediate value that no instant ever had.
//!
//! Relaxed suffices throughout: no other memory is published by a counter.

use crossbeam_utils::CachePadded;
use ropewalk_prove::sync::atomic::{AtomicU64, Ordering};

/// A wrapping 64-bit sum over a power of two of padded words.
#[derive(Debug)]
pub struct Stripes {
    words: Box<[CachePadded<AtomicU64>]>,
}

impl Stripes {
    /// At least `stripes` words, rounded up to a power of two.
    pub fn new(stripes: usize) -> Self {
        let count = stripes.max(1).next_power_of_two();
        Self { words: (0..count).map(|_| CachePadded::new(AtomicU64::new(0))).collect() }
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Never: there is at least one word.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Adds to one stripe (any number; taken modulo the count) and returns that word's old value.
    #[inline]
    pub fn add(&self, stripe: usize, n: u64) -> u64 {
        self.words[stripe & (self.words.len() - 1)].fetch_add(n, Ordering::Relaxed)
    }

    /// The words added up without wrapping.
    pub fn wide_sum(&self) -> u128 {
        self.words.iter().map(|word| u128::from(word.load(Ordering::Relaxed))).sum()
    }

    /// The words added up, wrapping.
    pub fn sum(&self) -> u64 {
        self.words.iter().fold(0, |sum, word| sum.wrapping_add(word.load(Ordering::Relaxed)))
    }
}
