//! Jobs beside the caller.

use ropewalk_sync::{Background, Clock, Event, Spawn, Threads, block_on, oneshot};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

struct Flag(Arc<AtomicBool>);
impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn drop_stops_the_job_and_joins_its_thread() {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Flag(dropped.clone());
    let job = Background::thread("waits for ever", &Clock::system(), async move {
        let _flag = flag;
        std::future::pending::<()>().await;
    });
    assert!(!job.is_finished());
    drop(job);
    assert!(dropped.load(Ordering::SeqCst), "the future was dropped before the join returned");
}

#[test]
fn a_panic_in_a_job_ends_it_and_does_not_count_it_busy_for_ever() {
    let clock = Clock::virtual_();
    let job = Background::thread("panics", &clock, async { panic!("in the job") });
    clock.settle();
    clock.advance(Duration::from_secs(1));
    drop(job);
}

#[test]
fn a_stopped_job_ends_at_its_next_await() {
    let (dropped, started) = (Arc::new(AtomicBool::new(false)), Arc::new(Event::new()));
    let (flag, begun) = (Flag(dropped.clone()), started.clone());
    let job = Background::thread("waits for ever", &Clock::system(), async move {
        let _flag = flag;
        begun.set();
        std::future::pending::<()>().await;
    });
    started.wait_blocking();
    assert!(!job.is_finished());
    job.stop();
    job.stop();
    while !job.is_finished() {
        std::thread::yield_now();
    }
    assert!(dropped.load(Ordering::Relaxed), "who sees the end sees what came before it");
}

#[test]
fn a_panic_in_a_spawned_job_is_its_own() {
    let threads = Threads::default();
    let job = Background::spawn("panics", &threads, async {
        std::panic::resume_unwind(Box::new("in the job"));
    });
    while !job.is_finished() {
        std::thread::yield_now();
    }
    let done = Arc::new(Event::new());
    let set = done.clone();
    threads.spawn("goes on", Box::pin(async move { set.set() }));
    done.wait_blocking();
}

#[cfg(feature = "tokio")]
#[test]
fn a_panic_on_tokio_is_the_jobs_own() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let spawner = ropewalk_sync::Tokio::new(runtime.handle().clone());
    let job = Background::spawn("panics", &spawner, async {
        std::panic::resume_unwind(Box::new("in the job"));
    });
    while !job.is_finished() {
        std::thread::yield_now();
    }
    let done = Arc::new(Event::new());
    let set = done.clone();
    spawner.spawn("goes on", Box::pin(async move { set.set() }));
    done.wait_blocking();
}

#[test]
fn a_job_may_drop_its_own_handle() {
    let (tx, rx) = oneshot::<Background>();
    let done = Arc::new(Event::new());
    let job = Background::thread("drops itself", &Clock::system(), {
        let done = done.clone();
        async move {
            drop(rx.await.unwrap());
            done.set();
        }
    });
    tx.send(job).unwrap();
    done.wait_blocking();
}

#[test]
fn spawners_run_jobs() {
    let done = Arc::new(Event::new());
    let threads: Arc<dyn Spawn> = Arc::new(Threads::default());
    let set = done.clone();
    let job = Background::spawn("sets", &threads, async move { set.set() });
    block_on(done.wait());
    drop(job);
}

#[cfg(feature = "tokio")]
#[test]
fn tokio_runs_jobs_and_drop_stops_them() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let spawner = ropewalk_sync::Tokio::new(runtime.handle().clone());
    let (tx, rx) = oneshot::<()>();
    let job = Background::spawn("holds the sender", &spawner, async move {
        let _tx = tx;
        std::future::pending::<()>().await;
    });
    drop(job);
    assert!(rx.recv_blocking().is_err(), "the stopped job dropped its future");
}
