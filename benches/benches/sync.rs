//! The semaphore and the one-shot channel.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use ropewalk_benches::{THREADS, on_threads};
use ropewalk_sync::{Semaphore, block_on, oneshot};

fn semaphore(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sync");
    for threads in THREADS {
        group.bench_function(BenchmarkId::new("semaphore-try-acquire", threads), |bencher| {
            let semaphore = Semaphore::new(threads);
            bencher.iter_custom(|iterations| {
                on_threads(threads, iterations, |share| {
                    (0..share).for_each(|_| drop(black_box(semaphore.try_acquire())));
                })
            });
        });
        group.bench_function(BenchmarkId::new("semaphore-acquire", threads), |bencher| {
            let semaphore = Semaphore::new(threads);
            bencher.iter_custom(|iterations| {
                on_threads(threads, iterations, |share| {
                    block_on(async {
                        for _ in 0..share {
                            drop(black_box(semaphore.acquire().await));
                        }
                    });
                })
            });
        });
    }
    group.bench_function(BenchmarkId::new("semaphore-acquire-one-permit", 2), |bencher| {
        let semaphore = Semaphore::new(1);
        bencher.iter_custom(|iterations| {
            on_threads(2, iterations, |share| {
                (0..share).for_each(|_| drop(black_box(semaphore.acquire_blocking())));
            })
        });
    });
    group.finish();
}

fn one_shot(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sync");
    group.bench_function(BenchmarkId::new("oneshot-send-receive", 1), |bencher| {
        bencher.iter(|| {
            let (sender, receiver) = oneshot();
            let _ = sender.send(black_box(7_u64));
            block_on(receiver)
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    semaphore(&mut criterion);
    one_shot(&mut criterion);
    criterion.final_summary();
}
