//! The modelled cores: built from `ropewalk_prove`'s atomics alone, explored by `tests/models.rs`.
//!
//! They know no threads and no time: the caller says which stripe it writes.

pub mod cells;
pub mod float;
pub mod level;
pub mod stripes;
