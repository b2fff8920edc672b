//! What the detector remembers: patterns, and how unusual things usually get.

use super::{PATTERN, PATTERNS};

/// Two patterns closer than this share of the range are one.
const SAME: f64 = 0.01;
/// The quantile of the past that counts as usual.
const SHARE: f64 = 0.99;
/// So many first values set the quantile by their maximum.
const FIRST: u32 = 30;

/// A bounded set of patterns that were met, and the latest blocks.
#[derive(Clone)]
pub(super) struct Memory {
    latest: [f64; PATTERN],
    met: usize,
    patterns: Vec<Pattern>,
}

#[derive(Clone)]
struct Pattern {
    values: [f64; PATTERN],
    /// When it was last the nearest.
    matched: usize,
    /// When it was met first.
    born: usize,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { latest: [0.0; PATTERN], met: 0, patterns: Vec::new() }
    }

    /// Takes the next block's value. Once a pattern is full: its mean distance per block to the nearest
    /// one remembered, as a share of the range.
    ///
    /// Patterns that overlap with this one do not count (trivial matches): what dies away slowly would
    /// always resemble what it was a moment ago.
    pub(super) fn meet(&mut self, value: f64, range: f64) -> Option<f64> {
        self.latest.rotate_left(1);
        self.latest[PATTERN - 1] = value;
        self.met = self.met.saturating_add(1);
        if self.met < PATTERN {
            return None;
        }
        let met = self.met;
        let nearest = self
            .patterns
            .iter_mut()
            .filter(|pattern| met >= pattern.born + PATTERN)
            .map(|pattern| (distance(&pattern.values, &self.latest), pattern))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((distance, pattern)) = nearest {
            let novelty = distance / (PATTERN as f64 * range);
            if novelty <= SAME {
                pattern.matched = self.met;
                return Some(novelty);
            }
            self.remember();
            return Some(novelty);
        }
        self.remember();
        Some(0.0)
    }

    fn remember(&mut self) {
        if self.patterns.len() == PATTERNS {
            let oldest = (0..PATTERNS).min_by_key(|i| self.patterns[*i].matched).unwrap_or(0);
            self.patterns.swap_remove(oldest);
        }
        self.patterns.push(Pattern { values: self.latest, matched: self.met, born: self.met });
    }
}

fn distance(a: &[f64; PATTERN], b: &[f64; PATTERN]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum()
}

/// A running 99 % quantile by stochastic approximation (Robbins and Monro 1951): up by much when it is
/// exceeded, down by little when it is not, in steps that follow its own size.
#[derive(Clone)]
pub(super) struct Usual {
    quantile: f64,
    learned: u32,
}

impl Usual {
    pub(super) fn new() -> Self {
        Self { quantile: 0.0, learned: 0 }
    }

    pub(super) fn value(&self) -> f64 {
        self.quantile
    }

    pub(super) fn learn(&mut self, value: f64) {
        self.learned = self.learned.saturating_add(1);
        let step = 4.0 * (3.0 / f64::from(self.learned)).max(0.01) * self.quantile.max(1e-4);
        if value <= self.quantile {
            self.quantile -= step * (1.0 - SHARE);
        } else if self.learned < FIRST {
            self.quantile = value;
        } else {
            self.quantile = (self.quantile + step * SHARE).min(value);
        }
    }
}
