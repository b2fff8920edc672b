//! What a step is, and which driver it belongs to.

use std::{cell::Cell, fmt, panic::Location};

/// Where in the source a step stands.
pub(crate) type Site = &'static Location<'static>;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Reads an atomic.
    Load,
    /// Writes an atomic.
    Store,
    /// Reads and writes an atomic in one.
    Rmw,
    /// A compare-exchange.
    CompareExchange,
    /// A fence.
    Fence,
    /// Closes a latch.
    Lock,
    /// Opens a latch.
    Unlock,
    /// Waits for a token.
    Park,
    /// Gives a token.
    Unpark,
    /// Waits for the end of a thread.
    Join,
    /// Starts a thread.
    Spawn,
    /// A spin hint or a yield.
    Spin,
    /// Reads a cell.
    CellRead,
    /// Writes a cell.
    CellWrite,
    /// Uses a thread-local.
    ThreadLocal,
    /// Any of them.
    Step,
}

impl Kind {
    /// Whether other threads can tell when it happens. A race-free cell and a thread-local are the thread's own.
    pub(crate) fn is_shared(self) -> bool {
        !matches!(self, Self::CellRead | Self::CellWrite | Self::ThreadLocal | Self::Spawn)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Load => "load",
            Self::Store => "store",
            Self::Rmw => "read-modify-write",
            Self::CompareExchange => "compare-exchange",
            Self::Fence => "fence",
            Self::Lock => "lock",
            Self::Unlock => "unlock",
            Self::Park => "park",
            Self::Unpark => "unpark",
            Self::Join => "join",
            Self::Spawn => "spawn",
            Self::Spin => "spin",
            Self::CellRead => "read of a cell",
            Self::CellWrite => "write of a cell",
            Self::ThreadLocal => "thread-local",
            Self::Step => "step",
        })
    }
}

/// Who schedules the steps of this OS thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Nobody: the shim is as good as `std`.
    None,
    Loom,
    Explorer,
}

thread_local! {
    static DRIVER: Cell<Driver> = const { Cell::new(Driver::None) };
}

pub(crate) fn driver() -> Driver {
    DRIVER.get()
}

/// Drives this OS thread's steps until it drops.
pub(crate) struct Driving(Driver);

impl Driving {
    pub(crate) fn by(driver: Driver) -> Self {
        Self(DRIVER.replace(driver))
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        DRIVER.set(self.0);
    }
}
