//! An open system: callers arrive whether or not those before them have been served.
//!
//! One thread is the world: it starts a task for each arrival and gives each connection back when its hold is over. What
//! really happened (arrivals, holds) is then replayed by the textbook's first come, first served queue; the waits of the
//! pool are told beside those of the replay.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    time::{Duration, Instant},
};

use ropewalk_benches::contest::{Effort, Sample};

use crate::{
    SIZE, Setup, TaskPool,
    random::Random,
    tasks::runtime,
    uncontended::warm,
    window::{self, Waits},
};

pub(crate) const OPEN: &str = "open-poisson-load-0.995";

const LOAD: f64 = 0.995;
/// The mean of the exponential law of the holds, in seconds.
const MEAN_HOLD: f64 = 1e-3;
/// How many holds of the law's mean the estimate of what they really take begins with.
const PRIOR: f64 = 200.0;

struct Grant<C> {
    caller: usize,
    asked: Instant,
    granted: Instant,
    conn: C,
}

struct Served {
    asked: Instant,
    wait: Duration,
    hold: Duration,
}

/// What holds really take (a timer is late, a core is busy), so that the arrivals bring the load that is meant.
struct MeanHold {
    sum: f64,
    number: f64,
}

impl MeanHold {
    fn new() -> Self {
        Self { sum: MEAN_HOLD * PRIOR, number: PRIOR }
    }

    fn learn(&mut self, hold: Duration) {
        self.sum += hold.as_secs_f64();
        self.number += 1.0;
    }

    fn between_arrivals(&self) -> f64 {
        self.sum / self.number / (SIZE as f64 * LOAD)
    }
}

pub(crate) fn open<P: TaskPool>(effort: Effort) -> Vec<Sample> {
    let runtime = runtime();
    let pool: &'static P = Box::leak(Box::new(runtime.block_on(P::build(Setup::Bare))));
    runtime.block_on(warm(pool));
    // Some pools need their runtime when a connection is given back.
    let _inside = runtime.enter();
    let served = world(pool, window::length(effort) * 5);

    let mut waits = Waits::new();
    served.iter().for_each(|caller| waits.record(caller.wait));
    let ideal = replay(served);
    let ratio = waits.p999().value / ideal.p999().value;
    vec![waits.p999(), Sample { metric: "p999_to_fifo", unit: "p99.9 / that of exact FIFO", value: ratio }]
}

async fn call<P: TaskPool>(pool: &'static P, caller: usize, grants: Sender<Grant<P::Conn>>) {
    let asked = Instant::now();
    let conn = pool.get().await;
    let granted = Instant::now();
    // The world listens until all have been served.
    let _ = grants.send(Grant { caller, asked, granted, conn });
}

fn world<P: TaskPool>(pool: &'static P, length: Duration) -> Vec<Served> {
    let (grants, granted) = mpsc::channel::<Grant<P::Conn>>();
    let (mut arrivals, mut holds) = (Random::new(1), Random::new(2));
    let mut mean = MeanHold::new();
    let mut held = Vec::new();
    let mut ends = BinaryHeap::new();
    let mut served = Vec::new();
    let (started, mut callers) = (Instant::now(), 0);
    let mut next = started;
    loop {
        let now = Instant::now();
        while let Some(&Reverse((end, at))) = ends.peek() {
            if end > now {
                break;
            }
            ends.pop();
            let grant: &mut Option<Grant<_>> = &mut held[at];
            let grant = grant.take().expect("a hold ends once");
            let hold = grant.granted.elapsed();
            drop(grant.conn);
            mean.learn(hold);
            served.push(Served { asked: grant.asked, wait: grant.granted - grant.asked, hold });
        }
        let is_open = now - started < length;
        if is_open && next <= now {
            tokio::spawn(call(pool, callers, grants.clone()));
            callers += 1;
            next += Duration::from_secs_f64(arrivals.exponential() * mean.between_arrivals());
            continue;
        }
        if !is_open && served.len() == callers {
            return served;
        }
        let end = ends.peek().map(|&Reverse((end, _))| end);
        let event = end.into_iter().chain(is_open.then_some(next)).min();
        // Nothing to do by the clock: all who are left wait for a connection, or are about to have one.
        let wait = event.map_or(Duration::from_millis(1), |event| event.saturating_duration_since(now));
        match granted.recv_timeout(wait) {
            Ok(grant) => {
                let hold = Duration::from_secs_f64(holds.exponential() * MEAN_HOLD);
                ends.push(Reverse((grant.granted + hold, grant.caller)));
                held.resize_with(held.len().max(grant.caller + 1), || None);
                let at = grant.caller;
                held[at] = Some(grant);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => unreachable!("the world keeps a sender"),
        }
    }
}

/// The waits if the same callers with the same holds had been served exactly first come, first served.
fn replay(mut served: Vec<Served>) -> Waits {
    served.sort_by_key(|caller| caller.asked);
    let mut waits = Waits::new();
    let Some(first) = served.first() else { return waits };
    let mut free: BinaryHeap<_> = (0..SIZE).map(|_| Reverse(first.asked)).collect();
    for caller in &served {
        let Reverse(earliest) = free.pop().expect("there are as many as before");
        let start = earliest.max(caller.asked);
        waits.record(start - caller.asked);
        free.push(Reverse(start + caller.hold));
    }
    waits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_serves_in_the_order_of_arrival() {
        let start = Instant::now();
        let (ms, none) = (Duration::from_millis, Duration::ZERO);
        // Ten fill the pool for 5 ms; the one who came at 1 ms waits 4 ms, whatever the pool made of it.
        let mut served: Vec<_> =
            (0..SIZE).map(|_| Served { asked: start, wait: none, hold: ms(5) }).collect();
        served.push(Served { asked: start + ms(1), wait: ms(9), hold: ms(5) });
        let longest = replay(served).p999().value;
        assert!((3_900.0..4_100.0).contains(&longest), "{longest}");
    }
}
