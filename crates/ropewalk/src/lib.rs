//! Ropewalk: concurrency crates for services that drive many workers (agents, jobs, requests)
//! against few resources (files, connections, model endpoints, nodes).
//!
//! This crate is the index of the family and, with [`System`], its default wiring. Take one part by
//! its feature or its own crate; take all with `full`.
//!
//! # The parts
//!
//! | module | what it gives you |
//! |---|---|
//! | [`sync`] | one first-come-first-served line for threads and tasks; a clock that tests can move |
//! | [`measure`] | counters, gauges, histograms cheap enough for every hot path |
//! | [`series`] | trends with calibrated confidence, seasonality, forecasts, anomaly detection |
//! | [`resources`] | leases on sets of named resources, all or nothing, deadlocks named |
//! | [`graph`] | a live dependency graph with ready sets, priorities and failure policies |
//! | [`cache`] | a concurrent cache: adaptive eviction, expiry, one load per key |
//! | [`connections`] | an adaptive connection pool for SQLite, PostgreSQL and your own |
//! | [`batch`] | many callers, one handler that sees batches, one answer each |
//! | [`balance`] | nodes, health, strategies, gradual rollout |
//! | [`scale`] | an auto-scaler over your provisioner, and a capacity planner |
//! | [`monitor`] | live metrics, alerts with corrective actions, deadlock watch |
//! | [`llm`] | a request processor for language models |
//! | [`store`] | durable grouped writes and cached reads over SQL |
//! | [`agents`] | a coordinator for teams of agents |
//! | [`dashboard`] | the monitor's live page |

#![cfg_attr(
    feature = "full",
    doc = r#"
# The whole system

```
use ropewalk::System;

# async fn run() -> Result<(), Box<dyn std::error::Error>> {
let system = System::builder().agents(50).start().await?;
let task = system.team().task("add").spawn(|_cx| async { Ok::<_, std::convert::Infallible>(1 + 1) });
assert_eq!(task.await?, 2);
println!("{}", system.performance_summary());
system.shutdown().await?; // drains; nothing is lost
# Ok(())
# }
# tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())?;
# Ok::<(), Box<dyn std::error::Error>>(())
```
"#
)]
#![forbid(unsafe_code)]

pub use ropewalk_measure as measure;
pub use ropewalk_series as series;
pub use ropewalk_sync as sync;

#[cfg(feature = "agents")]
pub use ropewalk_agents as agents;
#[cfg(feature = "balance")]
pub use ropewalk_balance as balance;
#[cfg(feature = "batch")]
pub use ropewalk_batch as batch;
#[cfg(feature = "cache")]
pub use ropewalk_cache as cache;
#[cfg(feature = "connections")]
pub use ropewalk_connections as connections;
#[cfg(feature = "dashboard")]
pub use ropewalk_dashboard as dashboard;
#[cfg(feature = "graph")]
pub use ropewalk_graph as graph;
#[cfg(feature = "llm")]
pub use ropewalk_llm as llm;
#[cfg(feature = "monitor")]
pub use ropewalk_monitor as monitor;
#[cfg(feature = "resources")]
pub use ropewalk_resources as resources;
#[cfg(feature = "scale")]
pub use ropewalk_scale as scale;
#[cfg(feature = "store")]
pub use ropewalk_store as store;

#[cfg(feature = "full")]
mod system;
#[cfg(feature = "full")]
pub use system::*;
