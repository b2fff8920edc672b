//! An auto-scaler that really starts and stops nodes, and a capacity planner that forecasts.
//!
//! ```
//! use ropewalk_scale::{AutoScaler, Health, Load, NodeId, ProvisionError, Provisioner, Utilization};
//!
//! struct Threads; // a node is whatever you start: a process, a container, a machine
//! impl Provisioner for Threads {
//!     async fn start(&self) -> Result<NodeId, ProvisionError> { Ok("node".into()) }
//!     async fn health(&self, _node: &NodeId) -> Health { Health::Ready }
//!     async fn stop(&self, _node: &NodeId) -> Result<(), ProvisionError> { Ok(()) }
//! }
//!
//! let scaler = AutoScaler::builder(Threads).nodes(1..=20).target(Utilization::percent(70)).build()?;
//! scaler.observe(Load::demand(6.5)); // six and a half nodes' worth of work
//! scaler.settled_blocking()?;
//! assert_eq!(scaler.status().ready, 10);
//! scaler.stop_blocking()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! * [`AutoScaler`] decides on samples of [`Load`] and carries its decisions out through a
//!   [`Provisioner`]. Its [`Builder`] has the settings.
//! * [`Policy`] is the decision alone, pure, for simulations; a [`Recommend`]er replaces its rule.
//! * [`CapacityPlanner`] reads a [`History`] of load: trend, seasons, forecast, and what to do about them.
//!
//! # Guarantees
//!
//! * **Bounds**: the number wanted is never below the minimum or above the maximum, by load or by hand.
//!   Nodes that are being replaced or stopped exist beside those wanted for as long as that takes.
//! * **Up at once, down with care**: a scale-up follows the sample that asks for it, unless a
//!   [cool-down](Builder::cooldown_up) was set; a scale-down goes no further than the greatest need of
//!   the [window](Builder::stabilization).
//! * **No node is forgotten**: each node that was started is in [`status`](AutoScaler::status) until its
//!   stop succeeded. Failed starts and stops are counted, and tried again with growing waits. A start that
//!   is dropped is the provisioner's to clean up.
//! * **Isolation**: a call to the provisioner that hangs is dropped at its limit and one that panics is
//!   an error of that call; other nodes and decisions go on meanwhile.
//! * **Deterministic**: by a virtual clock, the same samples give the same history.
//! * User code (provisioner, load, recommender, event callback) runs on the driver and under no lock.
//! * Cancel safety: dropping any future of the scaler changes nothing; [`stop`](AutoScaler::stop) goes on.
//!
//! # Features
//!
//! * `serde`: `Serialize` for status, history and plans.

#![forbid(unsafe_code)]

mod builder;
mod driver;
mod error;
mod fleet;
mod jobs;
mod load;
mod plan;
mod planner;
mod policy;
mod provisioner;
mod scaler;
mod status;

pub use builder::Builder;
pub use error::{BuildError, PlanError, ScaleError, SettleError, StopError};
pub use fleet::{NodeEvent, Retirement};
pub use load::{History, Load, Utilization};
pub use plan::{Advice, Pattern, Peak, Plan, Recommendation};
pub use planner::CapacityPlanner;
pub use policy::{Decision, Memory, Policy, Reason, Recommend, View};
pub use provisioner::{Health, NodeId, ProvisionError, Provisioner};
pub use scaler::AutoScaler;
pub use status::{Change, NodeState, NodeStatus, ScalerStats, ScalerStatus};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
