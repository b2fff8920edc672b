//! The pause before the next attempt.

use crate::error::BuildError;
use backon::{BackoffBuilder, ExponentialBuilder};
use std::time::Duration;

/// How long to wait before each retry: from 100 ms, twice as long each time, at most 10 s, each
/// stretched at random by up to as much again so that retries do not march in step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    factor: f32,
    jitter: bool,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { min: Duration::from_millis(100), max: Duration::from_secs(10), factor: 2.0, jitter: true }
    }
}

impl Backoff {
    /// No pause at all.
    pub fn none() -> Self {
        Self::fixed(Duration::ZERO)
    }

    /// The same pause each time.
    pub fn fixed(pause: Duration) -> Self {
        Self { min: pause, max: pause, factor: 1.0, jitter: false }
    }

    /// From `min`, twice as long each time, up to `max`, stretched at random.
    pub fn exponential(min: Duration, max: Duration) -> Self {
        Self { min, max, ..Self::default() }
    }

    /// Without the random part.
    pub fn exact(mut self) -> Self {
        self.jitter = false;
        self
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        if self.max < self.min {
            return Err(BuildError::Backoff { min: self.min, max: self.max });
        }
        Ok(())
    }

    /// The pause after the failure of attempt `attempt`, from 1.
    pub(crate) fn pause(&self, attempt: u32) -> Duration {
        let builder = ExponentialBuilder::new()
            .with_min_delay(self.min)
            .with_max_delay(self.max)
            .with_factor(self.factor)
            .without_max_times();
        let builder = if self.jitter { builder.with_jitter() } else { builder };
        // A pause is at its longest long before the 64th attempt.
        let nth = attempt.saturating_sub(1).min(63) as usize;
        builder.build().nth(nth).unwrap_or(self.max)
    }
}
