//! Recording and reading.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use ropewalk_benches::{THREADS, on_threads};
use ropewalk_measure::{Counter, Gauge, Histogram};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("measure");
    for threads in THREADS {
        group.bench_function(BenchmarkId::new("counter-add", threads), |bencher| {
            let counter = Counter::new();
            bencher.iter_custom(|iterations| {
                on_threads(threads, iterations, |share| (0..share).for_each(|_| counter.add(black_box(1))))
            });
        });
        group.bench_function(BenchmarkId::new("gauge-add-sub", threads), |bencher| {
            let gauge = Gauge::new();
            bencher.iter_custom(|iterations| {
                on_threads(threads, iterations, |share| {
                    for _ in 0..share {
                        gauge.add(black_box(1));
                        gauge.sub(black_box(1));
                    }
                })
            });
        });
        group.bench_function(BenchmarkId::new("histogram-record", threads), |bencher| {
            let histogram = Histogram::new();
            bencher.iter_custom(|iterations| {
                on_threads(threads, iterations, |share| {
                    (0..share).for_each(|value| histogram.record(black_box(value)))
                })
            });
        });
    }
    group.bench_function(BenchmarkId::new("histogram-snapshot", 1), |bencher| {
        let histogram = Histogram::new();
        (0..100_000).for_each(|value| histogram.record(value));
        bencher.iter(|| histogram.snapshot());
    });
    group.bench_function(BenchmarkId::new("snapshot-quantile", 1), |bencher| {
        let histogram = Histogram::new();
        (0..100_000).for_each(|value| histogram.record(value));
        let snapshot = histogram.snapshot();
        bencher.iter(|| snapshot.quantile(black_box(0.999)));
    });
    group.finish();
    criterion.final_summary();
}
