//! When a failed call is tried again.

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

/// How often and how soon a failed call is tried again.
///
/// The delay doubles from one attempt to the next, with a random part so that calls that failed
/// together do not come back together; a backend that says when it wants to be asked (`Retry-After`)
/// is not asked sooner. A call that is tried again waits for its turn at its old priority and age.
///
/// ```
/// use ropewalk_llm::Retry;
/// use std::time::Duration;
/// let patient = Retry::attempts(5).backoff(Duration::from_secs(1)..=Duration::from_secs(60));
/// # let _ = patient;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    attempts: u32,
    least: Duration,
    most: Duration,
}

/// Three attempts, from half a second to thirty seconds apart.
impl Default for Retry {
    fn default() -> Self {
        Self::attempts(3)
    }
}

impl Retry {
    /// At most so many calls for one question, the first included; 0 counts as 1.
    pub fn attempts(attempts: u32) -> Self {
        Self { attempts: attempts.max(1), least: Duration::from_millis(500), most: Duration::from_secs(30) }
    }

    /// One call for one question.
    pub fn never() -> Self {
        Self::attempts(1)
    }

    /// The delay before the second attempt and the longest delay, both before the random part, which
    /// is at most as long again.
    #[must_use]
    pub fn backoff(mut self, delays: std::ops::RangeInclusive<Duration>) -> Self {
        (self.least, self.most) = (*delays.start(), *delays.end());
        self
    }

    pub(crate) fn start(&self) -> ExponentialBackoff {
        // backon counts in seconds as f32 and multiplies: bounds keep it far from overflow.
        let bound = |delay: Duration| delay.min(Duration::from_secs(24 * 60 * 60));
        ExponentialBuilder::default()
            .with_min_delay(bound(self.least))
            .with_max_delay(bound(self.most.max(self.least)))
            .with_factor(2.0)
            .with_max_times(self.attempts as usize - 1)
            .with_jitter()
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_with_jitter_and_end_with_the_attempts() {
        let second = Duration::from_secs(1);
        let delays: Vec<_> = Retry::attempts(5).backoff(second..=second * 4).start().collect();
        assert_eq!(delays.len(), 4);
        for (delay, least) in delays.into_iter().zip([1, 2, 4, 4]) {
            assert!(delay >= second * least && delay <= second * least * 2, "{delay:?} for {least}");
        }
    }

    #[test]
    fn odd_settings_are_harmless() {
        assert_eq!(Retry::never().start().count(), 0);
        assert_eq!(Retry::attempts(0).start().count(), 0);
        assert_eq!(Retry::attempts(40).backoff(Duration::MAX..=Duration::MAX).start().count(), 39);
        assert_eq!(
            Retry::attempts(3).backoff(Duration::ZERO..=Duration::ZERO).start().sum::<Duration>(),
            Duration::ZERO
        );
        let upside_down = Duration::from_secs(9)..=Duration::from_secs(1);
        assert!(Retry::attempts(2).backoff(upside_down).start().all(|delay| delay >= Duration::from_secs(9)));
    }
}
