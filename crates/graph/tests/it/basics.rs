use crate::panics;
use ropewalk_graph::*;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

#[test]
fn a_chain_is_worked_off_in_order() {
    let graph = Graph::new();
    let a = graph.add(Task::new("a"));
    let b = graph.add(Task::new("b").after(a));
    let c = graph.add(Task::new("c").after(b));
    assert_eq!(graph.ready(), [a]);
    assert_eq!(graph.complete(a).unwrap(), [b]);
    assert_eq!(graph.mark_completed(b).unwrap(), [c]);
    assert_eq!(graph.complete(c).unwrap(), []);
    assert!(graph.is_finished());
}

#[test]
fn depend_says_what_it_came_to() {
    let graph = Graph::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| graph.add(Task::new(name)));
    assert_eq!(graph.depend(b, a), Ok(Depended::Added));
    assert_eq!(graph.depend(b, a), Ok(Depended::AlreadyPresent));
    assert_eq!(graph.status(b), Ok(Status::Pending));
    graph.complete(a).unwrap();
    assert_eq!(graph.depend(c, a), Ok(Depended::AlreadySatisfied));
    assert_eq!(graph.status(c), Ok(Status::Ready));
    graph.fail(b).unwrap();
    assert_eq!(graph.depend(c, b), Ok(Depended::AlreadyUnsatisfied));
    assert_eq!(graph.status(c), Ok(Status::Skipped));
    assert!(matches!(graph.depend(a, a), Err(DependError::SelfDependency { .. })));
    assert!(matches!(graph.depend(c, a), Ok(Depended::AlreadyPresent)));
}

#[test]
fn a_running_or_finished_dependency_is_legal_a_running_dependent_is_not() {
    let graph = Graph::new();
    let [a, b] = ["a", "b"].map(|name| graph.add(Task::new(name)));
    let claim = graph.start(a).unwrap();
    assert_eq!(graph.depend(b, a), Ok(Depended::Added));
    assert!(matches!(graph.depend(a, b), Err(DependError::Started { status: Status::Running, .. })));
    assert_eq!(graph.complete(claim).unwrap(), [b]);
    let late = graph.add(Task::new("late").after(a).after(a));
    assert!(graph.is_ready(late).unwrap());
    assert_eq!(graph.dependencies(late).unwrap(), [a]);
}

#[test]
fn ids_of_removed_tasks_are_stale_and_slots_are_used_again() {
    let graph = Graph::new();
    let a = graph.add(Task::new("a"));
    let b = graph.add(Task::new("b").after(a));
    assert_eq!(graph.remove(a).unwrap(), [b]);
    assert_eq!(graph.status(a), Err(LookupError::Stale { task: a }));
    assert_eq!(graph.depend(b, a), Err(DependError::Stale { task: a }));
    let again = graph.add(Task::new("again"));
    assert_eq!(again.index(), a.index());
    assert_ne!(again, a);
    let other = Graph::new();
    assert_eq!(other.status(b), Err(LookupError::UnknownTask { task: b }));
    let refused = other.try_add(Task::new("x").after(b)).unwrap_err();
    assert!(refused.to_string().contains("not of this graph"), "{refused}");
    assert_eq!(refused.into_task().name(), "x");
    assert!(other.is_empty());
}

#[test]
fn remove_finished_keeps_what_rules_still_need() {
    let graph = Graph::new();
    let a = graph.add(Task::new("a"));
    let b = graph.add(Task::new("b").after(a));
    let c = graph.add(Task::new("c").after(b).after(a));
    graph.complete(a).unwrap();
    assert_eq!(graph.remove_finished(), 0);
    assert_eq!((graph.forget(a), graph.forget(b)), (Ok(false), Ok(false)));
    graph.complete(b).unwrap();
    graph.complete(c).unwrap();
    assert_eq!(graph.forget(b), Ok(true));
    assert_eq!(graph.remove_finished(), 2);
    assert!(graph.is_empty());
    // A million tasks through one slot.
    for _ in 0..10_000 {
        let id = graph.add(Task::new("x"));
        graph.complete(id).unwrap();
        graph.remove_finished();
        assert!(id.index() < 3);
    }
}

#[test]
fn remove_dependency_frees() {
    let graph = Graph::new();
    let [a, b] = ["a", "b"].map(|name| graph.add(Task::new(name)));
    graph.depend(b, a).unwrap();
    assert!(matches!(graph.remove_dependency(a, b), Err(RemoveError::NoDependency { .. })));
    assert_eq!(graph.remove_dependency(b, a).unwrap(), [b]);
    let _claim = graph.start(a).unwrap();
    assert!(matches!(graph.remove(a), Err(RemoveError::Running { .. })));
}

#[test]
fn a_late_attempt_changes_nothing() {
    let graph = Graph::new();
    let a = graph.add(Task::new("a"));
    let first = graph.try_pop_ready().unwrap();
    graph.retry(first).unwrap();
    assert!(matches!(graph.complete(first), Err(ChangeError::Superseded { .. })));
    let second = graph.try_pop_ready().unwrap();
    assert_eq!((first.attempt(), second.attempt()), (1, 2));
    assert!(matches!(graph.fail(first), Err(ChangeError::Superseded { attempt: 1, latest: 2, .. })));
    graph.complete(second).unwrap();
    assert!(matches!(graph.complete(a), Err(ChangeError::AlreadyFinished { status: Status::Completed, .. })));
    assert_eq!(graph.info(a).unwrap().attempts, 2);
}

#[test]
fn block_sets_aside() {
    let graph = Graph::new();
    let [a, b] = ["a", "b"].map(|name| graph.add(Task::new(name)));
    graph.block(a).unwrap();
    assert_eq!(graph.ready(), [b]);
    assert_eq!(graph.status(a), Ok(Status::Blocked));
    assert_eq!(graph.try_pop_ready().unwrap().task(), b);
    assert_eq!(graph.try_pop_ready(), Err(PopError::Empty));
    graph.unblock(a).unwrap();
    let claim = graph.try_pop_ready().unwrap();
    graph.block(claim).unwrap();
    assert!(matches!(graph.complete(claim), Err(ChangeError::Superseded { .. })));
    assert!(graph.start(a).is_ok());
    assert!(matches!(graph.unblock(a), Err(ChangeError::WrongStatus { .. })));
}

#[test]
fn premature_reports_are_refused() {
    let graph = Graph::new();
    let a = graph.add(Task::new("a"));
    let b = graph.add(Task::new("b").after(a));
    assert!(matches!(graph.complete(b), Err(ChangeError::NotReady { waiting: 1, .. })));
    assert!(matches!(graph.start(b), Err(ChangeError::NotReady { .. })));
    assert!(matches!(graph.retry(a), Err(ChangeError::WrongStatus { .. })));
}

#[test]
fn observers_hear_everything_in_order_and_may_use_the_graph() {
    let heard: Arc<Mutex<Vec<(u64, String)>>> = Arc::default();
    let handle: Arc<Mutex<Option<Graph>>> = Arc::default();
    let panicked = AtomicBool::new(false);
    let (log, of) = (heard.clone(), handle.clone());
    let graph = Graph::builder()
        .observer(move |event| {
            log.lock().unwrap().push((event.seq, format!("{} {:?}", event.name, event.change)));
            let graph = of.lock().unwrap().clone();
            if let (Some(graph), Change::Status { to: Status::Completed, .. }) = (graph, event.change) {
                if &*event.name == "a" {
                    graph.add(Task::new("more"));
                }
            }
        })
        .observer(move |_| {
            if !panicked.swap(true, Ordering::Relaxed) {
                panic!("an observer's own business");
            }
        })
        .build()
        .unwrap();
    *handle.lock().unwrap() = Some(graph.clone());
    let a = graph.add(Task::new("a"));
    graph.complete(a).unwrap();
    let heard = heard.lock().unwrap();
    let seqs: Vec<u64> = heard.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, (0..heard.len() as u64).collect::<Vec<_>>());
    assert_eq!(heard.last().unwrap().1, "more Status { from: Pending, to: Ready, attempt: 0 }");
    assert_eq!(graph.stats().observer_panics, 1);
    *handle.lock().unwrap() = None;
}

#[test]
fn dot_escapes_names() {
    let graph = Graph::new();
    let a = graph.add(Task::new("say \"hi\"\\"));
    graph.add(Task::new("b").after(a));
    let dot = graph.to_dot();
    assert!(dot.contains(r#"label="say \"hi\"\\""#), "{dot}");
    assert!(dot.contains("t0 -> t1;"), "{dot}");
}

#[test]
fn paths_levels_and_order() {
    let graph = Graph::new();
    let a = graph.add(Task::new("a").weight(2));
    let b = graph.add(Task::new("b").weight(5).after(a));
    let c = graph.add(Task::new("c").weight(1).after(a));
    let d = graph.add(Task::new("d").weight(1).after_all([b, c]));
    assert_eq!(graph.levels().unwrap(), [vec![a], vec![b, c], vec![d]]);
    assert_eq!(graph.topological_order().unwrap(), [a, b, c, d]);
    let path = graph.critical_path().unwrap();
    assert_eq!((path.tasks, path.weight), (vec![a, b, d], 8));
    graph.complete(a).unwrap();
    assert_eq!(graph.critical_path().unwrap().weight, 6);
    assert_eq!(Graph::new().critical_path().unwrap(), CriticalPath::default());
}

#[test]
fn a_deep_chain_needs_no_stack() {
    let graph = Graph::new();
    let first = graph.add(Task::new("x"));
    let mut last = first;
    for _ in 0..100_000 {
        last = graph.add(Task::new("x").after(last));
    }
    assert!(matches!(graph.depend(first, last), Err(DependError::Cycle { .. })));
    assert_eq!(graph.levels().unwrap().len(), 100_001);
    let effects = graph.fail(first).unwrap();
    assert_eq!(effects.skipped.len(), 100_000);
}

#[test]
fn add_panics_for_a_stranger_and_adds_nothing() {
    let (graph, other) = (Graph::new(), Graph::new());
    let stranger = other.add(Task::new("stranger"));
    assert!(panics(|| graph.add(Task::new("x").after(stranger))));
    assert!(graph.is_empty() && graph.stats().added == 0);
    graph.add(Task::new("x"));
}
