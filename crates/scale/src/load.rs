//! What the scaler is told: loads, targets, and their past.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How busy a node is, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Utilization(f64);

impl Utilization {
    /// In percent: `percent(70)` is seven tenths.
    pub fn percent(percent: u32) -> Self {
        Self(f64::from(percent) / 100.0)
    }

    /// As a share: `ratio(0.7)`.
    pub fn ratio(ratio: f64) -> Self {
        Self(ratio)
    }

    /// The share.
    pub fn as_ratio(self) -> f64 {
        self.0
    }
}

/// One sample of load.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Load {
    /// The mean utilisation of the nodes that serve: 1 is fully busy. Utilisation that cannot exceed 1
    /// hides how much too little there is; [`Demand`](Self::Demand) does not.
    Utilization(f64),
    /// The work that arrives, in nodes: 3.5 keeps three and a half nodes fully busy. Calls in flight over
    /// calls that one node handles at once, or requests per second over those that one node serves.
    Demand(f64),
}

impl Load {
    /// The mean utilisation of the nodes that serve.
    pub fn utilization(utilization: f64) -> Self {
        Self::Utilization(utilization)
    }

    /// The work that arrives, in nodes.
    pub fn demand(nodes: f64) -> Self {
        Self::Demand(nodes)
    }

    /// In nodes' worth of work; `None` if the sample says nothing: not finite, negative, or a
    /// utilisation of no nodes.
    pub fn demand_on(self, ready: usize) -> Option<f64> {
        let demand = match self {
            Self::Utilization(_) if ready == 0 => return None,
            Self::Utilization(utilization) => utilization * ready as f64,
            Self::Demand(demand) => demand,
        };
        (demand.is_finite() && demand >= 0.0).then_some(demand)
    }
}

/// The past of a load in steps of equal length: what [`CapacityPlanner`](crate::CapacityPlanner) and
/// forecasting recommenders read. Bounded: the oldest steps fall off.
///
/// ```
/// use ropewalk_scale::History;
/// use std::time::Duration;
///
/// let history = History::of(Duration::from_secs(60), [3.0, 4.0, 3.5]);
/// assert_eq!(history.values().collect::<Vec<_>>(), [3.0, 4.0, 3.5]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    step: Duration,
    keep: usize,
    values: VecDeque<f64>,
    /// The step being filled: its start, and the sum and number of its samples.
    open: Option<(Instant, f64, u32)>,
}

impl History {
    /// The longest step; one that is longer, or zero, is taken as the nearer end.
    const LONGEST: Duration = Duration::from_secs(366 * 86_400);

    /// An empty history of at most `keep` steps (at least 1), each the mean of its samples.
    pub fn new(step: Duration, keep: usize) -> Self {
        let step = step.clamp(Duration::from_nanos(1), Self::LONGEST);
        Self { step, keep: keep.max(1), values: VecDeque::new(), open: None }
    }

    /// A finished history.
    pub fn of(step: Duration, values: impl IntoIterator<Item = f64>) -> Self {
        let values: VecDeque<f64> = values.into_iter().collect();
        Self { keep: values.len().max(1), values, ..Self::new(step, 1) }
    }

    /// Adds a finished step.
    pub fn push(&mut self, value: f64) {
        if self.values.len() >= self.keep {
            self.values.pop_front();
        }
        self.values.push_back(value);
    }

    /// Adds a sample taken at `at` to its step. Steps without a sample become gaps (NaN); a sample
    /// older than the open step counts to it; one that is not finite is ignored.
    pub fn record(&mut self, at: Instant, value: f64) {
        if !value.is_finite() {
            return;
        }
        let Some((start, sum, count)) = self.open else {
            self.open = Some((at, value, 1));
            return;
        };
        let passed = at.saturating_duration_since(start).as_nanos() / self.step.as_nanos();
        if passed == 0 {
            self.open = Some((start, sum + value, count.saturating_add(1)));
            return;
        }
        self.push(sum / f64::from(count));
        let gaps = usize::try_from(passed - 1).unwrap_or(usize::MAX).min(self.keep);
        (0..gaps).for_each(|_| self.push(f64::NAN));
        let steps = u32::try_from(passed).unwrap_or(u32::MAX);
        let next = self.step.checked_mul(steps).and_then(|by| start.checked_add(by));
        self.open = Some((next.unwrap_or(at), value, 1));
    }

    /// The length of a step.
    pub fn step(&self) -> Duration {
        self.step
    }

    /// The number of finished steps.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether no step is finished.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The finished steps, oldest first; NaN where nothing was recorded.
    pub fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.values.iter().copied()
    }
}

impl Default for History {
    /// A week of minutes.
    fn default() -> Self {
        Self::new(Duration::from_secs(60), 7 * 24 * 60)
    }
}
