use crate::boom;
use proptest::prelude::*;
use ropewalk_graph::*;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

#[test]
fn every_task_runs_once_after_what_it_waits_for() {
    let graph = Graph::new();
    let mut ids = Vec::new();
    for i in 0..2_000usize {
        let task = Task::new("x").priority(Priority::ALL[i % 4]);
        let deps = (1..4).filter_map(|k| i.checked_sub(k * k * 7)).map(|on: usize| ids[on]);
        ids.push(graph.add(task.after_all(deps)));
    }
    let frozen = graph.freeze().unwrap();
    let workers = Workers::new(3);
    let runs: Vec<Run> = (0..4)
        .map(|_| {
            let done: Arc<Vec<AtomicU32>> = Arc::new((0..2_000).map(|_| AtomicU32::new(0)).collect());
            frozen
                .run(&workers, move |task| {
                    for on in task.waits_for() {
                        assert_eq!(done[on].load(Ordering::Relaxed), 1, "a dependency has not run");
                    }
                    assert_eq!(done[task.number()].fetch_add(1, Ordering::Relaxed), 0, "ran twice");
                })
                .unwrap()
        })
        .collect();
    for run in runs {
        assert_eq!(run.wait().unwrap().completed, 2_000);
    }
    assert_eq!(graph.stats().completed, 0, "runs do not change the graph");
}

#[test]
fn one_worker_keeps_exact_levels_in_a_burst() {
    let graph = Graph::new();
    let source = graph.add(Task::new("source"));
    for i in 0..2_000 {
        graph.add(Task::new("x").priority(Priority::ALL[i % 4]).after(source));
    }
    let order = Mutex::new(Vec::new());
    let frozen = graph.freeze().unwrap();
    frozen.run_scoped(1, |task| order.lock().unwrap().push(task.priority())).unwrap();
    let order = order.into_inner().unwrap();
    assert!(order[1..].is_sorted_by(|a, b| a >= b));
}

#[test]
fn a_panic_and_an_error_fail_their_own_task_only() {
    let graph = Graph::new();
    let bad = graph.add(Task::new("bad"));
    let worse = graph.add(Task::new("worse"));
    let behind = graph.add(Task::new("behind").after(bad));
    let clean = graph.add(Task::new("clean").after_all([bad, behind]).rule(TriggerRule::AllDone));
    let fine = graph.add(Task::new("fine"));
    let workers = Workers::new(2);
    let run = graph
        .freeze()
        .unwrap()
        .run(&workers, move |task| match task.name() {
            "bad" => panic!("as planned"),
            "worse" => Err("no disk"),
            _ => Ok(()),
        })
        .unwrap();
    let failed = run.wait().unwrap_err();
    assert!(failed.to_string().starts_with("2 of 5 tasks failed, 1 were skipped"), "{failed}");
    let report = *failed.report;
    assert_eq!((report.completed, report.failed, report.skipped), (2, 2, 1));
    for (id, status) in [(bad, Status::Failed), (worse, Status::Failed), (behind, Status::Skipped)] {
        assert_eq!(report.status(id), Some(status));
    }
    assert_eq!(report.status(clean), Some(Status::Completed));
    assert_eq!(report.status(fine), Some(Status::Completed));
    let reasons: BTreeMap<&str, &str> =
        report.failures.iter().map(|failure| (&*failure.name, &*failure.reason)).collect();
    assert_eq!(reasons, [("bad", "panicked: as planned"), ("worse", "no disk")].into());
}

#[test]
fn cancel_starts_nothing_more() {
    let graph = Graph::new();
    let first = graph.add(Task::new("first"));
    for _ in 0..100 {
        graph.add(Task::new("x").after(first));
    }
    let (started, go) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let ran = Arc::new(AtomicUsize::new(0));
    let workers = Workers::new(2);
    let run = graph
        .freeze()
        .unwrap()
        .run(&workers, {
            let (started, go, ran) = (started.clone(), go.clone(), ran.clone());
            move |task| {
                ran.fetch_add(1, Ordering::Relaxed);
                started.wait();
                go.wait();
                assert!(task.is_cancelled());
            }
        })
        .unwrap();
    started.wait();
    run.cancel();
    assert_eq!(run.remaining(), 101);
    go.wait();
    let report = run.wait().unwrap_err().report;
    assert_eq!((report.completed, report.cancelled + report.skipped), (1, 100));
    assert_eq!(ran.load(Ordering::Relaxed), 1);
}

#[test]
fn fail_fast_ends_the_run() {
    let graph = Graph::builder().on_failure(FailurePolicy::FailFast).build().unwrap();
    let first = graph.add(Task::new("first").priority(Priority::Critical));
    for _ in 0..10 {
        graph.add(Task::new("x"));
        graph.add(Task::new("y").after(first).rule(TriggerRule::AllDone));
    }
    let frozen = graph.freeze().unwrap();
    let report =
        frozen.run_scoped(1, |task| (task.name() != "first").then_some(()).ok_or("no")).unwrap_err().report;
    assert_eq!((report.failed, report.cancelled), (1, 20));
}

#[test]
fn empty_graphs_run_and_shut_down_workers_refuse() {
    let frozen = Graph::new().freeze().unwrap();
    assert!(frozen.is_empty());
    let workers = Workers::new(1);
    assert!(frozen.run(&workers, |_| ()).unwrap().wait().is_ok());
    assert!(frozen.run_scoped(1, |_| ()).is_ok());
    workers.shutdown();
    assert!(matches!(frozen.run(&workers, |_| ()), Err(RunError::ShutDown)));
}

#[test]
fn dropped_workers_finish_what_they_have() {
    let graph = Graph::new();
    let mut last = graph.add(Task::new("x"));
    for _ in 0..500 {
        last = graph.add(Task::new("x").after(last));
    }
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let workers = Workers::new(2);
    let body = move |_: TaskRef<'_>| {
        seen.fetch_add(1, Ordering::Relaxed);
    };
    drop(graph.freeze().unwrap().run(&workers, body).unwrap());
    drop(workers);
    assert_eq!(count.load(Ordering::Relaxed), 501);
}

#[tokio::test]
async fn a_run_can_be_awaited() {
    let graph = Graph::new();
    graph.add(Task::new("x"));
    let workers = Workers::builder(1).name("awaited").build().unwrap();
    let run = graph.freeze().unwrap().run(&workers, |_| Outcome::Completed).unwrap();
    assert_eq!(run.await.unwrap().completed, 1);
}

#[test]
fn a_body_that_owns_the_workers_may_be_the_last_to_go() {
    let graph = Graph::new();
    graph.add(Task::new("x"));
    let workers = Arc::new(Workers::new(1));
    let (owned, gate) = (Mutex::new(Some(workers.clone())), Arc::new(Barrier::new(2)));
    let inside = gate.clone();
    let run = graph
        .freeze()
        .unwrap()
        .run(&workers, move |_| {
            inside.wait();
            drop(owned.lock().unwrap().take());
        })
        .unwrap();
    drop(workers);
    gate.wait();
    run.wait().unwrap();
}

#[cfg(feature = "rayon")]
#[test]
fn rayon_runs_everything_once() {
    let graph = Graph::new();
    let source = graph.add(Task::new("source"));
    for i in 0..500 {
        let mid = graph.add(Task::new("mid").priority(Priority::ALL[i % 4]).after(source));
        graph.add(Task::new("leaf").after(mid));
    }
    let count = AtomicUsize::new(0);
    let report = graph
        .freeze()
        .unwrap()
        .run_rayon(|_| {
            count.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap();
    assert_eq!((report.completed, count.into_inner()), (1_001, 1_001));
}

#[cfg(feature = "rayon")]
#[test]
fn a_panic_on_rayon_fails_its_own_task_only() {
    let graph = Graph::new();
    let bad = graph.add(Task::new("bad"));
    let behind = graph.add(Task::new("behind").after(bad));
    let fine = graph.add(Task::new("fine"));
    let body = |task: TaskRef<'_>| {
        if task.name() == "bad" {
            boom();
        }
    };
    let report = *graph.freeze().unwrap().run_rayon(body).unwrap_err().report;
    assert_eq!((report.status(bad), report.status(behind)), (Some(Status::Failed), Some(Status::Skipped)));
    assert_eq!(report.status(fine), Some(Status::Completed));

    let graph = Graph::builder().on_failure(FailurePolicy::FailFast).build().unwrap();
    let bad = graph.add(Task::new("bad"));
    let late = graph.add(Task::new("late").after(bad).rule(TriggerRule::AllDone));
    let report = *graph.freeze().unwrap().run_rayon(body).unwrap_err().report;
    assert_eq!((report.status(bad), report.status(late)), (Some(Status::Failed), Some(Status::Cancelled)));
}

#[test]
fn a_panic_on_threads_of_its_own_fails_its_own_task_only() {
    let graph = Graph::new();
    let bad = graph.add(Task::new("bad"));
    let fine: Vec<_> = (0..20).map(|_| graph.add(Task::new("fine"))).collect();
    let frozen = graph.freeze().unwrap();
    for threads in [1, 3] {
        let body = |task: TaskRef<'_>| {
            if task.name() == "bad" {
                boom();
            }
        };
        let report = *frozen.run_scoped(threads, body).unwrap_err().report;
        assert_eq!((report.status(bad), report.failed), (Some(Status::Failed), 1));
        assert!(fine.iter().all(|&id| report.status(id) == Some(Status::Completed)));
    }
}

#[test]
fn a_wait_that_is_dropped_lets_the_run_go_on() {
    let graph = Graph::new();
    let first = graph.add(Task::new("first"));
    (0..50).for_each(|_| _ = graph.add(Task::new("x").after(first)));
    let (gate, ran) = (Arc::new(Barrier::new(2)), Arc::new(AtomicUsize::new(0)));
    let workers = Workers::new(2);
    let run = graph
        .freeze()
        .unwrap()
        .run(&workers, {
            let (gate, ran) = (gate.clone(), ran.clone());
            move |task| {
                if task.name() == "first" {
                    gate.wait();
                }
                ran.fetch_add(1, Ordering::Relaxed);
            }
        })
        .unwrap();
    let mut wait = run.into_future();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(wait.as_mut().poll(&mut cx).is_pending());
    drop(wait);
    gate.wait();
    drop(workers);
    assert_eq!(ran.load(Ordering::Relaxed), 51);
}

#[test]
fn runs_beside_a_shutdown_are_refused_or_finished() {
    let graph = Graph::new();
    let a = graph.add(Task::new("a"));
    graph.add(Task::new("b").after(a));
    let frozen = graph.freeze().unwrap();
    for _ in 0..50 {
        let workers = Workers::new(2);
        let (ran, accepted) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
        let gate = Barrier::new(3);
        std::thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    gate.wait();
                    for _ in 0..5 {
                        let ran = ran.clone();
                        let body = move |_: TaskRef<'_>| _ = ran.fetch_add(1, Ordering::Relaxed);
                        match frozen.run(&workers, body) {
                            Ok(run) => {
                                accepted.fetch_add(1, Ordering::Relaxed);
                                while !run.is_finished() {
                                    std::thread::yield_now();
                                }
                                assert_eq!(run.remaining(), 0);
                            }
                            Err(refused) => assert_eq!(refused, RunError::ShutDown),
                        }
                    }
                });
            }
            gate.wait();
            workers.shutdown();
        });
        drop(workers);
        assert_eq!(ran.load(Ordering::Relaxed), 2 * accepted.into_inner());
    }
}

#[test]
fn a_body_that_panics_in_its_drop_leaves_the_workers_at_work() {
    struct Rude;
    impl Drop for Rude {
        fn drop(&mut self) {
            boom();
        }
    }
    let graph = Graph::new();
    graph.add(Task::new("x"));
    let frozen = graph.freeze().unwrap();
    let workers = Workers::new(1);
    let (rude, gate) = (Rude, Arc::new(Barrier::new(2)));
    let inside = gate.clone();
    let run = frozen
        .run(&workers, move |_| {
            let _held = &rude;
            inside.wait();
        })
        .unwrap();
    // The worker drops the last share.
    drop(run);
    gate.wait();
    assert_eq!(frozen.run(&workers, |_| ()).unwrap().wait().unwrap().completed, 1);
}

const RULES: [TriggerRule; 5] = [
    TriggerRule::AllSucceeded,
    TriggerRule::AllDone,
    TriggerRule::OneSucceeded,
    TriggerRule::NoneFailed,
    TriggerRule::OneFailed,
];

proptest! {
    /// The live graph, a frozen run on one thread and one on three agree on how each task ends.
    #[test]
    fn live_and_frozen_agree_on_every_rule(
        tasks in proptest::collection::vec(
            (any::<u32>(), 0usize..5, 0u8..6, any::<bool>()), 1..40),
    ) {
        let graph = Graph::new();
        let mut ids: Vec<TaskId> = Vec::new();
        let mut fate = Vec::new();
        for (i, &(mask, rule, outcome, free)) in tasks.iter().enumerate() {
            let policy = if free { FailurePolicy::FreeDependents } else { FailurePolicy::SkipDependents };
            let deps: Vec<TaskId> =
                (0..i.min(16)).filter(|k| mask >> k & 1 == 1 && mask >> (k + 16) & 1 == 1).map(|k| ids[i - 1 - k]).collect();
            ids.push(graph.add(Task::new("x").rule(RULES[rule]).on_failure(policy).after_all(deps)));
            fate.push(match outcome {
                0 => Outcome::Failed,
                1 => Outcome::Skipped,
                2 => Outcome::Cancelled,
                _ => Outcome::Completed,
            });
        }
        let frozen = graph.freeze().unwrap();
        let by_id: BTreeMap<TaskId, Outcome> = ids.iter().copied().zip(fate).collect();
        let mut reports = Vec::new();
        for threads in [1, 3] {
            let report = frozen.run_scoped(threads, |task| by_id[&task.id()]);
            reports.push(report.unwrap_or_else(|failed| *failed.report));
        }
        while let Ok(claim) = graph.try_pop_ready() {
            graph.finish(claim, by_id[&claim.task()]).unwrap();
        }
        for &id in &ids {
            let live = graph.status(id).unwrap();
            prop_assert!(live.is_finished());
            for report in &reports {
                prop_assert_eq!(report.status(id), Some(live));
            }
        }
    }
}
