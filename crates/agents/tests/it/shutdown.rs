use crate::virtual_team;
use ropewalk_agents::*;
use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

async fn nap(cx: TaskCx) -> Result<(), Infallible> {
    cx.sleep(SECOND).await;
    Ok(())
}

#[test]
fn shutdown_drains_and_takes_no_more() {
    let (team, clock) = virtual_team(|b| b.tasks(2));
    let mut last = team.task("t").spawn(nap);
    for _ in 0..9 {
        last = team.task("t").after([&last]).spawn(nap);
    }
    let agent = team.add_agent(Agent::new("ada")).unwrap();
    std::thread::scope(|s| {
        let waiter = s.spawn(|| team.shutdown_blocking());
        while team.stats().accepting {
            std::thread::yield_now();
        }
        let refused = team.task("late").try_spawn(nap);
        assert_eq!(refused.err(), Some(SpawnError::ShuttingDown));
        assert!(matches!(team.add_agent(Agent::new("bob")), Err(BuildError::ShutDown)));
        while !waiter.is_finished() {
            clock.advance(SECOND);
            std::thread::yield_now();
        }
        waiter.join().unwrap();
    });
    last.join_blocking().unwrap();
    assert_eq!(team.stats().completed, 10);
    assert_eq!(agent.try_recv().err(), Some(RecvError::Closed));
}

#[test]
fn shutdown_with_a_limit_cancels_the_rest() {
    let (team, clock) = virtual_team(|b| b);
    let quick = team.task("quick").spawn(nap);
    let hangs = team.task("hangs").spawn(|_| std::future::pending::<Result<(), Infallible>>());
    let behind = team.task("behind").after([&hangs]).spawn(nap);
    let failed = std::thread::scope(|s| {
        let waiter = s.spawn(|| clock.block_on(team.shutdown_timeout(SECOND * 3)));
        while !waiter.is_finished() {
            clock.advance(SECOND);
            std::thread::yield_now();
        }
        waiter.join().unwrap()
    });
    let failed = failed.unwrap_err();
    assert_eq!((failed.cancelled, failed.within), (2, SECOND * 3));
    quick.join_blocking().unwrap();
    assert!(matches!(hangs.join_blocking(), Err(TaskError::Cancelled { .. })));
    assert!(matches!(behind.join_blocking(), Err(TaskError::Cancelled { .. })));
}

#[test]
fn dropping_the_last_handle_cancels_everything_and_frees_all() {
    let alive = Arc::new(());
    let (team, clock) = virtual_team(|b| b);
    let handles: Vec<_> = (0..10)
        .map(|i| {
            let alive = alive.clone();
            let task = team.task("t").needs(Request::new().exclusive(format!("file {}", i % 3)));
            task.spawn(move |_| {
                let alive = alive.clone();
                async move {
                    let () = std::future::pending().await;
                    drop(alive);
                    Ok::<_, Infallible>(())
                }
            })
        })
        .collect();
    clock.settle();
    let pool = team.resources().clone();
    drop(team.clone());
    assert!(handles.iter().all(|handle| !handle.is_finished()));
    drop(team);
    for handle in handles {
        assert!(matches!(handle.join_blocking(), Err(TaskError::Cancelled { .. })));
    }
    assert_eq!(Arc::strong_count(&alive), 1);
    assert!(pool.try_acquire("me", Request::new().exclusive("file 0").exclusive("file 1")).is_ok());
}

#[test]
fn a_body_may_hold_the_last_handle() {
    let team = Coordinator::builder().threads(2).build().unwrap();
    let slot = Arc::new(Mutex::new(Some(team.clone())));
    let inside = slot.clone();
    let task = team.task("t").spawn(move |_| {
        let inside = inside.clone();
        async move {
            // The team ends on one of its own threads.
            let taken = inside.lock().unwrap().take();
            drop(taken);
            let () = std::future::pending().await;
            Ok::<_, Infallible>(())
        }
    });
    drop(team);
    // Whoever was last, the task ends.
    let taken = slot.lock().unwrap().take();
    drop(taken);
    assert!(task.join_blocking().is_err());
}

#[cfg(feature = "tokio")]
#[test]
fn a_runtime_that_goes_away_loses_its_tasks_and_hangs_nobody() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let team = runtime.block_on(async { Coordinator::builder().tokio().build().unwrap() });
    let held = team.resources().try_acquire("me", Request::new().exclusive("file")).unwrap();
    let running = team.task("running").spawn(|_| std::future::pending::<Result<(), Infallible>>());
    let behind = team.task("behind").after([&running]).spawn(nap);
    let blocked = team.task("blocked").needs(Request::new().exclusive("file")).spawn(nap);
    while running.status() != Status::Running || blocked.status() != Status::Blocked {
        std::thread::yield_now();
    }
    drop(runtime);
    assert!(matches!(running.join_blocking(), Err(TaskError::Lost { .. })));
    assert!(matches!(behind.join_blocking(), Err(TaskError::Skipped { .. })));
    assert!(matches!(blocked.join_blocking(), Err(TaskError::Lost { .. })));
    let late = team.task("late").spawn(nap);
    assert!(matches!(late.join_blocking(), Err(TaskError::Lost { .. })));
    assert_eq!(team.stats().slots, 0);
    drop(held);
}

#[test]
fn idle_waits_for_whatever_is_there() {
    let (team, clock) = virtual_team(|b| b);
    clock.block_on(team.idle());
    let count = Arc::new(AtomicUsize::new(0));
    for _ in 0..50 {
        let count = count.clone();
        drop(team.task("t").spawn(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, Infallible>(()) }
        }));
    }
    clock.block_on(team.idle());
    assert_eq!(count.load(Ordering::Relaxed), 50);
}
