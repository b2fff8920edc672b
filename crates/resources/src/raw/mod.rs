//! Cores with atomics: what a claim touches without the latch. Everything else is plain data behind it.

pub mod set;
pub mod word;
