//! Rules: what is worth an alert, and what to do about it.

use crate::{
    Alert, Deadlock, Handle, Labels, RuleError,
    condition::{Clear, Test, When},
    machine::Timing,
};
use std::{fmt, ops::Deref, sync::Arc, time::Duration};

/// How bad an alert is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a look.
    #[default]
    Warning,
    /// Something does not work.
    Error,
    /// The whole is in danger.
    Critical,
}

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Category {
    /// Slow, or less than it could be.
    Performance,
    /// Deadlocks, races, contention.
    Concurrency,
    /// Agents that are stuck, failed or unavailable.
    Agent,
    /// Exhausted resources, errors.
    System,
}

/// What exactly it is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum AlertKind {
    /// Something of the user's own.
    #[default]
    Custom,
    /// Latency or throughput.
    Slow,
    /// Owners wait for one another for ever.
    Deadlock,
    /// A resource was touched without its lease.
    RaceCondition,
    /// Owners wait for long.
    LockContention,
    /// An agent does not get on.
    AgentStuck,
    /// An agent failed.
    AgentFailed,
    /// An agent, or a node, does not answer.
    AgentUnavailable,
    /// Memory, processors, connections, slots run out.
    ResourceExhaustion,
    /// Too many errors.
    ErrorRate,
}

impl AlertKind {
    /// The category it belongs to.
    pub fn category(self) -> Category {
        match self {
            Self::Custom | Self::Slow => Category::Performance,
            Self::Deadlock | Self::RaceCondition | Self::LockContention => Category::Concurrency,
            Self::AgentStuck | Self::AgentFailed | Self::AgentUnavailable => Category::Agent,
            Self::ResourceExhaustion | Self::ErrorRate => Category::System,
        }
    }
}

macro_rules! lower_case {
    ($($type:ident { $($variant:ident => $word:literal),* })*) => { $(impl fmt::Display for $type {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.pad(match self { $(Self::$variant => $word),* })
        }
    })* };
}

lower_case! {
    Severity { Info => "info", Warning => "warning", Error => "error", Critical => "critical" }
    Category { Performance => "performance", Concurrency => "concurrency", Agent => "agent", System => "system" }
    AlertKind {
        Custom => "custom", Slow => "slow", Deadlock => "deadlock", RaceCondition => "race condition",
        LockContention => "lock contention", AgentStuck => "agent stuck", AgentFailed => "agent failed",
        AgentUnavailable => "agent unavailable", ResourceExhaustion => "resource exhaustion", ErrorRate => "error rate"
    }
}

/// What a corrective action sees: the alert that fired, and the monitor.
#[derive(Debug)]
pub struct Firing {
    pub(crate) alert: Alert,
    pub(crate) handle: Handle,
}

impl Firing {
    /// The alert.
    pub fn alert(&self) -> &Alert {
        &self.alert
    }

    /// The monitor.
    pub fn monitor(&self) -> &Handle {
        &self.handle
    }

    /// The deadlocks there are at this time; for the alert of one deadlock, that one only.
    pub fn deadlocks(&self) -> Vec<Deadlock> {
        let mut all = self.handle.deadlocks();
        if let Some(cycle) = self.alert.labels.value("cycle") {
            all.retain(|deadlock| deadlock.cycle() == cycle);
        }
        all
    }
}

impl Deref for Firing {
    type Target = Alert;

    fn deref(&self) -> &Alert {
        &self.alert
    }
}

/// What an action or a callback may return.
pub trait Outcome {
    /// What was done, or why it was not.
    ///
    /// # Errors
    ///
    /// A text that says why it failed.
    fn into_outcome(self) -> Result<String, String>;
}

impl Outcome for () {
    fn into_outcome(self) -> Result<String, String> {
        Ok("done".to_owned())
    }
}

impl Outcome for String {
    fn into_outcome(self) -> Result<String, String> {
        Ok(self)
    }
}

impl Outcome for &str {
    fn into_outcome(self) -> Result<String, String> {
        Ok(self.to_owned())
    }
}

impl<O: Outcome, E: fmt::Display> Outcome for Result<O, E> {
    fn into_outcome(self) -> Result<String, String> {
        self.map_err(|error| error.to_string()).and_then(Outcome::into_outcome)
    }
}

pub(crate) type Act = Arc<dyn Fn(&Firing) -> Result<String, String> + Send + Sync>;

/// When to raise an alert, what to call it, and what to do.
///
/// One rule watches all series of a name: each set of labels has an alert of its own.
///
/// ```
/// use ropewalk_monitor::{AlertKind, Monitor, Rule, Severity, gauge};
/// use std::{sync::{Arc, atomic::{AtomicUsize, Ordering}}, time::Duration};
///
/// let limit = Arc::new(AtomicUsize::new(50));
/// let lower = limit.clone();
/// let rule = Rule::new("overload")
///     .kind(AlertKind::ResourceExhaustion)
///     .severity(Severity::Error)
///     .when(gauge("machine_cpu_ratio").above(0.95))
///     .clear_below(0.8)
///     .for_(Duration::from_secs(30))
///     .act(move |_firing| {
///         let before = lower.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some((n / 2).max(1)));
///         format!("limit lowered from {before:?}")
///     });
/// let monitor = Monitor::builder().rule(rule).build()?;
/// # Ok::<(), ropewalk_monitor::BuildError>(())
/// ```
#[derive(Clone)]
#[must_use = "a rule does nothing until a monitor has it"]
pub struct Rule {
    pub(crate) name: Arc<str>,
    pub(crate) kind: AlertKind,
    pub(crate) category: Option<Category>,
    pub(crate) severity: Severity,
    pub(crate) when: Option<Test>,
    pub(crate) clear: Clear,
    pub(crate) timing: Timing,
    pub(crate) repeat: Option<Duration>,
    pub(crate) labels: Labels,
    pub(crate) message: Option<String>,
    pub(crate) acts: Vec<(Arc<str>, Act)>,
}

impl Rule {
    /// A rule of this name; a warning about performance until told otherwise.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            kind: AlertKind::Custom,
            category: None,
            severity: Severity::Warning,
            when: None,
            clear: Clear::Same,
            timing: Timing::default(),
            repeat: None,
            labels: Labels::none(),
            message: None,
            acts: Vec::new(),
        }
    }

    /// What it is about; the category follows unless it is set.
    pub fn kind(mut self, kind: AlertKind) -> Self {
        self.kind = kind;
        self
    }

    /// What it is about in general.
    pub fn category(mut self, category: Category) -> Self {
        self.category = Some(category);
        self
    }

    /// How bad it is.
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// The condition.
    pub fn when(mut self, when: When) -> Self {
        self.when = Some(when.0);
        self
    }

    /// Resolves an [`above`](crate::Expr::above) only when the value is less than this: between the two
    /// thresholds an alert that fires goes on, and one that does not, does not begin.
    pub fn clear_below(mut self, threshold: f64) -> Self {
        self.clear = Clear::Below(threshold);
        self
    }

    /// Resolves a [`below`](crate::Expr::below) only when the value is greater than this.
    pub fn clear_above(mut self, threshold: f64) -> Self {
        self.clear = Clear::Above(threshold);
        self
    }

    /// How long the condition must hold before the alert fires; it fires at once by default.
    pub fn for_(mut self, time: Duration) -> Self {
        self.timing.for_ = time;
        self
    }

    /// How long it must be clear before the alert resolves; at once by default.
    pub fn keep_for(mut self, time: Duration) -> Self {
        self.timing.keep_for = time;
        self
    }

    /// Resolves an alert whose data have been missing for this long. By default missing data resolve
    /// nothing: what cannot be seen may be worse than before.
    pub fn resolve_absent_after(mut self, time: Duration) -> Self {
        self.timing.absent_after = Some(time);
        self
    }

    /// Tells the callbacks again this long after they were told last, while the alert fires and nobody has
    /// acknowledged it; once only by default.
    pub fn repeat(mut self, every: Duration) -> Self {
        self.repeat = Some(every);
        self
    }

    /// A label for all its alerts.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels = self.labels.with(name, value);
        self
    }

    /// What to tell a person; the value and what it was compared with by default.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Does something about it, once each time an alert of the rule fires, on the monitor's thread for
    /// actions. What it returns, or that it panicked, is recorded with the alert. Several actions run in
    /// order.
    pub fn act<R: Outcome>(self, action: impl Fn(&Firing) -> R + Send + Sync + 'static) -> Self {
        self.act_named("corrective action", action)
    }

    /// [`act`](Self::act) under a name of its own.
    pub fn act_named<R: Outcome>(
        mut self,
        name: impl Into<Arc<str>>,
        action: impl Fn(&Firing) -> R + Send + Sync + 'static,
    ) -> Self {
        self.acts.push((name.into(), Arc::new(move |firing| action(firing).into_outcome())));
        self
    }

    /// The rule's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn check(&self) -> Result<(), RuleError> {
        let name = || self.name.to_string();
        let Some(test) = &self.when else { return Err(RuleError::NoCondition(name())) };
        let clear_is_finite = match self.clear {
            Clear::Same => true,
            Clear::Below(threshold) | Clear::Above(threshold) => threshold.is_finite(),
        };
        if !test.is_sound() || !clear_is_finite {
            return Err(RuleError::Threshold(name()));
        }
        if !test.can_clear_at(self.clear) {
            return Err(RuleError::Clear(name()));
        }
        Ok(())
    }

    pub(crate) fn category_or_default(&self) -> Category {
        self.category.unwrap_or_else(|| self.kind.category())
    }

    /// What to say about a value by default.
    pub(crate) fn describe(&self, value: f64) -> String {
        match &self.when {
            Some(Test::Above(_, threshold)) => format!("{} is above {}", plain(value), plain(*threshold)),
            Some(Test::Below(_, threshold)) => format!("{} is below {}", plain(value), plain(*threshold)),
            Some(Test::Absent(_) | Test::Anomaly(..) | Test::Trend(..) | Test::Deadlock | Test::Raised)
            | None => String::new(),
        }
    }
}

/// Up to four digits after the point, and no zeros at the end.
fn plain(value: f64) -> String {
    let text = format!("{value:.4}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("severity", &self.severity)
            .field("when", &self.when)
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}
