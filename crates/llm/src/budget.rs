//! Rate budgets: so many requests and so many tokens in a period.
//!
//! Each is a bucket that fills steadily. A call may leave when every bucket holds what it is thought to
//! cost; what it really cost is settled when it returns, as a refund or as a debt that later calls wait
//! for. A call dearer than a whole bucket leaves when the bucket is full, and the rest is debt, so
//! nothing waits for ever.

use crate::{Allowance, BuildError};
use std::time::{Duration, Instant};

/// So many requests and tokens in a period.
///
/// ```
/// use ropewalk_llm::Budget;
/// let budget = Budget::per_minute().requests(500).tokens(100_000);
/// # let _ = budget;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    period: Duration,
    requests: Option<u64>,
    tokens: Option<u64>,
    burst: Option<Duration>,
}

impl Budget {
    /// A budget for each minute, unlimited until it is given limits.
    pub fn per_minute() -> Self {
        Self::per(Duration::from_secs(60))
    }

    /// A budget for each `period`, unlimited until it is given limits.
    pub fn per(period: Duration) -> Self {
        Self { period, requests: None, tokens: None, burst: None }
    }

    /// The most requests in a period.
    #[must_use]
    pub fn requests(mut self, requests: u64) -> Self {
        self.requests = Some(requests);
        self
    }

    /// The most tokens in a period, questions and answers together.
    #[must_use]
    pub fn tokens(mut self, tokens: u64) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// How much of the budget may be used at once after a quiet time: what `time` would bring. A sixth
    /// of the period by default. In any period at most the budget and one burst are used.
    #[must_use]
    pub fn burst(mut self, time: Duration) -> Self {
        self.burst = Some(time);
        self
    }

    fn check(&self) -> Result<(), BuildError> {
        if self.period.is_zero() {
            return Err(BuildError::Zero("budget period"));
        }
        if self.requests == Some(0) {
            return Err(BuildError::Zero("budget requests"));
        }
        if self.tokens == Some(0) {
            return Err(BuildError::Zero("budget tokens"));
        }
        Ok(())
    }
}

/// The budget as it stands.
#[derive(Debug, Default)]
pub(crate) struct Purse {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
}

impl Purse {
    pub(crate) fn new(budget: &Budget, now: Instant) -> Result<Self, BuildError> {
        budget.check()?;
        let burst = budget.burst.unwrap_or(budget.period / 6);
        let bucket = |limit: u64| Bucket::new(limit as f64 / budget.period.as_secs_f64(), burst, now);
        Ok(Self { requests: budget.requests.map(bucket), tokens: budget.tokens.map(bucket) })
    }

    /// Takes one request of `tokens`.
    ///
    /// # Errors
    ///
    /// How long to wait before it can be had.
    pub(crate) fn take(&mut self, now: Instant, tokens: u64) -> Result<(), Duration> {
        let wait =
            |bucket: &mut Option<Bucket>, n| bucket.as_mut().map_or(Duration::ZERO, |b| b.wait(now, n));
        let wait = wait(&mut self.requests, 1).max(wait(&mut self.tokens, tokens));
        if !wait.is_zero() {
            return Err(wait);
        }
        self.add(-1.0, -(tokens as f64));
        Ok(())
    }

    /// A call that was thought to cost `estimate` cost `real`.
    pub(crate) fn settle(&mut self, estimate: u64, real: u64) {
        self.add(0.0, estimate as f64 - real as f64);
    }

    /// A call that was thought to cost `estimate` was refused and cost nothing.
    pub(crate) fn refund(&mut self, estimate: u64) {
        self.add(1.0, estimate as f64);
    }

    /// The server says that no more is left than this. It is believed only where it is the smaller;
    /// zero is what servers send that count otherwise, so it is not believed.
    pub(crate) fn lower_to(&mut self, allowance: Allowance) {
        let lower = |bucket: &mut Option<Bucket>, left: Option<u64>| {
            if let (Some(bucket), Some(left)) = (bucket, left.filter(|&left| left > 0)) {
                bucket.level = bucket.level.min(left as f64);
            }
        };
        lower(&mut self.requests, allowance.requests);
        lower(&mut self.tokens, allowance.tokens);
    }

    fn add(&mut self, requests: f64, tokens: f64) {
        if let Some(bucket) = &mut self.requests {
            bucket.level = (bucket.level + requests).min(bucket.size);
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.level = (bucket.level + tokens).min(bucket.size);
        }
    }
}

#[derive(Debug)]
struct Bucket {
    /// Per second.
    rate: f64,
    size: f64,
    /// Below zero is debt.
    level: f64,
    filled: Instant,
}

/// Sums of fractions may miss a whole by this much.
const ROUNDING: f64 = 1e-6;

impl Bucket {
    fn new(rate: f64, burst: Duration, now: Instant) -> Self {
        let size = (rate * burst.as_secs_f64()).max(1.0);
        Self { rate, size, level: size, filled: now }
    }

    fn wait(&mut self, now: Instant, n: u64) -> Duration {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.level = (self.level + elapsed * self.rate).min(self.size);
        self.filled = self.filled.max(now);
        let missing = (n as f64).min(self.size) - self.level;
        if missing <= ROUNDING {
            return Duration::ZERO;
        }
        let wait = Duration::try_from_secs_f64(missing / self.rate).unwrap_or(Duration::MAX);
        wait.saturating_add(Duration::from_nanos(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(n: f64) -> Duration {
        Duration::from_secs_f64(n)
    }

    #[test]
    fn after_the_burst_requests_come_at_the_rate() {
        let start = Instant::now();
        let mut purse = Purse::new(&Budget::per_minute().requests(60), start).unwrap();
        for _ in 0..10 {
            assert_eq!(purse.take(start, 0), Ok(()));
        }
        let wait = purse.take(start, 0).unwrap_err();
        assert!(wait >= seconds(1.0) && wait < seconds(1.001), "{wait:?}");
        assert_eq!(purse.take(start + wait, 0), Ok(()));
    }

    #[test]
    fn tokens_are_settled_by_what_was_used() {
        let start = Instant::now();
        let mut purse = Purse::new(&Budget::per_minute().tokens(6_000), start).unwrap();
        assert_eq!(purse.take(start, 1_000), Ok(()));
        purse.settle(1_000, 1_500);
        // 500 in debt, 100 a second.
        let wait = purse.take(start, 100).unwrap_err();
        assert!((wait.as_secs_f64() - 6.0).abs() < 0.01, "{wait:?}");
        purse.settle(1_000, 300);
        assert_eq!(purse.take(start, 200), Ok(()));
    }

    #[test]
    fn a_refused_call_gives_everything_back() {
        let start = Instant::now();
        let budget = Budget::per_minute().requests(60).tokens(60).burst(seconds(1.0));
        let mut purse = Purse::new(&budget, start).unwrap();
        assert_eq!(purse.take(start, 1), Ok(()));
        assert!(purse.take(start, 1).is_err());
        purse.refund(1);
        assert_eq!(purse.take(start, 1), Ok(()));
    }

    #[test]
    fn a_call_dearer_than_the_burst_waits_for_a_full_bucket_and_leaves_a_debt() {
        let start = Instant::now();
        let mut purse = Purse::new(&Budget::per_minute().tokens(600), start).unwrap();
        assert_eq!(purse.take(start, 1_000), Ok(()));
        let wait = purse.take(start, 1).unwrap_err();
        assert!(wait > seconds(89.0) && wait < seconds(91.0), "{wait:?}");
    }

    #[test]
    fn the_servers_word_only_lowers() {
        let start = Instant::now();
        let mut purse = Purse::new(&Budget::per_minute().requests(600).tokens(600), start).unwrap();
        purse.lower_to(Allowance::new(Some(1_000), Some(0)));
        assert_eq!(purse.take(start, 50), Ok(()));
        purse.lower_to(Allowance::new(Some(1), None));
        assert_eq!(purse.take(start, 1), Ok(()));
        assert!(purse.take(start, 1).is_err());
    }

    #[test]
    fn zeros_are_refused_and_a_huge_wait_does_not_overflow() {
        let now = Instant::now();
        assert!(Purse::new(&Budget::per(Duration::ZERO), now).is_err());
        assert!(Purse::new(&Budget::per_minute().requests(0), now).is_err());
        assert!(Purse::new(&Budget::per_minute().tokens(0), now).is_err());
        let mut purse =
            Purse::new(&Budget::per(Duration::MAX).requests(1).burst(Duration::ZERO), now).unwrap();
        assert_eq!(purse.take(now, 1), Ok(()));
        assert!(purse.take(now, 1).is_err());
        purse.settle(u64::MAX, 0);
        purse.settle(0, u64::MAX);
    }

    proptest! {
        #[test]
        fn no_period_sees_more_than_the_budget_and_a_burst(
            steps in prop::collection::vec((0..900_u64, 1..40_u64), 1..200),
            limit in 10..200_u64,
        ) {
            let start = Instant::now();
            let period = seconds(10.0);
            let mut purse = Purse::new(&Budget::per(period).tokens(limit).burst(seconds(1.0)), start).unwrap();
            let mut now = start;
            let mut taken: Vec<(Instant, u64)> = Vec::new();
            for (millis, tokens) in steps {
                now += Duration::from_millis(millis);
                if purse.take(now, tokens).is_ok() {
                    taken.push((now, tokens));
                }
            }
            for &(from, _) in &taken {
                let in_period = taken.iter().filter(|&&(at, _)| at >= from && at < from + period);
                let used: u64 = in_period.clone().map(|&(_, n)| n).sum();
                // The last call of the period may leave a debt of up to itself.
                let last = in_period.map(|&(_, n)| n).next_back().unwrap_or(0);
                prop_assert!(used <= limit + (limit / 10).max(1) + last + 1, "{used} of {limit}");
            }
        }
    }
}
