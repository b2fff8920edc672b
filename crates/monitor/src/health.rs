//! How the whole is, in one number and a few words.

use crate::{Alert, AlertState, Severity, handle::State};
use std::{fmt, time::Duration};

/// Reasons named at most.
const NAMED: usize = 5;

/// The state of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum HealthState {
    /// Nothing is wrong that matters.
    Healthy,
    /// Something does not work as it should.
    Degraded,
    /// A critical alert fires that nobody has acknowledged, or much is wrong at once.
    Critical,
    /// Nothing was collected yet, or the monitor is stopped.
    Unknown,
}

/// The system's health.
///
/// The score is 100 less 50 for each critical alert that fires, 20 for an error, 8 for a warning, half of that
/// once it is acknowledged, and 5 for each collector that is down; 0 at least. Below 40 the state is
/// critical, below 85 degraded.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Health {
    /// The state.
    pub state: HealthState,
    /// From 0 to 100.
    pub score: f64,
    /// What takes from the score, the worst first.
    pub reasons: Vec<String>,
}

impl Health {
    pub(crate) fn of(state: &State, _at: Duration) -> Self {
        if state.stopped || state.table.tick == 0 {
            let why = if state.stopped { "the monitor is stopped" } else { "nothing was collected yet" };
            return Self { state: HealthState::Unknown, score: 0.0, reasons: vec![why.to_owned()] };
        }
        let mut losses: Vec<(f64, String)> = Vec::new();
        let mut critical = false;
        for alert in state.manager.active().iter().filter(|alert| alert.state == AlertState::Firing) {
            critical |= alert.severity == Severity::Critical && alert.acknowledged.is_none();
            losses.push((loss(alert), alert.to_string()));
        }
        for collector in state.collectors.iter().filter(|collector| !collector.up) {
            let why = collector.last_error.as_deref().unwrap_or("not run yet");
            losses.push((5.0, format!("collector {} is down: {why}", collector.name)));
        }
        losses.sort_by(|a, b| b.0.total_cmp(&a.0));
        let lost: f64 = losses.iter().map(|(loss, _)| loss).sum();
        let score = (100.0 - lost).max(0.0);
        let of = if critical || score < 40.0 {
            HealthState::Critical
        } else if score < 85.0 {
            HealthState::Degraded
        } else {
            HealthState::Healthy
        };
        let more = losses.iter().filter(|(loss, _)| *loss > 0.0).count().saturating_sub(NAMED);
        let mut reasons: Vec<String> =
            losses.into_iter().filter(|(loss, _)| *loss > 0.0).take(NAMED).map(|(_, why)| why).collect();
        if more > 0 {
            reasons.push(format!("{more} more"));
        }
        Self { state: of, score, reasons }
    }
}

fn loss(alert: &Alert) -> f64 {
    let loss = match alert.severity {
        Severity::Info => 0.0,
        Severity::Warning => 8.0,
        Severity::Error => 20.0,
        Severity::Critical => 50.0,
    };
    if alert.acknowledged.is_some() { loss / 2.0 } else { loss }
}

impl fmt::Display for HealthState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        })
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:.0} of 100)", self.state, self.score)?;
        if !self.reasons.is_empty() {
            write!(f, ": {}", self.reasons.join("; "))?;
        }
        Ok(())
    }
}
