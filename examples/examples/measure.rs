//! Recording from many threads: a counter, a gauge with its peak, a latency histogram.

use ropewalk::measure::{Counter, Gauge, Histogram};
use std::{thread, time::Instant};

fn main() {
    let (served, in_flight, latency) = (Counter::new(), Gauge::new(), Histogram::new());
    let started = Instant::now();
    thread::scope(|scope| {
        for worker in 0..4u64 {
            let (served, in_flight, latency) = (&served, &in_flight, &latency);
            scope.spawn(move || {
                let mut state = worker + 1;
                for _ in 0..250_000 {
                    in_flight.add(1);
                    // xorshift: a skewed latency between 1 us and 4 ms
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    latency.record(1_000 + (state % 2_000) * (state % 2_000));
                    served.incr();
                    in_flight.sub(1);
                }
            });
        }
    });
    let elapsed = started.elapsed();
    let seen = latency.snapshot();
    println!(
        "{} requests recorded by 4 threads, {:.0} ns each for five recordings",
        served.value(),
        elapsed.as_nanos() as f64 / served.value() as f64
    );
    println!("in flight now {}, at most {}", in_flight.value(), in_flight.peak());
    for q in [0.5, 0.9, 0.99, 0.999] {
        if let Some(nanos) = seen.quantile(q) {
            println!("p{:<5} {:>8.1} us", 100.0 * q, nanos as f64 / 1e3);
        }
    }
}
