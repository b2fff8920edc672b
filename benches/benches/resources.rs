//! Leases on sets of resources.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use ropewalk_benches::{THREADS, on_threads};
use ropewalk_resources::{Request, ResourcePool};

fn three() -> Request {
    Request::new().exclusive("src/lib.rs").shared("Cargo.toml").units("model-slot", 2)
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("resources");
    let pool = ResourcePool::new();
    pool.define("model-slot", 8).expect("the name is new");
    group.bench_function(BenchmarkId::new("try-acquire-3", 1), |bencher| {
        bencher.iter(|| pool.try_acquire("agent", three()).expect("nobody holds them"));
    });
    group.bench_function(BenchmarkId::new("try-acquire-3-prepared", 1), |bencher| {
        let prepared = pool.prepare(three()).expect("the request is valid");
        bencher.iter(|| pool.try_acquire("agent", &prepared).expect("nobody holds them"));
    });
    for threads in THREADS {
        group.bench_function(BenchmarkId::new("acquire-one-exclusive", threads), |bencher| {
            let prepared =
                pool.prepare(Request::new().exclusive("src/main.rs")).expect("the request is valid");
            bencher.iter_custom(|iterations| {
                on_threads(threads, iterations, |share| {
                    (0..share).for_each(|_| drop(black_box(pool.acquire_blocking("agent", &prepared))));
                })
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
