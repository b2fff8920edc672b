//! The sequential test behind a rollout.
//!
//! Every request is routed to the new side with a known probability `q` (the step's percentage). If both
//! sides fail equally often, then, of the requests that *fail*, each was routed to the new side with its own
//! `q`, independently. So only failures need to be looked at: the test multiplies, for each failure, the
//! likelihood of its side if the new one failed `r` times as often, `q r / (q r + 1 - q)` for the new side,
//! by the inverse of its likelihood under equal rates, `q`. That product is a martingale under equal rates
//! and shrinks on average if the new side is better; so is its mean over several `r` (1.5, 2, 4, 10) and
//! over when the new side became worse (at the `t`th failure, with weight `1 / (t (t + 1))`). By Ville's
//! inequality that mean ever reaches `1 / alpha` with a probability of `alpha` at most, however often one
//! looks: the test may be read after each request and needs no sample size fixed beforehand. It is Wald's
//! sequential ratio test (1945) with a mixture of alternatives (Robbins 1970), on the sides of failures
//! (as in tests of vaccines, where it is known whose dose each infected person had).
//!
//! It assumes that requests fail independently of each other. With [`route`](crate::Rollout::route) a key stays on
//! its side, so one key that always fails counts again and again: then let `significance` be small.
//!
//! At 100 % there is no old side to compare with; there, and at every other step, a ceiling
//! ([`max_error_rate`](crate::RolloutBuilder::max_error_rate)) is tested in the same way.

use super::Side;

/// How many times as often the new side may fail, as the test supposes.
const RATIOS: [f64; 4] = [1.5, 2.0, 4.0, 10.0];

/// What a rollout has counted since it began, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Evidence {
    /// Of the old side.
    pub old: RolloutCounts,
    /// Of the new side.
    pub new: RolloutCounts,
    /// How much likelier the failures are if the new side is worse than if it is not; a rollback follows
    /// at `1 / significance`.
    pub worse: f64,
    /// The same for being above the ceiling; 0 without one.
    pub above_ceiling: f64,
}

/// Requests of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RolloutCounts {
    /// Requests that ended.
    pub requests: u64,
    /// Those that failed.
    pub failures: u64,
}

/// The test on the sides of failures.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sides {
    /// The weighted products begun so far, one sum for each ratio.
    sums: [f64; RATIOS.len()],
    /// Failures it has seen.
    seen: f64,
}

impl Sides {
    /// A request failed that had been routed to the new side with probability `share`.
    pub(super) fn failed(&mut self, side: Side, share: f64) {
        if share <= 0.0 || share >= 1.0 {
            return; // its side was certain and says nothing
        }
        self.seen += 1.0;
        let fresh = 1.0 / (self.seen * (self.seen + 1.0));
        for (sum, ratio) in self.sums.iter_mut().zip(RATIOS) {
            let supposed = share * ratio / (share * ratio + 1.0 - share);
            *sum = (*sum + fresh)
                * match side {
                    Side::New => supposed / share,
                    Side::Old => (1.0 - supposed) / (1.0 - share),
                };
            // Above every bar; kept finite for those who read it.
            *sum = sum.min(1e300);
        }
    }

    /// How much likelier what was seen is if the new side is worse.
    pub(super) fn worse(&self) -> f64 {
        // Those begun, and the weight of those that begin at later failures.
        self.sums.iter().sum::<f64>() / RATIOS.len() as f64 + 1.0 / (self.seen + 1.0)
    }
}

/// How much likelier `counts` are above a failure rate of `ceiling` than at it.
pub(super) fn above(ceiling: f64, counts: RolloutCounts) -> f64 {
    let successes = (counts.requests - counts.failures) as f64;
    let product = |ratio: f64| {
        // Never quite certain of failure, or one success would refute it for good.
        let supposed = (ceiling * ratio).min((1.0 + ceiling) / 2.0);
        let failed = (supposed / ceiling).ln() * counts.failures as f64;
        (failed + ((1.0 - supposed) / (1.0 - ceiling)).ln() * successes).exp().min(1e300)
    };
    RATIOS.iter().map(|ratio| product(*ratio)).sum::<f64>() / RATIOS.len() as f64
}
