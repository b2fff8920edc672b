//! The one integration binary: what the pool promises, by theme.

mod basics;
mod cancel;
mod claims;
mod deadlock;
mod fairness;
mod model;
mod panics;
mod stress;
mod support;
mod witness;
