use ropewalk_graph::*;
use std::sync::{
    Barrier,
    atomic::{AtomicU32, AtomicUsize, Ordering},
};

#[test]
fn eight_threads_run_each_task_once_in_order() {
    const N: usize = 3_000;
    let graph = Graph::new();
    let mut ids: Vec<TaskId> = Vec::new();
    for i in 0..N {
        let deps: Vec<TaskId> =
            [i / 2, i / 3, i.saturating_sub(5)].iter().filter(|&&d| d < i).map(|&d| ids[d]).collect();
        ids.push(graph.add(Task::new("x").priority(Priority::ALL[i % 4]).after_all(deps)));
    }
    let runs: Vec<AtomicU32> = (0..N).map(|_| AtomicU32::new(0)).collect();
    std::thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| {
                while let Ok(claim) = graph.pop_ready_blocking() {
                    let at = claim.task().index();
                    for on in graph.dependencies(claim.task()).unwrap() {
                        assert_eq!(runs[on.index()].load(Ordering::Relaxed), 1);
                    }
                    assert_eq!(runs[at].fetch_add(1, Ordering::Relaxed), 0);
                    graph.complete(claim).unwrap();
                }
            });
        }
    });
    assert!(runs.iter().all(|runs| runs.load(Ordering::Relaxed) == 1));
}

#[test]
fn complete_against_depend_never_loses_or_doubles_a_task() {
    for _ in 0..500 {
        let graph = Graph::new();
        let [a, b] = ["a", "b"].map(|name| graph.add(Task::new(name)));
        let c = graph.add(Task::new("c").after(b));
        let gate = Barrier::new(3);
        let (mut released, mut depended) = (Vec::new(), None);
        std::thread::scope(|s| {
            let complete = |task| {
                let (graph, gate) = (&graph, &gate);
                move || {
                    gate.wait();
                    graph.complete(task).unwrap()
                }
            };
            let (first, second) = (s.spawn(complete(a)), s.spawn(complete(b)));
            let adder = s.spawn(|| {
                gate.wait();
                graph.depend(c, a)
            });
            released.extend(first.join().unwrap());
            released.extend(second.join().unwrap());
            depended = Some(adder.join().unwrap());
        });
        assert_eq!(graph.status(c), Ok(Status::Ready));
        let depended = depended.unwrap().unwrap();
        // Released once, or twice when the new dependency held it back in between.
        match depended {
            Depended::AlreadySatisfied => assert_eq!(released, [c]),
            _ => assert!(released.iter().all(|&id| id == c) && (1..=2).contains(&released.len())),
        }
        assert_eq!(graph.try_pop_ready().unwrap().task(), c);
        assert!(graph.try_pop_ready().is_err());
    }
}

#[test]
fn of_two_crossing_dependencies_one_is_refused() {
    for _ in 0..300 {
        let graph = Graph::new();
        let [a, b] = ["a", "b"].map(|name| graph.add(Task::new(name)));
        let gate = Barrier::new(2);
        let refused = std::thread::scope(|s| {
            let other = s.spawn(|| {
                gate.wait();
                graph.depend(b, a)
            });
            gate.wait();
            usize::from(graph.depend(a, b).is_err()) + usize::from(other.join().unwrap().is_err())
        });
        assert_eq!(refused, 1);
    }
}

#[test]
fn of_many_reports_one_is_accepted() {
    for _ in 0..200 {
        let graph = Graph::new();
        let a = graph.add(Task::new("a"));
        let accepted = AtomicUsize::new(0);
        let gate = Barrier::new(4);
        std::thread::scope(|s| {
            for i in 0..4 {
                let (graph, gate, accepted) = (&graph, &gate, &accepted);
                s.spawn(move || {
                    gate.wait();
                    let ok = match i % 2 {
                        0 => graph.complete(a).is_ok(),
                        _ => graph.fail(a).is_ok(),
                    };
                    accepted.fetch_add(usize::from(ok), Ordering::Relaxed);
                });
            }
        });
        assert_eq!(accepted.into_inner(), 1);
    }
}

#[test]
fn growing_shrinking_and_cancelling_under_load_ends() {
    let graph = Graph::new();
    let hold = graph.hold();
    let ran = AtomicUsize::new(0);
    let expected = AtomicUsize::new(0);
    std::thread::scope(|s| {
        let (graph, ran, expected) = (&graph, &ran, &expected);
        for _ in 0..4 {
            s.spawn(move || {
                while let Ok(claim) = graph.pop_ready_blocking() {
                    ran.fetch_add(1, Ordering::Relaxed);
                    if claim.task().index() % 7 == 0 {
                        let more =
                            graph.add(Task::new("more").after(claim.task()).rule(TriggerRule::AllDone));
                        // It may have been cancelled or removed by now; both are fine.
                        let _ = graph.cancel_tree(more);
                    }
                    // The canceller may have asked this one to stop.
                    graph.complete(claim).unwrap();
                }
            });
        }
        let feeders: Vec<_> = (0..2)
            .map(|f| {
                s.spawn(move || {
                    let mut last: Option<TaskId> = None;
                    for i in 0..1_000usize {
                        let mut task = Task::new("x").priority(Priority::ALL[i % 4]);
                        if let Some(last) = last.filter(|_| i % 3 != 0) {
                            task = task.after(last);
                        }
                        // `remove_finished` of the other feeder may have taken the dependency.
                        last = graph.try_add(task).ok();
                        expected.fetch_add(1, Ordering::Relaxed);
                        if f == 0 && i % 50 == 0 {
                            graph.remove_finished();
                        }
                    }
                })
            })
            .collect();
        for feeder in feeders {
            feeder.join().unwrap();
        }
        drop(hold);
    });
    let stats = graph.stats();
    assert_eq!(stats.unfinished(), 0);
    assert_eq!(stats.started as usize, ran.into_inner());
    assert!(expected.into_inner() == 2_000 && stats.added as usize >= stats.finished());
}

#[test]
fn of_many_starts_one_gets_the_claim() {
    for _ in 0..200 {
        let graph = Graph::new();
        let a = graph.add(Task::new("a"));
        let (gate, claims) = (Barrier::new(3), AtomicUsize::new(0));
        std::thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    gate.wait();
                    claims.fetch_add(usize::from(graph.start(a).is_ok()), Ordering::Relaxed);
                });
            }
        });
        assert_eq!((claims.into_inner(), graph.info(a).unwrap().attempts), (1, 1));
    }
}

#[test]
fn readers_beside_writers_see_one_instant() {
    let graph = Graph::new();
    let done = AtomicUsize::new(0);
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                for _ in 0..400 {
                    let a = graph.add(Task::new("a"));
                    let b = graph.add(Task::new("b").after(a));
                    graph.complete(a).unwrap();
                    graph.complete(b).unwrap();
                    graph.remove_finished();
                }
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        while done.load(Ordering::Relaxed) < 2 {
            let stats = graph.stats();
            assert_eq!(stats.added - stats.removed, (stats.unfinished() + stats.finished()) as u64);
            let tasks = graph.tasks();
            for task in &tasks {
                // What it waits for is there too, and its count is of the same instant.
                let open = tasks
                    .iter()
                    .filter(|other| task.dependencies.contains(&other.id) && !other.status.is_finished());
                assert_eq!(open.count(), task.waiting_for, "{task:?}");
            }
            let levels = graph.levels().unwrap();
            assert!(levels.len() <= 2 && levels.iter().flatten().count() <= 4);
            let frozen = graph.freeze().unwrap();
            assert!(frozen.tasks().all(|task| task.waits_for().all(|on| on < task.number())));
        }
    });
    assert_eq!(graph.stats().added, 1_600);
}
