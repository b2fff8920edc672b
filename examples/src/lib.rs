//! Runnable examples: `cargo run --release -p ropewalk-examples --example NAME`.
