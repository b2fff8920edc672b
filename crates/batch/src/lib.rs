//! A work-conserving micro-batcher: many callers submit one item each, a handler sees them in batches,
//! every caller gets its own answer.
//!
//! ```
//! use ropewalk_batch::Batcher;
//! use std::time::Duration;
//!
//! let rows = Batcher::builder(|rows: Vec<u32>| -> Vec<Result<u32, String>> {
//!         rows.into_iter().map(|row| row.checked_mul(2).ok_or_else(|| format!("{row} is too large"))).collect()
//!     })
//!     .max_items(100)
//!     .max_wait(Duration::ZERO) // never wait for more while the handler is free
//!     .in_flight(1)
//!     .build()?;
//! assert_eq!(rows.submit_blocking(21)?, 42);
//! assert!(rows.submit_blocking(u32::MAX).is_err()); // one bad item fails alone
//! rows.close_blocking();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! * [`Batcher::builder`] takes a blocking handler, [`Batcher::builder_async`] one that returns a
//!   future. A [`Batcher`] starts threads of its own as they are needed unless it is given a spawner.
//! * [`submit`](Batcher::submit) waits for room, then for the answer; [`try_submit`](Batcher::try_submit)
//!   refuses at once when the queue is full and gives a future of the answer;
//!   [`submit_timeout`](Batcher::submit_timeout) bounds both waits.
//! * With [`group_by`](Builder::group_by) a batch holds items of one group only.
//! * [`flush`](Batcher::flush) hurries what is queued, [`close`](Batcher::close) drains.
//! * [`BatchQueue`] is the order and the grouping alone, for those who bring their own workers.
//!
//! # Guarantees
//!
//! * **Work-conserving**: while fewer than [`in_flight`](Builder::in_flight) batches run, a queued item
//!   waits for at most [`max_wait`](Builder::max_wait), and not at all by default: a batch is what
//!   came while all handlers were busy.
//! * **One answer per item**: the handler's result, or an error that says why there is none. A handler
//!   that panics, or returns the wrong number of answers, fails the items of that batch and no other.
//! * **Order**: waiting for room is first come, first served; batches of a group are cut in order of
//!   arrival; the batch that starts next is the one whose first item is the oldest.
//! * **Bounded**: at most [`queue`](Builder::queue) items wait in the queue, others at the door.
//! * **Cancel safety**: a dropped submit removes its item if it was not dispatched yet; a dispatched
//!   one runs to its end and its answer is dropped.
//! * The handler and the drop of items and answers run under no lock of this crate.
//!
//! # Features
//!
//! * `serde`: `Serialize` for [`BatchStats`].

#![forbid(unsafe_code)]

mod batcher;
mod builder;
mod driver;
mod error;
mod queue;
mod stats;

pub use batcher::{Answer, Batcher};
pub use builder::Builder;
pub use error::{BuildError, SubmitError, TrySubmitError};
pub use queue::{BatchQueue, GroupKey, Place};
pub use stats::BatchStats;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
