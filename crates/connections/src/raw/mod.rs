//! The modelled cores: built from `ropewalk_prove` alone, explored by `tests/models.rs`.

pub mod shelf;
pub mod whence;
