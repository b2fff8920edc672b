//! Building a [`Monitor`].

use crate::{
    AlertKind, BuildError, Monitor, Rule, Severity, WaitEdge,
    alert::AlertEvent,
    collect::{Collector, CollectorStatus, Output, Source},
    condition::deadlock,
    deliver::{Actions, Outbox},
    handle::{Core, Shown, State},
    manager::Manager,
    metric::{Metrics, Section, metric_name},
    rule::Outcome,
    table::Table,
    waits::Watch,
};
use ropewalk_sync::{Clock, Spawn};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

/// Sets a [`Monitor`] up.
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    every: Duration,
    collect_timeout: Option<Duration>,
    series: usize,
    points: usize,
    analysed: usize,
    history: usize,
    queue: usize,
    clock: Clock,
    spawner: Option<Arc<dyn Spawn>>,
    collectors: Vec<Collector>,
    rules: Vec<Rule>,
    shown: HashMap<String, Shown>,
    outbox: Vec<Posting>,
}

/// A callback that waits for the outbox to exist.
type Posting = Box<dyn FnOnce(&Outbox)>;

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            every: Duration::from_secs(1),
            collect_timeout: None,
            series: 2_000,
            points: 600,
            analysed: 256,
            history: 256,
            queue: 1_000,
            clock: Clock::system(),
            spawner: None,
            collectors: Vec::new(),
            rules: Vec::new(),
            shown: HashMap::new(),
            outbox: Vec::new(),
        }
    }

    /// The time between ticks; 1 s by default.
    pub fn every(mut self, interval: Duration) -> Self {
        self.every = interval;
        self
    }

    /// Runs `source` at each tick. What it returns is recorded under `name_…`; an error or a panic is counted
    /// and shown, and so is one that takes longer than the [timeout](Self::collect_timeout). It may block, but not
    /// the others for longer than that.
    pub fn collect<M: Metrics>(
        mut self,
        name: impl Into<Arc<str>>,
        mut source: impl FnMut() -> M + Send + 'static,
    ) -> Self {
        let source: Source = Box::new(move || source().into_samples().map(Output::Samples));
        self.collectors.push(Collector::new(name.into(), false, source));
        self
    }

    /// Asks `source` at each tick who waits for whom. All watches together are one wait-for graph, so an owner
    /// has the same name in each of them. What two looks in a row agree on is a deadlock: a critical alert for
    /// each, by a rule `deadlock` of the monitor's own unless there is one of [kind](AlertKind::Deadlock)
    /// deadlock, and the gauge `deadlocks`. `waits` and `waits_oldest_seconds` tell of contention.
    pub fn watch_waits(
        mut self,
        name: impl Into<Arc<str>>,
        mut source: impl FnMut() -> Vec<WaitEdge> + Send + 'static,
    ) -> Self {
        let source: Source = Box::new(move || Ok(Output::Edges(source())));
        self.collectors.push(Collector::new(name.into(), true, source));
        self
    }

    /// Collects CPU and memory of the process and the machine from the operating system:
    /// `process_cpu_ratio` (1 is one processor), `machine_cpu_ratio` and `machine_memory_ratio` (1 is all),
    /// `process_memory_bytes`, `machine_memory_bytes`, `process_uptime_seconds`.
    #[cfg(feature = "system")]
    pub fn system(mut self) -> Self {
        let mut reader = crate::system::Reader::new();
        let source: Source = Box::new(move || Ok(Output::Samples(reader.read())));
        self.collectors.push(Collector::new("".into(), false, source));
        self
    }

    /// How long a collector may take before the tick goes on without it; the time between ticks by default.
    pub fn collect_timeout(mut self, limit: Duration) -> Self {
        self.collect_timeout = Some(limit);
        self
    }

    /// A rule to begin with. See also [`Handle::rule`](crate::Handle::rule).
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// A callback to begin with. See also [`Handle::on_alert`](crate::Handle::on_alert).
    pub fn on_alert<R: Outcome>(
        mut self,
        callback: impl Fn(&AlertEvent) -> R + Send + Sync + 'static,
    ) -> Self {
        self.outbox.push(Box::new(|outbox| outbox.subscribe(callback)));
        self
    }

    /// Shows the series of a name in a section of the dashboard, whatever its collector says.
    pub fn show(mut self, name: &str, section: Section) -> Self {
        self.shown.insert(metric_name(name), Shown { section, title: None, unit: None });
        self
    }

    /// How many series are recorded at most; 2,000 by default. Samples of others are dropped and counted.
    pub fn max_series(mut self, series: usize) -> Self {
        self.series = series;
        self
    }

    /// How many points of each series are kept; 600 by default, of 16 bytes each.
    pub fn points(mut self, points: usize) -> Self {
        self.points = points;
        self
    }

    /// How many series are watched for values that stand out; the first 256 by default.
    pub fn analyse(mut self, series: usize) -> Self {
        self.analysed = series;
        self
    }

    /// How many alerts that are over are kept; 256 by default.
    pub fn alert_history(mut self, alerts: usize) -> Self {
        self.history = alerts;
        self
    }

    /// How many events may wait for callbacks, and how many actions to be run; 1,000 by default. Beyond they
    /// are dropped and counted.
    pub fn queue(mut self, events: usize) -> Self {
        self.queue = events;
        self
    }

    /// The time that ticks and rules go by; the system's by default.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Runs everything on `spawner` instead of threads of the monitor's own. Collectors, callbacks and
    /// actions that block, block its threads then.
    pub fn spawner(mut self, spawner: impl Spawn) -> Self {
        self.spawner = Some(Arc::new(spawner));
        self
    }

    /// Builds the monitor; its first tick is now.
    ///
    /// # Errors
    ///
    /// [`BuildError`] for a zero, for two collectors of one name, and for a rule that is none.
    pub fn build(self) -> Result<Monitor, BuildError> {
        let limit = self.collect_timeout.unwrap_or(self.every);
        for (name, time) in [("every", self.every), ("collect_timeout", limit)] {
            if time.is_zero() {
                return Err(BuildError::Zero(name));
            }
        }
        for (name, count) in [("max_series", self.series), ("points", self.points), ("queue", self.queue)] {
            if count == 0 {
                return Err(BuildError::Zero(name));
            }
        }
        let mut names: HashSet<&str> = HashSet::new();
        if let Some(twice) = self.collectors.iter().find(|collector| !names.insert(&collector.name)) {
            return Err(BuildError::DuplicateCollector(twice.name.to_string()));
        }
        let mut manager = Manager::new(self.history);
        for rule in self.rules {
            manager.check(&rule)?;
            manager.add(rule);
        }
        let watched = self.collectors.iter().any(|collector| collector.watch);
        if watched && !manager.watches_deadlocks() {
            let rule = Rule::new("deadlock").kind(AlertKind::Deadlock).severity(Severity::Critical);
            let rule = rule.when(deadlock());
            manager.check(&rule)?;
            manager.add(rule);
        }
        let collectors = self
            .collectors
            .iter()
            .map(|collector| CollectorStatus {
                name: shown_name(&collector.name),
                ..CollectorStatus::default()
            })
            .collect();
        let state = State {
            table: Table::new(self.series, self.points, self.analysed),
            manager,
            watch: Watch::default(),
            deadlocks: None,
            collectors,
            shown: self.shown,
            scores: VecDeque::new(),
            took: Duration::ZERO,
            stopped: false,
        };
        let outbox = Arc::new(Outbox::new(self.queue));
        self.outbox.into_iter().for_each(|subscribe| subscribe(&outbox));
        let core = Core::new(self.clock, self.every, state, outbox, Actions::new(self.queue));
        Ok(Monitor::start(core, self.spawner, self.collectors, limit))
    }
}

/// The collector of the system has no prefix, but a name.
fn shown_name(name: &Arc<str>) -> Arc<str> {
    if name.is_empty() { "system".into() } else { name.clone() }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.collectors.iter().map(|collector| &*collector.name).collect();
        f.debug_struct("Builder")
            .field("every", &self.every)
            .field("collectors", &names)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
