//! Which stripe a thread writes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// More stripes than this would cost more to read and to keep than they save.
const MOST: usize = 64;

/// Stripes worth having: one per processor.
pub(crate) fn count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        std::thread::available_parallelism().map_or(1, |n| n.get().next_power_of_two().min(MOST))
    })
}

/// This thread's stripe. Threads are dealt out in turn; one that is being torn down writes stripe 0.
#[inline]
pub(crate) fn mine() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    MINE.try_with(|stripe| *stripe).unwrap_or(0)
}
