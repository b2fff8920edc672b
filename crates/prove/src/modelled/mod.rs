//! The shim of a model build: every access is a step that loom or the explorer schedules.

pub(crate) mod arc;
pub(crate) mod atomic_types;
pub(crate) mod cells;
pub(crate) mod claims;
pub(crate) mod explore;
pub(crate) mod futures;
pub(crate) mod latch;
pub(crate) mod ordered;
pub(crate) mod run;
pub(crate) mod stall;
pub(crate) mod step;
pub(crate) mod threads;
pub(crate) mod verdict;

/// `Arc` and the atomics.
pub mod sync {
    pub use super::arc::Arc;

    /// Atomics and fences.
    pub mod atomic {
        pub use super::super::atomic_types::*;
    }
}

/// Interior mutability whose accesses a model can check for data races.
pub mod cell {
    pub use super::cells::UnsafeCell;
}

/// A lock for short, bounded sections.
pub(crate) mod lock {
    pub use super::latch::{Latch, LatchGuard};
}

/// Hints to the processor.
pub mod hint {
    use super::step::{Driver, driver};

    /// Says that the thread waits for a change of memory.
    #[track_caller]
    pub fn spin_loop() {
        match driver() {
            Driver::None => std::hint::spin_loop(),
            Driver::Loom | Driver::Explorer => super::threads::yield_now(),
        }
    }
}

/// Threads.
pub mod thread {
    pub use super::threads::{JoinHandle, LocalKey, Thread, current, panicking, park, spawn, yield_now};
}

/// Running futures.
pub mod future {
    pub use super::futures::{block_on, poll_at_most};
}
