//! The default wiring of the whole family: one value that starts and stops together.

mod builder;
mod error;
mod nodes;
mod status;
mod watch;

pub use builder::SystemBuilder;
pub use error::{ShutdownError, StartError};
pub use status::{PerformanceSummary, Status};

use ropewalk_agents::Coordinator;
use ropewalk_balance::Balancer;
use ropewalk_dashboard::Server;
use ropewalk_llm::Llm;
use ropewalk_monitor::Monitor;
use ropewalk_resources::ResourcePool;
use ropewalk_scale::AutoScaler;
use ropewalk_store::Store;
use ropewalk_sync::Clock;
use std::{net::SocketAddr, sync::Arc, time::Instant};

/// A team of agents with everything it works with: resources, a language model behind nodes that
/// scale, a database, a monitor that watches all of it, and its dashboard.
///
/// It runs on the tokio runtime on which it is [started](SystemBuilder::start), and on threads of its
/// parts: the processor's, the pools', the scaler's and the monitor's. [`shutdown`](Self::shutdown) ends all
/// but the monitor's, which watches until the last clone is gone. Dropping the last clone ends the threads
/// without a shutdown and leaves nodes running, as dropping an [`AutoScaler`] does.
///
/// Every part is reachable and is the same value that you would build alone, so whatever the wiring
/// does not do can be done beside it.
#[derive(Clone, Debug)]
pub struct System(Arc<Parts>);

#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) team: Coordinator,
    pub(crate) resources: ResourcePool,
    pub(crate) llm: Llm,
    pub(crate) nodes: Balancer,
    pub(crate) scaler: Option<AutoScaler>,
    pub(crate) store: Store,
    pub(crate) monitor: Monitor,
    pub(crate) dashboard: Option<Server>,
    pub(crate) clock: Clock,
    pub(crate) started: Instant,
}

impl System {
    /// Starts wiring one.
    pub fn builder() -> SystemBuilder {
        SystemBuilder::new()
    }

    /// The coordinator: agents, mailboxes, tasks.
    pub fn team(&self) -> &Coordinator {
        &self.0.team
    }

    /// The resources that tasks lease.
    pub fn resources(&self) -> &ResourcePool {
        &self.0.resources
    }

    /// The language model. Without a model in the builder it refuses every question.
    pub fn llm(&self) -> &Llm {
        &self.0.llm
    }

    /// The nodes that questions go to; empty unless there is a provisioner.
    pub fn nodes(&self) -> &Balancer {
        &self.0.nodes
    }

    /// The scaler of those nodes, if there is a provisioner.
    pub fn scaler(&self) -> Option<&AutoScaler> {
        self.0.scaler.as_ref()
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The monitor.
    pub fn monitor(&self) -> &Monitor {
        &self.0.monitor
    }

    /// Where the dashboard listens, if it was asked for.
    pub fn dashboard(&self) -> Option<SocketAddr> {
        self.0.dashboard.as_ref().map(Server::address)
    }

    /// Alerts that were raised since the start.
    pub fn alerts_raised(&self) -> u64 {
        watch::raised(&self.0.monitor)
    }

    /// Every part's figures, read one after the other.
    pub fn status(&self) -> Status {
        Status::of(&self.0)
    }

    /// The figures that matter, in a few lines.
    pub fn performance_summary(&self) -> PerformanceSummary {
        PerformanceSummary::of(&self.status())
    }

    /// Takes no new tasks, lets those that are taken end, commits what is to be written, and stops
    /// the parts from the top down: team, model, nodes, database, resources. The dashboard shows that and
    /// stops last.
    ///
    /// # Errors
    ///
    /// [`ShutdownError`] names the parts that did not stop well; the others have stopped all the same.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the system half stopped; call it again to go on. Calls at the same time
    /// wait for the same stop.
    pub async fn shutdown(&self) -> Result<(), ShutdownError> {
        let mut trouble = Vec::new();
        let parts = &*self.0;
        parts.team.shutdown().await;
        parts.llm.close().await;
        if let Some(scaler) = &parts.scaler {
            if let Err(error) = scaler.stop().await {
                trouble.push(("nodes", error.to_string()));
            }
        }
        if let Err(error) = parts.store.close().await {
            trouble.push(("database", error.to_string()));
        }
        parts.resources.close();
        if let Some(dashboard) = &parts.dashboard {
            dashboard.stop();
        }
        if trouble.is_empty() { Ok(()) } else { Err(ShutdownError { trouble }) }
    }
}
