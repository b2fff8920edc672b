//! The one integration binary: what the balancer promises, by theme.

mod cancel;
mod health;
mod line;
mod model;
mod panics;
mod probes;
mod registry;
mod rollout;
mod strategies;
mod stress;
mod support;
#[cfg(feature = "tower")]
mod tower;
