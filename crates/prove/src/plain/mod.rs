//! The shim of a normal build: `std`, and nothing else.

mod cells;
pub(crate) mod claims;
mod latch;

/// `Arc` and the atomics.
pub mod sync {
    pub use std::sync::Arc;

    /// Atomics and fences.
    pub mod atomic {
        pub use std::sync::atomic::{
            AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicPtr, AtomicU8,
            AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
        };
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
    pub use std::hint::spin_loop;
}

/// Threads.
pub mod thread {
    pub use std::thread::{JoinHandle, LocalKey, Thread, current, panicking, park, spawn, yield_now};
}

/// Running futures.
pub mod future {
    use std::{
        pin::pin,
        sync::Arc,
        task::{Context, Poll, Wake, Waker},
        thread,
    };

    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    /// Drives `future` to its end on this thread, which parks between polls.
    pub fn block_on<F: Future>(future: F) -> F::Output {
        poll_at_most(usize::MAX, future).expect("polled until it is ready")
    }

    /// Polls `future` at most `polls` times, parking in between, then drops it; `None` when it was not ready.
    pub fn poll_at_most<F: Future>(polls: usize, future: F) -> Option<F::Output> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut future = pin!(future);
        for left in (0..polls).rev() {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Some(output);
            }
            if left > 0 {
                thread::park();
            }
        }
        None
    }
}
