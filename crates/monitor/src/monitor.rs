//! The monitor: what owns the threads, and the loop that ticks.

use crate::{
    Builder, Handle,
    collect::{Collector, CollectorStatus, Lanes, Output},
    deliver,
    handle::{Core, State},
    health::Health,
    metric::{Labels, Sample, Samples, Section, Unit, Value},
    waits::WaitEdge,
};
use ropewalk_sync::{Background, Clock, Spawn};
use std::{
    collections::BTreeMap,
    fmt,
    ops::Deref,
    sync::Arc,
    time::{Duration, Instant},
};

/// How many health scores are kept for their curve.
const SCORES: usize = 60;

/// Watches: collects samples at each tick, records them, reads the rules, tells of alerts, acts.
///
/// It starts four threads, unless it is given a [spawner](Builder::spawner): `ropewalk-monitor` ticks,
/// `ropewalk-collect` runs the collectors, `ropewalk-notify` the callbacks, `ropewalk-act` the corrective
/// actions. They end when the monitor is dropped; the drop waits for a callback or action that runs, not for a
/// collector that is stuck.
///
/// All that can be asked and told is on the [`Handle`] that it derefs to.
///
/// ```
/// use ropewalk_monitor::{AlertKind, Monitor, Rule, Samples, Severity, gauge};
/// use std::time::Duration;
///
/// let monitor = Monitor::builder()
///     .every(Duration::from_secs(1))
///     .collect("pool", || Samples::new().gauge("waiting", 70))
///     .build()?;
/// monitor.rule(
///     Rule::new("pool exhausted")
///         .kind(AlertKind::ResourceExhaustion)
///         .severity(Severity::Error)
///         .when(gauge("pool_waiting").above(50.0))
///         .clear_below(10.0),
/// )?;
/// monitor.on_alert(|event| eprintln!("{event}"));
///
/// monitor.ticked_blocking(monitor.tick());
/// let alert = &monitor.alerts()[0];
/// assert_eq!(alert.to_string(), "[error] pool exhausted: 70 is above 50");
/// monitor.acknowledge(alert.id, "somebody")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Monitor {
    handle: Handle,
    _workers: Vec<Background>,
}

impl Monitor {
    /// Sets a monitor up.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// A handle, cheap to clone.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    pub(crate) fn start(
        core: Arc<Core>,
        spawner: Option<Arc<dyn Spawn>>,
        collectors: Vec<Collector>,
        limit: Duration,
    ) -> Self {
        let handle = Handle(core.clone());
        let clock = core.clock.clone();
        let lanes = Lanes::new(clock.clone(), spawner.clone(), limit);
        let notify = core.outbox.clone().deliver();
        let driver = Driver { core, lanes, collectors };
        let workers = vec![
            worker("ropewalk-monitor", &clock, spawner.as_deref(), driver.run()),
            worker("ropewalk-notify", &clock, spawner.as_deref(), notify),
            worker("ropewalk-act", &clock, spawner.as_deref(), deliver::act(handle.clone())),
        ];
        Self { handle, _workers: workers }
    }
}

impl Deref for Monitor {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Monitor").field(&self.handle).finish()
    }
}

fn worker(
    name: &str,
    clock: &Clock,
    spawner: Option<&dyn Spawn>,
    job: impl Future<Output = ()> + Send + 'static,
) -> Background {
    match spawner {
        Some(spawner) => Background::spawn(name, spawner, job),
        None => Background::thread(name, clock, job),
    }
}

struct Driver {
    core: Arc<Core>,
    lanes: Lanes,
    collectors: Vec<Collector>,
}

/// Says that there will be no more ticks.
struct End(Arc<Core>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.state.lock().stopped = true;
        self.0.end_turn();
    }
}

impl Driver {
    async fn run(mut self) {
        let _end = End(self.core.clone());
        let mut next = Some(self.core.clock.now());
        loop {
            self.core.clock.sleep_until(next).await;
            self.tick().await;
            next = following(next, self.core.every, self.core.clock.now());
        }
    }

    async fn tick(&mut self) {
        let begun = self.core.clock.now();
        let mut gathered: Vec<(Arc<str>, Samples)> = Vec::new();
        let mut waits: BTreeMap<Arc<str>, Vec<WaitEdge>> = BTreeMap::new();
        let mut statuses: Vec<CollectorStatus> = self.core.state.lock().collectors.clone();
        let mut blind = false;
        for (index, (collector, status)) in self.collectors.iter_mut().zip(&mut statuses).enumerate() {
            match self.lanes.run(index, collector, status).await {
                Some(Output::Samples(samples)) => gathered.push((collector.name.clone(), samples)),
                Some(Output::Edges(edges)) => {
                    waits.insert(collector.name.clone(), edges);
                }
                None => blind |= collector.watch,
            }
        }
        let own = self.core.registry.samples();
        let watches = self.collectors.iter().any(|collector| collector.watch);
        let (delivered, failed, dropped) = {
            let outbox = &self.core.outbox;
            (outbox.delivered.value(), outbox.failed.value(), outbox.dropped.value())
        };

        let moment = self.core.moment();
        let mut state = self.core.state.lock();
        let now = moment.at.as_secs_f64();
        state.table.begin(now);
        for (name, samples) in gathered {
            samples.list.into_iter().for_each(|sample| state.ingest(&name, sample));
        }
        own.into_iter().for_each(|sample| state.ingest("", sample));
        for (name, edges) in &waits {
            of_waits(name, edges, moment.now).list.into_iter().for_each(|sample| state.ingest("", sample));
        }
        if watches {
            state.look(waits.into_values().flatten().collect(), blind);
        }
        let took = std::mem::replace(&mut state.took, moment.now.saturating_duration_since(begun));
        let summary = state.manager.summary();
        let mut about = Samples::new()
            .counter("ticks", state.table.tick)
            .gauge("tick_seconds", took)
            .unit(Unit::Seconds)
            .help("how long the tick before took to collect")
            .gauge("series", state.table.series.len())
            .counter("series_refused", state.table.refused)
            .help("samples dropped since there were too many series")
            .counter("callbacks_delivered", delivered)
            .counter("callbacks_failed", failed)
            .counter("callbacks_dropped", dropped);
        let firing = [
            ("info", summary.info),
            ("warning", summary.warning),
            ("error", summary.error),
            ("critical", summary.critical),
        ];
        for (severity, count) in firing {
            about = about.gauge("alerts_firing", count).label("severity", severity);
        }
        for status in &statuses {
            about = about
                .gauge("collector_up", status.up)
                .label("collector", &*status.name)
                .counter("collector_failures", status.failures)
                .label("collector", &*status.name)
                .gauge("collector_seconds", status.took)
                .label("collector", &*status.name)
                .unit(Unit::Seconds);
        }
        about.list.into_iter().for_each(|sample| state.ingest("monitor", sample));
        state.collectors = statuses;
        let State { table, manager, deadlocks, .. } = &mut *state;
        table.end();
        manager.evaluate(moment, table, deadlocks.as_deref());
        let score = Health::of(&state, moment.at).score;
        if state.scores.len() >= SCORES {
            state.scores.pop_front();
        }
        state.scores.push_back(score);
        drop(state);
        self.core.follow_up();
        self.core.end_turn();
    }
}

impl State {
    fn ingest(&mut self, prefix: &str, mut sample: Sample) {
        let name = if prefix.is_empty() { sample.name.clone() } else { format!("{prefix}_{}", sample.name) };
        if let Some(shown) = self.shown.get(&name) {
            sample.section = Some(shown.section);
            sample.unit = shown.unit.unwrap_or(sample.unit);
            sample.title = shown.title.clone().or(sample.title);
        }
        self.table.ingest(prefix, sample);
    }

    /// Compares the wait-for graph with that of the tick before. Without an answer from every watch nothing is
    /// known: `deadlocks` is not reported, and what fires goes on.
    fn look(&mut self, edges: Vec<WaitEdge>, blind: bool) {
        if blind {
            self.watch.forget();
            self.deadlocks = None;
            return;
        }
        let found = self.watch.look(edges);
        let count = found.len();
        self.deadlocks = Some(found);
        let samples = Samples::new()
            .gauge("deadlocks", count)
            .help("cycles in the wait-for graph that two looks in a row agree on");
        samples.list.into_iter().for_each(|sample| self.ingest("", sample));
    }
}

fn of_waits(watch: &str, edges: &[WaitEdge], now: Instant) -> Samples {
    let waiters: std::collections::HashSet<(&str, &str)> =
        edges.iter().map(|edge| (edge.waiter.as_str(), edge.resource.as_str())).collect();
    let oldest = edges.iter().map(|edge| now.saturating_duration_since(edge.since)).max().unwrap_or_default();
    let labels = Labels::none().with("watch", watch);
    let mut samples = Samples::new()
        .section(Section::Concurrency)
        .gauge("waits", waiters.len())
        .title(format!("{watch}, waiting"))
        .help("waits for a resource that somebody holds")
        .gauge("waits_oldest_seconds", oldest)
        .unit(Unit::Seconds)
        .title(format!("{watch}, longest wait"))
        .help("how long the longest of them has lasted");
    samples.list.iter_mut().for_each(|sample| {
        sample.labels = labels.clone();
        debug_assert!(matches!(sample.value, Value::Gauge(_)));
    });
    samples
}

/// The next tick on the grid, skipping those that are over.
fn following(last: Option<Instant>, every: Duration, now: Instant) -> Option<Instant> {
    let next = last?.checked_add(every)?;
    if next > now {
        return Some(next);
    }
    let missed = now.saturating_duration_since(next).as_nanos() / every.as_nanos().max(1);
    let skip = u32::try_from(missed).ok().and_then(|missed| every.checked_mul(missed.saturating_add(1)));
    next.checked_add(skip?)
}
