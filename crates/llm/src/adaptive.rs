//! Concurrency that finds the backend's knee by itself.
//!
//! Time is cut into epochs. An epoch watches the first calls that start in it, at least 32 and at least as
//! many as may be in flight, and lasts until all of them have ended: with those that end first alone,
//! long answers would be left out and the mean would lie. An epoch is *congested* when its mean latency is above 1.1 times the unloaded latency
//! and two standard errors; then the limit jumps to throughput times unloaded latency (Little's law), and if
//! that does not help, the answers are longer than they were and the unloaded latency is what is seen. An epoch that used its limit and was not congested grows it: twofold until the first congestion,
//! then by a twentieth. More than 2 % refusals also set it by Little's law, and hold it for a while. Every 32
//! epochs one at half load measures the unloaded latency again. Means over many calls, not minima of
//! single ones, because answers of models differ in length far more than queues do.

use crate::BuildError;
use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

const EPOCH: u64 = 32;
const PROBE_EVERY: u32 = 32;
const HOLD: u32 = 16;
/// The epoch of calls that no epoch watches.
const UNWATCHED: u64 = u64::MAX;

/// How many calls may be in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Concurrency {
    /// Always this many.
    Fixed(usize),
    /// As many as the backend serves without queueing them.
    Adaptive(Adaptive),
}

impl From<usize> for Concurrency {
    fn from(calls: usize) -> Self {
        Self::Fixed(calls)
    }
}

impl From<Adaptive> for Concurrency {
    fn from(adaptive: Adaptive) -> Self {
        Self::Adaptive(adaptive)
    }
}

/// Concurrency that follows the backend: raised while latency stays flat, lowered when calls queue up
/// or are refused.
///
/// ```
/// use ropewalk_llm::Adaptive;
/// let follow = Adaptive::new(2..=200).start(20);
/// # let _ = follow;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adaptive {
    min: usize,
    max: usize,
    start: Option<usize>,
}

/// From 1 to 1,024 calls, starting at 10.
impl Default for Adaptive {
    fn default() -> Self {
        Self::new(1..=1_024)
    }
}

impl Adaptive {
    /// Stays within `range`.
    pub fn new(range: RangeInclusive<usize>) -> Self {
        Self { min: *range.start(), max: *range.end(), start: None }
    }

    /// Where to start: 10, or the nearest to it in the range, by default.
    #[must_use]
    pub fn start(mut self, calls: usize) -> Self {
        self.start = Some(calls);
        self
    }
}

impl Concurrency {
    /// The limit to start with, and what moves it.
    pub(crate) fn build(&self, now: Instant) -> Result<(usize, Option<Controller>), BuildError> {
        match *self {
            Self::Fixed(0) => Err(BuildError::Zero("concurrency")),
            Self::Fixed(calls) => Ok((calls, None)),
            Self::Adaptive(Adaptive { min, max, start }) => {
                let default = 10.max(min).min(max);
                let start = start.unwrap_or(default);
                if min == 0 || min > start || start > max {
                    return Err(BuildError::NoRange { min, start, max });
                }
                Ok((start, Some(Controller::new(min, max, start, now))))
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Controller {
    min: f64,
    max: f64,
    limit: f64,
    /// Mean latency in seconds when nothing queues.
    base: Option<f64>,
    doubling: bool,
    hold: u32,
    until_probe: u32,
    probing: bool,
    after: After,
    epoch: Epoch,
}

/// What the epochs before this one did to the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Steady,
    /// The last one lowered it.
    Cut,
    /// The one before the last lowered it, and the last let the calls from before drain.
    Settled,
}

#[derive(Debug)]
struct Epoch {
    number: u64,
    start: Instant,
    limit: usize,
    /// Calls to watch that are still to start.
    unstarted: u64,
    /// Calls to watch that have not ended.
    open: u64,
    answers: u64,
    refused: u64,
    sum: f64,
    squares: f64,
    /// All completions in the epoch's time, those that started before it included.
    done: u64,
    full: bool,
}

impl Controller {
    fn new(min: usize, max: usize, start: usize, now: Instant) -> Self {
        Self {
            min: min as f64,
            max: max as f64,
            limit: start as f64,
            base: None,
            doubling: true,
            hold: 0,
            until_probe: PROBE_EVERY,
            probing: false,
            after: After::Steady,
            epoch: Epoch::new(0, start, now),
        }
    }

    /// A call starts; `full` when no more may start beside it. Hand the number to [`ended`](Self::ended).
    pub(crate) fn started(&mut self, full: bool) -> u64 {
        self.epoch.full |= full;
        match self.epoch.unstarted.checked_sub(1) {
            Some(left) => {
                self.epoch.unstarted = left;
                self.epoch.number
            }
            None => UNWATCHED,
        }
    }

    /// A call of the epoch `started` in ended. Returns the new limit.
    pub(crate) fn ended(&mut self, started: u64, now: Instant, latency: Duration, refused: bool) -> usize {
        let epoch = &mut self.epoch;
        if !refused {
            epoch.done += 1;
        }
        if started == epoch.number {
            if refused {
                epoch.refused += 1;
            } else {
                let latency = latency.as_secs_f64();
                epoch.answers += 1;
                epoch.sum += latency;
                epoch.squares += latency * latency;
            }
            epoch.open -= 1;
            if epoch.open == 0 {
                self.end_epoch(now);
            }
        }
        self.epoch.limit
    }

    fn end_epoch(&mut self, now: Instant) {
        let Epoch { number, start, answers, refused, sum, squares, done, full, .. } = self.epoch;
        let seconds = now.saturating_duration_since(start).as_secs_f64();
        if answers > 0 && seconds > 0.0 {
            let n = answers as f64;
            let mean = sum / n;
            let error = ((squares / n - mean * mean).max(0.0) / n).sqrt();
            self.judge(mean, error, done as f64 / seconds, refused as f64 / (answers + refused) as f64, full);
        } else if refused > 0 {
            // Nothing but refusals: there is no throughput to go by.
            self.limit = (self.limit / 2.0).max(self.min);
            self.doubling = false;
        }
        let limit = if self.probing { (self.limit / 2.0).max(self.min) } else { self.limit };
        self.epoch = Epoch::new(number + 1, (limit.round() as usize).max(1), now);
    }

    fn judge(&mut self, mean: f64, error: f64, throughput: f64, refused: f64, full: bool) {
        let base = *self.base.get_or_insert(mean);
        if self.probing {
            self.probing = false;
            self.base = Some((base + mean) / 2.0);
            return;
        }
        let after = std::mem::replace(&mut self.after, After::Steady);
        if after == After::Cut {
            // Calls of this epoch still stood behind those that the old limit had let in.
            self.after = After::Settled;
            return;
        }
        let overload = refused > 0.02;
        if overload {
            self.hold = HOLD;
        } else if mean > 1.10 * base + 2.0 * error {
            if after == After::Settled {
                // Fewer calls, and no faster: it is not the queue, the answers have become longer.
                self.base = Some(mean);
                return;
            }
        } else {
            if mean + 2.0 * error < base {
                self.base = Some((base + mean) / 2.0);
            }
            return self.grow(full);
        }
        let cut = (throughput * base).clamp(self.min, self.max);
        if cut < self.limit {
            self.limit = cut;
            self.after = After::Cut;
        }
        self.doubling = false;
    }

    fn grow(&mut self, full: bool) {
        if self.hold > 0 {
            self.hold -= 1;
        } else if full {
            let step = if self.doubling { self.limit } else { (self.limit * 0.05).max(1.0) };
            self.limit = (self.limit + step).min(self.max);
        }
        self.until_probe = self.until_probe.saturating_sub(1);
        if self.until_probe == 0 {
            self.until_probe = PROBE_EVERY;
            self.probing = true;
        }
    }
}

impl Epoch {
    fn new(number: u64, limit: usize, start: Instant) -> Self {
        let watched = EPOCH.max(limit as u64);
        Self {
            number,
            start,
            limit,
            unstarted: watched,
            open: watched,
            answers: 0,
            refused: 0,
            sum: 0.0,
            squares: 0.0,
            done: 0,
            full: false,
        }
    }
}

#[cfg(test)]
mod tests;
