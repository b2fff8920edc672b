//! What a planner answers.

use crate::Policy;
use ropewalk_series::{Direction, Forecast, Trend};
use std::{fmt, time::Duration};

/// Into how many stretches a horizon is cut for recommendations.
const STRETCHES: usize = 12;
/// Trends are extrapolated no further than this many days.
const FAR: f64 = 366.0;
const DAY: Duration = Duration::from_secs(86_400);

/// The past and future of a load, and what to do about it.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Plan {
    /// The step of history and forecast; longer than that of what was observed when it had to be thinned.
    pub step: Duration,
    /// The trend without the seasons, per step. Its confidence is calibrated: see [`Trend::confidence`].
    pub trend: Trend,
    /// The trend's slope, in load per day.
    pub growth_per_day: f64,
    /// The patterns that repeat, strongest first.
    pub seasons: Vec<Pattern>,
    /// The load expected, step by step, with its interval; not below 0.
    pub forecast: Forecast,
    /// The greatest load to be ready for.
    pub peak: Peak,
    /// What to do, in the order in which it is to be done.
    pub recommendations: Vec<Recommendation>,
}

/// A pattern that repeats.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Pattern {
    /// After which time it repeats.
    pub period: Duration,
    /// The share of the load's variance that it explains, from 0 to 1.
    pub strength: f64,
}

/// The greatest load of a horizon.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Peak {
    /// The upper end of its interval.
    pub load: f64,
    /// What is expected at that step.
    pub expected: f64,
    /// When, counted from the end of the history.
    pub after: Duration,
    /// How many nodes hold the target under it, without bounds.
    pub nodes: usize,
}

/// What kind of advice a recommendation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Advice {
    /// Have this many nodes running from then on.
    Run,
    /// The maximum is too low: raise it.
    RaiseMaximum,
    /// The minimum is above what is ever needed: it can be lowered.
    LowerMinimum,
    /// The load grows towards the maximum.
    Growth,
}

/// One piece of advice.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Recommendation {
    /// What kind.
    pub advice: Advice,
    /// How many nodes.
    pub nodes: usize,
    /// When it should be done, counted from the end of the history: the need less the time to start.
    pub when: Duration,
    /// Why, in a few words.
    pub reason: String,
}

impl fmt::Display for Recommendation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { advice, nodes, when, reason } = self;
        let when = Span(*when);
        match advice {
            Advice::Run => write!(f, "{when}: run {nodes} nodes: {reason}"),
            Advice::RaiseMaximum => write!(f, "{when}: raise the maximum to {nodes} nodes: {reason}"),
            Advice::LowerMinimum => write!(f, "the minimum can be lowered to {nodes} nodes: {reason}"),
            Advice::Growth => write!(f, "{when}: {nodes} nodes will no longer do: {reason}"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trend, growth_per_day, seasons, peak, .. } = self;
        let direction = match trend.direction {
            Direction::Rising => "rising",
            Direction::Falling => "falling",
            Direction::Flat => "no trend",
        };
        writeln!(
            f,
            "trend: {direction}, {growth_per_day:+.3} a day, confidence {:.1} %",
            100.0 * trend.confidence
        )?;
        for Pattern { period, strength } in seasons {
            writeln!(f, "repeats every {}, which explains {:.0} %", Long(*period), 100.0 * strength)?;
        }
        write!(
            f,
            "peak: {:.2} ({:.2} expected) {}: {} nodes",
            peak.load,
            peak.expected,
            Span(peak.after),
            peak.nodes
        )?;
        for advice in &self.recommendations {
            write!(f, "\n- {advice}")?;
        }
        Ok(())
    }
}

/// What recommendations are made from.
pub(crate) struct Frame {
    pub(crate) policy: Policy,
    /// Load that one node carries at the target.
    pub(crate) per_node: f64,
    pub(crate) step: Duration,
    pub(crate) lead: Duration,
    pub(crate) per_day: f64,
}

impl Frame {
    /// Nodes for a load, without bounds.
    pub(crate) fn needed(&self, load: f64) -> usize {
        // The cast saturates, and takes what is not a number for none.
        (load / self.per_node - 1e-9).ceil() as usize
    }

    /// The time of so many steps.
    pub(crate) fn span(&self, steps: usize) -> Duration {
        self.step.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX))
    }

    /// When the step at `index` of a forecast begins.
    pub(crate) fn after(&self, index: usize) -> Duration {
        self.span(index)
    }

    fn early(&self, index: usize) -> Duration {
        self.after(index).saturating_sub(self.lead)
    }
}

pub(crate) fn recommend(
    frame: &Frame,
    values: &[f64],
    trend: &Trend,
    forecast: &Forecast,
    peak: &Peak,
) -> Vec<Recommendation> {
    let (min, max) = frame.policy.nodes().into_inner();
    let mut advice = Vec::new();
    let needs: Vec<usize> = forecast.upper.iter().map(|load| frame.needed(*load)).collect();
    if let Some(first) = needs.iter().position(|need| *need > max) {
        let over = needs.iter().filter(|need| **need > max).count();
        advice.push(Recommendation {
            advice: Advice::RaiseMaximum,
            nodes: peak.nodes,
            when: frame.early(first),
            reason: format!(
                "up to {:.2} may come, {} nodes hold {:.2}; {:.0} % of the horizon is above that",
                peak.load,
                max,
                max as f64 * frame.per_node,
                100.0 * over as f64 / needs.len() as f64
            ),
        });
    }
    let least = needs.iter().copied().max().unwrap_or(min);
    if least < min {
        advice.push(Recommendation {
            advice: Advice::LowerMinimum,
            nodes: least.max(1),
            when: Duration::ZERO,
            reason: format!("at most {:.2} is to be expected over the horizon", peak.load),
        });
    }
    advice.extend(schedule(frame, &needs, forecast));
    advice.extend(growth(frame, values, trend, max));
    advice.sort_by_key(|advice| advice.when);
    advice
}

/// The nodes to run, stretch by stretch, where that changes.
fn schedule(frame: &Frame, needs: &[usize], forecast: &Forecast) -> Vec<Recommendation> {
    let (min, max) = frame.policy.nodes().into_inner();
    let length = needs.len().div_ceil(STRETCHES);
    let mut advice: Vec<Recommendation> = Vec::new();
    for (stretch, part) in needs.chunks(length).enumerate() {
        let first = stretch * length;
        let nodes = part.iter().copied().max().unwrap_or(min).clamp(min, max);
        let before = advice.last().map(|last| last.nodes);
        if before == Some(nodes) {
            continue;
        }
        let range = first..first + part.len();
        let upper = forecast.upper[range.clone()].iter().copied().fold(0.0, f64::max);
        let mean = forecast.mean[range].iter().copied().fold(0.0, f64::max);
        // More nodes come before they are needed, fewer once they are not.
        let when =
            if before.is_none_or(|before| nodes > before) { frame.early(first) } else { frame.after(first) };
        advice.push(Recommendation {
            advice: Advice::Run,
            nodes,
            when,
            reason: format!("{mean:.2} expected at most, {upper:.2} possible"),
        });
    }
    advice
}

/// When a trend that is sure enough reaches the maximum.
fn growth(frame: &Frame, values: &[f64], trend: &Trend, max: usize) -> Option<Recommendation> {
    if trend.direction != Direction::Rising || frame.per_day <= 0.0 {
        return None;
    }
    let limit = max as f64 * frame.per_node;
    // The seasons ride on the trend, so it is the recent peaks that reach the limit first.
    let level = trend.at((values.len() - 1) as f64);
    let residual = values.iter().enumerate().map(|(i, v)| v - trend.at(i as f64)).fold(0.0, f64::max);
    let days = (limit - level - residual) / frame.per_day;
    (days <= FAR).then(|| Recommendation {
        advice: Advice::Growth,
        nodes: max,
        when: DAY.mul_f64(days.max(0.0)),
        reason: format!(
            "the load grows by {:.3} a day (confidence {:.1} %)",
            frame.per_day,
            100.0 * trend.confidence
        ),
    })
}

struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() { f.write_str("now") } else { write!(f, "in {}", Long(self.0)) }
    }
}

struct Long(Duration);

impl fmt::Display for Long {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        for (size, name) in [(86_400.0, "d"), (3_600.0, "h"), (60.0, "min")] {
            if seconds >= size {
                return write!(f, "{:.1} {name}", seconds / size);
            }
        }
        write!(f, "{seconds:.1} s")
    }
}
