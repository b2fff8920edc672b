//! A stretch of time in which clients that are running already are counted.

use std::{
    sync::atomic::{AtomicU8, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use crossbeam_utils::CachePadded;
use hdrhistogram::Histogram;
use ropewalk_benches::contest::{Effort, Sample, cpu_nanoseconds};

/// Of so many acquisitions the wait of one is measured, so that reading the clock costs next to nothing.
pub(crate) const MEASURED_ONE_IN: u64 = 8;

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const STOPPED: u8 = 2;

/// How long a sample takes without its warm-up.
pub fn length(effort: Effort) -> Duration {
    match effort {
        Effort::Quick => Duration::from_millis(60),
        Effort::Full => Duration::from_millis(300),
    }
}

pub(crate) struct Window {
    phase: CachePadded<AtomicU8>,
    done: Vec<CachePadded<AtomicU64>>,
}

/// What was counted.
pub(crate) struct Count {
    seconds: f64,
    cpu: f64,
    done: Vec<u64>,
}

impl Window {
    pub(crate) fn new(clients: usize) -> Self {
        let done = (0..clients).map(|_| CachePadded::new(AtomicU64::new(0))).collect();
        Self { phase: AtomicU8::new(WARMING).into(), done }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == STOPPED
    }

    /// Whether a wait that ends now counts. Those that the end of the window ends do: a client that starves is served then.
    pub(crate) fn counts(&self) -> bool {
        self.phase.load(Ordering::Relaxed) != WARMING
    }

    /// Client `client` has done `turns` in all.
    pub(crate) fn tell(&self, client: usize, turns: u64) {
        self.done[client].store(turns, Ordering::Relaxed);
    }

    /// Lets the clients run warm, counts what they do in `length`, stops them.
    pub(crate) fn run(&self, length: Duration) -> Count {
        thread::sleep(length / 6);
        let before = self.turns();
        self.phase.store(MEASURING, Ordering::Relaxed);
        let (cpu, wall) = (cpu_nanoseconds(), Instant::now());
        thread::sleep(length);
        let (cpu, wall) = (cpu_nanoseconds().saturating_sub(cpu), wall.elapsed());
        let after = self.turns();
        self.phase.store(STOPPED, Ordering::Relaxed);
        let done = after.iter().zip(&before).map(|(after, before)| after - before).collect();
        Count { seconds: wall.as_secs_f64(), cpu: cpu as f64, done }
    }

    fn turns(&self) -> Vec<u64> {
        self.done.iter().map(|done| done.load(Ordering::Relaxed)).collect()
    }
}

impl Count {
    pub(crate) fn total(&self) -> u64 {
        self.done.iter().sum()
    }

    pub(crate) fn cpu_per_operation(&self) -> Sample {
        let value = self.cpu / self.total().max(1) as f64;
        Sample { metric: "cpu_ns", unit: "ns/op", value }
    }

    /// What the clients of a closed loop did, and how long they waited.
    pub(crate) fn samples(&self, waits: &Waits) -> Vec<Sample> {
        let most = self.done.iter().copied().max().unwrap_or(0);
        let least = self.done.iter().copied().min().unwrap_or(0);
        vec![
            Sample { metric: "ops_per_s", unit: "ops/s", value: self.total() as f64 / self.seconds },
            self.cpu_per_operation(),
            waits.p999(),
            // 1 is even; one who was never served counts as served once.
            Sample {
                metric: "most_least",
                unit: "most/least served",
                value: most.max(1) as f64 / least.max(1) as f64,
            },
        ]
    }
}

/// A closed loop of threads: each makes a client and lets it do turns, each of which says how long it waited for what it
/// wanted.
pub fn crowd<C: FnMut() -> Duration>(
    threads: usize,
    length: Duration,
    client: impl Fn(usize) -> C + Sync,
) -> Vec<Sample> {
    let window = Window::new(threads);
    let turns = |number| {
        let mut turn = client(number);
        let (mut waits, mut turns) = (Waits::new(), 0);
        while !window.is_over() {
            let wait = turn();
            if window.counts() {
                waits.record(wait);
            }
            turns += 1;
            window.tell(number, turns);
        }
        waits
    };
    thread::scope(|scope| {
        let turns = &turns;
        let clients: Vec<_> = (0..threads).map(|number| scope.spawn(move || turns(number))).collect();
        let count = window.run(length);
        let mut waits = Waits::new();
        for client in clients {
            waits.merge(&client.join().expect("no client panics"));
        }
        count.samples(&waits)
    })
}

/// How long those who asked waited, in nanoseconds.
pub(crate) struct Waits(Histogram<u64>);

impl Waits {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, 1_000_000_000_000, 2).expect("the bounds are in order"))
    }

    pub(crate) fn record(&mut self, wait: Duration) {
        self.0.saturating_record(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX).max(1));
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    pub(crate) fn p999(&self) -> Sample {
        let value = self.0.value_at_quantile(0.999) as f64 / 1e3;
        Sample { metric: "p999_us", unit: "us", value }
    }
}
