//! One caller, nobody else.

use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use ropewalk_benches::contest::{Effort, Entry, Sample, per_operation};

use crate::{SIZE, Setup, TaskPool, ThreadPool, window};

/// A task takes a connection and gives it back.
pub(crate) const TASK: &str = "uncontended-task";
pub(crate) const TASK_CONFIGURED: &str = "uncontended-task-configured";
/// A thread does.
pub(crate) const THREAD: &str = "uncontended-thread";
pub(crate) const THREAD_CONFIGURED: &str = "uncontended-thread-configured";
/// By the call that does not wait.
pub(crate) const TRY: &str = "uncontended-try";

/// Runs `body` as often as fills the window of this effort.
pub(crate) fn filled(effort: Effort, mut body: impl FnMut(u64)) -> Vec<Sample> {
    let mut operations = 100;
    let took = loop {
        let started = Instant::now();
        body(operations);
        let took = started.elapsed();
        if took > Duration::from_millis(2) {
            break took;
        }
        operations *= 4;
    };
    let wanted = window::length(effort).as_secs_f64() / took.as_secs_f64() * operations as f64;
    per_operation(wanted as u64, body)
}

pub(crate) fn task<P: TaskPool>(effort: Effort, setup: Setup) -> Vec<Sample> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("the system gives what a runtime needs");
    let pool: &'static P = Box::leak(Box::new(runtime.block_on(P::build(setup))));
    runtime.block_on(warm(pool));
    filled(effort, |operations| {
        runtime.block_on(async {
            for _ in 0..operations {
                drop(black_box(pool.get().await));
            }
        });
    })
}

/// Has all connections opened.
pub(crate) async fn warm<P: TaskPool>(pool: &'static P) {
    let mut all = Vec::new();
    for _ in 0..SIZE {
        all.push(pool.get().await);
    }
}

pub(crate) fn thread<P: ThreadPool>(effort: Effort, setup: Setup) -> Vec<Sample> {
    let pool = warm_pool::<P>(setup);
    filled(effort, |operations| {
        for _ in 0..operations {
            drop(black_box(pool.get()));
        }
    })
}

pub(crate) fn try_thread<P: ThreadPool>(effort: Effort) -> Vec<Sample> {
    let pool = warm_pool::<P>(Setup::Bare);
    filled(effort, |operations| {
        for _ in 0..operations {
            drop(black_box(pool.try_get().expect("nobody else takes any")));
        }
    })
}

pub(crate) fn warm_pool<P: ThreadPool>(setup: Setup) -> &'static P {
    let pool: &'static P = Box::leak(Box::new(P::build(setup)));
    drop((0..SIZE).map(|_| pool.get()).collect::<Vec<_>>());
    pool
}

/// What no pool can be faster than: claiming and giving back are each one compare-and-swap.
fn limit(effort: Effort) -> Vec<Sample> {
    let word = AtomicU64::new((1 << SIZE) - 1);
    filled(effort, |operations| {
        for _ in 0..operations {
            let idle = word.load(Ordering::Relaxed);
            let taken = idle & (idle - 1);
            let claim = word.compare_exchange(idle, taken, Ordering::Acquire, Ordering::Relaxed);
            black_box(claim).expect("nobody else touches the word");
            let back = word.compare_exchange(taken, idle, Ordering::Release, Ordering::Relaxed);
            black_box(back).expect("nobody else touches the word");
        }
    })
}

/// The limit, at every uncontended work.
pub fn limit_entries(contestant: &'static str) -> Vec<Entry> {
    let works = [TASK, TASK_CONFIGURED, THREAD, THREAD_CONFIGURED, TRY];
    works.into_iter().map(|work| Entry { work, contestant, run: limit }).collect()
}
