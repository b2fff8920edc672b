//! A load balancer for any client: node registry, health, outlier ejection, strategies from round robin to peak EWMA, gradual rollout.

#![forbid(unsafe_code)]

mod balancer;
mod builder;
mod drain;
mod draw;
mod error;
mod health;
mod inner;
mod line;
mod node;
mod pick;
mod rollout;
mod roster;
mod shared;
mod stats;
mod strategy;
#[cfg(feature = "tower")]
mod tower;

pub use balancer::Balancer;
pub use builder::BalancerBuilder;
pub use drain::Drain;
pub use draw::Draw;
pub use error::{BuildError, InsertError, PickError, PickTimeoutError, ProbeError, UnknownNode};
pub use health::{Check, CheckFuture, Ejection, Probe};
pub use node::{Need, Node, NodeId, NodeState, NodeStats, Outcome};
pub use pick::{Pick, PickWait};
pub use rollout::{
    AdvanceError, Evidence, Rollout, RolloutBuilder, RolloutCause, RolloutCounts, RolloutEvent, RolloutPhase,
    Route, Side, Target,
};
pub use stats::BalancerStats;
pub use strategy::{
    Candidate, Candidates, CapabilityBased, LeastLoaded, PeakEwma, PowerOfTwo, RoundRobin, SmoothWeighted,
    Strategy,
};
#[cfg(feature = "tower")]
pub use tower::{BalanceService, ServiceError};
