//! Building an [`AutoScaler`].

use crate::{
    AutoScaler, BuildError, History, Load, Memory, NodeEvent, Policy, Provisioner, Recommend, Utilization,
    driver::{Driver, EventFn, LoadFn, Shared},
    fleet::Times,
    provisioner::Port,
};
use ropewalk_sync::{Background, Clock, Spawn};
use std::{fmt, ops::RangeInclusive, sync::Arc, time::Duration};

/// Sets an [`AutoScaler`] up.
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    port: Arc<dyn Port>,
    policy: Policy,
    initial: Option<usize>,
    times: Times,
    check_timeout: Duration,
    drain_timeout: Duration,
    stop_timeout: Duration,
    history: usize,
    loads: History,
    every: Duration,
    load: Option<LoadFn>,
    recommend: Option<Box<dyn Recommend>>,
    on_event: Option<EventFn>,
    clock: Clock,
    spawner: Option<Arc<dyn Spawn>>,
}

impl Builder {
    pub(crate) fn new(provisioner: impl Provisioner) -> Self {
        Self {
            port: Arc::new(provisioner),
            policy: Policy {
                min: 1,
                max: 20,
                target: 0.7,
                tolerance: 0.1,
                stabilization: Duration::from_secs(300),
                cooldown: Duration::ZERO,
                cooldown_up: Duration::ZERO,
                step_up: usize::MAX,
                step_down: usize::MAX,
            },
            initial: None,
            times: Times {
                start: Duration::from_secs(300),
                check_every: Duration::from_secs(1),
                misses: 3,
                retry: Duration::from_secs(1),
                retry_max: Duration::from_secs(60),
            },
            check_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(30),
            history: 1_000,
            loads: History::default(),
            every: Duration::from_secs(15),
            load: None,
            recommend: None,
            on_event: None,
            clock: Clock::system(),
            spawner: None,
        }
    }

    /// The bounds on the number of nodes; 1 to 20 by default. A minimum of 0 allows none at all, which
    /// only [`Load::Demand`] can bring back to life: no node measures its utilisation.
    pub fn nodes(mut self, nodes: RangeInclusive<usize>) -> Self {
        (self.policy.min, self.policy.max) = nodes.into_inner();
        self
    }

    /// How many nodes to begin with; the minimum by default.
    pub fn initial(mut self, nodes: usize) -> Self {
        self.initial = Some(nodes);
        self
    }

    /// The utilisation to hold; 70 % by default.
    pub fn target(mut self, target: Utilization) -> Self {
        self.policy.target = target.as_ratio();
        self
    }

    /// The share of the target by which the utilisation may be off without a change; 0.1 by default.
    pub fn tolerance(mut self, share: f64) -> Self {
        self.policy.tolerance = share;
        self
    }

    /// A scale-down goes no further than the greatest need within this window; 300 s by default.
    pub fn stabilization(mut self, window: Duration) -> Self {
        self.policy.stabilization = window;
        self
    }

    /// The least time between a change and the next scale-down; none by default.
    pub fn cooldown(mut self, time: Duration) -> Self {
        self.policy.cooldown = time;
        self
    }

    /// The least time between a change and the next scale-up; none by default.
    pub fn cooldown_up(mut self, time: Duration) -> Self {
        self.policy.cooldown_up = time;
        self
    }

    /// The most nodes added by one decision; no limit by default.
    pub fn step_up(mut self, nodes: usize) -> Self {
        self.policy.step_up = nodes;
        self
    }

    /// The most nodes removed by one decision; no limit by default.
    pub fn step_down(mut self, nodes: usize) -> Self {
        self.policy.step_down = nodes;
        self
    }

    /// Where the load comes from: called by the driver, [`every`](Self::every) so often. `None` means
    /// that there is nothing to say, and nothing changes. It should be quick: the driver waits for it.
    /// Without it, samples come through [`AutoScaler::observe`].
    pub fn load<L: Into<Option<Load>>>(mut self, mut load: impl FnMut() -> L + Send + 'static) -> Self {
        self.load = Some(Box::new(move || load().into()));
        self
    }

    /// How often the load is asked for; every 15 s by default.
    pub fn every(mut self, interval: Duration) -> Self {
        self.every = interval;
        self
    }

    /// Another rule for how many nodes a load needs.
    pub fn recommender(mut self, recommend: impl Recommend) -> Self {
        self.recommend = Some(Box::new(recommend));
        self
    }

    /// Called by the driver for each thing that happens to a node. It should be quick.
    pub fn on_event(mut self, on_event: impl FnMut(&NodeEvent) + Send + 'static) -> Self {
        self.on_event = Some(Box::new(on_event));
        self
    }

    /// How long a node may take from the call to start until it is ready; 300 s by default.
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.times.start = limit;
        self
    }

    /// How often each node's health is asked for; every second by default.
    pub fn check_every(mut self, interval: Duration) -> Self {
        self.times.check_every = interval;
        self
    }

    /// How long an answer to that may take; 5 s by default. A late answer counts as unhealthy.
    pub fn check_timeout(mut self, limit: Duration) -> Self {
        self.check_timeout = limit;
        self
    }

    /// How many unhealthy answers in a row make a node be replaced; 3 by default, at least 1.
    pub fn unhealthy_after(mut self, answers: u32) -> Self {
        self.times.misses = answers.max(1);
        self
    }

    /// How long a node may take to finish what it has before it is stopped; 30 s by default.
    pub fn drain_timeout(mut self, limit: Duration) -> Self {
        self.drain_timeout = limit;
        self
    }

    /// How long a stop may take before it counts as failed; 30 s by default.
    pub fn stop_timeout(mut self, limit: Duration) -> Self {
        self.stop_timeout = limit;
        self
    }

    /// The wait after a failed start or stop, doubled with each in a row up to `longest`; 1 s and 60 s
    /// by default.
    pub fn retry(mut self, first: Duration, longest: Duration) -> Self {
        (self.times.retry, self.times.retry_max) = (first, longest.max(first));
        self
    }

    /// How many changes [`history`](AutoScaler::history) keeps; 1,000 by default.
    pub fn history(mut self, changes: usize) -> Self {
        self.history = changes;
        self
    }

    /// How the load is recorded for planning: steps of this length, and how many. A week of minutes by
    /// default.
    pub fn record(mut self, step: Duration, keep: usize) -> Self {
        self.loads = History::new(step, keep);
        self
    }

    /// The time that all waits go by; the system's by default.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Runs the driver, and with it all calls to the provisioner, on `spawner` instead of a thread of the
    /// scaler's own.
    pub fn spawner(mut self, spawner: impl Spawn) -> Self {
        self.spawner = Some(Arc::new(spawner));
        self
    }

    /// Builds the scaler, which begins at once to start its first nodes.
    ///
    /// # Errors
    ///
    /// [`BuildError`] says which setting contradicts what.
    pub fn build(self) -> Result<AutoScaler, BuildError> {
        self.policy.check()?;
        let (min, max) = (self.policy.min, self.policy.max);
        let initial = self.initial.unwrap_or(min);
        if !(min..=max).contains(&initial) {
            return Err(BuildError::Initial { initial, min, max });
        }
        let times = [
            ("every", self.every),
            ("check_every", self.times.check_every),
            ("start_timeout", self.times.start),
            ("retry", self.times.retry),
        ];
        if let Some((name, _)) = times.iter().find(|(_, time)| time.is_zero()) {
            return Err(BuildError::Zero(name));
        }
        let shared = Shared::new(
            self.clock.clone(),
            self.policy,
            self.times,
            (self.check_timeout, self.drain_timeout, self.stop_timeout),
            self.history,
            self.loads,
            initial,
        );
        let driver = Driver {
            shared: shared.clone(),
            port: self.port,
            recommend: self.recommend,
            load: self.load,
            every: self.every,
            on_event: self.on_event,
            memory: Memory::new(initial, self.clock.now()),
        };
        let job = driver.job();
        let driver = match &self.spawner {
            Some(spawner) => Background::spawn("ropewalk-scale", &**spawner, job),
            None => Background::thread("ropewalk-scale", &self.clock, job),
        };
        Ok(AutoScaler::new(shared, driver))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("policy", &self.policy)
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}
