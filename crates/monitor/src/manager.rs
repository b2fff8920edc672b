//! The alerts: rules are read, alerts step, and what follows is put down for others to carry out.
//!
//! Nothing here runs user code, so all of it may run under the monitor's lock. Callbacks are told
//! (`notes`) and actions run (`jobs`) by workers, after the lock is released.

use crate::{
    AlertError, RaiseError, RuleError,
    alert::{
        Acknowledgement, ActionRecord, ActionState, Alert, AlertEvent, AlertId, AlertState, AlertSummary,
        Happened, Resolution, Silence, SilenceId,
    },
    condition::{Reading, Test},
    machine::{Phase, Signal, Step},
    metric::Labels,
    rule::{Act, Rule, Severity},
    table::Table,
    waits::Deadlock,
};
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// Sets of labels that a rule may be raised with at once.
const RAISED: usize = 1_000;

pub(crate) struct Job {
    pub(crate) alert: Alert,
    pub(crate) index: usize,
    pub(crate) act: Act,
}

pub(crate) struct Manager {
    rules: Vec<Ruling>,
    history: VecDeque<Alert>,
    keep: usize,
    next: u64,
    silences: Vec<(SilenceId, Silence, Option<Instant>)>,
    fired: u64,
    resolved: u64,
    pub(crate) notes: Vec<AlertEvent>,
    pub(crate) jobs: Vec<Job>,
}

struct Ruling {
    rule: Rule,
    instances: BTreeMap<Labels, Instance>,
    raised: BTreeMap<Labels, String>,
}

#[derive(Default)]
struct Instance {
    phase: Phase,
    alert: Option<Alert>,
    /// When the callbacks were told last.
    told: Option<Instant>,
    times: u64,
}

/// The moment of a look: by the clock, and counted from the start.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: Instant,
    pub(crate) at: Duration,
}

impl Manager {
    pub(crate) fn new(keep: usize) -> Self {
        Self {
            rules: Vec::new(),
            history: VecDeque::new(),
            keep,
            next: 1,
            silences: Vec::new(),
            fired: 0,
            resolved: 0,
            notes: Vec::new(),
            jobs: Vec::new(),
        }
    }

    /// Whether the rule may be added.
    pub(crate) fn check(&self, rule: &Rule) -> Result<(), RuleError> {
        rule.check()?;
        if self.rules.iter().any(|ruling| ruling.rule.name == rule.name) {
            return Err(RuleError::Duplicate(rule.name.to_string()));
        }
        Ok(())
    }

    /// Adds a rule that passed the check.
    pub(crate) fn add(&mut self, rule: Rule) {
        self.rules.push(Ruling { rule, instances: BTreeMap::new(), raised: BTreeMap::new() });
    }

    /// Whether a rule asks for deadlocks already.
    pub(crate) fn watches_deadlocks(&self) -> bool {
        self.rules.iter().any(|ruling| {
            ruling.rule.kind == crate::AlertKind::Deadlock || matches!(ruling.rule.when, Some(Test::Deadlock))
        })
    }

    /// Reads all rules.
    pub(crate) fn evaluate(&mut self, moment: Moment, table: &Table, deadlocks: Option<&[Deadlock]>) {
        self.silences.retain(|(_, _, until)| until.is_none_or(|until| until > moment.now));
        let mut rules = std::mem::take(&mut self.rules);
        for ruling in &mut rules {
            self.judge(ruling, moment, table, deadlocks);
        }
        self.rules = rules;
    }

    fn judge(&mut self, ruling: &mut Ruling, moment: Moment, table: &Table, deadlocks: Option<&[Deadlock]>) {
        let Some(test) = &mut ruling.rule.when else { return };
        let mut readings = test.read(table, ruling.rule.clear, deadlocks);
        if matches!(test, Test::Raised) {
            readings.extend(ruling.raised.iter().map(|(labels, message)| Reading {
                labels: labels.clone(),
                signal: Signal::Breach,
                value: f64::NAN,
                message: (!message.is_empty()).then(|| message.clone()),
            }));
        }
        let unread = if matches!(test, Test::Raised) { Signal::Clear } else { test.when_unread(deadlocks) };
        let read: HashSet<&Labels> = readings.iter().map(|reading| &reading.labels).collect();
        let missing: Vec<Labels> =
            ruling.instances.keys().filter(|labels| !read.contains(labels)).cloned().collect();
        readings.extend(missing.into_iter().map(|labels| Reading {
            labels,
            signal: unread,
            value: f64::NAN,
            message: None,
        }));
        for reading in readings {
            let labels = reading.labels.clone();
            let mut instance = ruling.instances.remove(&labels).unwrap_or_default();
            let signal = reading.signal;
            self.look(&ruling.rule, &mut instance, reading, moment);
            // What was never wrong, or is gone for good, needs no memory.
            let forget = instance.alert.is_none() && (instance.times == 0 || signal == Signal::Absent);
            if !forget {
                ruling.instances.insert(labels, instance);
            }
        }
    }

    fn look(&mut self, rule: &Rule, instance: &mut Instance, reading: Reading, moment: Moment) {
        let step = instance.phase.step(reading.signal, moment.now, &rule.timing);
        match step {
            Step::Started | Step::Fired if instance.alert.is_none() => {
                let id = AlertId(self.next);
                self.next += 1;
                instance.alert = Some(Alert::begun(id, rule, &reading, moment.at, instance.times));
                instance.told = None;
            }
            Step::None | Step::Started | Step::Fired | Step::Dropped | Step::Resolved | Step::Vanished => {}
        }
        if let Some(alert) = &mut instance.alert {
            alert.update(rule, &reading);
        }
        match step {
            Step::Fired => self.fire(rule, instance, moment),
            Step::Dropped => instance.alert = None,
            Step::Resolved => self.finish(instance, Resolution::Cleared, moment),
            Step::Vanished => self.finish(instance, Resolution::Vanished, moment),
            Step::None | Step::Started => {}
        }
        self.tell(rule, instance, moment);
    }

    fn fire(&mut self, rule: &Rule, instance: &mut Instance, moment: Moment) {
        let Some(alert) = &mut instance.alert else { return };
        self.fired += 1;
        instance.times += 1;
        alert.times = instance.times;
        alert.state = AlertState::Firing;
        alert.fired = Some(moment.at);
        let running =
            |(name, _): &(Arc<str>, Act)| ActionRecord { name: name.clone(), state: ActionState::Running };
        alert.actions = rule.acts.iter().map(running).collect();
        for (index, (_, act)) in rule.acts.iter().enumerate() {
            self.jobs.push(Job { alert: alert.clone(), index, act: act.clone() });
        }
    }

    fn finish(&mut self, instance: &mut Instance, resolution: Resolution, moment: Moment) {
        let Some(mut alert) = instance.alert.take() else { return };
        self.resolved += 1;
        alert.state = AlertState::Resolved;
        alert.resolved = Some(moment.at);
        alert.resolution = Some(resolution);
        if instance.told.take().is_some() {
            self.note(Happened::Resolved, alert.clone(), moment);
        }
        if self.history.len() >= self.keep {
            self.history.pop_front();
        }
        if self.keep > 0 {
            self.history.push_back(alert);
        }
    }

    /// Tells the callbacks of an alert that fires, unless they know or must not.
    fn tell(&mut self, rule: &Rule, instance: &mut Instance, moment: Moment) {
        let Some(alert) = instance.alert.as_mut().filter(|alert| alert.state == AlertState::Firing) else {
            return;
        };
        alert.silenced = self.silences.iter().any(|(_, silence, _)| silence.covers(alert));
        if alert.silenced {
            return;
        }
        let what = match (instance.told, rule.repeat) {
            (None, _) => Happened::Fired,
            (Some(told), Some(repeat))
                if alert.acknowledged.is_none() && moment.now.saturating_duration_since(told) >= repeat =>
            {
                Happened::Repeated
            }
            (Some(_), _) => return,
        };
        instance.told = Some(moment.now);
        let alert = alert.clone();
        self.note(what, alert, moment);
    }

    fn note(&mut self, what: Happened, alert: Alert, moment: Moment) {
        self.notes.push(AlertEvent { what, at: moment.at, alert });
    }

    pub(crate) fn raise(&mut self, rule: &str, labels: Labels, message: String) -> Result<(), RaiseError> {
        let ruling = self.ruling(rule)?;
        if ruling.raised.len() >= RAISED && !ruling.raised.contains_key(&labels) {
            return Err(RaiseError::TooMany(rule.to_owned()));
        }
        ruling.raised.insert(labels, message);
        Ok(())
    }

    pub(crate) fn lower(&mut self, rule: &str, labels: &Labels) -> Result<bool, RaiseError> {
        Ok(self.ruling(rule)?.raised.remove(labels).is_some())
    }

    fn ruling(&mut self, rule: &str) -> Result<&mut Ruling, RaiseError> {
        let found = self
            .rules
            .iter_mut()
            .find(|ruling| &*ruling.rule.name == rule && matches!(ruling.rule.when, Some(Test::Raised)));
        found.ok_or_else(|| RaiseError::UnknownRule(rule.to_owned()))
    }

    fn instance(&mut self, id: AlertId) -> Result<&mut Instance, AlertError> {
        let mut all = self.rules.iter_mut().flat_map(|ruling| ruling.instances.values_mut());
        all.find(|instance| instance.alert.as_ref().is_some_and(|alert| alert.id == id))
            .ok_or(AlertError::NotActive(id))
    }

    pub(crate) fn acknowledge(&mut self, id: AlertId, by: String, moment: Moment) -> Result<(), AlertError> {
        let instance = self.instance(id)?;
        let told = instance.told.is_some();
        let alert = instance.alert.as_mut().ok_or(AlertError::NotActive(id))?;
        if alert.acknowledged.is_some() {
            return Ok(());
        }
        alert.acknowledged = Some(Acknowledgement { by, at: moment.at });
        if told {
            let alert = alert.clone();
            self.note(Happened::Acknowledged, alert, moment);
        }
        Ok(())
    }

    pub(crate) fn resolve(&mut self, id: AlertId, by: String, moment: Moment) -> Result<(), AlertError> {
        let instance = self.instance(id)?;
        let mut taken = std::mem::take(instance);
        instance.times = taken.times;
        if taken.alert.as_ref().is_some_and(|alert| alert.state == AlertState::Pending) {
            return Ok(());
        }
        self.finish(&mut taken, Resolution::By(by), moment);
        Ok(())
    }

    pub(crate) fn silence(&mut self, silence: Silence, until: Option<Instant>) -> SilenceId {
        let id = SilenceId(self.next);
        self.next += 1;
        self.silences.push((id, silence, until));
        id
    }

    pub(crate) fn unsilence(&mut self, id: SilenceId) -> bool {
        let before = self.silences.len();
        self.silences.retain(|(of, _, _)| *of != id);
        self.silences.len() < before
    }

    /// Records what came of an action, on the alert wherever it is by now.
    pub(crate) fn acted(&mut self, id: AlertId, index: usize, state: ActionState, moment: Moment) {
        let instances = self.rules.iter_mut().flat_map(|ruling| ruling.instances.values_mut());
        let active = instances.filter_map(|instance| instance.alert.as_mut());
        let Some(alert) = active.chain(self.history.iter_mut()).find(|alert| alert.id == id) else { return };
        if let Some(record) = alert.actions.get_mut(index) {
            record.state = state;
        }
        if !alert.silenced {
            let alert = alert.clone();
            self.note(Happened::Acted, alert, moment);
        }
    }

    /// The alerts that fire or are pending, the worst first.
    pub(crate) fn active(&self) -> Vec<Alert> {
        let instances = self.rules.iter().flat_map(|ruling| ruling.instances.values());
        let mut alerts: Vec<Alert> = instances.filter_map(|instance| instance.alert.clone()).collect();
        let rank =
            |alert: &Alert| (alert.state != AlertState::Firing, std::cmp::Reverse(alert.severity), alert.id);
        alerts.sort_by_key(rank);
        alerts
    }

    /// Those that are over, the last first.
    pub(crate) fn history(&self) -> Vec<Alert> {
        self.history.iter().rev().cloned().collect()
    }

    pub(crate) fn summary(&self) -> AlertSummary {
        let mut summary =
            AlertSummary { fired: self.fired, resolved: self.resolved, ..AlertSummary::default() };
        let mut categories: HashMap<crate::Category, usize> = HashMap::new();
        let instances = self.rules.iter().flat_map(|ruling| ruling.instances.values());
        for alert in instances.filter_map(|instance| instance.alert.as_ref()) {
            if alert.state == AlertState::Pending {
                summary.pending += 1;
                continue;
            }
            match alert.severity {
                Severity::Info => summary.info += 1,
                Severity::Warning => summary.warning += 1,
                Severity::Error => summary.error += 1,
                Severity::Critical => summary.critical += 1,
            }
            summary.acknowledged += usize::from(alert.acknowledged.is_some());
            summary.silenced += usize::from(alert.silenced);
            *categories.entry(alert.category).or_default() += 1;
        }
        summary.by_category = categories.into_iter().collect();
        summary.by_category.sort();
        summary
    }
}

impl Alert {
    fn begun(id: AlertId, rule: &Rule, reading: &Reading, at: Duration, times: u64) -> Self {
        let labels =
            rule.labels.iter().fold(reading.labels.clone(), |all, (name, value)| all.with(name, value));
        Self {
            id,
            rule: rule.name.clone(),
            kind: rule.kind,
            category: rule.category_or_default(),
            severity: rule.severity,
            labels,
            state: AlertState::Pending,
            message: String::new(),
            value: reading.value,
            since: at,
            fired: None,
            resolved: None,
            resolution: None,
            acknowledged: None,
            silenced: false,
            actions: Vec::new(),
            times,
        }
    }

    fn update(&mut self, rule: &Rule, reading: &Reading) {
        if reading.value.is_finite() {
            self.value = reading.value;
        }
        if reading.signal != Signal::Breach {
            return;
        }
        let found = reading.message.clone().unwrap_or_else(|| rule.describe(reading.value));
        self.message = match &rule.message {
            Some(message) if found.is_empty() => message.clone(),
            Some(message) => format!("{message} ({found})"),
            None => found,
        };
    }
}
