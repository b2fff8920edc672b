use ropewalk_agents::Executor;
use ropewalk_sync::{Clock, Event, Spawn};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

/// Wakes itself `times` times, then ends.
fn busy(times: usize, done: impl FnOnce() + Send + 'static) -> ropewalk_sync::BoxFuture {
    let (mut left, mut done) = (times, Some(done));
    Box::pin(std::future::poll_fn(move |cx| {
        if left == 0 {
            if let Some(done) = done.take() {
                done();
            }
            return Poll::Ready(());
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }))
}

#[test]
fn every_job_is_polled_to_its_end() {
    let executor = Executor::new(3, &Clock::system());
    let (count, all) = (Arc::new(AtomicUsize::new(0)), Arc::new(Event::new()));
    for i in 0..500 {
        let (count, all) = (count.clone(), all.clone());
        executor.spawner().spawn(
            "job",
            busy(i % 20, move || {
                if count.fetch_add(1, Ordering::SeqCst) + 1 == 500 {
                    all.set();
                }
            }),
        );
    }
    all.wait_blocking();
}

#[test]
fn wakes_from_many_threads_are_not_lost() {
    let executor = Executor::new(2, &Clock::system());
    for _ in 0..200 {
        let (event, done) = (Arc::new(Event::new()), Arc::new(Event::new()));
        let (inside, end) = (event.clone(), done.clone());
        executor.spawner().spawn(
            "job",
            Box::pin(async move {
                inside.wait().await;
                end.set();
            }),
        );
        std::thread::scope(|s| {
            s.spawn(|| event.set());
            s.spawn(|| event.set());
        });
        done.wait_blocking();
    }
}

#[test]
fn a_job_that_panics_harms_no_other_and_dropped_jobs_are_dropped() {
    let executor = Executor::new(1, &Clock::system());
    let alive = Arc::new(());
    executor.spawner().spawn("bad", Box::pin(async { panic!("as planned") }));
    let held = alive.clone();
    executor.spawner().spawn(
        "sleeps",
        Box::pin(async move {
            let () = std::future::pending().await;
            drop(held);
        }),
    );
    let done = Arc::new(Event::new());
    let end = done.clone();
    executor.spawner().spawn("good", Box::pin(async move { end.set() }));
    done.wait_blocking();
    let spawner = executor.spawner();
    drop(executor);
    assert_eq!(Arc::strong_count(&alive), 1);
    let held = alive.clone();
    spawner.spawn("late", Box::pin(async move { drop(held) }));
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn a_job_given_while_the_executor_goes_is_run_or_dropped() {
    for _ in 0..100 {
        let executor = Executor::new(2, &Clock::system());
        let alive = Arc::new(());
        std::thread::scope(|s| {
            for i in 0..3 {
                let (spawner, alive) = (executor.spawner(), &alive);
                s.spawn(move || {
                    for _ in 0..20 {
                        let held = alive.clone();
                        let job = busy(i, move || drop(held));
                        spawner.spawn("job", job);
                    }
                });
            }
            drop(executor);
        });
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
