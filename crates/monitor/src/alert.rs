//! Alerts, as people and callbacks see them.

use crate::{AlertKind, Category, Labels, Severity};
use std::{fmt, sync::Arc, time::Duration};

/// The number of an alert. Each time an alert fires anew it has a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
pub struct AlertId(pub u64);

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum AlertState {
    /// Its condition holds, but not for long enough.
    Pending,
    /// It fires.
    Firing,
    /// It is over.
    Resolved,
}

/// Why an alert is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Resolution {
    /// Its condition was clear.
    Cleared,
    /// There was no data for too long.
    Vanished,
    /// Somebody resolved it.
    By(String),
}

/// Somebody has seen it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// When, counted from the monitor's start.
    pub at: Duration,
}

/// A corrective action and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ActionRecord {
    /// Its name.
    pub name: Arc<str>,
    /// What came of it.
    pub state: ActionState,
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum ActionState {
    /// It waits for its turn or runs.
    Running,
    /// It did what it says.
    Done(String),
    /// It failed, for this reason; panics included.
    Failed(String),
    /// It did not run: too many were waiting.
    Dropped,
}

/// Something is wrong, or was.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Alert {
    /// Its number.
    pub id: AlertId,
    /// The name of its rule.
    pub rule: Arc<str>,
    /// What it is about.
    pub kind: AlertKind,
    /// What it is about in general.
    pub category: Category,
    /// How bad it is.
    pub severity: Severity,
    /// The labels of its series and its rule: together with the rule they tell alerts apart.
    pub labels: Labels,
    /// Where it stands.
    pub state: AlertState,
    /// What is wrong, in words.
    pub message: String,
    /// The value that was judged last; NaN where there is none.
    pub value: f64,
    /// When its condition began to hold; all times are counted from the monitor's start.
    pub since: Duration,
    /// When it fired.
    pub fired: Option<Duration>,
    /// When it was over.
    pub resolved: Option<Duration>,
    /// Why it is over.
    pub resolution: Option<Resolution>,
    /// Who has seen it.
    pub acknowledged: Option<Acknowledgement>,
    /// Whether a silence covers it: the callbacks are not told.
    pub silenced: bool,
    /// The corrective actions.
    pub actions: Vec<ActionRecord>,
    /// How often an alert of this rule with these labels has fired, this time included.
    pub times: u64,
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.severity, self.rule)?;
        if !self.labels.is_empty() {
            write!(f, " ({})", self.labels)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

/// What callbacks are told.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AlertEvent {
    /// What happened.
    pub what: Happened,
    /// When, counted from the monitor's start.
    pub at: Duration,
    /// The alert, as it was then.
    pub alert: Alert,
}

/// What happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Happened {
    /// It fired.
    Fired,
    /// It still fires.
    Repeated,
    /// Somebody acknowledged it.
    Acknowledged,
    /// A corrective action has ended.
    Acted,
    /// It is over.
    Resolved,
}

impl fmt::Display for AlertEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alert = &self.alert;
        match self.what {
            Happened::Fired => write!(f, "{alert}"),
            Happened::Repeated => write!(f, "{alert} (still)"),
            Happened::Acknowledged => {
                write!(f, "{alert} (acknowledged")?;
                if let Some(who) = &alert.acknowledged {
                    write!(f, " by {}", who.by)?;
                }
                f.write_str(")")
            }
            Happened::Acted => {
                write!(f, "{alert}")?;
                for ActionRecord { name, state } in &alert.actions {
                    match state {
                        ActionState::Done(what) => write!(f, "; {name}: {what}")?,
                        ActionState::Failed(why) => write!(f, "; {name} failed: {why}")?,
                        ActionState::Running | ActionState::Dropped => {}
                    }
                }
                Ok(())
            }
            Happened::Resolved => write!(f, "{alert} (resolved)"),
        }
    }
}

/// How many alerts there are, by severity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AlertSummary {
    /// Alerts that fire: information.
    pub info: usize,
    /// Warnings that fire.
    pub warning: usize,
    /// Errors that fire.
    pub error: usize,
    /// Critical ones that fire.
    pub critical: usize,
    /// Those that are pending.
    pub pending: usize,
    /// Of those that fire, acknowledged ones.
    pub acknowledged: usize,
    /// Of those that fire, silenced ones.
    pub silenced: usize,
    /// Alerts that have fired since the start.
    pub fired: u64,
    /// Alerts that have resolved since the start.
    pub resolved: u64,
    /// Of those that fire, by category.
    pub by_category: Vec<(Category, usize)>,
    /// Events given to callbacks, once for each callback.
    pub delivered: u64,
    /// Callbacks that failed or panicked.
    pub failed_deliveries: u64,
    /// Events that no callback saw, since too many were waiting.
    pub dropped_deliveries: u64,
    /// Corrective actions that ran.
    pub actions: u64,
    /// Those that failed or panicked.
    pub failed_actions: u64,
    /// Those that did not run, since too many were waiting.
    pub dropped_actions: u64,
}

impl AlertSummary {
    /// Alerts that fire.
    pub fn firing(&self) -> usize {
        self.info + self.warning + self.error + self.critical
    }
}

impl fmt::Display for AlertSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { info, warning, error, critical, pending, fired, resolved, .. } = self;
        write!(
            f,
            "{} alerts fire ({critical} critical, {error} error, {warning} warning, {info} info), ",
            self.firing()
        )?;
        write!(f, "{pending} pending; {fired} fired and {resolved} resolved since the start")
    }
}

/// Which alerts a silence covers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a silence does nothing until a monitor has it"]
pub struct Silence {
    pub(crate) rule: Option<String>,
    pub(crate) category: Option<Category>,
    pub(crate) most: Option<Severity>,
    pub(crate) labels: Labels,
}

impl Silence {
    /// Covers all alerts.
    pub fn all() -> Self {
        Self::default()
    }

    /// Covers the alerts of a rule.
    pub fn rule(name: impl Into<String>) -> Self {
        Self { rule: Some(name.into()), ..Self::default() }
    }

    /// Only those of this category.
    pub fn category(mut self, category: Category) -> Self {
        self.category = Some(category);
        self
    }

    /// Only those no worse than this.
    pub fn up_to(mut self, severity: Severity) -> Self {
        self.most = Some(severity);
        self
    }

    /// Only those with this label.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels = self.labels.with(name, value);
        self
    }

    pub(crate) fn covers(&self, alert: &Alert) -> bool {
        self.rule.as_deref().is_none_or(|rule| rule == &*alert.rule)
            && self.category.is_none_or(|category| category == alert.category)
            && self.most.is_none_or(|most| alert.severity <= most)
            && alert.labels.covers(&self.labels)
    }
}

/// The number of a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SilenceId(pub u64);
