//! The crate's integration tests.

mod asynchronous;
mod cancel;
mod close;
mod fake;
mod lifecycle;
mod line;
mod model;
mod panics;
#[cfg(feature = "postgres")]
mod postgres;
mod settings;
mod sizing;
#[cfg(feature = "sqlite")]
mod sqlite;
mod stress;
mod stuck;
mod wakers;
mod watching;
