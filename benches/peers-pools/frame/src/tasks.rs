//! Closed loops: so many tasks on two workers take connections again and again.

use std::{hint::black_box, sync::Arc, time::Instant};

use ropewalk_benches::contest::{Effort, Entry, Sample};
use tokio::{runtime::Runtime, task::yield_now};

use crate::{
    Setup, TaskPool,
    neighbour::Neighbour,
    uncontended::warm,
    window::{self, MEASURED_ONE_IN, Waits, Window},
};

pub(crate) const NONE_2: &str = "tasks-2-no-hold";
pub(crate) const NONE_8: &str = "tasks-8-no-hold";
pub(crate) const NONE_32: &str = "tasks-32-no-hold";
pub(crate) const NONE_128: &str = "tasks-128-no-hold";
pub(crate) const YIELD_2: &str = "tasks-2-one-yield";
pub(crate) const YIELD_8: &str = "tasks-8-one-yield";
pub(crate) const YIELD_32: &str = "tasks-32-one-yield";
pub(crate) const YIELD_128: &str = "tasks-128-one-yield";
/// The same while another process keeps one of the cores busy.
pub(crate) const YIELD_32_BUSY: &str = "tasks-32-one-yield-busy-core";
pub(crate) const YIELD_128_BUSY: &str = "tasks-128-one-yield-busy-core";

const WORKERS: usize = 2;

/// Tasks that hold nothing across a yield yield so often between two turns: one that never did would keep its worker.
const TURNS_BETWEEN_YIELDS: u64 = 128;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    None,
    OneYield,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cores {
    Free,
    OneBusy,
}

pub(crate) fn entries<P: TaskPool>(contestant: &'static str) -> Vec<Entry> {
    use {Cores::*, Hold::*};
    vec![
        Entry { work: NONE_2, contestant, run: |effort| closed::<P>(effort, 2, None, Free) },
        Entry { work: NONE_8, contestant, run: |effort| closed::<P>(effort, 8, None, Free) },
        Entry { work: NONE_32, contestant, run: |effort| closed::<P>(effort, 32, None, Free) },
        Entry { work: NONE_128, contestant, run: |effort| closed::<P>(effort, 128, None, Free) },
        Entry { work: YIELD_2, contestant, run: |effort| closed::<P>(effort, 2, OneYield, Free) },
        Entry { work: YIELD_8, contestant, run: |effort| closed::<P>(effort, 8, OneYield, Free) },
        Entry { work: YIELD_32, contestant, run: |effort| closed::<P>(effort, 32, OneYield, Free) },
        Entry { work: YIELD_128, contestant, run: |effort| closed::<P>(effort, 128, OneYield, Free) },
        Entry { work: YIELD_32_BUSY, contestant, run: |effort| closed::<P>(effort, 32, OneYield, OneBusy) },
        Entry { work: YIELD_128_BUSY, contestant, run: |effort| closed::<P>(effort, 128, OneYield, OneBusy) },
    ]
}

pub(crate) fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_time().build();
    runtime.expect("the system gives what a runtime needs")
}

fn closed<P: TaskPool>(effort: Effort, tasks: usize, hold: Hold, cores: Cores) -> Vec<Sample> {
    let runtime = runtime();
    let pool: &'static P = Box::leak(Box::new(runtime.block_on(P::build(Setup::Bare))));
    runtime.block_on(warm(pool));
    let neighbour = (cores == Cores::OneBusy).then(Neighbour::start);

    let window = Arc::new(Window::new(tasks));
    let clients: Vec<_> =
        (0..tasks).map(|client| runtime.spawn(turns(pool, hold, window.clone(), client))).collect();
    let count = window.run(window::length(effort));
    let mut waits = Waits::new();
    for client in clients {
        waits.merge(&runtime.block_on(client).expect("no client panics"));
    }
    drop(neighbour);
    count.samples(&waits)
}

async fn turns<P: TaskPool>(pool: &'static P, hold: Hold, window: Arc<Window>, client: usize) -> Waits {
    let mut waits = Waits::new();
    let mut turn = 0u64;
    while !window.is_over() {
        let asked = turn.is_multiple_of(MEASURED_ONE_IN).then(Instant::now);
        let conn = pool.get().await;
        if let Some(asked) = asked
            && window.counts()
        {
            waits.record(asked.elapsed());
        }
        if hold == Hold::OneYield {
            yield_now().await;
        }
        drop(black_box(conn));
        turn += 1;
        window.tell(client, turn);
        if hold == Hold::None && turn.is_multiple_of(TURNS_BETWEEN_YIELDS) {
            yield_now().await;
        }
    }
    waits
}
