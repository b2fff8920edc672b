//! Machine-checked progress for concurrent code: is it lock-free, wait-free, and if it waits, for whom?
//!
//! A concurrent core takes its atomics, fences, cells, latches and threads from here instead of `std`. In a normal build they
//! are `std`'s, at no cost. Built with `--cfg ropewalk_loom` every access is a step that a model checker schedules: [loom]
//! judges orderings and data races, and an explorer of our own judges progress, in every schedule of a small client.
//!
//! ```
//! use ropewalk_prove::{
//!     lock_free, model,
//!     sync::{Arc, atomic::{AtomicU32, Ordering::Relaxed}},
//!     thread,
//! };
//!
//! fn two_add() {
//!     let hits = Arc::new(AtomicU32::new(0));
//!     let theirs = hits.clone();
//!     let other = thread::spawn(move || { theirs.fetch_add(1, Relaxed); });
//!     hits.fetch_add(1, Relaxed);
//!     other.join().unwrap();
//!     assert_eq!(hits.load(Relaxed), 2);
//! }
//!
//! model(two_add); // orderings: every execution that the C11 memory model allows
//! lock_free(two_add); // progress: whoever is suspended wherever, the others finish
//! ```
//!
//! Here the client runs once per claim, with real threads: a smoke test. The proof is
//!
//! ```sh
//! RUSTFLAGS="--cfg ropewalk_loom -C debug-assertions" cargo test --release
//! ```
//!
//! and a claim that does not hold is refuted with the thread, the step and the source line that stop the others, and a schedule
//! that replays. The guide `docs/proving.md` in the repository goes from an empty folder to a verdict in ten minutes; the examples
//! `scq`, `infinite_array_queue` and `two_lock_queue` judge three queues from the literature.
//!
//! # Overview
//!
//! * **The shim**: [`sync`], [`cell`], [`hint`], [`thread`], [`future`] and [`thread_local!`] have the names of `std`; [`Latch`] is the
//!   lock for short sections, and [`Witness`] stands in a model for the data that a synchronisation protects.
//! * **Orderings**: [`model`] runs a client under loom. `ROPEWALK_MUTANT` weakens one ordering of one source line, to see whether a
//!   model notices.
//! * **Progress**: [`lock_free`]; [`wait_free`] of a named [`operation`]; [`waits_only_for`] those who say that they are
//!   [`holding`] something. Behind them stands `Explorer`, in model builds only, with its limits, shards, resumption and replay.
//! * **Contract**: [`linearizable`] checks a [`History`] of calls against a [`Sequential`] object.
//! * **Accidents**: [`cancel_everywhere`] drops a future after each poll, [`panic_everywhere`] panics in each call of a callback.
//! * **Evidence**: `ROPEWALK_EVIDENCE` and `ROPEWALK_SITES` name files to which each claim appends a line of JSON: what was checked,
//!   how far, at what cost, and which orderings ran.
//!
//! # Guarantees
//!
//! | claim | a pass says, of this client | searched |
//! |---|---|---|
//! | [`model`] | assertions, data races, deadlocks, leaks: none in any execution | loom, within `LOOM_MAX_PREEMPTIONS` if set |
//! | [`lock_free`] | nobody ever waits for another, and no cycle of steps completes nothing | every schedule |
//! | [`wait_free`] | own steps do not grow from 2 to 4 interfering operations: "wait-free at this size" | every schedule |
//! | [`waits_only_for`] | whoever waits, waits while one of the holders holds | every schedule |
//! | [`linearizable`] | each call seems to happen at one instant between its ends | as `model`; judges no orderings |
//! | [`cancel_everywhere`], [`panic_everywhere`] | assertions hold, not everybody waits | every schedule, for each poll or call |
//!
//! * **An unfinished search is never a pass**: a limit of states, executions or time panics and says where to go on.
//! * **Deterministic**: the same client gives the same states, executions and schedule; a refutation replays.
//! * **Spurious failures** of weak compare-exchanges are injected, once per thread unless told otherwise.
//! * **Normal builds add no code**: atomics, threads and hints are re-exports, `UnsafeCell` is transparent, `Latch` is
//!   `std::sync::Mutex` without poisoning. loom is compiled into model builds only.
//!
//! # What it can't do
//!
//! A proof is about its client: these threads, these calls, this capacity. The explorer is sequentially consistent and sees what goes
//! through the shim: no allocator, no `std` atomic, no lock of another crate (a real lock held across a step hangs the model).
//! A read-modify-write is one step here, and `fetch_or`, `fetch_max` and the like are loops on real machines. loom treats `SeqCst`
//! accesses as `AcqRel` (write an explicit `fence(SeqCst)`), explores no load buffering and keeps 7 stores of history. Spins must be
//! without a count, or with a small one. The guide has the whole list.
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
