use crate::poll;
use ropewalk_batch::Batcher;
use ropewalk_sync::block_on;
use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

#[test]
fn threads_and_tasks_get_every_answer_once() {
    const THREADS: u64 = 4;
    const EACH: u64 = 2_000;
    let seen: Arc<Mutex<HashSet<u64>>> = Arc::default();
    let running = Arc::new(AtomicUsize::new(0));
    let batcher = Batcher::builder({
        let seen = seen.clone();
        move |items: Vec<u64>| {
            assert!(running.fetch_add(1, Ordering::SeqCst) < 2, "no more than in_flight");
            assert!(items.len() <= 7);
            for &item in &items {
                assert!(seen.lock().unwrap().insert(item), "{item} ran twice");
            }
            running.fetch_sub(1, Ordering::SeqCst);
            items.into_iter().map(|n| Ok::<_, Infallible>(n * 3)).collect()
        }
    })
    .max_items(7)
    .in_flight(2)
    .queue(16)
    .group_by(|n| n % 3)
    .build()
    .unwrap();
    let start = Barrier::new(THREADS as usize);
    let withdrawn = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (batcher, start, withdrawn) = (&batcher, &start, &withdrawn);
            scope.spawn(move || {
                start.wait();
                for n in 0..EACH {
                    let item = thread * EACH + n;
                    match n % 5 {
                        0 => assert_eq!(block_on(batcher.submit(item)), Ok(item * 3)),
                        1 => match batcher.try_submit(item) {
                            Ok(answer) => {
                                if let Some(back) = answer.withdraw() {
                                    assert_eq!(back, item);
                                    withdrawn.fetch_add(1, Ordering::Relaxed);
                                }
                            }
                            Err(_) => {
                                withdrawn.fetch_add(1, Ordering::Relaxed);
                            }
                        },
                        _ => assert_eq!(batcher.submit_blocking(item), Ok(item * 3)),
                    }
                }
            });
        }
    });
    batcher.close_blocking();
    let stats = batcher.stats();
    assert_eq!(seen.lock().unwrap().len() + withdrawn.into_inner(), (THREADS * EACH) as usize);
    assert_eq!((stats.queued, stats.in_flight, stats.unanswered), (0, 0, 0));
    assert_eq!(stats.submitted, stats.succeeded + stats.withdrawn);
}

#[test]
fn closing_beside_submitters_loses_nothing() {
    for _ in 0..50 {
        let batcher =
            Batcher::builder(|items: Vec<u64>| items.into_iter().map(Ok::<_, Infallible>).collect())
                .queue(2)
                .max_items(2)
                .build()
                .unwrap();
        let answered = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for n in 0..100 {
                        match batcher.submit_blocking(n) {
                            Ok(got) => {
                                assert_eq!(got, n);
                                answered.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(error) => {
                                assert_eq!(error, ropewalk_batch::SubmitError::Closed(n));
                                return;
                            }
                        }
                    }
                });
            }
            batcher.close_blocking();
        });
        assert_eq!(batcher.stats().succeeded as usize, answered.into_inner());
    }
}

#[test]
fn a_flush_beside_others_ends_after_all_that_came_before_it() {
    let batcher = Batcher::builder(|items: Vec<u64>| items.into_iter().map(Ok::<_, Infallible>).collect())
        .max_items(3)
        .in_flight(2)
        .max_wait(std::time::Duration::from_secs(3600))
        .build()
        .unwrap();
    let batcher = &batcher;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for n in 0..200 {
                    let item = thread * 1_000 + n;
                    let mut answer = batcher.try_submit(item).unwrap();
                    batcher.flush_blocking();
                    assert_eq!(poll(&mut answer), std::task::Poll::Ready(Ok(item)));
                }
            });
        }
    });
    let stats = batcher.stats();
    assert_eq!((stats.succeeded, stats.queued, stats.in_flight), (800, 0, 0));
}
