//! What can go wrong.

use crate::NodeId;

/// Why a scaler or a policy cannot be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// There is no number of nodes between the bounds, or only 0.
    #[error("{min} to {max} nodes is no range to scale in; use at least 1 and min no greater than max")]
    Nodes {
        /// The lower bound.
        min: usize,
        /// The upper bound.
        max: usize,
    },
    /// The target cannot be met by any number of nodes.
    #[error("a target utilisation of {0} cannot be held; use more than 0 and at most 1 (100 %)")]
    Target(f64),
    /// Everything, or nothing, would be close to the target.
    #[error("a tolerance of {0} is not in 0..1; 0.1 is usual")]
    Tolerance(f64),
    /// A step of no nodes changes nothing.
    #[error("a step of 0 nodes never scales; use at least 1")]
    Step,
    /// A time that has to pass is zero.
    #[error("`{0}` is zero, so the scaler would never rest; use a positive time")]
    Zero(&'static str),
    /// More nodes to begin with than allowed, or fewer.
    #[error("{initial} nodes to begin with are outside of {min} to {max}")]
    Initial {
        /// What was asked for.
        initial: usize,
        /// The lower bound.
        min: usize,
        /// The upper bound.
        max: usize,
    },
}

/// Why a number of nodes was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScaleError {
    /// The bounds hold for hands too.
    #[error(
        "{asked} nodes are outside of {min} to {max}; build the scaler with other bounds, or ask for less"
    )]
    OutOfRange {
        /// What was asked for.
        asked: usize,
        /// The lower bound.
        min: usize,
        /// The upper bound.
        max: usize,
    },
    /// The scaler is being stopped.
    #[error("the scaler is stopped and starts no nodes any more")]
    Stopped,
}

/// Why a scaler did not stop cleanly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// The provisioner could not stop these nodes.
    #[error("{} nodes could not be stopped and may still run; stop them by hand: {}", left.len(), list(left))]
    Left {
        /// The nodes.
        left: Vec<NodeId>,
    },
    /// The nodes did not stop in time; stopping goes on.
    #[error("the nodes did not stop in time; stopping goes on, ask again")]
    TimedOut,
}

fn list(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::as_str).collect::<Vec<_>>().join(", ")
}

/// Why nothing settled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    /// The scaler was stopped.
    #[error("the scaler is stopped")]
    Stopped,
    /// The nodes were not all ready in time.
    #[error("the nodes are not all ready yet; ask again, or look at status() for what fails")]
    TimedOut,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Not enough was recorded.
    #[error("{len} steps of history are too few to plan by; record at least {needed}")]
    TooShort {
        /// Steps recorded.
        len: usize,
        /// Steps needed.
        needed: usize,
    },
    /// The horizon is shorter than a step of the history, or too far for it.
    #[error("a horizon of {horizon:?} does not fit steps of {step:?}; use 1 to {most} steps")]
    Horizon {
        /// What was asked for.
        horizon: std::time::Duration,
        /// The step of the history.
        step: std::time::Duration,
        /// The most steps ahead.
        most: usize,
    },
    /// A setting makes no sense.
    #[error(transparent)]
    Setting(#[from] BuildError),
    /// One node serves nothing.
    #[error("a node that serves {0} units of load plans nothing; use a positive number")]
    NodeCapacity(f64),
    /// The forecaster refused.
    #[error("no forecast: {0}")]
    Forecast(#[from] ropewalk_series::ForecastError),
}
