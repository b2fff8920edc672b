//! What can go wrong around the whole system.

use std::fmt;

/// A part could not be started; those that were have been stopped again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The database.
    #[error("the database {path}: {source}")]
    Database {
        /// Which.
        path: String,
        /// Why.
        source: ropewalk_store::OpenError,
    },
    /// The language model.
    #[error("the language model: {0}")]
    Model(#[from] ropewalk_llm::BuildError),
    /// The balancer of the nodes.
    #[error("the nodes: {0}")]
    Nodes(#[from] ropewalk_balance::BuildError),
    /// The scaler of the nodes.
    #[error("the scaler: {0}")]
    Scaler(#[from] ropewalk_scale::BuildError),
    /// The least number of nodes did not come up.
    #[error("no {wanted} nodes came up within {within:?}: {reason}; look at the provisioner")]
    NoNodes {
        /// The least number.
        wanted: usize,
        /// How long they were given.
        within: std::time::Duration,
        /// What the last attempt said.
        reason: String,
    },
    /// The coordinator.
    #[error("the team: {0}")]
    Team(#[from] ropewalk_agents::BuildError),
    /// The monitor.
    #[error("the monitor: {0}")]
    Monitor(#[from] ropewalk_monitor::BuildError),
    /// The dashboard.
    #[error("the dashboard on {address}: {reason}; choose another address, or port 0 for a free one")]
    Dashboard {
        /// Where it was to listen.
        address: String,
        /// Why it does not.
        reason: String,
    },
    /// There is no tokio runtime.
    #[error("a system is started on a tokio runtime; call `start` inside one")]
    NoRuntime,
}

/// Parts that did not stop well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutdownError {
    pub(super) trouble: Vec<(&'static str, String)>,
}

impl ShutdownError {
    /// The parts and what they said.
    pub fn trouble(&self) -> impl Iterator<Item = (&str, &str)> {
        self.trouble.iter().map(|(part, why)| (*part, why.as_str()))
    }
}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not everything stopped well: ")?;
        for (i, (part, why)) in self.trouble.iter().enumerate() {
            write!(f, "{}{part}: {why}", if i == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for ShutdownError {}
