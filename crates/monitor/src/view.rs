//! What a dashboard shows, as plain data.

use crate::{
    ActionState, Alert, AlertId, AlertState, AlertSummary, Category, Handle, Health, Section, Severity, Unit,
    handle::State, metric::Value, table::Series,
};
use std::{sync::Arc, time::Duration};

/// Points of a card's curve.
const CURVE: usize = 60;
/// Cards of a section.
const CARDS: usize = 48;
/// Alerts that are over and still shown.
const OVER: usize = 10;

/// Everything that a dashboard shows at one moment. With feature `serde` it serialises to what the page
/// of `ropewalk-dashboard` reads.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Dashboard {
    /// The number of ticks so far.
    pub tick: u64,
    /// Seconds since the monitor's start.
    pub uptime: f64,
    /// Seconds between ticks.
    pub every: f64,
    /// How the whole is.
    pub health: Health,
    /// The sections, in order; all six are always there.
    pub sections: Vec<SectionView>,
    /// Alerts that fire or are pending, the worst first, then the last ones that are over.
    pub alerts: Vec<AlertView>,
    /// Alerts in numbers.
    pub summary: AlertSummary,
}

/// A section of a dashboard.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SectionView {
    /// Which.
    pub id: Section,
    /// Its heading.
    pub title: &'static str,
    /// What it shows.
    pub cards: Vec<Card>,
}

/// A value and its curve.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Card {
    /// Its title.
    pub name: String,
    /// The value; without one there is no data at present.
    pub value: CardValue,
    /// What the numbers are.
    pub unit: Unit,
    /// Numbers beside the value, such as quantiles, with their names.
    pub details: Vec<(&'static str, Option<f64>)>,
    /// The last 60 points: levels, increases per second, or p99s. Gaps are `None`.
    pub history: Vec<Option<f64>>,
}

/// The value of a card.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(untagged))]
#[non_exhaustive]
pub enum CardValue {
    /// A number.
    Number(f64),
    /// Words.
    Text(String),
    /// There is no data.
    None,
}

/// An alert as a dashboard shows it.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AlertView {
    /// Its number.
    pub id: AlertId,
    /// Its rule and labels.
    pub rule: String,
    /// What is wrong.
    pub message: String,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub category: Category,
    /// Where it stands.
    pub state: AlertState,
    /// Who acknowledged it.
    pub acknowledged: Option<String>,
    /// Whether a silence covers it.
    pub silenced: bool,
    /// For how many seconds it has been in its state.
    pub seconds: f64,
    /// What came of its corrective actions.
    pub action: Option<String>,
}

impl Dashboard {
    pub(crate) fn of(handle: &Handle) -> Self {
        let summary = handle.alert_summary();
        let at = handle.0.moment().at;
        let state = handle.0.state.lock();
        let health = Health::of(&state, at);
        let sections = Section::ALL
            .into_iter()
            .map(|id| {
                let mut cards = own_cards(id, &state, &health, &summary);
                let series = state.table.sorted();
                let mine = series.iter().filter(|(_, series)| series.section == Some(id));
                cards.extend(mine.map(|(_, series)| card(series, state.table.tick)).take(CARDS));
                SectionView { id, title: id.title(), cards }
            })
            .collect();
        let (active, over) = (state.manager.active(), state.manager.history());
        let alerts = active.iter().chain(over.iter().take(OVER)).map(|alert| AlertView::of(alert, at));
        Self {
            tick: state.table.tick,
            uptime: at.as_secs_f64(),
            every: handle.0.every.as_secs_f64(),
            health,
            sections,
            alerts: alerts.collect(),
            summary,
        }
    }
}

/// What the monitor itself has to say in a section.
fn own_cards(id: Section, state: &State, health: &Health, summary: &AlertSummary) -> Vec<Card> {
    let plain = |name: &str, value: f64| Card {
        name: name.to_owned(),
        value: CardValue::Number(value),
        unit: Unit::None,
        details: Vec::new(),
        history: Vec::new(),
    };
    match id {
        Section::System => {
            let scores: Vec<f64> = state.scores.iter().copied().collect();
            let up = state.collectors.iter().filter(|collector| collector.up).count();
            vec![
                Card { history: tail(&scores), ..plain("health score", health.score) },
                plain("collectors up", up as f64),
            ]
        }
        Section::Alerts => vec![
            plain("firing", summary.firing() as f64),
            plain("pending", summary.pending as f64),
            plain("fired since start", summary.fired as f64),
            plain("callbacks told", summary.delivered as f64),
            plain("corrective actions", summary.actions as f64),
        ],
        Section::Concurrency => match &state.deadlocks {
            Some(deadlocks) => vec![plain("deadlocks", deadlocks.len() as f64)],
            None => Vec::new(),
        },
        Section::Agents | Section::Tasks | Section::Performance => Vec::new(),
    }
}

fn card(series: &Series, tick: u64) -> Card {
    let here = series.seen == tick;
    let (value, details) = match &series.last {
        _ if !here => (CardValue::None, Vec::new()),
        Value::Counter(value) | Value::Gauge(value) if value.is_finite() => {
            (CardValue::Number(*value), Vec::new())
        }
        Value::Counter(_) | Value::Gauge(_) => (CardValue::None, Vec::new()),
        Value::Text(words) => (CardValue::Text(words.clone()), Vec::new()),
        Value::Histogram(all, scale) => {
            let at = |q: f64| all.quantile(q).map(|value| value as f64 * scale);
            let value = at(0.5).map_or(CardValue::None, CardValue::Number);
            (
                value,
                vec![("p50", at(0.5)), ("p99", at(0.99)), ("max", all.max().map(|max| max as f64 * scale))],
            )
        }
    };
    Card { name: series.title.clone(), value, unit: series.unit, details, history: tail(&series.curve()) }
}

fn tail(curve: &[f64]) -> Vec<Option<f64>> {
    curve[curve.len().saturating_sub(CURVE)..]
        .iter()
        .map(|value| value.is_finite().then_some(*value))
        .collect()
}

impl AlertView {
    fn of(alert: &Alert, at: Duration) -> Self {
        let since = alert.resolved.or(alert.fired).unwrap_or(alert.since);
        let acts: Vec<String> = alert
            .actions
            .iter()
            .map(|action| match &action.state {
                ActionState::Running => format!("{}: running", action.name),
                ActionState::Done(what) => format!("{}: {what}", action.name),
                ActionState::Failed(why) => format!("{} failed: {why}", action.name),
                ActionState::Dropped => format!("{}: not run, too many were waiting", action.name),
            })
            .collect();
        Self {
            id: alert.id,
            rule: title(&alert.rule, alert),
            message: alert.message.clone(),
            severity: alert.severity,
            category: alert.category,
            state: alert.state,
            acknowledged: alert.acknowledged.as_ref().map(|who| who.by.clone()),
            silenced: alert.silenced,
            seconds: at.saturating_sub(since).as_secs_f64(),
            action: (!acts.is_empty()).then(|| acts.join("; ")),
        }
    }
}

fn title(rule: &Arc<str>, alert: &Alert) -> String {
    if alert.labels.is_empty() { rule.to_string() } else { format!("{rule} ({})", alert.labels) }
}
