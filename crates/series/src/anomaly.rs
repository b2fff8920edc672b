//! A streaming anomaly detector: causal, bounded memory, few settings.
//!
//! Three views of the stream, each in units of what was unusual before:
//!
//! * **novelty**: the distance of the last [`PATTERN`] blocks to the nearest of the [`PATTERNS`] patterns
//!   remembered, the idea of nearest-neighbour discord search (Keogh, Lin and Fu 2005) on a stream,
//!   with a bounded memory that forgets what was matched longest ago;
//! * **level**: a fast moving average against a slow one;
//! * **extremes**: a value outside of all seen so far.
//!
//! The first two are divided by a running 99 % quantile of their own past. Values are gathered in blocks,
//! so that the warm-up holds about [`BLOCKS`] of them whatever the sampling rate. After an alarm the bar
//! is a little higher for a while (habituation), and silence is kept for the refractory period unless
//! something much more unusual breaks it.

mod builder;
mod memory;

pub use builder::{AnomalyDetectorBuilder, DetectorError};

use builder::Settings;
use memory::{Memory, Usual};
use std::cmp::Ordering;
use std::fmt;

/// Blocks in the warm-up.
const BLOCKS: usize = 96;
/// Blocks in a pattern.
const PATTERN: usize = 14;
/// Patterns remembered.
const PATTERNS: usize = 128;
/// A value so far off its block's mean, as a share of the range, stands for the block.
const STANDS_OUT: f64 = 0.1;
/// An excess over all seen so far that is worth an alarm, as a share of the range.
const EXCESS: f64 = 0.003;
/// The weights of the views that reach a score of 1/2 at their usual extreme.
const NOVELTY: f64 = 1.4;
const LEVEL: f64 = 0.7;
/// What is usual is at least this share of the range: a flat past excuses small moves.
const GRAIN: f64 = 0.02;
/// The fast and the slow moving average.
const FAST: f64 = 0.25;
const SLOW: f64 = 0.03;
/// Each alarm raises the bar by this, and each block takes this share of it back.
const HABIT: f64 = 0.5;
const RECOVER: f64 = 0.02;
/// So much more unusual than the last alarm breaks the silence after it.
const LOUDER: f64 = 4.0;
/// Values are held within this, so that no difference or sum overflows.
const HUGE: f64 = 1e300;

/// What a detector says about one value.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Observation {
    /// How unusual the value is, in `0..=1`: 1/2 is about the most unusual of a hundred before. 0 while
    /// warming up and for values that are not finite.
    pub score: f64,
    /// The score reached the threshold, and no alarm was raised within the refractory period (or only one
    /// that was four times less unusual).
    pub anomalous: bool,
    /// The level that was expected before this value was seen; NaN before the first.
    pub expected: f64,
}

/// Scores each value of a stream as it comes, from what came before it only.
///
/// It needs neither period nor scale nor bounds, only how long to learn before it speaks. It keeps about
/// 17 kB and takes about 2 µs per block of `warm_up / 96` values, whatever the length of the stream.
/// Shifted, scaled or mirrored streams get the same alarms.
///
/// Within a block only new extremes are scored; patterns and levels are judged at its end.
///
/// ```
/// use ropewalk_series::AnomalyDetector;
///
/// let mut detector = AnomalyDetector::new(200);
/// let healthy = |i: usize| 100.0 + 10.0 * (i as f64 / 20.0).sin();
/// for i in 0..600 {
///     assert!(!detector.observe(healthy(i)).anomalous);
/// }
/// let seen = detector.observe(400.0);
/// assert!(seen.anomalous && seen.score > 0.9);
/// ```
#[derive(Clone)]
pub struct AnomalyDetector {
    settings: Settings,
    /// Values seen.
    seen: usize,
    /// Values until an alarm may be raised again.
    quiet: usize,
    block: Block,
    /// The least and the greatest value seen.
    range: Option<(f64, f64)>,
    memory: Memory,
    fast: f64,
    slow: f64,
    usual_novelty: Usual,
    usual_level: Usual,
    /// 1, raised by each alarm.
    bar: f64,
    /// How unusual the last alarm was.
    loudest: f64,
}

#[derive(Clone, Copy)]
struct Block {
    count: usize,
    sum: f64,
    low: f64,
    high: f64,
}

impl Block {
    const EMPTY: Self = Self { count: 0, sum: 0.0, low: f64::INFINITY, high: f64::NEG_INFINITY };

    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.low = self.low.min(value);
        self.high = self.high.max(value);
    }

    /// The mean, or the extreme that stands out (of two, the one further from what was expected).
    fn value(&self, range: f64, expected: f64) -> f64 {
        let mean = self.sum / self.count as f64;
        let (up, down) = (self.high - mean, mean - self.low);
        if up.max(down) <= STANDS_OUT * range {
            return mean;
        }
        let (above, below) = ((self.high - expected).abs(), (expected - self.low).abs());
        match up.total_cmp(&down).then(above.total_cmp(&below)) {
            Ordering::Greater => self.high,
            Ordering::Less => self.low,
            Ordering::Equal => mean,
        }
    }
}

impl AnomalyDetector {
    /// A detector that learns from the first `warm_up` values before it scores; at least 16 are taken.
    pub fn new(warm_up: usize) -> Self {
        Self::with(Settings::new(warm_up.max(builder::LEAST)))
    }

    /// Sets more than the warm-up.
    pub fn builder(warm_up: usize) -> AnomalyDetectorBuilder {
        AnomalyDetectorBuilder::new(warm_up)
    }

    fn with(settings: Settings) -> Self {
        Self {
            settings,
            seen: 0,
            quiet: 0,
            block: Block::EMPTY,
            range: None,
            memory: Memory::new(),
            fast: f64::NAN,
            slow: f64::NAN,
            usual_novelty: Usual::new(),
            usual_level: Usual::new(),
            bar: 1.0,
            loudest: 0.0,
        }
    }

    /// Scores a value against what was seen before, then learns from it.
    ///
    /// A value that is not finite is a gap: score 0, nothing learned. Values beyond 1e300 count as that.
    pub fn observe(&mut self, value: f64) -> Observation {
        let expected = self.fast;
        if !value.is_finite() {
            return Observation { score: 0.0, anomalous: false, expected };
        }
        let value = value.clamp(-HUGE, HUGE);
        self.quiet = self.quiet.saturating_sub(1);
        let mut unusual = self.excess(value);
        if self.fast.is_nan() {
            (self.fast, self.slow) = (value, value);
        }
        self.block.add(value);
        if self.block.count >= self.settings.block() {
            unusual = unusual.max(self.end_block());
        }
        self.seen = self.seen.saturating_add(1);
        let score = if self.seen > self.settings.warm_up { 1.0 - (-unusual / self.bar).exp2() } else { 0.0 };
        let silent = self.quiet > 0 && unusual < LOUDER * self.loudest;
        let anomalous = score >= self.settings.threshold && !silent;
        if anomalous {
            self.loudest = unusual;
            self.quiet = self.settings.refractory.saturating_add(1);
            self.bar += HABIT;
        }
        Observation { score, anomalous, expected }
    }

    /// How far the value is outside of all before, in excesses worth an alarm; widens the range.
    fn excess(&mut self, value: f64) -> f64 {
        let Some((low, high)) = self.range else {
            self.range = Some((value, value));
            return 0.0;
        };
        self.range = Some((low.min(value), high.max(value)));
        let excess = (value - high).max(low - value).max(0.0);
        // After a constant any change is infinitely unusual.
        if excess == 0.0 { 0.0 } else { excess / (EXCESS * (high - low)) }
    }

    /// Judges and learns the finished block.
    fn end_block(&mut self) -> f64 {
        let (low, high) = self.range.unwrap_or_default();
        let range = (high - low).max(f64::MIN_POSITIVE);
        let value = self.block.value(range, self.fast);
        self.block = Block::EMPTY;
        self.bar = 1.0 + (self.bar - 1.0) * (1.0 - RECOVER);
        self.fast += FAST * (value - self.fast);
        self.slow += SLOW * (value - self.slow);
        let Some(novelty) = self.memory.meet(value, range) else { return 0.0 };
        let level = (self.fast - self.slow).abs() / range;
        let unusual = (NOVELTY * novelty / (self.usual_novelty.value() + GRAIN))
            .max(LEVEL * level / (self.usual_level.value() + GRAIN));
        // At first everything is new: the memory fills before it is asked what is usual.
        if self.seen >= self.settings.warm_up / 3 {
            self.usual_novelty.learn(novelty);
        }
        self.usual_level.learn(level);
        unusual
    }
}

impl fmt::Debug for AnomalyDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnomalyDetector")
            .field("settings", &self.settings)
            .field("seen", &self.seen)
            .field("range", &self.range)
            .field("expected", &self.fast)
            .finish_non_exhaustive()
    }
}
