//! From a recorded load to a plan.

use crate::{
    History, Plan, PlanError, Policy, Utilization,
    plan::{Frame, Peak, recommend},
};
use ropewalk_series::{Auto, Decomposition, Forecaster, Seasonality, Trend, fill_gaps};
use std::{ops::RangeInclusive, time::Duration};

/// The least number of steps to plan by.
const NEEDED: usize = 12;
/// Longer histories are thinned to about this many steps.
const STEPS: usize = 2_048;
/// The furthest forecast, in multiples of the history's length.
const REACH: usize = 2;
const DAY: Duration = Duration::from_secs(86_400);

/// Reads a load's past and says how many nodes its future needs.
///
/// The trend is a Theil-Sen slope with a Mann-Kendall confidence, corrected for autocorrelation and taken
/// after the seasons are removed; hours, days and weeks are looked for as seasons, and others when none of
/// them is found; the forecast is a combination chosen by its past errors, with conformal intervals
/// (`ropewalk-series`).
///
/// ```
/// use ropewalk_scale::{CapacityPlanner, History, Utilization};
/// use std::time::Duration;
///
/// // Two weeks of hours: five nodes' worth of work at night, nine by day.
/// let load = (0..336).map(|hour| if (8..20).contains(&(hour % 24)) { 9.0 } else { 5.0 });
/// let history = History::of(Duration::from_secs(3_600), load);
///
/// let plan = CapacityPlanner::new()
///     .target(Utilization::percent(70))
///     .nodes(1..=20)
///     .observe(history)
///     .forecast(Duration::from_secs(86_400))?;
/// assert_eq!(plan.seasons[0].period, Duration::from_secs(86_400));
/// assert_eq!(plan.peak.nodes, 13);
/// for advice in &plan.recommendations {
///     println!("{advice}");
/// }
/// # Ok::<(), ropewalk_scale::PlanError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a planner does nothing until it forecasts"]
pub struct CapacityPlanner {
    history: History,
    nodes: RangeInclusive<usize>,
    target: Utilization,
    node_capacity: f64,
    lead: Duration,
    level: f64,
}

impl CapacityPlanner {
    /// A planner for 1 to 20 nodes at 70 %, for loads in nodes' worth of work.
    pub fn new() -> Self {
        Self {
            history: History::default(),
            nodes: 1..=20,
            target: Utilization::percent(70),
            node_capacity: 1.0,
            lead: Duration::from_secs(60),
            level: 0.95,
        }
    }

    /// The load's past, in place of what was observed before.
    pub fn observe(mut self, history: History) -> Self {
        self.history = history;
        self
    }

    /// The bounds on the number of nodes.
    pub fn nodes(mut self, nodes: RangeInclusive<usize>) -> Self {
        self.nodes = nodes;
        self
    }

    /// The utilisation to plan for; 70 % by default.
    pub fn target(mut self, target: Utilization) -> Self {
        self.target = target;
        self
    }

    /// How many units of load one node serves when fully busy; 1 by default.
    pub fn node_capacity(mut self, load: f64) -> Self {
        self.node_capacity = load;
        self
    }

    /// How long a node takes to start; recommendations come that much earlier. 60 s by default.
    pub fn lead(mut self, time: Duration) -> Self {
        self.lead = time;
        self
    }

    /// The share of the future that the forecast's interval is made to hold; 0.95 by default.
    pub fn level(mut self, share: f64) -> Self {
        self.level = share;
        self
    }

    /// Plans for the `horizon` after the history.
    ///
    /// A history of more than about 2,000 steps is thinned by taking the greatest of each few: capacity has to
    /// cover peaks. It takes some milliseconds to some hundreds of them.
    ///
    /// # Errors
    ///
    /// [`PlanError`] for too short a history, a horizon of no step or of more than twice the history, and
    /// settings that make no sense.
    pub fn forecast(&self, horizon: Duration) -> Result<Plan, PlanError> {
        let policy = Policy::new(self.nodes.clone(), self.target)?;
        if !(self.node_capacity > 0.0 && self.node_capacity.is_finite()) {
            return Err(PlanError::NodeCapacity(self.node_capacity));
        }
        let (step, values) = self.thinned();
        if values.len() < NEEDED {
            return Err(PlanError::TooShort { len: values.len(), needed: NEEDED });
        }
        let most = values.len().saturating_mul(REACH);
        let steps = horizon.as_nanos().div_ceil(step.as_nanos());
        let steps = match usize::try_from(steps) {
            Ok(steps) if (1..=most).contains(&steps) => steps,
            Ok(_) | Err(_) => return Err(PlanError::Horizon { horizon, step, most }),
        };
        let periods = periods(step, &values);
        let trend = Trend::of(&without_seasons(&values, &periods));
        let forecast = Auto::new().periods(&periods).forecast_at(&values, steps, self.level)?.at_least(0.0);
        let per_node = self.node_capacity * self.target.as_ratio();
        let frame =
            Frame { policy, per_node, step, lead: self.lead, per_day: trend.slope * steps_in(DAY, step) };
        let (at, upper) =
            forecast.upper.iter().copied().enumerate().fold((0, f64::NEG_INFINITY), |best, (i, value)| {
                if value > best.1 { (i, value) } else { best }
            });
        let peak = Peak {
            load: upper,
            expected: forecast.mean[at],
            after: frame.after(at),
            nodes: frame.needed(upper),
        };
        let seasons = Seasonality::among(&values, &periods)
            .into_iter()
            .map(|season| crate::plan::Pattern {
                period: frame.span(season.period),
                strength: season.strength,
            })
            .collect();
        let recommendations = recommend(&frame, &values, &trend, &forecast, &peak);
        Ok(Plan { step, trend, growth_per_day: frame.per_day, seasons, forecast, peak, recommendations })
    }

    /// At most about `STEPS` steps, without gaps.
    fn thinned(&self) -> (Duration, Vec<f64>) {
        let values: Vec<f64> = self.history.values().collect();
        let values = fill_gaps(&values);
        let by = values.len().div_ceil(STEPS).max(1);
        // The latest steps count: what does not fill a group is left out at the old end.
        let groups = values[values.len() % by..].chunks(by);
        let thin = groups.map(|group| group.iter().copied().fold(f64::NEG_INFINITY, f64::max)).collect();
        let step = u32::try_from(by).ok().and_then(|by| self.history.step().checked_mul(by));
        (step.unwrap_or(Duration::MAX), thin)
    }
}

impl Default for CapacityPlanner {
    fn default() -> Self {
        Self::new()
    }
}

/// The seasons, in steps: an hour, a day, a week; others only when there is none of these.
fn periods(step: Duration, values: &[f64]) -> Vec<usize> {
    let natural: Vec<usize> = [DAY / 24, DAY, DAY * 7]
        .into_iter()
        .map(|season| steps_in(season, step))
        .filter(|steps| *steps >= 2.0 && (steps - steps.round()).abs() < 0.01 * steps)
        .map(|steps| steps.round() as usize)
        .collect();
    let mut found = Seasonality::among(values, &natural);
    if found.is_empty() {
        found = Seasonality::detect(values);
    }
    let mut periods: Vec<usize> =
        found.into_iter().map(|season| season.period).filter(|period| 2 * period <= values.len()).collect();
    periods.sort_unstable();
    periods
}

fn without_seasons(values: &[f64], periods: &[usize]) -> Vec<f64> {
    if periods.is_empty() {
        return values.to_vec();
    }
    match Decomposition::of(values, periods) {
        Ok(parts) => (0..values.len())
            .map(|i| values[i] - parts.seasonal.iter().map(|season| season[i]).sum::<f64>())
            .collect(),
        // Too short for its own seasons: judged as it is.
        Err(_) => values.to_vec(),
    }
}

/// How many times `step` fits into `span`.
fn steps_in(span: Duration, step: Duration) -> f64 {
    span.as_secs_f64() / step.as_secs_f64()
}
