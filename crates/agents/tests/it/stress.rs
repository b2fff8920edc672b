use proptest::prelude::*;
use ropewalk_agents::*;
use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
};

/// Many tasks with dependencies, needs, failures, panics and cancellations: all end, attempts are
/// bounded, exclusive needs exclude, the limits hold.
#[test]
fn everything_at_once_ends() {
    const N: usize = 600;
    const LIMIT: usize = 8;
    let team =
        Coordinator::builder().agents(5).tasks(LIMIT).threads(3).backoff(Backoff::none()).build().unwrap();
    let inside: Arc<Vec<AtomicUsize>> = Arc::new((0..7).map(|_| AtomicUsize::new(0)).collect());
    let running = Arc::new(AtomicUsize::new(0));
    let starts: Arc<Vec<AtomicU32>> = Arc::new((0..N).map(|_| AtomicU32::new(0)).collect());
    let mut handles: Vec<TaskHandle<usize>> = Vec::new();
    for i in 0..N {
        let file = i % 7;
        let mut task = team
            .task(format!("t{i}"))
            .priority(Priority::ALL[i % 4])
            .agent(["reviewer", "tester", "writer"][i % 3])
            .needs(Request::new().exclusive(format!("file {file}")).shared("package"))
            .retries(2)
            .rule(if i % 5 == 0 { TriggerRule::AllDone } else { TriggerRule::AllSucceeded });
        if i > 10 && i % 2 == 0 {
            task = task.after([&handles[i - 7], &handles[i / 2]]);
        }
        let (inside, running, starts) = (inside.clone(), running.clone(), starts.clone());
        handles.push(task.spawn(move |cx| {
            let (inside, running, starts) = (inside.clone(), running.clone(), starts.clone());
            async move {
                assert!(running.fetch_add(1, Ordering::SeqCst) < LIMIT);
                assert_eq!(inside[file].fetch_add(1, Ordering::SeqCst), 0, "two on one file");
                assert_eq!(starts[i].fetch_add(1, Ordering::SeqCst) + 1, cx.attempt());
                yield_once().await;
                inside[file].fetch_sub(1, Ordering::SeqCst);
                running.fetch_sub(1, Ordering::SeqCst);
                match (i % 11, cx.attempt()) {
                    (3, _) => panic!("as planned"),
                    (5, 1 | 2) | (7, _) => Err("as planned"),
                    _ => Ok(i),
                }
            }
        }));
    }
    let mut ok = 0;
    for (i, handle) in handles.into_iter().enumerate() {
        match handle.join_blocking() {
            Ok(value) => {
                assert_eq!(value, i);
                ok += 1;
            }
            Err(TaskError::Skipped { .. }) => assert_eq!(starts[i].load(Ordering::SeqCst), 0),
            Err(TaskError::Failed { attempts, .. } | TaskError::Panicked { attempts, .. }) => {
                assert_eq!((attempts, starts[i].load(Ordering::SeqCst)), (3, 3));
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    let stats = team.stats();
    assert!(ok > 100 && stats.completed == ok);
    assert_eq!((stats.unfinished(), stats.slots, stats.agents_busy), (0, 0, 0));
    assert!(team.resources().try_acquire("me", Request::new().exclusive("package")).is_ok());
}

async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

#[test]
fn cancelling_races_with_everything_and_every_handle_resolves() {
    for round in 0..30 {
        let team = Coordinator::builder().threads(2).tasks(4).agents(2).build().unwrap();
        let handles: Vec<_> = (0..40)
            .map(|i| {
                let mut task = team.task("t").needs(Request::new().exclusive(format!("{}", i % 3)));
                if i % 4 == 0 {
                    task = task.retries(1).backoff(Backoff::none());
                }
                task.spawn(move |cx| async move {
                    yield_once().await;
                    if i % 4 == 0 && cx.attempt() == 1 { Err("once") } else { Ok(()) }
                })
            })
            .collect();
        std::thread::scope(|s| {
            for handle in handles.iter().filter(|handle| handle.id().index() % 2 == round % 2) {
                s.spawn(|| handle.cancel());
            }
        });
        for handle in handles {
            match handle.join_blocking() {
                Ok(()) | Err(TaskError::Cancelled { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        let stats = team.stats();
        assert_eq!((stats.slots, stats.unfinished(), stats.agents_busy), (0, 0, 0));
        // A task that was cancelled in the pool's line leaves it when its future is dropped, soon after.
        let all = Request::new().exclusive("0").exclusive("1").exclusive("2");
        assert!(team.resources().acquire_blocking("me", all).is_ok());
    }
}

#[test]
fn many_threads_feed_one_team() {
    let team = Coordinator::builder().threads(2).build().unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                let mut last: Option<TaskHandle<()>> = None;
                for _ in 0..200 {
                    let ran = ran.clone();
                    let task = team.task("t").after(&last);
                    last = Some(task.spawn(move |_| {
                        ran.fetch_add(1, Ordering::Relaxed);
                        async { Ok::<_, Infallible>(()) }
                    }));
                }
                last.unwrap().join_blocking().unwrap();
            });
        }
    });
    assert_eq!(ran.load(Ordering::Relaxed), 800);
}

/// Agents come and go, messages fly and everybody looks, while tasks run.
#[test]
fn looks_beside_everything_stay_within_the_limits() {
    const LIMIT: usize = 4;
    let team = Coordinator::builder().agents(3).tasks(LIMIT).threads(2).build().unwrap();
    team.add_agent(Agent::new("ada").role("reader").mailbox(1_000_000)).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            let mut seen = 0;
            while !stop.load(Ordering::Relaxed) {
                let (snapshot, stats) = (team.snapshot(), team.stats());
                for stats in [&snapshot.stats, &stats] {
                    assert!(stats.slots <= LIMIT && stats.agents_busy <= 3);
                    assert_eq!(stats.agents_busy + stats.agents_idle, stats.agents);
                }
                assert!(snapshot.tasks.windows(2).all(|two| two[0].id != two[1].id));
                let ids = snapshot.tasks.iter().map(|task| task.id).collect::<BTreeSet<_>>();
                assert_eq!(ids.len(), snapshot.tasks.len());
                assert!(stats.completed >= seen, "ends are not taken back");
                seen = stats.completed;
                assert!(team.agent("ada").is_some() && !team.agents().is_empty());
            }
        });
        s.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let eve = team.add_agent(Agent::new("eve")).unwrap();
                let _ = team.try_send("eve", Message::new(1));
                assert!(matches!(team.add_agent(Agent::new("eve")), Err(BuildError::DuplicateAgent { .. })));
                // Busy for a moment, when a task has found her.
                while team.remove_agent("eve").is_err() {
                    std::thread::yield_now();
                }
                while eve.try_recv().is_ok() {}
                assert_eq!(eve.try_recv().err(), Some(RecvError::Closed));
            }
        });
        let reached = s.spawn(|| {
            let mut reached = 0;
            while !stop.load(Ordering::Relaxed) {
                reached += team.broadcast_to("reader", &Message::new("hear"));
                assert!(team.broadcast(&Message::new("all")) >= 1);
                reached += 1;
            }
            reached
        });
        let handles: Vec<_> = (0..400)
            .map(|_| {
                team.task("t").spawn(|_| async {
                    yield_once().await;
                    Ok::<_, Infallible>(())
                })
            })
            .collect();
        for handle in handles {
            handle.join_blocking().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        let reached = reached.join().unwrap();
        assert_eq!(team.agent("ada").unwrap().queued(), reached);
    });
    assert_eq!((team.stats().completed, team.stats().slots), (400, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// How each task ends is what a sequential walk over the tasks says, whatever the schedule.
    #[test]
    fn ends_agree_with_a_sequential_walk(
        tasks in proptest::collection::vec((any::<u16>(), 0u8..4, 0u8..3), 1..25),
    ) {
        let team = Coordinator::builder().threads(2).tasks(3).agents(2).backoff(Backoff::none()).build().unwrap();
        let mut handles: Vec<TaskHandle<()>> = Vec::new();
        let mut model: Vec<Status> = Vec::new();
        for (i, &(mask, fate, rule)) in tasks.iter().enumerate() {
            let on: Vec<usize> = (0..i.min(8)).filter(|k| mask >> k & 1 == 1).map(|k| i - 1 - k).collect();
            let rule = [TriggerRule::AllSucceeded, TriggerRule::AllDone, TriggerRule::OneSucceeded][rule as usize];
            let good = on.iter().filter(|&&k| model[k] == Status::Completed).count();
            let runs = on.is_empty() || match rule {
                TriggerRule::AllSucceeded => good == on.len(),
                TriggerRule::OneSucceeded => good > 0,
                _ => true,
            };
            model.push(match (runs, fate) {
                (false, _) => Status::Skipped,
                (true, 0) => Status::Failed,
                _ => Status::Completed,
            });
            let task = team.task("t").retries(1).rule(rule).after(on.iter().map(|&k| &handles[k]));
            handles.push(task.spawn(move |cx| async move {
                match (fate, cx.attempt()) {
                    (0, _) | (1, 1) => Err("as planned"),
                    _ => Ok(()),
                }
            }));
        }
        ropewalk_sync::block_on(team.idle());
        for (handle, expected) in handles.iter().zip(model) {
            prop_assert_eq!(handle.status(), expected);
        }
    }
}
