//! Atomic all-or-nothing leases on sets of named resources, for threads and tasks, first come first served, with deadlocks named.

#![forbid(unsafe_code)]

mod acquire;
mod builder;
mod error;
mod lease;
mod pool;
mod request;
mod slots;
mod state;
mod stats;
mod witness;

pub use acquire::{Acquire, AcquireTimeout};
pub use builder::ResourcePoolBuilder;
pub use error::{
    AcquireError, AcquireTimeoutError, BuildError, Cycle, CycleStep, DefineError, NotHeld, TryAcquireError,
};
pub use lease::Lease;
pub use pool::ResourcePool;
pub use request::{Ask, Mode, Owner, Prepared, Request};
pub use slots::Slots;
pub use stats::{LeaseInfo, PoolStats, ResourceStats, WaitCause, WaitEdge};
pub use witness::{Access, Race};
