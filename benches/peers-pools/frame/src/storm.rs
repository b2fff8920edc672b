//! Callers that go away: the futures of 64 tasks are dropped after one to three polls.

use std::{
    future::poll_fn,
    hint::black_box,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use ropewalk_benches::contest::{Effort, Sample};
use tokio::{task::yield_now, time::timeout};

use crate::{
    SIZE, Setup, TaskPool, connections::opened, random::Random, tasks::runtime, uncontended::warm, window,
    window::Window,
};

/// Nothing is checked at checkout.
pub(crate) const STORM: &str = "cancel-storm";
/// A check at checkout awaits once, so that callers go away in it too.
pub(crate) const STORM_CHECKED: &str = "cancel-storm-checked";

const TASKS: usize = 64;
const MOST_POLLS: u64 = 3;
/// Long enough for whatever the pool still does after the storm.
const AFTERWARDS: Duration = Duration::from_secs(2);

pub(crate) fn storm<P: TaskPool>(effort: Effort, setup: Setup) -> Vec<Sample> {
    let runtime = runtime();
    let pool: &'static P = Box::leak(Box::new(runtime.block_on(P::build(setup))));
    runtime.block_on(warm(pool));
    let before = opened();

    let window = Arc::new(Window::new(TASKS));
    let cancelled = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..TASKS)
        .map(|client| runtime.spawn(turns(pool, window.clone(), client, cancelled.clone())))
        .collect();
    let count = window.run(window::length(effort));
    for client in clients {
        runtime.block_on(client).expect("no client panics");
    }
    let left = runtime.block_on(all(pool));
    let cancelled = cancelled.load(Ordering::Relaxed).max(1);
    let reopened = (opened() - before) as f64 * 1e5 / cancelled as f64;
    vec![
        count.cpu_per_operation(),
        Sample { metric: "slots_lost", unit: "of 10", value: (SIZE - left) as f64 },
        Sample { metric: "reopened", unit: "per 100,000 cancelled", value: reopened },
    ]
}

/// How many connections can be had at once.
async fn all<P: TaskPool>(pool: &'static P) -> usize {
    let mut held = Vec::new();
    while held.len() < SIZE {
        match timeout(AFTERWARDS, pool.get()).await {
            Ok(conn) => held.push(conn),
            Err(_elapsed) => break,
        }
    }
    held.len()
}

async fn turns<P: TaskPool>(pool: &'static P, window: Arc<Window>, client: usize, cancelled: Arc<AtomicU64>) {
    let mut random = Random::new(client as u64 + 1);
    let (mut turn, mut gone) = (0, 0);
    while !window.is_over() {
        match polled(pool.get(), 1 + random.below(MOST_POLLS)).await {
            Some(conn) => {
                yield_now().await;
                drop(black_box(conn));
            }
            None => {
                gone += 1;
                // Others run between two attempts, or the tasks would go away from an empty pool only.
                yield_now().await;
            }
        }
        turn += 1;
        window.tell(client, turn);
    }
    cancelled.fetch_add(gone, Ordering::Relaxed);
}

/// Polls it so often at most and drops it then.
async fn polled<F: Future>(future: F, polls: u64) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        left -= 1;
        if left == 0 {
            return Poll::Ready(None);
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}
