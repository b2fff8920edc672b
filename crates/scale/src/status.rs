//! What a scaler says about itself.

use crate::{Decision, NodeId, Reason};
use std::{fmt, time::Duration};

/// One change of the number of nodes.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Change {
    /// When, counted from the scaler's start.
    pub at: Duration,
    /// Nodes wanted before.
    pub from: usize,
    /// Nodes wanted after.
    pub to: usize,
    /// Why.
    pub reason: Reason,
    /// The load that led to it, in nodes' worth of work; NaN when none did.
    pub demand: f64,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, from, to, reason, .. } = self;
        write!(f, "after {:.1} s: {from} -> {to} nodes: {reason}", at.as_secs_f64())
    }
}

/// The state of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum NodeState {
    /// The provisioner starts it, or it is not ready yet.
    Starting,
    /// It serves.
    Ready,
    /// It is drained and stopped.
    Stopping,
    /// It could not be stopped; that is tried again.
    Stuck,
}

/// A node and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct NodeStatus {
    /// Its name, once the provisioner has given one.
    pub node: Option<NodeId>,
    /// Its state.
    pub state: NodeState,
    /// For how long it has been in it.
    pub age: Duration,
}

/// A scaler at one time.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ScalerStatus {
    /// The lower bound.
    pub min: usize,
    /// The upper bound.
    pub max: usize,
    /// How many nodes there should be.
    pub wanted: usize,
    /// How many serve.
    pub ready: usize,
    /// How many start.
    pub starting: usize,
    /// How many are being stopped, those included that could not be.
    pub stopping: usize,
    /// The nodes, oldest first.
    pub nodes: Vec<NodeStatus>,
    /// Whether automatic decisions are paused.
    pub paused: bool,
    /// Whether the scaler is stopping or stopped.
    pub stopped: bool,
    /// The last decision, changes and others.
    pub last: Option<Decision>,
    /// After failed starts: when the next is tried.
    pub retry_in: Option<Duration>,
    /// What the last failed start said.
    pub last_error: Option<String>,
    /// Counters.
    pub stats: ScalerStats,
}

/// What a scaler has done so far.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ScalerStats {
    /// Samples decided on.
    pub samples: u64,
    /// Samples that said nothing, load closures and recommenders that panicked included.
    pub failed_samples: u64,
    /// Samples dropped since the driver was behind.
    pub dropped_samples: u64,
    /// Times the number wanted grew.
    pub scale_ups: u64,
    /// Times it shrank.
    pub scale_downs: u64,
    /// Starts asked of the provisioner.
    pub starts: u64,
    /// Starts that failed or took too long.
    pub failed_starts: u64,
    /// Starts given up since the node was no longer wanted.
    pub cancelled_starts: u64,
    /// Nodes replaced since they died or said that they do not serve.
    pub replaced: u64,
    /// Nodes stopped.
    pub stops: u64,
    /// Stops that failed or took too long.
    pub failed_stops: u64,
    /// Drains that failed or took too long; the node was stopped all the same.
    pub failed_drains: u64,
    /// The median time from the call to start until ready, of the last 64 starts.
    pub start_up: Option<Duration>,
    /// The longest of them.
    pub start_up_max: Option<Duration>,
    /// For how long nodes were kept, summed over nodes: what is paid for.
    pub node_time: Duration,
}

impl fmt::Display for ScalerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, max, wanted, ready, starting, stopping, .. } = self;
        write!(
            f,
            "{ready} of {wanted} nodes ready ({min} to {max}), {starting} starting, {stopping} stopping"
        )?;
        if self.paused {
            f.write_str(", paused")?;
        }
        if let (Some(wait), Some(error)) = (self.retry_in, &self.last_error) {
            write!(f, "; starts fail ({error}), the next is tried in {wait:.1?}")?;
        }
        Ok(())
    }
}
