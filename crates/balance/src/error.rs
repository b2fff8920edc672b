//! What can go wrong.

use crate::{Need, Node, NodeId};

/// A balancer or rollout could not be built as asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A percentage above 100.
    #[error("{what} is {value} %; a percentage is 0 to 100")]
    Percentage {
        /// Which setting.
        what: &'static str,
        /// What it was set to.
        value: u32,
    },
    /// A setting that must not be zero.
    #[error("{what} is zero; use a positive value{way_out}")]
    Zero {
        /// Which setting.
        what: &'static str,
        /// What to do instead.
        way_out: &'static str,
    },
    /// The longest ejection is shorter than the first.
    #[error(
        "the longest ejection is shorter than the first; raise max_ejection_time or lower base_ejection_time"
    )]
    EjectionTimes,
    /// The steps of a rollout do not lead up to 100 %.
    #[error("rollout steps must rise and end at 100 %, such as [10, 50, 100]; got {steps:?}")]
    Steps {
        /// What was given.
        steps: Vec<u32>,
    },
    /// A probability that is none.
    #[error("{what} is {value}; it must lie between 0 and 1")]
    Probability {
        /// Which setting.
        what: &'static str,
        /// What it was set to.
        value: f64,
    },
}

/// A node could not join.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InsertError {
    /// There is a node of this address.
    #[error("{} is registered already as {existing}; remove it first, or change its weight with set_weight", .node.address())]
    Duplicate {
        /// The node that was there first.
        existing: NodeId,
        /// What was not inserted.
        node: Node,
    },
    /// The balancer is closed.
    #[error("the balancer is closed; {} was not inserted", .node.address())]
    Closed {
        /// What was not inserted.
        node: Node,
    },
}

/// There is no such node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not registered; it was removed, or belongs to another balancer")]
pub struct UnknownNode(pub NodeId);

/// No node could be picked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickError {
    /// There are no nodes at all.
    #[error("no node is registered; insert one")]
    Empty,
    /// No node offers what is needed.
    #[error("none of {nodes} nodes offers {need}; insert one that does")]
    NoCapableNode {
        /// What was asked for.
        need: Need,
        /// How many nodes there are.
        nodes: usize,
    },
    /// Nodes offer it, but none takes requests.
    #[error(
        "none of {nodes} capable nodes takes requests: {ejected} ejected, {down} down, {unproven} not probed yet, {draining} draining"
    )]
    AllUnhealthy {
        /// How many offer it.
        nodes: usize,
        /// How many of them are ejected.
        ejected: usize,
        /// How many fail their probes.
        down: usize,
        /// How many wait for their first probe.
        unproven: usize,
        /// How many are draining.
        draining: usize,
    },
    /// Every node that takes requests has as many as it may.
    #[error(
        "all {nodes} capable nodes are at their limit of requests in flight; wait with pick_wait() or raise max_in_flight"
    )]
    Saturated {
        /// How many are at their limit.
        nodes: usize,
    },
    /// The balancer is closed.
    #[error("the balancer is closed")]
    Closed,
}

/// No node came free in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickTimeoutError {
    /// The time was over first.
    #[error(
        "no capable node came below its limit in time, with {waiting} others in line; raise max_in_flight or add nodes"
    )]
    Timeout {
        /// How many stood in line when the time was over.
        waiting: usize,
    },
    /// None will come.
    #[error(transparent)]
    Pick(#[from] PickError),
}

/// A probe did not find the node well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ProbeError {
    reason: String,
}

impl ProbeError {
    /// With the reason, such as "connection refused" or "status 503".
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}
