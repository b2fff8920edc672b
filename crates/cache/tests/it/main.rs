//! The crate's integration tests.

mod basics;
mod bound;
mod cancel;
mod expiry;
mod flights;
mod listener;
mod model;
mod panics;
mod policies;
mod reads;
mod stress;
mod support;
