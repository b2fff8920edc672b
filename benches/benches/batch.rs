//! Submitting single items that are handled in batches.

use std::{convert::Infallible, hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion};
use ropewalk_batch::Batcher;
use ropewalk_benches::{THREADS, on_threads};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("batch");
    for threads in THREADS {
        group.bench_function(BenchmarkId::new("submit", threads), |bencher| {
            let batcher =
                Batcher::builder(|items: Vec<u64>| items.into_iter().map(Ok::<u64, Infallible>).collect())
                    .max_items(100)
                    .max_wait(Duration::ZERO)
                    .in_flight(1)
                    .build()
                    .expect("the settings are valid");
            bencher.iter_custom(|iterations| {
                on_threads(threads, iterations, |share| {
                    (0..share).for_each(|item| _ = black_box(batcher.submit_blocking(item)));
                })
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
