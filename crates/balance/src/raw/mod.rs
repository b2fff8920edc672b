//! The core with atomics of its own, built from the shim alone.

pub mod door;
