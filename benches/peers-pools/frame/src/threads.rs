//! Closed loops of threads.

use std::{
    hint::{black_box, spin_loop},
    thread,
    time::{Duration, Instant},
};

use ropewalk_benches::contest::{Effort, Entry, Sample};

use crate::{
    Setup, ThreadPool, uncontended,
    window::{self, crowd},
};

pub(crate) const YIELD: &str = "threads-32-one-yield";
pub(crate) const CPU: &str = "threads-32-20us-cpu";

const THREADS: usize = 32;
const WORK: Duration = Duration::from_micros(20);

#[derive(Clone, Copy)]
enum Hold {
    OneYield,
    Cpu,
}

/// What a contestant for threads enters.
pub fn entries<P: ThreadPool>(contestant: &'static str) -> Vec<Entry> {
    let mut entries = bare_entries::<P>(contestant);
    entries.push(Entry {
        work: uncontended::THREAD_CONFIGURED,
        contestant,
        run: |effort| uncontended::thread::<P>(effort, Setup::Configured),
    });
    entries
}

/// What a contestant that has no settings enters.
pub fn bare_entries<P: ThreadPool>(contestant: &'static str) -> Vec<Entry> {
    vec![
        Entry {
            work: uncontended::THREAD,
            contestant,
            run: |effort| uncontended::thread::<P>(effort, Setup::Bare),
        },
        Entry { work: uncontended::TRY, contestant, run: uncontended::try_thread::<P> },
        Entry { work: YIELD, contestant, run: |effort| closed::<P>(effort, Hold::OneYield) },
        Entry { work: CPU, contestant, run: |effort| closed::<P>(effort, Hold::Cpu) },
    ]
}

/// Uses the processor for so long.
pub(crate) fn spin(time: Duration) {
    let started = Instant::now();
    while started.elapsed() < time {
        spin_loop();
    }
}

fn closed<P: ThreadPool>(effort: Effort, hold: Hold) -> Vec<Sample> {
    let pool = uncontended::warm_pool::<P>(Setup::Bare);
    // An unlucky thread waits for tens of milliseconds.
    let length = window::length(effort) * 2;
    crowd(THREADS, length, |_| {
        || {
            let asked = Instant::now();
            let conn = pool.get();
            let wait = asked.elapsed();
            match hold {
                Hold::OneYield => thread::yield_now(),
                Hold::Cpu => spin(WORK),
            }
            drop(black_box(conn));
            wait
        }
    })
}
