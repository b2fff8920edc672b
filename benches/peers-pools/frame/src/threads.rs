//! Closed loops of threads.

use std::{
    hint::{black_box, spin_loop},
    thread,
    time::{Duration, Instant},
};

use ropewalk_benches::contest::{Effort, Entry, Sample};

use crate::{
    Setup, ThreadPool, uncontended,
    window::{self, Waits, Window},
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
    let window = Window::new(THREADS);
    // An unlucky thread waits for tens of milliseconds.
    let length = window::length(effort) * 2;
    thread::scope(|scope| {
        let window = &window;
        let clients: Vec<_> =
            (0..THREADS).map(|client| scope.spawn(move || turns(pool, hold, window, client))).collect();
        let count = window.run(length);
        let mut waits = Waits::new();
        for client in clients {
            waits.merge(&client.join().expect("no client panics"));
        }
        count.samples(&waits)
    })
}

fn turns<P: ThreadPool>(pool: &'static P, hold: Hold, window: &Window, client: usize) -> Waits {
    let mut waits = Waits::new();
    let mut turn = 0u64;
    while !window.is_over() {
        let asked = Instant::now();
        let conn = pool.get();
        if window.counts() {
            waits.record(asked.elapsed());
        }
        match hold {
            Hold::OneYield => thread::yield_now(),
            Hold::Cpu => spin(WORK),
        }
        drop(black_box(conn));
        turn += 1;
        window.tell(client, turn);
    }
    waits
}
