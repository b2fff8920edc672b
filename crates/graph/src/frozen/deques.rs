//! Work stealing by level: four deques a worker, four injectors, sleep and wake.
//!
//! A worker takes the best level that it finds anywhere: its own deque of the level, then the
//! injector, then the others' deques, before it looks one level down.
//!
//! # Sleep
//!
//! Who pushes publishes the unit, then fences, then looks for sleepers. Who wants to sleep counts
//! itself as a sleeper, fences, then looks for units once more under the lock that a waker takes. So
//! either the pusher sees the sleeper or the sleeper sees the unit (Dekker).

use crossbeam_deque::{Injector, Steal, Stealer, Worker};
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicUsize, Ordering, fence};

const LEVELS: usize = 4;

pub(super) struct Deques<U> {
    injectors: [Injector<U>; LEVELS],
    stealers: Vec<[Stealer<U>; LEVELS]>,
    sleepers: AtomicUsize,
    latch: Mutex<()>,
    bell: Condvar,
}

pub(super) type Local<U> = [Worker<U>; LEVELS];

impl<U> Deques<U> {
    pub(super) fn new(workers: usize) -> (Self, Vec<Local<U>>) {
        let locals: Vec<Local<U>> =
            (0..workers).map(|_| std::array::from_fn(|_| Worker::new_fifo())).collect();
        let stealers =
            locals.iter().map(|local| std::array::from_fn(|level| local[level].stealer())).collect();
        let deques = Self {
            injectors: std::array::from_fn(|_| Injector::new()),
            stealers,
            sleepers: AtomicUsize::new(0),
            latch: Mutex::new(()),
            bell: Condvar::new(),
        };
        (deques, locals)
    }

    /// Adds units from outside.
    pub(super) fn inject(&self, units: impl IntoIterator<Item = (usize, U)>) {
        for (level, unit) in units {
            self.injectors[level].push(unit);
        }
        self.wake_all();
    }

    /// Works until `stop` says so and nothing is left to take.
    pub(super) fn work(
        &self,
        me: usize,
        local: &Local<U>,
        execute: impl Fn(U, &mut dyn FnMut(usize, U)),
        stop: impl Fn() -> bool,
    ) {
        loop {
            let Some(unit) = self.take(me, local) else {
                if stop() {
                    return;
                }
                self.sleep(&stop);
                continue;
            };
            let mut pushed = 0usize;
            execute(unit, &mut |level, unit| {
                local[level].push(unit);
                pushed += 1;
            });
            // This worker takes one of them itself.
            if pushed > 1 {
                self.wake(pushed - 1);
            }
        }
    }

    fn take(&self, me: usize, local: &Local<U>) -> Option<U> {
        (0..LEVELS).find_map(|level| {
            local[level]
                .pop()
                .or_else(|| retry(|| self.injectors[level].steal_batch_and_pop(&local[level])))
                .or_else(|| {
                    let n = self.stealers.len();
                    (1..n).find_map(|i| retry(|| self.stealers[(me + i) % n][level].steal()))
                })
        })
    }

    fn is_empty(&self) -> bool {
        self.injectors.iter().all(Injector::is_empty) && self.stealers.iter().flatten().all(Stealer::is_empty)
    }

    fn sleep(&self, stop: &impl Fn() -> bool) {
        let mut latch = self.latch.lock();
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        // Pairs with the fence in `wake`.
        fence(Ordering::SeqCst);
        if self.is_empty() && !stop() {
            self.bell.wait(&mut latch);
        }
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
    }

    fn wake(&self, n: usize) {
        // Pairs with the fence in `sleep`.
        fence(Ordering::SeqCst);
        if self.sleepers.load(Ordering::Relaxed) > 0 {
            // A sleeper that has looked and not yet waits holds the latch.
            drop(self.latch.lock());
            for _ in 0..n.min(self.stealers.len()) {
                self.bell.notify_one();
            }
        }
    }

    pub(super) fn wake_all(&self) {
        self.wake(usize::MAX);
    }
}

fn retry<U>(mut steal: impl FnMut() -> Steal<U>) -> Option<U> {
    loop {
        match steal() {
            Steal::Success(unit) => return Some(unit),
            Steal::Empty => return None,
            Steal::Retry => {}
        }
    }
}
