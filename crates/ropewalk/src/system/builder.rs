//! Wiring a system.

use super::{Parts, StartError, System, nodes::Registering, watch};
use ropewalk_agents::{Coordinator, CoordinatorBuilder};
use ropewalk_balance::{Balancer, PeakEwma};
use ropewalk_connections::Sqlite;
use ropewalk_llm::{
    Backend, BackendError, Budget, Call, Completion, Concurrency, ErrorKind, Llm, LlmBuilder, OpenAi,
};
use ropewalk_resources::ResourcePool;
use ropewalk_scale::{AutoScaler, Load, Provisioner, Utilization};
use ropewalk_store::Store;
use ropewalk_sync::{Clock, Tokio};
use std::{fmt, ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

/// How long the least number of nodes may take to come up.
const NODES_WITHIN: Duration = Duration::from_secs(30);
/// How often the scaler looks at the load.
const LOOK_EVERY: Duration = Duration::from_millis(250);

type ScalerMaker = Box<dyn FnOnce(Balancer, u32) -> ropewalk_scale::Builder + Send>;
type LlmMaker = Box<dyn FnOnce() -> LlmBuilder + Send>;
type TeamSettings = Box<dyn FnOnce(CoordinatorBuilder) -> CoordinatorBuilder + Send>;
type ScalerSettings = Box<dyn FnOnce(ropewalk_scale::Builder) -> ropewalk_scale::Builder + Send>;

/// Builds and starts a [`System`].
#[must_use = "nothing runs before `start`"]
pub struct SystemBuilder {
    database: Option<PathBuf>,
    model: Model,
    scaler: Option<ScalerMaker>,
    scaler_settings: Option<ScalerSettings>,
    nodes: RangeInclusive<usize>,
    calls_per_node: u32,
    concurrency: Option<Concurrency>,
    budget: Option<Budget>,
    answers: usize,
    agents: usize,
    tasks: Option<usize>,
    team: Option<TeamSettings>,
    stuck_after: Duration,
    dashboard: Option<String>,
    seed: u64,
}

enum Model {
    None,
    OpenAi(OpenAi),
    Other(LlmMaker),
}

impl SystemBuilder {
    pub(super) fn new() -> Self {
        Self {
            database: None,
            model: Model::None,
            scaler: None,
            scaler_settings: None,
            nodes: 1..=20,
            calls_per_node: 4,
            concurrency: None,
            budget: None,
            answers: 10_000,
            agents: 50,
            tasks: None,
            team: None,
            stuck_after: Duration::from_secs(60),
            dashboard: None,
            seed: 0,
        }
    }

    /// The SQLite file; in memory by default.
    pub fn database(mut self, path: impl Into<PathBuf>) -> Self {
        self.database = Some(path.into());
        self
    }

    /// The server to ask. With a [`provisioner`](Self::provisioner) its key and settings are used
    /// for the nodes, and its address is not.
    pub fn model(mut self, server: OpenAi) -> Self {
        self.model = Model::OpenAi(server);
        self
    }

    /// A model of another kind.
    pub fn backend(mut self, backend: impl Backend) -> Self {
        self.model = Model::Other(Box::new(move || Llm::builder(backend)));
        self
    }

    /// What starts and stops the nodes that serve the model. The name of a node is its base URL.
    pub fn provisioner(mut self, provisioner: impl Provisioner) -> Self {
        self.scaler = Some(Box::new(move |balancer, calls_per_node| {
            AutoScaler::builder(Registering { inner: provisioner, balancer, calls_per_node })
        }));
        self
    }

    /// The least and the most nodes; 1 to 20 by default.
    pub fn nodes(mut self, nodes: RangeInclusive<usize>) -> Self {
        self.nodes = nodes;
        self
    }

    /// Calls that one node answers at full speed at once; 4 by default.
    pub fn calls_per_node(mut self, calls: u32) -> Self {
        self.calls_per_node = calls;
        self
    }

    /// More about the scaler: its target, its tolerance, its cool-down.
    pub fn scaling(
        mut self,
        settings: impl FnOnce(ropewalk_scale::Builder) -> ropewalk_scale::Builder + Send + 'static,
    ) -> Self {
        self.scaler_settings = Some(Box::new(settings));
        self
    }

    /// Calls in flight: by default as many as the most nodes answer at full speed, and 10 without nodes.
    pub fn concurrency(mut self, calls: impl Into<Concurrency>) -> Self {
        self.concurrency = Some(calls.into());
        self
    }

    /// A rate budget for the model.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Answers kept; 10,000 by default.
    pub fn answers(mut self, answers: usize) -> Self {
        self.answers = answers;
        self
    }

    /// Agents at once; 50 by default.
    pub fn agents(mut self, agents: usize) -> Self {
        self.agents = agents;
        self
    }

    /// Tasks running at once; as many as agents by default.
    pub fn tasks(mut self, tasks: usize) -> Self {
        self.tasks = Some(tasks);
        self
    }

    /// More about the team: retries, back-off, mailboxes, listeners.
    pub fn team(
        mut self,
        settings: impl FnOnce(CoordinatorBuilder) -> CoordinatorBuilder + Send + 'static,
    ) -> Self {
        self.team = Some(Box::new(settings));
        self
    }

    /// After how long a running task counts as stuck: an alert is raised and the task is cancelled.
    /// 60 s by default; `Duration::MAX` turns it off.
    pub fn stuck_after(mut self, time: Duration) -> Self {
        self.stuck_after = time;
        self
    }

    /// Serves the dashboard at this address; `127.0.0.1:0` takes a free port of the loopback.
    pub fn dashboard(mut self, address: impl Into<String>) -> Self {
        self.dashboard = Some(address.into());
        self
    }

    /// Seeds what is drawn: the choice of nodes.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Starts everything and waits until the least number of nodes serve.
    ///
    /// # Errors
    ///
    /// [`StartError`] names the part. What had started is stopped again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops what has started, which leaves nodes running, as dropping an
    /// [`AutoScaler`] does.
    pub async fn start(self) -> Result<System, StartError> {
        let handle = tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let spawner = Tokio::new(handle);
        let clock = Clock::system();

        let path = self.database.as_ref().map_or_else(|| "in memory".to_owned(), |p| p.display().to_string());
        let sqlite = self.database.map_or_else(Sqlite::memory, Sqlite::file);
        // Opening creates the file and its tables: not on the runtime's thread.
        let store = tokio::task::spawn_blocking(move || Store::builder(sqlite).open())
            .await
            .map_err(|_| StartError::NoRuntime)?
            .map_err(|source| StartError::Database { path, source })?;

        let nodes =
            Balancer::builder().strategy(PeakEwma::new()).seed(self.seed).clock(clock.clone()).build()?;
        let scaled = self.scaler.is_some();
        let calls = self.concurrency.unwrap_or_else(|| {
            let all = self.nodes.end().saturating_mul(self.calls_per_node as usize);
            Concurrency::Fixed(if scaled { all.max(10) } else { 10 })
        });
        let mut llm = match self.model {
            Model::None if !scaled => Llm::builder(NoModel),
            Model::None => Llm::builder(OpenAi::balanced(nodes.clone()).every_model()),
            Model::OpenAi(server) if scaled => Llm::builder(server.over(nodes.clone()).every_model()),
            Model::OpenAi(server) => Llm::builder(server),
            Model::Other(make) => make(),
        };
        if let Some(budget) = self.budget {
            llm = llm.budget(budget);
        }
        let llm = llm
            .concurrency(calls)
            .cache(self.answers)
            .spawner(spawner.clone())
            .clock(clock.clone())
            .build()?;

        let scaler = match self.scaler {
            None => None,
            Some(make) => {
                let asked = llm.clone();
                let per_node = f64::from(self.calls_per_node.max(1));
                let mut builder = make(nodes.clone(), self.calls_per_node)
                    .nodes(self.nodes.clone())
                    .target(Utilization::percent(70))
                    .load(move || {
                        let stats = asked.stats();
                        Load::demand((stats.in_flight + stats.queued) as f64 / per_node)
                    })
                    .every(LOOK_EVERY)
                    .spawner(spawner.clone())
                    .clock(clock.clone());
                if let Some(settings) = self.scaler_settings {
                    builder = settings(builder);
                }
                let scaler = builder.build()?;
                let first = scaler.clone();
                let least = *self.nodes.start();
                let came_up = clock.timeout(NODES_WITHIN, async move { first.settled().await }).await;
                if !matches!(came_up, Ok(Ok(()))) {
                    let reason =
                        scaler.status().last_error.unwrap_or_else(|| "they are still starting".into());
                    // The error to tell is that of the start; a stop that fails too adds nothing to it.
                    let _ = scaler.stop().await;
                    return Err(StartError::NoNodes { wanted: least, within: NODES_WITHIN, reason });
                }
                Some(scaler)
            }
        };

        let started_nodes = scaler.clone();
        let rest = async move {
            let resources = ResourcePool::new();
            let mut team = Coordinator::builder()
                .agents(self.agents)
                .tasks(self.tasks.unwrap_or(self.agents))
                .resources(resources.clone())
                .clock(clock.clone())
                .spawner(spawner.clone());
            if let Some(settings) = self.team {
                team = settings(team);
            }
            let team = team.build()?;

            let monitor = watch::monitor(&watch::Watched {
                team: &team,
                resources: &resources,
                llm: &llm,
                nodes: &nodes,
                scaler: scaler.as_ref(),
                store: &store,
                clock: &clock,
                stuck_after: self.stuck_after,
            })?;
            let dashboard = match self.dashboard {
                None => None,
                Some(address) => {
                    Some(ropewalk_dashboard::serve(&address, monitor.handle()).await.map_err(|error| {
                        StartError::Dashboard { address: address.clone(), reason: error.to_string() }
                    })?)
                }
            };
            let started = clock.now();
            Ok::<_, StartError>(System(Arc::new(Parts {
                team,
                resources,
                llm,
                nodes,
                scaler,
                store,
                monitor,
                dashboard,
                clock,
                started,
            })))
        };
        let system = rest.await;
        if let (Err(_), Some(scaler)) = (&system, started_nodes) {
            // As above: the error to tell is the first one.
            let _ = scaler.stop().await;
        }
        system
    }
}

impl fmt::Debug for SystemBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemBuilder")
            .field("database", &self.database)
            .field("nodes", &self.nodes)
            .field("agents", &self.agents)
            .field("dashboard", &self.dashboard)
            .finish_non_exhaustive()
    }
}

/// The model of a system that was given none.
struct NoModel;

impl Backend for NoModel {
    async fn complete(&self, _call: Call) -> Result<Completion, BackendError> {
        Err(BackendError::new(
            ErrorKind::Setup,
            "this system has no model; give its builder one with `.model(..)`",
        ))
    }
}
