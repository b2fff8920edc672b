//! What benches and races share. The Criterion benches of our own operations stand in `benches/`, named
//! `area/operation/threads`; the races against peers are run by `cargo xtask race AREA`, and [`contest`] is the side of
//! them that measures.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

pub mod contest;

/// The thread counts of operations that threads share.
pub const THREADS: [usize; 2] = [1, 2];

/// Runs `body` on this many threads, each with its part of the iterations, and returns the time from the moment all
/// stood ready until the last one was done.
///
/// # Panics
///
/// If `threads` is 0, or `body` panics.
pub fn on_threads(threads: usize, iterations: u64, body: impl Fn(u64) + Sync) -> Duration {
    assert!(threads > 0, "somebody has to do the work");
    let parts = threads as u64;
    let ready = Barrier::new(threads + 1);
    thread::scope(|scope| {
        let (ready, body) = (&ready, &body);
        let workers: Vec<_> = (0..parts)
            .map(|part| {
                let share = iterations / parts + u64::from(part < iterations % parts);
                scope.spawn(move || {
                    ready.wait();
                    body(share);
                })
            })
            .collect();
        ready.wait();
        let started = Instant::now();
        for worker in workers {
            worker.join().expect("a benched operation panicked");
        }
        started.elapsed()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn every_iteration_is_done_once() {
        let done = AtomicU64::new(0);
        on_threads(3, 10, |share| {
            done.fetch_add(share, Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 10);
    }
}
