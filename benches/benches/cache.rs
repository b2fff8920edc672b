//! Hits, misses and inserts.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use ropewalk_benches::{THREADS, on_threads};
use ropewalk_cache::Cache;

const CAPACITY: u64 = 10_000;

fn full() -> Cache<u64, u64> {
    let cache = Cache::new(CAPACITY);
    (0..CAPACITY).for_each(|key| cache.insert(key, key));
    cache
}

/// A walk over the keys that visits each once per round and that no prefetcher foresees.
fn scattered(step: u64) -> u64 {
    step.wrapping_mul(7_919) % CAPACITY
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("cache");
    for threads in THREADS {
        group.bench_function(BenchmarkId::new("get-hit", threads), |bencher| {
            let cache = full();
            bencher.iter_custom(|iterations| {
                on_threads(threads, iterations, |share| {
                    (0..share).for_each(|step| _ = black_box(cache.get(&scattered(step))));
                })
            });
        });
        group.bench_function(BenchmarkId::new("get-miss", threads), |bencher| {
            let cache = full();
            bencher.iter_custom(|iterations| {
                on_threads(threads, iterations, |share| {
                    (0..share).for_each(|step| _ = black_box(cache.get(&(CAPACITY + step))));
                })
            });
        });
        group.bench_function(BenchmarkId::new("insert-new", threads), |bencher| {
            let cache = full();
            bencher.iter_custom(|iterations| {
                on_threads(threads, iterations, |share| {
                    (0..share).for_each(|step| cache.insert(black_box(CAPACITY + step), step));
                })
            });
        });
        group.bench_function(BenchmarkId::new("insert-replace", threads), |bencher| {
            let cache = full();
            bencher.iter_custom(|iterations| {
                on_threads(threads, iterations, |share| {
                    (0..share).for_each(|step| cache.insert(scattered(step), step));
                })
            });
        });
    }
    group.bench_function(BenchmarkId::new("get-or-load-hit", 1), |bencher| {
        let cache = full();
        let mut step = 0;
        bencher.iter(|| {
            step += 1;
            cache.get_or_load_blocking(scattered(step), || Ok::<_, std::convert::Infallible>(0))
        });
    });
    group.finish();
    criterion.final_summary();
}
