//! Passive health: nodes whose requests fail are left alone for a while.

use crate::{BuildError, Outcome, shared::Signals};
use std::time::Duration;

/// When a node is ejected because requests failed on it, and for how long.
///
/// A node goes after so many failures in a row, or when within an interval so many requests were made
/// and so large a share of them failed. It stays away for `base_ejection_time` times the number of its
/// ejections so far, `max_ejection_time` at most; one ejection is forgiven for each `base_ejection_time`
/// it then stays well. When its time is over, one request at a time is tried on it: the first success
/// readmits it, a failure ejects it again. Outcomes of requests that began before the node last came up
/// are not held against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ejection {
    consecutive_failures: Option<u32>,
    error_percent: Option<u32>,
    min_requests: u32,
    interval: Duration,
    base: Duration,
    max: Duration,
    max_percent: u32,
}

/// What an outcome means for a node's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Stay,
    Eject,
}

impl Ejection {
    /// After 5 failures in a row or half of at least 20 requests in 10 s; for 30 s times the number of
    /// ejections, 300 s at most; never more than half of all nodes, but one always may be.
    pub fn new() -> Self {
        Self {
            consecutive_failures: Some(5),
            error_percent: Some(50),
            min_requests: 20,
            interval: Duration::from_secs(10),
            base: Duration::from_secs(30),
            max: Duration::from_secs(300),
            max_percent: 50,
        }
    }

    /// After so many failures in a row.
    #[must_use]
    pub fn consecutive_failures(mut self, failures: u32) -> Self {
        self.consecutive_failures = Some(failures);
        self
    }

    /// Failures in a row are no reason.
    #[must_use]
    pub fn without_consecutive_failures(mut self) -> Self {
        self.consecutive_failures = None;
        self
    }

    /// When this percentage of at least `min_requests` requests within [`interval`](Self::interval) failed.
    #[must_use]
    pub fn error_rate(mut self, percent: u32, min_requests: u32) -> Self {
        (self.error_percent, self.min_requests) = (Some(percent), min_requests);
        self
    }

    /// The share of failures is no reason.
    #[must_use]
    pub fn without_error_rate(mut self) -> Self {
        self.error_percent = None;
        self
    }

    /// Over which time the share of failures is taken.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long the first ejection lasts.
    #[must_use]
    pub fn base_ejection_time(mut self, time: Duration) -> Self {
        self.base = time;
        self
    }

    /// How long an ejection lasts at most.
    #[must_use]
    pub fn max_ejection_time(mut self, time: Duration) -> Self {
        self.max = time;
        self
    }

    /// Never more than this percentage of all nodes is ejected at once, but one always may be; at 0 none.
    #[must_use]
    pub fn max_ejection_percent(mut self, percent: u32) -> Self {
        self.max_percent = percent;
        self
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        for (what, value) in
            [("error_rate", self.error_percent.unwrap_or(0)), ("max_ejection_percent", self.max_percent)]
        {
            if value > 100 {
                return Err(BuildError::Percentage { what, value });
            }
        }
        let zero = |what, way_out| Err(BuildError::Zero { what, way_out });
        if self.consecutive_failures == Some(0) {
            return zero("consecutive_failures", ", or without_consecutive_failures()");
        }
        if self.error_percent == Some(0) {
            return zero("error_rate", ", or without_error_rate()");
        }
        if self.interval.is_zero() {
            return zero("the ejection interval", "");
        }
        if self.base.is_zero() {
            return zero("base_ejection_time", "");
        }
        if self.max < self.base { Err(BuildError::EjectionTimes) } else { Ok(()) }
    }

    /// Counts an outcome and says what follows from it.
    pub(crate) fn judge(&self, signals: &mut Signals, outcome: Outcome, now: u64) -> Verdict {
        if now.saturating_sub(signals.interval_start) >= nanos(self.interval) {
            (signals.interval_start, signals.interval_requests, signals.interval_failures) = (now, 0, 0);
        }
        signals.interval_requests = signals.interval_requests.saturating_add(1);
        if outcome != Outcome::Failure {
            // A rejection shows a node that is alive.
            signals.consecutive = 0;
            return Verdict::Stay;
        }
        signals.consecutive = signals.consecutive.saturating_add(1);
        signals.interval_failures = signals.interval_failures.saturating_add(1);
        let in_a_row = self.consecutive_failures.is_some_and(|n| signals.consecutive >= n);
        let too_many = self.error_percent.is_some_and(|percent| {
            signals.interval_requests >= self.min_requests
                && u64::from(signals.interval_failures) * 100
                    >= u64::from(percent) * u64::from(signals.interval_requests)
        });
        if in_a_row || too_many { Verdict::Eject } else { Verdict::Stay }
    }

    /// How long the ejection that begins now lasts; `up_since` is when the node last came up.
    pub(crate) fn sentence(&self, signals: &mut Signals, up_since: u64, now: u64) -> u64 {
        let forgiven = now.saturating_sub(up_since) / nanos(self.base).max(1);
        let offences = u64::from(signals.offences).saturating_sub(forgiven) + 1;
        signals.offences = u32::try_from(offences).unwrap_or(u32::MAX);
        (signals.consecutive, signals.interval_requests, signals.interval_failures) = (0, 0, 0);
        nanos(self.base).saturating_mul(offences).min(nanos(self.max))
    }

    /// Whether one more of `nodes` may be ejected when `ejected` are.
    pub(crate) fn may_eject(&self, ejected: usize, nodes: usize) -> bool {
        self.max_percent > 0 && (ejected == 0 || (ejected + 1) * 100 <= self.max_percent as usize * nodes)
    }
}

impl Default for Ejection {
    fn default() -> Self {
        Self::new()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
