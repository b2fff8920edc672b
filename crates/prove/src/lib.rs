//! A std/loom shim for concurrent code.
//!
//! A concurrent core takes its atomics, fences, cells, latches and threads from here instead of
//! `std`. In a normal build everything is a plain re-export of `std` and costs nothing. Built with
//! `--cfg ropewalk_loom` the same names are [loom]'s, and the core runs under its model checker:
//! every interleaving and every value that the C11 memory model allows, within loom's bounds.
//!
//! ```
//! use ropewalk_prove::sync::atomic::{AtomicU64, Ordering};
//!
//! let hits = AtomicU64::new(0);
//! hits.fetch_add(1, Ordering::Relaxed);
//! assert_eq!(hits.load(Ordering::Relaxed), 1);
//! ```
//!
//! A model is an ordinary test in a file that starts with `#![cfg(ropewalk_loom)]` and calls
//! [`model`]; [`model`] runs its closure once in a normal build, so the same body also serves as a
//! smoke test.
//!
//! ```
//! use ropewalk_prove::{model, sync::Arc, sync::atomic::{AtomicU64, Ordering}, thread};
//!
//! model(|| {
//!     let n = Arc::new(AtomicU64::new(0));
//!     let m = n.clone();
//!     let t = thread::spawn(move || { m.fetch_add(1, Ordering::Relaxed); });
//!     n.fetch_add(1, Ordering::Relaxed);
//!     t.join().unwrap();
//!     assert_eq!(n.load(Ordering::Relaxed), 2);
//! });
//! ```
//!
//! # What it can't do
//!
//! Loom treats `SeqCst` accesses as `AcqRel` (write an explicit `fence(SeqCst)`), never fails
//! `compare_exchange_weak` spuriously, and judges orderings, not progress. A real lock held across a
//! step of the model hangs the model: take latches from [`Latch`].
//!
//! [loom]: https://docs.rs/loom

#![deny(unsafe_code)]

mod everywhere;
#[cfg(ropewalk_loom)]
mod evidence;
mod history;
#[cfg(ropewalk_loom)]
mod modelled;
#[cfg(not(ropewalk_loom))]
mod plain;
mod witness;

#[cfg(ropewalk_loom)]
pub use modelled::{
    cell,
    claims::{
        Explorer, Holding, NotWaitFree, Replay, holding, lock_free, operation, stall_sweep, wait_free,
        waits_only_for,
    },
    explore::{Holders, Refutation},
    future, hint,
    lock::{Latch, LatchGuard},
    run::model,
    step::Kind,
    sync, thread,
    verdict::{Proof, Verdict},
};
#[cfg(not(ropewalk_loom))]
pub use plain::{
    cell,
    claims::{Holders, Holding, holding, lock_free, model, operation, wait_free, waits_only_for},
    future, hint,
    lock::{Latch, LatchGuard},
    sync, thread,
};

pub use everywhere::{Cancel, Panics, cancel_everywhere, panic_everywhere};
pub use history::{History, Sequential, linearizable};
pub use witness::Witness;

/// Thread-locals: [`std::thread_local!`] in a normal build; in a model each of its threads has its own.
#[cfg(not(ropewalk_loom))]
pub use std::thread_local;

/// Thread-locals: [`std::thread_local!`] in a normal build; in a model each of its threads has its own.
#[cfg(ropewalk_loom)]
#[macro_export]
macro_rules! thread_local {
    ($($(#[$meta:meta])* $vis:vis static $name:ident: $type:ty = const $init:block $(;)?)*) => {
        $($(#[$meta])* $vis static $name: $crate::thread::LocalKey<$type> = $crate::thread::LocalKey::new(|| $init);)*
    };
    ($($(#[$meta:meta])* $vis:vis static $name:ident: $type:ty = $init:expr);* $(;)?) => {
        $($(#[$meta])* $vis static $name: $crate::thread::LocalKey<$type> = $crate::thread::LocalKey::new(|| $init);)*
    };
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
