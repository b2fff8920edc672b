//! What everybody may hold: a cheap handle to a running monitor.

use crate::{
    AlertError, AlertId, CollectorStatus, Expr, RaiseError, RegisterError, RuleError,
    alert::{Alert, AlertEvent, AlertSummary, Silence, SilenceId},
    analyse::{PerformanceSummary, SeriesTrend},
    deliver::{Actions, Outbox, caught},
    health::Health,
    manager::{Manager, Moment},
    metric::{Labels, Section, Unit, metric_name},
    registry::Registry,
    rule::{Outcome, Rule},
    table::{Anomaly, Table},
    view::Dashboard,
    waits::{Deadlock, Watch},
};
use parking_lot::Mutex;
use ropewalk_measure::{Counter, FloatGauge, Gauge, Histogram};
use ropewalk_sync::{Clock, Event};
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// A handle to a monitor: cheap to clone, and all that there is to ask and tell. [`Monitor`](crate::Monitor)
/// derefs to it. It stays valid after the monitor is dropped; then nothing moves any more.
#[derive(Clone)]
pub struct Handle(pub(crate) Arc<Core>);

pub(crate) struct Core {
    pub(crate) clock: Clock,
    pub(crate) origin: Instant,
    pub(crate) every: Duration,
    pub(crate) state: Mutex<State>,
    pub(crate) registry: Registry,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) actions: Actions,
    turn: Mutex<Arc<Event>>,
}

/// Touched under its lock only, in sections that run no user code.
pub(crate) struct State {
    pub(crate) table: Table,
    pub(crate) manager: Manager,
    pub(crate) watch: Watch,
    /// What the watches agree on; `None` when there are none, or one did not answer.
    pub(crate) deadlocks: Option<Vec<Deadlock>>,
    pub(crate) collectors: Vec<CollectorStatus>,
    pub(crate) shown: HashMap<String, Shown>,
    pub(crate) scores: VecDeque<f64>,
    pub(crate) took: Duration,
    pub(crate) stopped: bool,
}

#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) section: Section,
    pub(crate) title: Option<String>,
    pub(crate) unit: Option<Unit>,
}

impl Core {
    pub(crate) fn new(
        clock: Clock,
        every: Duration,
        state: State,
        outbox: Arc<Outbox>,
        actions: Actions,
    ) -> Arc<Self> {
        let origin = clock.now();
        let (registry, turn) = (Registry::default(), Mutex::default());
        Arc::new(Self { clock, origin, every, state: Mutex::new(state), registry, outbox, actions, turn })
    }

    pub(crate) fn moment(&self) -> Moment {
        let now = self.clock.now();
        Moment { now, at: now.saturating_duration_since(self.origin) }
    }

    /// Carries out what the manager has put down. Callbacks first hear of a firing, then of its actions.
    ///
    /// It is handed over under the lock, so that callbacks hear of things in the order in which they happened,
    /// whoever made them happen; the workers are woken after it.
    pub(crate) fn follow_up(&self) {
        let moment = self.moment();
        let mut state = self.state.lock();
        let (notes, jobs) =
            (std::mem::take(&mut state.manager.notes), std::mem::take(&mut state.manager.jobs));
        let (tells, acts) = (!notes.is_empty(), !jobs.is_empty());
        self.outbox.put(notes);
        for job in jobs {
            if let Err(job) = self.actions.jobs.put(job) {
                self.actions.dropped.incr();
                let dropped = crate::ActionState::Dropped;
                state.manager.acted(job.alert.id, job.index, dropped, moment);
            }
        }
        self.outbox.put(std::mem::take(&mut state.manager.notes));
        drop(state);
        if tells || acts {
            self.outbox.events.wake();
        }
        if acts {
            self.actions.jobs.wake();
        }
    }

    pub(crate) fn acted(&self, id: AlertId, index: usize, outcome: crate::ActionState) {
        let moment = self.moment();
        self.state.lock().manager.acted(id, index, outcome, moment);
        self.follow_up();
    }

    pub(crate) fn end_turn(&self) {
        let over = std::mem::take(&mut *self.turn.lock());
        // Wakers are user code; one that panics must not end the driver.
        let _told = caught(|| over.set());
    }

    /// Reads all rules now.
    pub(crate) fn evaluate(&self) {
        let moment = self.moment();
        let mut state = self.state.lock();
        let State { table, manager, deadlocks, .. } = &mut *state;
        manager.evaluate(moment, table, deadlocks.as_deref());
        drop(state);
        self.follow_up();
    }
}

impl Handle {
    /// Adds a rule. It is read at each tick from now on.
    ///
    /// # Errors
    ///
    /// [`RuleError`] when it has no condition, a threshold on the wrong side, or the name of another.
    pub fn rule(&self, rule: Rule) -> Result<(), RuleError> {
        // A rule that is refused drops, with what its actions own, after the lock is released.
        let mut state = self.0.state.lock();
        state.manager.check(&rule)?;
        state.manager.add(rule);
        Ok(())
    }

    /// Tells `callback` what happens to alerts, on the monitor's thread for callbacks, in order. It may return
    /// a `Result`: errors and panics are counted, as are events that were dropped since a thousand were
    /// waiting.
    pub fn on_alert<R: Outcome>(&self, callback: impl Fn(&AlertEvent) -> R + Send + Sync + 'static) {
        self.0.outbox.subscribe(callback);
    }

    /// Raises a rule made with [`raised`](crate::raised), for one set of labels. Rules are read at once, not at
    /// the next tick. Raised again it only changes the message.
    ///
    /// # Errors
    ///
    /// [`RaiseError`] when there is no such rule, or it is raised with too many labels.
    pub fn raise(&self, rule: &str, labels: Labels, message: impl Into<String>) -> Result<(), RaiseError> {
        let message = message.into();
        self.0.state.lock().manager.raise(rule, labels, message)?;
        self.0.evaluate();
        Ok(())
    }

    /// Takes back what was raised; false if it was not.
    ///
    /// # Errors
    ///
    /// [`RaiseError::UnknownRule`].
    pub fn lower(&self, rule: &str, labels: &Labels) -> Result<bool, RaiseError> {
        let was = self.0.state.lock().manager.lower(rule, labels)?;
        self.0.evaluate();
        Ok(was)
    }

    /// Says that somebody has seen an alert: it is not repeated. Acknowledging twice changes nothing.
    ///
    /// # Errors
    ///
    /// [`AlertError::NotActive`].
    pub fn acknowledge(&self, alert: AlertId, by: impl Into<String>) -> Result<(), AlertError> {
        let (by, moment) = (by.into(), self.0.moment());
        self.0.state.lock().manager.acknowledge(alert, by, moment)?;
        self.0.follow_up();
        Ok(())
    }

    /// Ends an alert by hand. If its condition still holds it fires anew, under a new number, after the
    /// rule's `for_`; to have peace, [`silence`](Self::silence) it.
    ///
    /// # Errors
    ///
    /// [`AlertError::NotActive`].
    pub fn resolve(&self, alert: AlertId, by: impl Into<String>) -> Result<(), AlertError> {
        let (by, moment) = (by.into(), self.0.moment());
        self.0.state.lock().manager.resolve(alert, by, moment)?;
        self.0.follow_up();
        Ok(())
    }

    /// Keeps alerts from the callbacks for a time. They fire and act all the same; those that still fire
    /// when the silence ends are told of then.
    pub fn silence(&self, silence: Silence, time: Duration) -> SilenceId {
        let until = self.0.clock.deadline(time);
        self.0.state.lock().manager.silence(silence, until)
    }

    /// Ends a silence; false if it is over already.
    pub fn unsilence(&self, silence: SilenceId) -> bool {
        self.0.state.lock().manager.unsilence(silence)
    }

    /// The alerts that fire or are pending, the worst first.
    pub fn alerts(&self) -> Vec<Alert> {
        self.0.state.lock().manager.active()
    }

    /// The alerts that are over, the last first.
    pub fn alert_history(&self) -> Vec<Alert> {
        self.0.state.lock().manager.history()
    }

    /// How many alerts there are, and what became of their callbacks and actions.
    pub fn alert_summary(&self) -> AlertSummary {
        let (outbox, actions) = (&self.0.outbox, &self.0.actions);
        AlertSummary {
            delivered: outbox.delivered.value(),
            failed_deliveries: outbox.failed.value(),
            dropped_deliveries: outbox.dropped.value(),
            actions: actions.ran.value(),
            failed_actions: actions.failed.value(),
            dropped_actions: actions.dropped.value(),
            ..self.0.state.lock().manager.summary()
        }
    }

    /// A counter of the monitor's own, found or made by name.
    ///
    /// # Errors
    ///
    /// [`RegisterError::Kind`] when the name stands for something else.
    pub fn counter(&self, name: &str, labels: impl Into<Labels>) -> Result<Counter, RegisterError> {
        self.0.registry.counter(name, labels.into())
    }

    /// A level of the monitor's own.
    ///
    /// # Errors
    ///
    /// As [`counter`](Self::counter).
    pub fn gauge(&self, name: &str, labels: impl Into<Labels>) -> Result<Gauge, RegisterError> {
        self.0.registry.gauge(name, labels.into())
    }

    /// A floating-point level of the monitor's own.
    ///
    /// # Errors
    ///
    /// As [`counter`](Self::counter).
    pub fn float_gauge(&self, name: &str, labels: impl Into<Labels>) -> Result<FloatGauge, RegisterError> {
        self.0.registry.float(name, labels.into())
    }

    /// A histogram of the monitor's own. One whose name ends in `_seconds` is taken to record nanoseconds, as
    /// `record_duration` does, and is shown in seconds.
    ///
    /// # Errors
    ///
    /// As [`counter`](Self::counter).
    pub fn histogram(&self, name: &str, labels: impl Into<Labels>) -> Result<Histogram, RegisterError> {
        self.0.registry.histogram(name, labels.into())
    }

    /// Shows the series of a name in a section of the dashboard, whatever its collector says.
    pub fn show(&self, name: &str, section: Section) {
        self.show_as(name, section, None::<String>, None);
    }

    /// [`show`](Self::show) with a title and a unit.
    pub fn show_as(
        &self,
        name: &str,
        section: Section,
        title: Option<impl Into<String>>,
        unit: Option<Unit>,
    ) {
        let shown = Shown { section, title: title.map(Into::into), unit };
        self.0.state.lock().shown.insert(metric_name(name), shown);
    }

    /// The present value of an expression, if exactly one series is meant and it has data.
    pub fn value(&self, expr: &(impl Clone + Into<Expr>)) -> Option<f64> {
        let expr: Expr = expr.clone().into();
        let values = expr.eval(&self.0.state.lock().table);
        match values.as_slice() {
            [(_, value)] => *value,
            _ => None,
        }
    }

    /// The present values of an expression, for each set of labels.
    pub fn values(&self, expr: &(impl Clone + Into<Expr>)) -> Vec<(Labels, Option<f64>)> {
        let expr: Expr = expr.clone().into();
        expr.eval(&self.0.state.lock().table)
    }

    /// The deadlocks found by the last two looks at the wait-for graph.
    pub fn deadlocks(&self) -> Vec<Deadlock> {
        self.0.state.lock().deadlocks.clone().unwrap_or_default()
    }

    /// The trends of the recorded series (of the first 256), by confidence. Takes some milliseconds for
    /// each dozen series; the monitor goes on meanwhile.
    pub fn trends(&self) -> Vec<SeriesTrend> {
        crate::analyse::trends(self)
    }

    /// The last 256 values that stood out, oldest first.
    pub fn anomalies(&self) -> Vec<Anomaly> {
        self.0.state.lock().table.anomalies.iter().cloned().collect()
    }

    /// Every series in figures: last, least, greatest, mean, trend, anomalies. Costs what
    /// [`trends`](Self::trends) does.
    pub fn performance(&self) -> PerformanceSummary {
        crate::analyse::summary(self)
    }

    /// How the whole is.
    pub fn health(&self) -> Health {
        Health::of(&self.0.state.lock(), self.0.moment().at)
    }

    /// How each collector is.
    pub fn collectors(&self) -> Vec<CollectorStatus> {
        self.0.state.lock().collectors.clone()
    }

    /// All series in the Prometheus text format, version 0.0.4.
    pub fn prometheus(&self) -> String {
        crate::prometheus::text(self)
    }

    /// Everything that a dashboard shows, at this moment.
    pub fn dashboard(&self) -> Dashboard {
        Dashboard::of(self)
    }

    /// How many ticks there were. Each collects, records, and reads the rules.
    pub fn tick(&self) -> u64 {
        self.0.state.lock().table.tick
    }

    /// The time between ticks.
    pub fn every(&self) -> Duration {
        self.0.every
    }

    /// The monitor's clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Whether the monitor was dropped.
    pub fn is_stopped(&self) -> bool {
        self.0.state.lock().stopped
    }

    /// Waits until there were more than `after` ticks and gives their number, or until the monitor is
    /// dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn ticked(&self, after: u64) -> u64 {
        loop {
            let turn = self.0.turn.lock().clone();
            let (tick, stopped) = {
                let state = self.0.state.lock();
                (state.table.tick, state.stopped)
            };
            if tick > after || stopped {
                return tick;
            }
            turn.wait().await;
        }
    }

    /// [`ticked`](Self::ticked), parking this thread.
    pub fn ticked_blocking(&self, after: u64) -> u64 {
        self.0.clock.block_on(self.ticked(after))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("tick", &self.tick())
            .field("health", &self.health().state)
            .finish_non_exhaustive()
    }
}
