//! The waiting kernel of Ropewalk: one FIFO line for threads and tasks, a clock that can be
//! virtual, timers, a semaphore.
//!
//! ```
//! use ropewalk_sync::{Clock, Semaphore};
//! use std::time::Duration;
//!
//! let slots = Semaphore::new(1);
//! let held = slots.acquire_blocking()?;
//! // A task and a thread wait in the same line, by the same code.
//! let late = slots.acquire_blocking_timeout(Duration::from_millis(1));
//! assert!(late.is_err());
//! drop(held);
//! let again = ropewalk_sync::block_on(async { slots.acquire().await })?;
//! assert_eq!(again.permits(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! * **Waiting**: [`WaitQueue`] is the kernel, a FIFO with direct hand-off in which a wait can be
//!   cancelled in O(1) and a grant that nobody polls can be taken back. [`Semaphore`], [`Event`],
//!   [`Signal`] and [`oneshot`] stand on the same idea.
//! * **Time**: a [`Clock`] is the system's or virtual (`Clock::virtual_()`, feature `test-util`); it
//!   gives [`sleep`](Clock::sleep) and [`timeout`](Clock::timeout) to any executor and to threads.
//! * **Threads as tasks**: an operation is written once, as a future. Its `_blocking` form is
//!   [`block_on`] of that future: the thread is a task whose waker unparks it.
//! * **Background jobs**: [`Background`] runs a future on its own thread or on a [`Spawn`]er and ends
//!   it on drop.
//!
//! # Guarantees
//!
//! | operation | waits for | order | on cancel |
//! |---|---|---|---|
//! | `Semaphore::try_acquire`, release without waiters | nobody | stands behind the line | - |
//! | `Semaphore::acquire` | those who hold permits | strict FIFO | leaves the line; a grant passes on |
//! | release with waiters, cancel, join | a bounded section of another such operation | - | - |
//! | `Event::wait`, `Signal::notified`, `Receiver` | the one who sets, notifies, sends | FIFO | nothing is lost |
//!
//! Wakers are cloned, dropped and woken outside of every latch. No operation allocates while it
//! holds one, but for the growth of the queue's slab.
//!
//! # Features
//!
//! * `test-util`: the virtual clock.
//! * `tokio`: `Tokio`, a spawner of background jobs on a tokio runtime.
//! * `serde`: `Serialize` for statistics.

#![forbid(unsafe_code)]

mod background;
mod clock;
mod deadlines;
mod error;
mod event;
mod oneshot;
mod park;
#[doc(hidden)]
pub mod raw;
mod semaphore;
mod timer;

#[cfg(feature = "tokio")]
pub use background::Tokio;
pub use background::{Background, BoxFuture, Spawn, Threads};
pub use clock::{Clock, Elapsed, Sleep};
pub use deadlines::Deadlines;
pub use error::{AcquireError, AcquireTimeoutError, BuildError, TryAcquireError};
pub use event::{Event, EventWait, Notified, Signal};
pub use oneshot::{Canceled, Receiver, Sender, oneshot};
pub use park::block_on;
pub use raw::queue::{Cancelled, Locked, Polled, Ticket, WaitQueue};
pub use semaphore::{Acquire, OwnedPermit, Permit, Semaphore, SemaphoreBuilder, SemaphoreStats};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
