//! A load balancer for any client: a registry of nodes, their health, outlier ejection, strategies from
//! round robin to peak EWMA, and gradual rollout.
//!
//! ```
//! use ropewalk_balance::{Balancer, Need, Node, Outcome, PeakEwma};
//!
//! let nodes = Balancer::builder().strategy(PeakEwma::default()).max_in_flight(8).build()?;
//! nodes.insert(Node::new("10.0.0.7:8000").weight(2).offers("gpt-large"))?;
//! let small = nodes.insert(Node::new("10.0.0.8:8000").offers("gpt-small"))?;
//!
//! let pick = nodes.pick(Need::of("gpt-large"))?;
//! let answer: Result<_, std::io::Error> = Ok(format!("asked {}", pick.node().address()));
//! pick.complete(&answer); // its latency is the time since the pick
//!
//! let drain = nodes.drain(small)?;
//! drain.done_blocking();
//! assert!(nodes.pick(Need::of("gpt-small")).is_err());
//! # let _ = Outcome::Success;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! * **Registry**: [`Balancer::insert`], [`remove`](Balancer::remove), [`drain`](Balancer::drain),
//!   [`set_weight`](Balancer::set_weight) at any time from any thread. Picks read a snapshot that writers
//!   replace; a change copies the 64 pointers around it, also with 10,000 nodes.
//! * **Picks**: [`Balancer::pick`] at once or not at all; [`pick_wait`](Balancer::pick_wait) stands in line
//!   when all nodes that could serve are at their limit of requests in flight. A [`Pick`] counts as in
//!   flight until it is [completed](Pick::complete) or dropped.
//! * **Needs**: a [`Need`] names capabilities that the node must offer, and nodes it would rather avoid
//!   (for a retry).
//! * **Strategies**: [`RoundRobin`], [`SmoothWeighted`], [`LeastLoaded`], [`CapabilityBased`],
//!   [`PowerOfTwo`], [`PeakEwma`] (the default), or your own [`Strategy`].
//! * **Health**: requests that fail eject their node for a while ([`Ejection`]); a [`Probe`] asks nodes
//!   at intervals. An ejected node is tried with one request at a time. When too few nodes are up, health
//!   is ignored ([`panic_threshold`](BalancerBuilder::panic_threshold)).
//! * **Rollout**: [`Rollout`] moves traffic from an old implementation to a new one, 10 % -> 50 % -> 100 %
//!   by key or by draw, and back by itself when the new one fails more often.
//!
//! # Guarantees
//!
//! | operation | waits for | order | on cancel, on panic |
//! |---|---|---|---|
//! | `pick` | nobody; with `SmoothWeighted` for other picks' choices | as the strategy says | a strategy's panic leaves no trace |
//! | `Pick::complete`, drop | other outcomes of the same node, for a bounded section | - | another's waker's panic goes on when the slot is passed on |
//! | `pick_wait` and its forms | a free slot | first come, first served among those whom a node could serve | leaves the line; a slot handed over passes on |
//! | `insert`, `remove`, `drain`, `set_weight` | other changes of the registry | - | another's waker's panic reaches the caller when all are told |
//! | `nodes`, `stats` | nobody | the list is that of one instant, its numbers are not | - |
//!
//! * No request begins on a node that has as many in flight as its limit says, trial requests included.
//! * A node that drains or was removed gets nothing new once the call has returned; when
//!   [`Drain::done`] is ready, its last request has ended.
//! * A slot is never lost: not by a dropped future, by a future that is not polled (its slot passes on
//!   after [`regrant_after`](BalancerBuilder::regrant_after)), by a change of the registry.
//! * The same seed and the same calls in the same order, on the same times, give the same picks.
//! * Memory: less than 1 kB a node, and its strings.
//!
//! All this is tested: against a sequential model, with threads and tasks, with futures dropped after each
//! poll. User code (strategies, checks, wakers) never runs under a lock.
//!
//! # Features
//!
//! * `tower`: `BalanceService`, a `tower` service over picks.
//! * `serde`: `Serialize` for statistics and the rollout's history.

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
#[doc(hidden)]
pub mod raw;
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

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
