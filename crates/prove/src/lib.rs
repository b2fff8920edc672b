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

#![forbid(unsafe_code)]

mod latch;
pub use latch::{Latch, LatchGuard};

/// `Arc` and the atomics.
pub mod sync {
    #[cfg(ropewalk_loom)]
    pub use loom::sync::Arc;
    #[cfg(not(ropewalk_loom))]
    pub use std::sync::Arc;

    /// Atomics and fences.
    pub mod atomic {
        #[cfg(ropewalk_loom)]
        pub use loom::sync::atomic::{
            AtomicBool, AtomicI64, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
            Ordering, fence,
        };
        #[cfg(not(ropewalk_loom))]
        pub use std::sync::atomic::{
            AtomicBool, AtomicI64, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
            Ordering, fence,
        };
    }
}

/// Interior mutability whose accesses a model can check for data races.
pub mod cell {
    #[cfg(ropewalk_loom)]
    pub use loom::cell::UnsafeCell;

    /// `std`'s `UnsafeCell` with loom's closure access.
    #[cfg(not(ropewalk_loom))]
    #[derive(Debug, Default)]
    #[repr(transparent)]
    pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    #[cfg(not(ropewalk_loom))]
    impl<T> UnsafeCell<T> {
        /// Wraps `value`.
        #[inline]
        pub const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// Calls `f` with a pointer for reading; dereferencing it is the caller's proof to make.
        #[inline]
        pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// Calls `f` with a pointer for writing; dereferencing it is the caller's proof to make.
        #[inline]
        pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }

        /// Takes the value out.
        #[inline]
        pub fn into_inner(self) -> T {
            self.0.into_inner()
        }
    }
}

/// Hints to the processor.
pub mod hint {
    #[cfg(ropewalk_loom)]
    pub use loom::hint::spin_loop;
    #[cfg(not(ropewalk_loom))]
    pub use std::hint::spin_loop;
}

/// Threads.
pub mod thread {
    pub use std::thread::panicking;

    #[cfg(ropewalk_loom)]
    pub use loom::thread::{JoinHandle, Thread, current, park, spawn, yield_now};
    #[cfg(not(ropewalk_loom))]
    pub use std::thread::{JoinHandle, Thread, current, park, spawn, yield_now};
}

/// Running futures.
pub mod future {
    /// Drives `future` to its end on this thread.
    #[cfg(ropewalk_loom)]
    pub fn block_on<F: Future>(future: F) -> F::Output {
        loom::future::block_on(future)
    }

    /// Drives `future` to its end on this thread, which parks between polls.
    #[cfg(not(ropewalk_loom))]
    pub fn block_on<F: Future>(future: F) -> F::Output {
        use std::task::{Context, Poll, Wake, Waker};

        struct Unpark(std::thread::Thread);
        impl Wake for Unpark {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
        let mut future = std::pin::pin!(future);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
            std::thread::park();
        }
    }
}

/// Explores every execution of `f` in a model build; runs it once in a normal build.
///
/// # Panics
///
/// When an assertion in `f` fails in some execution, or the model deadlocks, races or leaks.
pub fn model(f: impl Fn() + Send + Sync + 'static) {
    #[cfg(ropewalk_loom)]
    loom::model(f);
    #[cfg(not(ropewalk_loom))]
    f();
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
