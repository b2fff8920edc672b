use crate::virtual_team;
use ropewalk_agents::*;
use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn values_come_back_and_dependencies_hold() {
    let team = Coordinator::builder().threads(2).build().unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let note = |name: &'static str| {
        let order = order.clone();
        move |_cx: TaskCx| {
            let order = order.clone();
            async move {
                order.lock().unwrap().push(name);
                Ok::<_, Infallible>(name.len())
            }
        }
    };
    let a = team.task("a").spawn(note("a"));
    let b = team.task("b").after([&a]).spawn(note("bb"));
    let c = team.task("c").after([a.id(), b.id()]).spawn(note("ccc"));
    assert_eq!(c.join_blocking().unwrap(), 3);
    assert_eq!(b.join_blocking().unwrap(), 2);
    let d = team.task("d").after([a]).spawn(note("dddd"));
    assert_eq!(d.join_blocking().unwrap(), 4);
    assert_eq!(*order.lock().unwrap(), ["a", "bb", "ccc", "dddd"]);
}

#[tokio::test]
async fn handles_are_futures() {
    let team = Coordinator::builder().threads(1).build().unwrap();
    let task = team.task("t").spawn(|cx| async move { Ok::<_, Infallible>(cx.attempt()) });
    assert_eq!(task.await.unwrap(), 1);
}

#[cfg(feature = "tokio")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_run_on_tokio_with_its_reactor() {
    let team = Coordinator::builder().tokio().build().unwrap();
    let task = team.task("t").spawn(|_| async {
        // Panics where there is no runtime with a timer.
        tokio::time::timeout(Duration::from_secs(60), async {}).await.unwrap();
        Ok::<_, Infallible>(tokio::runtime::Handle::current().metrics().num_workers())
    });
    assert_eq!(task.await.unwrap(), 2);
    team.shutdown().await;
}

#[test]
fn retries_with_backoff_on_the_clock() {
    let (team, clock) = virtual_team(|b| b.backoff(Backoff::exponential(SECOND, SECOND * 3).exact()));
    let times = Arc::new(Mutex::new(Vec::new()));
    let start = clock.now();
    let log = times.clone();
    let task = team.task("flaky").spawn(move |cx| {
        log.lock().unwrap().push(cx.clock().now() - start);
        async move { if cx.attempt() < 4 { Err("not yet") } else { Ok(cx.attempt()) } }
    });
    clock.settle();
    assert_eq!(task.status(), Status::Blocked);
    let snapshot = team.snapshot();
    assert!(snapshot.tasks[0].error.as_deref().unwrap().contains("not yet"));
    clock.advance(SECOND * 60);
    assert_eq!(task.join_blocking().unwrap(), 4);
    // 1 s, 2 s, then the cap of 3 s.
    assert_eq!(*times.lock().unwrap(), [0, 1, 3, 6].map(Duration::from_secs));
    assert_eq!(team.stats().retries, 3);
}

#[test]
fn three_retries_by_default_then_it_fails_with_the_last_error() {
    let (team, _clock) = virtual_team(|b| b);
    let calls = Arc::new(AtomicU32::new(0));
    let count = calls.clone();
    let task = team.task("t").spawn(move |_| {
        let n = count.fetch_add(1, Ordering::Relaxed) + 1;
        async move { Err::<(), _>(format!("no {n}")) }
    });
    match task.join_blocking().unwrap_err() {
        TaskError::Failed { attempts: 4, source, .. } => assert_eq!(source.to_string(), "no 4"),
        other => panic!("{other:?}"),
    }
    assert_eq!(calls.load(Ordering::Relaxed), 4);
}

#[test]
fn retry_if_decides_and_its_panic_means_no() {
    let (team, _clock) = virtual_team(|b| b);
    for panics in [false, true] {
        let calls = Arc::new(AtomicU32::new(0));
        let count = calls.clone();
        let task = team
            .task("t")
            .retry_if(move |error| {
                assert!(!panics, "the judge's own business");
                error.to_string() == "once more"
            })
            .spawn(move |_| {
                let n = count.fetch_add(1, Ordering::Relaxed);
                async move { Err::<(), _>(if n == 0 { "once more" } else { "hopeless" }) }
            });
        assert!(matches!(task.join_blocking(), Err(TaskError::Failed { .. })));
        assert_eq!(calls.load(Ordering::Relaxed), if panics { 1 } else { 2 });
    }
}

#[test]
fn a_panic_fails_its_own_task_only() {
    let (team, _clock) = virtual_team(|b| b);
    let bad = team.task("bad").retries(1).spawn(|_| async {
        assert!(std::hint::black_box(false), "as planned");
        Ok::<_, Infallible>(())
    });
    // The call of the body, before there is a future.
    let worse = team
        .task("worse")
        .retries(0)
        .spawn(|_| -> std::future::Ready<Result<(), Infallible>> { panic!("at once") });
    let behind = team.task("behind").after([&bad]).spawn(|_| async { Ok::<_, Infallible>(()) });
    let fine = team.task("fine").spawn(|_| async { Ok::<_, Infallible>(1) });
    match bad.join_blocking().unwrap_err() {
        TaskError::Panicked { attempts: 2, message, .. } => assert_eq!(message, "as planned"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(worse.join_blocking(), Err(TaskError::Panicked { attempts: 1, .. })));
    let skipped = behind.join_blocking().unwrap_err();
    assert_eq!(skipped.to_string(), "task \"behind\" was skipped because of how \"bad\" ended");
    assert_eq!(fine.join_blocking().unwrap(), 1);
    assert_eq!(team.stats().panics, 3);
}

#[test]
fn what_a_body_leaves_behind_may_panic_too() {
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0, "a bomb");
        }
    }
    let (team, clock) = virtual_team(|b| b);
    // In the captured state, in the future when it is stopped, and in an unwanted value.
    let captured = Bomb(true);
    let first = team.task("captured").spawn(move |_| {
        let _ = &captured;
        async { Ok::<_, Infallible>(()) }
    });
    first.join_blocking().unwrap();
    let second = team.task("held").spawn(|cx| async move {
        let _bomb = Bomb(true);
        cx.sleep(SECOND * 99).await;
        Ok::<_, Infallible>(())
    });
    clock.settle();
    second.cancel();
    assert!(matches!(second.join_blocking(), Err(TaskError::Cancelled { .. })));
    // The handle is gone before there is a value, so the value drops on a thread of the team.
    drop(team.task("value").spawn(|cx| async move {
        cx.sleep(SECOND).await;
        Ok::<_, Infallible>(Bomb(true))
    }));
    clock.advance(SECOND);
    assert_eq!(team.stats().completed, 2);
    let last = team.task("last").spawn(|_| async { Ok::<_, Infallible>(()) });
    last.join_blocking().unwrap();
}

#[test]
fn a_hanging_attempt_times_out_and_the_next_may_do_better() {
    let (team, clock) = virtual_team(|b| b);
    let task = team.task("t").timeout(SECOND).spawn(|cx| async move {
        if cx.attempt() == 1 {
            std::future::pending::<()>().await;
        }
        Ok::<_, Infallible>(cx.attempt())
    });
    let hopeless =
        team.task("h").timeout(SECOND).retries(2).spawn(|_| std::future::pending::<Result<(), Infallible>>());
    clock.settle();
    assert_eq!(task.status(), Status::Running);
    clock.advance(SECOND * 10);
    assert_eq!(task.join_blocking().unwrap(), 2);
    assert!(matches!(hopeless.join_blocking(), Err(TaskError::TimedOut { attempts: 3, after: SECOND, .. })));
    assert_eq!(team.stats().timeouts, 4);
}

#[test]
fn a_deadline_covers_waiting_running_and_pausing() {
    let (team, clock) = virtual_team(|b| b.backoff(Backoff::fixed(SECOND * 5)));
    let long = team.task("long").spawn(|cx| async move {
        cx.sleep(SECOND * 30).await;
        Ok::<_, Infallible>(())
    });
    let waits =
        team.task("waits").after([&long]).deadline(SECOND * 3).spawn(|_| async { Ok::<_, Infallible>(()) });
    let runs = team.task("runs").deadline(SECOND * 3).spawn(|cx| async move {
        cx.sleep(SECOND * 30).await;
        Ok::<_, Infallible>(())
    });
    // The pause would end after the deadline, so there is no retry.
    let pauses = team.task("pauses").deadline(SECOND * 3).spawn(|_| async { Err::<(), _>("no") });
    let fine = team
        .task("fine")
        .deadline(Duration::MAX)
        .timeout(Duration::MAX)
        .spawn(|_| async { Ok::<_, Infallible>(()) });
    clock.settle();
    assert!(matches!(pauses.join_blocking(), Err(TaskError::Failed { attempts: 1, .. })));
    fine.join_blocking().unwrap();
    clock.advance(SECOND * 3);
    assert!(matches!(waits.join_blocking(), Err(TaskError::DeadlinePassed { .. })));
    assert!(matches!(runs.join_blocking(), Err(TaskError::DeadlinePassed { .. })));
    clock.advance(SECOND * 30);
    long.join_blocking().unwrap();
}

#[test]
fn cancel_in_every_state() {
    let (team, clock) = virtual_team(|b| b.tasks(1).agents(1).backoff(Backoff::fixed(SECOND)));
    let held = team.resources().try_acquire("me", Request::new().exclusive("file")).unwrap();
    let blocked = team
        .task("blocked")
        .needs(Request::new().exclusive("file"))
        .spawn(|_| async { Ok::<_, Infallible>(()) });
    clock.settle();
    let pausing = team.task("pausing").spawn(|_| async { Err::<(), _>("no") });
    clock.settle();
    let running = team.task("running").spawn(|_| std::future::pending::<Result<(), Infallible>>());
    clock.settle();
    let ready = team.task("ready").spawn(|_| async { Ok::<_, Infallible>(()) });
    let pending = team.task("pending").after([&ready]).spawn(|_| async { Ok::<_, Infallible>(()) });
    let done = [&blocked, &pausing, &running, &ready, &pending].map(|handle| handle.status());
    assert_eq!(done, [Status::Blocked, Status::Blocked, Status::Running, Status::Ready, Status::Pending]);
    // The running one last: its slot would let the ready one run.
    for handle in [&blocked, &pausing, &pending, &ready, &running] {
        handle.cancel();
        handle.cancel();
    }
    for handle in [blocked, pausing, running, ready, pending] {
        assert!(matches!(handle.join_blocking(), Err(TaskError::Cancelled { .. })));
    }
    drop(held);
    let after = team
        .task("after")
        .needs(Request::new().exclusive("file"))
        .spawn(|_| async { Ok::<_, Infallible>(()) });
    after.join_blocking().unwrap();
    assert_eq!((team.stats().slots, team.stats().unfinished()), (0, 0));
}

#[test]
fn a_body_told_to_stop_is_polled_once_more() {
    let (team, clock) = virtual_team(|b| b);
    let task = team.task("t").spawn(|cx| async move {
        cx.cancelled().await;
        Ok::<_, Infallible>(cx.stop_reason())
    });
    clock.settle();
    task.cancel();
    // It ended well in spite of it, so it counts as completed.
    assert_eq!(task.join_blocking().unwrap(), Some(StopReason::Cancelled));
}

#[test]
fn grace_lets_a_body_clean_up() {
    let (team, clock) = virtual_team(|b| b.grace(SECOND * 2));
    let cleaned = Arc::new(AtomicBool::new(false));
    let spawn = |pause: Duration| {
        let cleaned = cleaned.clone();
        team.task("t").spawn(move |cx| {
            let cleaned = cleaned.clone();
            async move {
                cx.cancelled().await;
                cx.sleep(pause).await;
                cleaned.store(true, Ordering::Relaxed);
                Err::<(), _>("stopped")
            }
        })
    };
    for (pause, expected) in [(SECOND * 3, false), (SECOND, true)] {
        let task = spawn(pause);
        clock.settle();
        task.cancel();
        clock.advance(SECOND * 5);
        assert!(matches!(task.join_blocking(), Err(TaskError::Cancelled { .. })));
        assert_eq!(cleaned.load(Ordering::Relaxed), expected);
    }
}

#[test]
fn blocking_bodies_run_on_threads_of_their_own() {
    let team = Coordinator::builder().threads(1).build().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel::<u32>();
    let receiver = Mutex::new(receiver);
    let task = team.task("blocks").spawn_blocking(move |cx| {
        let value = receiver.lock().unwrap().recv()?;
        Ok::<_, std::sync::mpsc::RecvError>((value, cx.agent().name().to_owned()))
    });
    // The one thread for async bodies is free meanwhile.
    let other = team.task("async").spawn(|_| async { Ok::<_, Infallible>(()) });
    other.join_blocking().unwrap();
    sender.send(5).unwrap();
    assert_eq!(task.join_blocking().unwrap().0, 5);
    let panics =
        team.task("panics").retries(0).spawn_blocking(|_| -> Result<(), Infallible> { panic!("as planned") });
    assert!(matches!(panics.join_blocking(), Err(TaskError::Panicked { .. })));
    let fails = team.task("fails").retries(0).spawn_blocking(|_| Err::<(), _>("no"));
    assert!(matches!(fails.join_blocking(), Err(TaskError::Failed { .. })));
}

#[test]
fn a_stuck_blocking_body_keeps_its_lease_and_its_result_is_void() {
    let team = Coordinator::builder()
        .threads(2)
        .blocking_grace(Duration::ZERO)
        .backoff(Backoff::none())
        .build()
        .unwrap();
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let (started, running) = std::sync::mpsc::channel::<()>();
    let started = Mutex::new(started);
    let task = team.task("stuck").needs(Request::new().exclusive("file")).spawn_blocking(move |cx| {
        started.lock().unwrap().send(())?;
        gate.lock().unwrap().recv()?;
        Ok::<_, BoxError>(cx.attempt())
    });
    running.recv().unwrap();
    task.cancel();
    assert!(matches!(task.join_blocking(), Err(TaskError::Cancelled { .. })));
    assert_eq!(team.stats().stuck, 1);
    assert!(team.resources().try_acquire("me", Request::new().exclusive("file")).is_err());
    release.send(()).unwrap();
    let lease = team.resources().acquire_blocking("me", Request::new().exclusive("file")).unwrap();
    assert_eq!(team.stats().stuck, 0);
    drop(lease);
}

#[test]
fn policies_and_rules_reach_the_graph() {
    let (team, _clock) = virtual_team(|b| b);
    let bad = team
        .task("bad")
        .retries(0)
        .on_failure(FailurePolicy::FreeDependents)
        .spawn(|_| async { Err::<(), _>("no") });
    let freed = team.task("freed").after([&bad]).spawn(|_| async { Ok::<_, Infallible>(1) });
    let worse = team.task("worse").retries(0).spawn(|_| async { Err::<(), _>("no") });
    let clean = team
        .task("clean")
        .after([&worse])
        .rule(TriggerRule::AllDone)
        .spawn(|_| async { Ok::<_, Infallible>(2) });
    assert_eq!(freed.join_blocking().unwrap() + clean.join_blocking().unwrap(), 3);
}

#[test]
fn join_timeout_leaves_the_handle() {
    let (team, clock) = virtual_team(|b| b);
    let mut task = team.task("t").spawn(|cx| async move {
        cx.sleep(SECOND * 5).await;
        Ok::<_, Infallible>(7)
    });
    {
        let mut cx = Context::from_waker(Waker::noop());
        let mut joining = pin!(task.join_timeout(SECOND));
        assert!(joining.as_mut().poll(&mut cx).is_pending());
        clock.advance(SECOND);
        assert!(matches!(
            joining.as_mut().poll(&mut cx),
            Poll::Ready(Err(JoinTimeoutError::Timeout { within: SECOND }))
        ));
    }
    clock.advance(SECOND * 5);
    assert_eq!(clock.block_on(task.join_timeout(SECOND)).unwrap(), 7);
}

#[test]
fn a_dependency_that_does_not_exist_is_refused() {
    let team = Coordinator::builder().threads(1).build().unwrap();
    let other = Coordinator::builder().threads(1).build().unwrap();
    let foreign = other.task("foreign").spawn(|_| async { Ok::<_, Infallible>(()) });
    let more = other.task("more").after([&foreign]).spawn(|_| async { Ok::<_, Infallible>(()) });
    let refused = team.task("t").after([&more]).try_spawn(|_| async { Ok::<_, Infallible>(()) });
    assert!(matches!(refused, Err(SpawnError::Dependency(_))));
    let last = other.task("last").after([&more]).spawn(|_| async { Ok::<_, Infallible>(()) });
    let handle = team.task("t").after([&last]).spawn(|_| async { Ok::<_, Infallible>(()) });
    assert!(matches!(handle.join_blocking(), Err(TaskError::Refused { .. })));
}

#[test]
fn a_body_may_describe_more_tasks() {
    let (team, _clock) = virtual_team(|b| b.tasks(1).agents(1));
    let parent = team.task("parent").spawn(|cx| async move {
        let child = cx.task("child").spawn(|cx| async move { Ok::<_, Infallible>(cx.name().to_owned()) });
        Ok::<_, Infallible>(child)
    });
    assert_eq!(parent.join_blocking().unwrap().join_blocking().unwrap(), "child");
}

#[test]
fn a_blocking_body_hears_that_it_should_stop() {
    let team = Coordinator::builder().threads(1).build().unwrap();
    let (started, running) = std::sync::mpsc::channel();
    let started = Mutex::new(started);
    let task = team.task("t").spawn_blocking(move |cx| {
        let before = (cx.is_cancelled(), cx.stop_reason());
        started.lock().unwrap().send(())?;
        cx.token().cancelled_blocking();
        Ok::<_, BoxError>((before, cx.is_cancelled(), cx.token().reason()))
    });
    running.recv().unwrap();
    task.cancel();
    assert_eq!(task.join_blocking().unwrap(), ((false, None), true, Some(StopReason::Cancelled)));
}
