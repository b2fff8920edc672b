//! The crate's integration tests.

mod basics;
