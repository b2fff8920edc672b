//! Atomic all-or-nothing leases on sets of named resources, for threads and tasks, first come first
//! served, with deadlocks named.
//!
//! ```
//! use ropewalk_resources::{AcquireError, Request, ResourcePool};
//!
//! let files = ResourcePool::new();
//! files.define("model-slot", 8)?;
//! let request = Request::new().exclusive("src/lib.rs").shared("Cargo.toml").units("model-slot", 2);
//! let lease = files.acquire_blocking("agent-7", &request)?; // or .acquire(..).await, in the same line
//! assert!(files.try_acquire("agent-3", &request).is_err());
//!
//! // An owner that holds something may ask for more; a circle of waits is refused by name.
//! let other = files.acquire_blocking("agent-3", Request::new().exclusive("src/main.rs"))?;
//! let mut wait = files.acquire("agent-3", Request::new().exclusive("src/lib.rs"));
//! # let mut wait = std::pin::Pin::new(&mut wait);
//! # assert!(wait.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_pending());
//! let refused = files.acquire_blocking("agent-7", Request::new().exclusive("src/main.rs"));
//! let Err(AcquireError::Deadlock { cycle }) = refused else { panic!() };
//! assert_eq!(
//!     cycle.to_string(),
//!     "agent-7 holds src/lib.rs, wants src/main.rs; agent-3 holds src/main.rs, wants src/lib.rs"
//! );
//! # drop((lease, other));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! * **Resources** are names. One that is held [exclusively](Request::exclusive) or
//!   [shared](Request::shared) is made by asking for it; one that is [counted](Request::units) is
//!   [defined](ResourcePool::define) and [resized](ResourcePool::resize) live. [`Slots`] is a handle to take
//!   one unit at a time: agent slots.
//! * **Leases**: a [`Request`] takes its whole set in one step. A [`Lease`] moves to other threads, gives
//!   back on drop, wholly or [in parts](Lease::release_one), and carries a [fencing
//!   number](Lease::fencing).
//! * **Claims**: a [`Claim`] is a request of one owner that is made again and again. It is taken and given back by one
//!   compare-exchange for each resource while nobody stands in line for any: as cheap as as many ordered mutexes.
//! * **Order**: a set that is free now may go past older requests that are not, but past each of them
//!   only [so often](ResourcePoolBuilder::overtaking); then that one comes first.
//! * **Nested requests**: an owner may ask for more while it holds something. Its waiting is refused when
//!   it could never end, with the [`Cycle`] of owners and resources.
//! * **Watching**: [`stats`](ResourcePool::stats), [`leases`](ResourcePool::leases) with their ages,
//!   [`wait_for_graph`](ResourcePool::wait_for_graph), [`access`](ResourcePool::access) as a witness of
//!   races. **Acting**: [`refuse`](ResourcePool::refuse) ends an owner's waiting,
//!   [`reclaim`](ResourcePool::reclaim) takes back what a stuck owner holds.
//!
//! # Guarantees
//!
//! | operation | waits for | order | on cancel |
//! |---|---|---|---|
//! | a claim's `try_acquire`, `acquire`, drop of its lease | nobody, where nobody is in the way; else as below | first come, first taken | as below |
//! | `try_acquire` | a bounded section of another operation | behind those whose turn it is | - |
//! | `acquire` and its forms | holders, and at most the bound's number of younger ones | by arrival, see below | leaves the lines; a lease handed over passes on |
//! | release, cancel, resize | a bounded section of another operation | - | - |
//!
//! * **All or nothing**: nobody ever holds part of a request.
//! * **Bounded overtaking**: a waiter sees at most `overtaking` younger requests take something it waits
//!   for in a conflicting way; the pool counts them (`most_overtaken`). The one exception are owners that
//!   hold something already: they pass, because they may be the ones that are waited for
//!   (`nested_overtakes`). With `overtaking(0)` each resource is strictly first come, first served.
//! * **No deadlock** through the pool: whole sets never wait in a circle, and nested requests that would
//!   are refused, exactly when no order of finishing could serve them (units included). That holds for
//!   owners that are one line of work each.
//! * **Nothing is lost**: not by a dropped future, not by a future that is not polled (its lease passes on
//!   after [`regrant_after`](ResourcePoolBuilder::regrant_after)), not by a panic. A forgotten lease is
//!   seen by its age.
//! * **Claims and the rest** are one pool: whoever stands in line sends claims on the same resources to the latch, where
//!   overtaking is counted, so the bound holds for them too. A look at the pool lists what they hold; their ages count
//!   from the first look. A refused try may be due to another claim in the midst of one.
//! * **Cost**: any other operation takes one latch for a section of O(k) steps for a set of k, plus the waiters on
//!   the same resources; a nested request that has to wait also looks at all owners that hold and wait.
//!
//! All this is tested: against a sequential model, with threads and tasks, with futures dropped after each
//! poll; and model-checked with small clients of the whole pool. User code (wakers) never runs under the latch.
//!
//! # Features
//!
//! * `serde`: `Serialize` for statistics.

#![forbid(unsafe_code)]

mod acquire;
mod builder;
mod claim;
mod error;
mod lease;
mod pool;
#[doc(hidden)]
pub mod raw;
mod request;
mod slots;
mod state;
mod stats;
mod witness;

pub use acquire::{Acquire, AcquireTimeout};
pub use builder::ResourcePoolBuilder;
pub use claim::{Claim, ClaimLease};
pub use error::{
    AcquireError, AcquireTimeoutError, BuildError, Cycle, CycleStep, DefineError, NotHeld, TryAcquireError,
};
pub use lease::Lease;
pub use pool::ResourcePool;
pub use request::{Ask, Mode, Owner, Prepared, Request};
pub use slots::Slots;
pub use stats::{LeaseInfo, PoolStats, ResourceStats, WaitCause, WaitEdge};
pub use witness::{Access, Race};

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
