//! Setting a coordinator up.

use crate::{
    backoff::Backoff,
    coordinator::Coordinator,
    engine::{Inner, Roster, Settings},
    error::BuildError,
    event::{Event, EventKind, Hub, Listener},
    executor::Executor,
    mailbox::Overflow,
    task::FailurePolicy,
};
use ropewalk_graph::{Change, Graph, Order};
use ropewalk_resources::ResourcePool;
use ropewalk_sync::{Clock, Spawn};
use std::{
    fmt,
    sync::{Arc, OnceLock, Weak},
    thread,
    time::Duration,
};

/// Sets up a [`Coordinator`].
#[must_use = "call build()"]
pub struct CoordinatorBuilder {
    agents: usize,
    tasks: usize,
    tasks_per_agent: Option<usize>,
    mailbox: usize,
    overflow: Overflow,
    clock: Clock,
    spawner: Option<Arc<dyn Spawn>>,
    threads: Option<usize>,
    resources: Option<ResourcePool>,
    retries: u32,
    backoff: Backoff,
    grace: Duration,
    blocking_grace: Duration,
    ageing: Duration,
    order: Order,
    policy: FailurePolicy,
    keep_finished: usize,
    listeners: Vec<Listener>,
}

impl CoordinatorBuilder {
    pub(crate) fn new() -> Self {
        Self {
            agents: 50,
            tasks: 200,
            tasks_per_agent: None,
            mailbox: 64,
            overflow: Overflow::default(),
            clock: Clock::system(),
            spawner: None,
            threads: None,
            resources: None,
            retries: 3,
            backoff: Backoff::default(),
            grace: Duration::ZERO,
            blocking_grace: Duration::from_secs(5),
            ageing: Duration::from_secs(10),
            order: Order::CriticalPath,
            policy: FailurePolicy::default(),
            keep_finished: 10_000,
            listeners: Vec::new(),
        }
    }

    /// How many agents are busy at once, at most; 50 by default. Any number may be in the team.
    pub fn agents(mut self, agents: usize) -> Self {
        self.agents = agents;
        self
    }

    /// How many tasks run at once, at most; 200 by default. Any number may wait.
    pub fn tasks(mut self, tasks: usize) -> Self {
        self.tasks = tasks;
        self
    }

    /// How many tasks one agent runs at once, unless the agent says otherwise; by default as many as
    /// let all slots be used: tasks over agents, rounded up. The idle are always taken first.
    pub fn tasks_per_agent(mut self, tasks: usize) -> Self {
        self.tasks_per_agent = Some(tasks);
        self
    }

    /// How many messages a mailbox holds, and what happens to one too many; 64, and the sender waits,
    /// by default.
    pub fn mailbox(mut self, messages: usize, overflow: Overflow) -> Self {
        (self.mailbox, self.overflow) = (messages, overflow);
        self
    }

    /// The clock that everything follows; the system's by default.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Who runs the bodies of tasks; threads of the coordinator's own by default.
    pub fn spawner(mut self, spawner: impl Spawn) -> Self {
        self.spawner = Some(Arc::new(spawner));
        self
    }

    /// Runs the bodies of tasks on the tokio runtime that this is called on.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[cfg(feature = "tokio")]
    pub fn tokio(self) -> Self {
        self.spawner(ropewalk_sync::Tokio::current())
    }

    /// How many threads of the coordinator's own poll the bodies of tasks; one per core by default. Not
    /// used with a [`spawner`](Self::spawner). Blocking bodies get a thread each besides.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Where `needs` are taken from; a pool of the coordinator's own by default.
    pub fn resources(mut self, pool: ResourcePool) -> Self {
        self.resources = Some(pool);
        self
    }

    /// How often a task is tried again, unless it says otherwise; 3 by default.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// The pause before a retry, unless the task says otherwise.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How long an async body that was told to stop may go on before it is dropped; zero by default:
    /// it is polled once more and dropped at its next await.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long a blocking body that was told to stop may go on before its task goes on without it;
    /// 5 s by default.
    pub fn blocking_grace(mut self, grace: Duration) -> Self {
        self.blocking_grace = grace;
        self
    }

    /// How long a ready task waits before it counts as one level more urgent; 10 s by default,
    /// `Duration::MAX` turns it off.
    pub fn ageing(mut self, interval: Duration) -> Self {
        self.ageing = interval;
        self
    }

    /// What decides among ready tasks of one level; the critical path by default.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// What the failure of a task does to others, unless it says otherwise; dependents are skipped by
    /// default.
    pub fn on_failure(mut self, policy: FailurePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// How many finished tasks are remembered, for snapshots and as dependencies, besides those with a
    /// handle; 10,000 by default.
    pub fn keep_finished(mut self, tasks: usize) -> Self {
        self.keep_finished = tasks;
        self
    }

    /// Calls `listener` for each event: in order, one at a time, outside of every lock, on the threads
    /// that cause the events. It may use the coordinator. A panic in it is caught and counted.
    pub fn on_event(mut self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    /// Builds it. Without a spawner this starts the coordinator's threads.
    ///
    /// # Errors
    ///
    /// [`BuildError`].
    ///
    /// # Panics
    ///
    /// When the operating system refuses a thread.
    pub fn build(self) -> Result<Coordinator, BuildError> {
        for (what, number) in [
            ("the limit on agents", self.agents),
            ("the limit on tasks", self.tasks),
            ("the number of tasks an agent runs", self.tasks_per_agent.unwrap_or(1)),
            ("the size of a mailbox", self.mailbox),
            ("the number of threads", self.threads.unwrap_or(1)),
        ] {
            if number == 0 {
                return Err(BuildError::Zero { what });
            }
        }
        if self.ageing.is_zero() {
            return Err(BuildError::Zero { what: "the ageing interval" });
        }
        self.backoff.check()?;
        let clock = self.clock;
        let inner: Arc<OnceLock<Weak<Inner>>> = Arc::default();
        let mut graph = Graph::builder()
            .clock(clock.clone())
            .ageing(self.ageing)
            .order(self.order)
            .on_failure(self.policy);
        let hub = Hub::new(self.listeners);
        if !hub.is_deaf() {
            let inner = inner.clone();
            graph = graph.observer(move |event| {
                let Change::Status { from, to, attempt } = event.change else { return };
                let Some(inner) = inner.get().and_then(Weak::upgrade) else { return };
                let record = inner.state.lock().tasks.get(&event.task).cloned();
                let agent = record.and_then(|record| record.progress.lock().agent.clone());
                let name = event.name.clone();
                inner.hub.emit(event.at, EventKind::Task { id: event.task, name, agent, from, to, attempt });
            });
        }
        // The only thing it refuses is an ageing interval of zero.
        let graph = graph.build().expect("the ageing interval was checked");
        let (spawner, executor): (Arc<dyn Spawn>, Option<Executor>) = match self.spawner {
            Some(spawner) => (spawner, None),
            None => {
                let cores = || thread::available_parallelism().map_or(1, usize::from);
                let executor = Executor::new(self.threads.unwrap_or_else(cores), &clock);
                (Arc::new(executor.spawner()), Some(executor))
            }
        };
        let per_agent = self.tasks_per_agent.unwrap_or_else(|| self.tasks.div_ceil(self.agents));
        let roster = Roster::new(self.agents, per_agent, self.mailbox, self.overflow, clock.clone());
        let settings = Settings {
            max_tasks: self.tasks,
            retries: self.retries,
            backoff: self.backoff,
            grace: self.grace,
            blocking_grace: self.blocking_grace,
            keep_finished: self.keep_finished,
            ageing: Some(self.ageing).filter(|&ageing| ageing != Duration::MAX),
        };
        let pool = match self.resources {
            Some(pool) => pool,
            None => ResourcePool::builder().clock(clock.clone()).build().expect("the defaults are valid"),
        };
        let engine = Arc::new(Inner::new(graph, pool, clock, spawner, settings, roster, hub));
        // Set once, here.
        let _ = inner.set(Arc::downgrade(&engine));
        Ok(Coordinator::from_parts(engine, executor))
    }
}

impl fmt::Debug for CoordinatorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoordinatorBuilder")
            .field("agents", &self.agents)
            .field("tasks", &self.tasks)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
