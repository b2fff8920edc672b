//! The modelled cores: built from `ropewalk_prove` alone, explored by `tests/models.rs`.

pub mod budget;
pub mod contained;
pub mod hazard;
mod index;
mod slots;
pub mod table;
