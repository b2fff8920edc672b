//! The one integration binary: what the balancer promises, by theme.

mod health;
mod line;
mod model;
mod probes;
mod registry;
mod rollout;
mod strategies;
mod stress;
mod support;
#[cfg(feature = "tower")]
mod tower;
