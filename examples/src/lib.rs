//! Runnable examples: `cargo run --release -p ropewalk-examples --example NAME`.
//!
//! This library is what the examples share: a stand-in language model. [`review`] reads Rust source
//! and says what a reviewer would look at first, [`server`] speaks the OpenAI wire format around it,
//! and [`nodes`] starts and stops such servers as child processes, so that the auto-scaler has real
//! nodes to scale.

#![forbid(unsafe_code)]

pub mod nodes;
pub mod review;
pub mod server;
