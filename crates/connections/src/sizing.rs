//! The size that does the most work, found by trying.
//!
//! A server that is asked by more connections at once than it can serve does not merely queue them: it does less
//! work in all (locks, caches, context switches). How many that is depends on the server, on what is asked of it and on
//! the hour, so no formula knows it. Latency does not tell it either: in a saturated pool it always grows with the size.
//! What tells it is the work done. The [`Sizer`] compares two sizes by it, moves to the better one, and asks again.
//!
//! # The comparison
//!
//! Time is cut into windows. The present size *n* and another size are played in turn, in the order n, m, m, n, ..., so that
//! a load that grows or wanes meanwhile weighs on both alike. Each pair of windows gives one relative difference. With
//! `gain` = mean difference − price, and `error` = the standard error of the mean:
//!
//! * *m* is taken when the gain is above its error after the last pair, or far above it ([`SURE`] errors) before;
//! * *m* is dropped when the gain is below minus its error before, or not above its error after the last pair.
//!
//! How many pairs there are at most depends on the noise seen, which is kept from comparison to comparison: as many as
//! bring the error to [`FINE`], 4 at least, 32 at most. A quiet server is judged in 2 to 4 pairs.
//!
//! The **price** makes connections worth something: going from *n* to *m* must bring [`PRICE`] × ln(m/n) more work, 3 % of
//! the growth in connections, or 2 % for twice as many; and a smaller size may lose as much. Per connection that is 0.03/n.
//! It keeps the size down where the law is flat, and costs less than 1 % where it has a peak.
//!
//! # The search
//!
//! Steps are in octaves, since laws of throughput are smooth in ln n. After a step that paid the next is twice as long
//! (one octave at most) in the same direction; after one that did not, the direction turns and the step is halved (to a
//! quarter of an octave, one connection at least). When neither direction pays, the size is *settled* and is left alone: for 16
//! windows, then for 32, 64, 128, as long as no search moves it. While it rests its windows are watched by a two-sided
//! cumulative sum: when the work per window has changed, the law has, and the search begins again at once.
//!
//! The search begins at the geometric middle of the range, as many octaves away from one end as from the other. Growing
//! needs no full cache or warm connection to have been there before: both sizes of a pair are equally cold.
//!
//! # Demand
//!
//! While fewer callers ask than there are connections, the work done says nothing about the size: the search stands still
//! when fewer than 2 % of the callers have to wait. Callers that come whatever the size (an open load) get the same work done by
//! any size that keeps up with them. So a larger size that halves their waiting is taken unless it does less work, and a
//! smaller one at which more wait has to do more. And where nobody gives back a connection for a whole window although others wait, nothing says anything; the size is doubled
//! then, so that callers who hold connections while they wait for more don't wait for ever.

pub(crate) mod pilot;

use std::{fmt, ops::RangeInclusive, time::Duration};

/// How a pool finds its size between the least and the most.
///
/// Fix the size (`size(n..=n)`) where it is known, where callers hold several connections at once or for minutes (their
/// number is the size then), and in a benchmark. Leave it at [`Fixed`](Self::Fixed), which grows with the demand, where the
/// most is known to be what the server serves well. Seek where the server's best is unknown or changes, and uses are short against a
/// second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sizing {
    /// As many connections as callers ask for, up to the most.
    #[default]
    Fixed,
    /// As many as do the most work, found by trying: see [`Sizer`].
    Adaptive,
}

/// Why a size is as it is. Its `Display` says it in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum SizedBy {
    /// It was said: [`Sizing::Fixed`], or a range of one size.
    Fixed,
    /// There is one connection that writes.
    SingleWriter,
    /// Fewer callers ask than there are connections.
    Demand,
    /// Other sizes are being tried.
    Seeking,
    /// The server does no more work with more connections than this.
    Saturated(usize),
    /// This is the most, and fewer would do less.
    Most(usize),
    /// Connections do not come back while callers wait: more are let in.
    Held,
}

impl fmt::Display for SizedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed => f.write_str("fixed"),
            Self::SingleWriter => f.write_str("single writer"),
            Self::Demand => f.write_str("demand"),
            Self::Seeking => f.write_str("seeking"),
            Self::Saturated(n) => write!(f, "server saturated at {n}"),
            Self::Most(n) => write!(f, "settled at {n}, the most"),
            Self::Held => f.write_str("connections held while others wait"),
        }
    }
}

/// What was seen in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The size that was in force.
    pub size: usize,
    /// Connections given back.
    pub completed: u64,
    /// How long it lasted.
    pub elapsed: Duration,
    /// Callers that had to wait for one.
    pub waited: u64,
}

impl Window {
    /// What part of the callers had to wait.
    fn waiting(&self) -> f64 {
        let all = self.completed.max(self.waited);
        if all == 0 { 0.0 } else { self.waited as f64 / all as f64 }
    }
}

/// How much more work so many times e as many connections must do.
const PRICE: f64 = 0.03;
/// A difference of so many standard errors needs no further pairs.
const SURE: f64 = 2.5;
/// The standard error that is fine enough to decide by.
const FINE: f64 = 0.03;
const PAIRS_LEAST: f64 = 4.0;
const PAIRS_MOST: f64 = 32.0;
/// If fewer than this part of the callers wait, the size does not matter.
const DEMAND: f64 = 0.02;
/// A smaller size at which so much more of them wait has to do more work.
const MORE: f64 = 0.1;
/// Steps, in octaves.
const STEP_FIRST: f64 = 0.5;
const STEP_LEAST: f64 = 0.25;
const STEP_MOST: f64 = 1.0;
/// Windows between searches.
const REST_LEAST: u32 = 16;
const REST_MOST: u32 = 128;

/// Finds the best size of a pool by throughput; a pure controller without a clock.
///
/// A pool with [`Sizing::Adaptive`] has one inside. It is public for those who have something else to size: play
/// [`size`](Self::size), measure one window of it, [`record`](Self::record) what was seen, and so on.
///
/// ```
/// use ropewalk_connections::{SizedBy, Sizer, Window};
/// use std::time::Duration;
///
/// // A server that can do four things at once.
/// let mut sizer = Sizer::new(1..=32);
/// for _ in 0..300 {
///     let size = sizer.size();
///     let completed = 1_000 * size.min(4) as u64 - 20 * size as u64;
///     sizer.record(Window { size, completed, elapsed: Duration::from_millis(100), waited: completed });
/// }
/// assert_eq!((sizer.settled(), sizer.why()), (4, SizedBy::Saturated(4)));
/// ```
#[derive(Clone, Debug)]
pub struct Sizer {
    min: usize,
    max: usize,
    /// The size in force, apart from trials.
    base: usize,
    trial: Option<Trial>,
    up: bool,
    step: f64,
    /// Whether growing and shrinking have been tried in vain since the last move.
    vain: [bool; 2],
    noise: Noise,
    rest: u32,
    rested: u32,
    level: Level,
    why: SizedBy,
}

/// A comparison under way.
#[derive(Clone, Copy, Debug)]
struct Trial {
    other: usize,
    /// The pair's first window.
    first: Option<Seen>,
    seen: Moments,
    /// Sums of what part waited, at the base and at the other.
    waiting: [f64; 2],
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    rate: f64,
    waiting: f64,
}

impl Sizer {
    /// Seeks in `range`, from its geometric middle on. An empty range counts as its end, a size of 0 as 1.
    pub fn new(range: RangeInclusive<usize>) -> Self {
        let (min, max) = bounds(&range);
        let middle = (min as f64 * max as f64).sqrt().round() as usize;
        Self {
            min,
            max,
            base: middle.clamp(min, max),
            trial: None,
            up: true,
            step: STEP_FIRST,
            vain: [false; 2],
            noise: Noise::default(),
            rest: 0,
            rested: REST_LEAST / 2,
            level: Level::default(),
            why: if min == max { SizedBy::Fixed } else { SizedBy::Seeking },
        }
    }

    /// Begins at `size` instead, or at the end of the range nearest to it.
    pub fn starting_at(mut self, size: usize) -> Self {
        self.base = size.clamp(self.min, self.max);
        self
    }

    /// The size to play in the next window: the settled one, or another that is compared with it.
    pub fn size(&self) -> usize {
        match &self.trial {
            // n m, m n, n m, ...
            Some(trial) if trial.first.is_some() != (trial.seen.count % 2 == 1) => trial.other,
            Some(_) | None => self.base,
        }
    }

    /// The best size known.
    pub fn settled(&self) -> usize {
        self.base
    }

    /// Why it is as it is.
    pub fn why(&self) -> SizedBy {
        self.why
    }

    /// Changes the range. What is known of sizes inside stays known.
    pub fn set_range(&mut self, range: RangeInclusive<usize>) {
        let (min, max) = bounds(&range);
        if (min, max) == (self.min, self.max) {
            return;
        }
        (self.min, self.max) = (min, max);
        self.base = self.base.clamp(min, max);
        self.search(self.up);
        if min == max {
            self.why = SizedBy::Fixed;
        }
    }

    /// Says that nobody waits and nothing is recorded for a while. The windows before and after make no pair.
    pub fn pause(&mut self) {
        if self.min < self.max {
            self.why = SizedBy::Demand;
        }
        if let Some(trial) = &mut self.trial {
            trial.first = None;
        }
    }

    /// Takes in what a window has shown, and gives the size to play next.
    ///
    /// A window of another size than [`size`](Self::size), or of no length, tells nothing.
    pub fn record(&mut self, window: Window) -> usize {
        let seconds = window.elapsed.as_secs_f64();
        if self.min == self.max || window.size != self.size() || seconds <= 0.0 {
            return self.size();
        }
        // A size beyond the demand is as good as one that meets it: that is a finding. But if the smaller of two meets
        // it, they do not differ.
        let is_larger = self.trial.is_some_and(|trial| window.size == trial.other && trial.other > self.base);
        let waiting = window.waiting();
        if waiting < DEMAND && !is_larger {
            self.trial = None;
            self.why = SizedBy::Demand;
        } else if window.completed == 0 && window.waited > 0 {
            self.base = (self.base * 2).min(self.max);
            self.search(true);
            self.why = SizedBy::Held;
        } else {
            self.learn(Seen { rate: window.completed as f64 / seconds, waiting });
        }
        self.size()
    }

    fn learn(&mut self, now: Seen) {
        let Some(trial) = &mut self.trial else {
            if self.rest > 0 {
                self.rest -= 1;
                self.why = self.settled_why();
                match self.level.watch(now.rate, self.noise.of_one()) {
                    Some(rose) => self.search(rose),
                    None if self.rest > 0 => {}
                    None => {
                        self.step = STEP_FIRST;
                        self.vain = [false; 2];
                        self.try_next();
                    }
                }
            } else {
                self.why = SizedBy::Seeking;
                self.try_next();
            }
            return;
        };
        let Some(first) = trial.first.take() else {
            trial.first = Some(now);
            return;
        };
        // `first` was taken: a pair is complete. In every second one the other size came first.
        let (base, other) = if trial.seen.count % 2 == 1 { (now, first) } else { (first, now) };
        trial.seen.add(relative(base.rate, other.rate));
        trial.waiting[0] += base.waiting;
        trial.waiting[1] += other.waiting;
        self.judge();
    }

    fn judge(&mut self) {
        let Some(Trial { other, seen, waiting, .. }) = self.trial else { return };
        if seen.count < 2 {
            return;
        }
        let (from, to) = (self.base as f64, other as f64);
        let sigma = self.noise.with(&seen);
        let error = sigma / f64::from(seen.count).sqrt();
        let enough = f64::from(seen.count) >= (sigma / FINE).powi(2).clamp(PAIRS_LEAST, PAIRS_MOST);
        let gain = if self.up && waiting[1] < 0.5 * waiting[0] {
            // The larger size spares the callers most of their waiting: that is worth it unless it does less work.
            seen.mean + 2.0 * error
        } else if !self.up && waiting[1] > waiting[0] + MORE * f64::from(seen.count) {
            seen.mean
        } else {
            seen.mean - PRICE * (to / from).ln()
        };
        if gain > error * if enough { 1.0 } else { SURE } {
            self.end_trial(&seen);
            self.base = other;
            self.vain = [false; 2];
            self.rested = REST_LEAST / 2;
            self.step = (self.step * 2.0).min(STEP_MOST);
            self.why = SizedBy::Seeking;
            self.try_next();
        } else if enough || gain < -error {
            self.end_trial(&seen);
            self.vain[usize::from(self.up)] = true;
            self.turn();
            self.try_next();
        }
    }

    fn end_trial(&mut self, seen: &Moments) {
        self.trial = None;
        self.noise.keep(seen);
    }

    fn turn(&mut self) {
        self.up = !self.up;
        self.step = (self.step / 2.0).max(STEP_LEAST);
    }

    /// Begins a comparison, or rests if there is none left.
    fn try_next(&mut self) {
        for _ in 0..2 {
            let other = self.neighbour();
            if other != self.base && !self.vain[usize::from(self.up)] {
                self.trial = Some(Trial { other, first: None, seen: Moments::default(), waiting: [0.0; 2] });
                return;
            }
            self.vain[usize::from(self.up)] = true;
            self.turn();
        }
        self.rested = (self.rested * 2).min(REST_MOST);
        self.rest = self.rested;
        self.level = Level::default();
        self.why = self.settled_why();
    }

    fn neighbour(&self) -> usize {
        let base = self.base as f64;
        let other = base * if self.up { self.step } else { -self.step }.exp2();
        let other = if self.up { other.max(base + 1.0) } else { other.min(base - 1.0) };
        (other.round() as usize).clamp(self.min, self.max)
    }

    /// Seeks anew.
    fn search(&mut self, up: bool) {
        self.trial = None;
        self.up = up;
        self.step = STEP_FIRST;
        self.vain = [false; 2];
        self.rest = 0;
        self.rested = REST_LEAST / 2;
        self.why = SizedBy::Seeking;
    }

    fn settled_why(&self) -> SizedBy {
        if self.base == self.max { SizedBy::Most(self.base) } else { SizedBy::Saturated(self.base) }
    }
}

fn bounds(range: &RangeInclusive<usize>) -> (usize, usize) {
    let max = (*range.end()).max(1);
    ((*range.start()).clamp(1, max), max)
}

/// By how much `to` is more than `from`: symmetric, and within ±2 whatever they are.
fn relative(from: f64, to: f64) -> f64 {
    let sum = from + to;
    if sum > 0.0 { 2.0 * (to - from) / sum } else { 0.0 }
}

/// Mean and spread, by Welford.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    count: u32,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1;
        let delta = value - self.mean;
        self.mean += delta / f64::from(self.count);
        self.squares += delta * (value - self.mean);
    }
}

/// How much the differences of pairs scatter, pooled over the comparisons of late.
#[derive(Clone, Copy, Debug)]
struct Noise {
    squares: f64,
    freedom: f64,
}

impl Default for Noise {
    /// A guess of 3 % that weighs as much as one difference: the first comparison is not believed too soon.
    fn default() -> Self {
        Self { squares: 0.03 * 0.03, freedom: 1.0 }
    }
}

impl Noise {
    const LEAST: f64 = 0.001;
    const MEMORY: f64 = 24.0;

    fn with(&self, seen: &Moments) -> f64 {
        let freedom = self.freedom + f64::from(seen.count) - 1.0;
        ((self.squares + seen.squares) / freedom).sqrt().max(Self::LEAST)
    }

    fn keep(&mut self, seen: &Moments) {
        self.squares += seen.squares;
        self.freedom += f64::from(seen.count) - 1.0;
        if self.freedom > Self::MEMORY {
            self.squares *= Self::MEMORY / self.freedom;
            self.freedom = Self::MEMORY;
        }
    }

    /// Of one window, where a pair has two.
    fn of_one(&self) -> f64 {
        (self.squares / self.freedom / 2.0).sqrt().max(Self::LEAST)
    }
}

/// Watches whether the work per window changes: a two-sided cumulative sum (Page).
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    seen: Moments,
    above: f64,
    below: f64,
}

impl Level {
    const LEARN: u32 = 6;
    const SLACK: f64 = 1.0;
    const ALARM: f64 = 6.0;
    /// One window alone raises no alarm.
    const MOST: f64 = 4.0;

    /// Tells that the rate has changed, and whether it rose.
    fn watch(&mut self, rate: f64, sigma: f64) -> Option<bool> {
        if self.seen.count >= Self::LEARN {
            // Less than 2 % is none of our business, however quiet the server.
            let scale = sigma.max(0.02);
            let z = (relative(self.seen.mean, rate) / scale).clamp(-Self::MOST, Self::MOST);
            self.above = (self.above + z - Self::SLACK).max(0.0);
            self.below = (self.below - z - Self::SLACK).max(0.0);
            if self.above.max(self.below) > Self::ALARM {
                return Some(self.above > self.below);
            }
        }
        self.seen.add(rate);
        None
    }
}
