use proptest::prelude::*;
use ropewalk_graph::*;
use ropewalk_sync::Clock;
use std::{collections::BTreeSet, time::Duration};

fn permissive(n: usize, edges: &[(usize, usize)]) -> (Graph, Vec<TaskId>) {
    let graph = Graph::builder().cycles(Cycles::Permit).build().unwrap();
    let ids: Vec<TaskId> = (0..n).map(|i| graph.add(Task::new(format!("t{i}")))).collect();
    for &(task, on) in edges {
        if task != on {
            graph.depend(ids[task], ids[on]).unwrap();
        }
    }
    (graph, ids)
}

#[test]
fn a_refused_cycle_is_named_in_full() {
    let graph = Graph::new();
    let a = graph.add(Task::new("a"));
    let b = graph.add(Task::new("b").after(a));
    let c = graph.add(Task::new("c").after(b));
    let d = graph.add(Task::new("d").after(c));
    let Err(DependError::Cycle { path }) = graph.depend(a, d) else { panic!("it closes a cycle") };
    assert_eq!(path.tasks(), [a, d, c, b, a]);
    assert_eq!(path.to_string(), "a -> d -> c -> b -> a");
    assert_eq!(graph.dependencies(a).unwrap(), []);
    // What is finished stands on no cycle.
    graph.complete(a).unwrap();
    graph.complete(b).unwrap();
    assert!(matches!(graph.depend(c, a), Ok(Depended::AlreadySatisfied)));
}

#[test]
fn every_cycle_is_found_and_named() {
    // Two knots: a triangle with a chord, and a pair.
    let (graph, ids) = permissive(6, &[(0, 1), (1, 2), (2, 0), (1, 0), (3, 4), (4, 3), (5, 0)]);
    let found = graph.detect_cycles(100);
    assert!(found.complete);
    let names: BTreeSet<String> = found.cycles.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["t0 -> t1 -> t0", "t0 -> t1 -> t2 -> t0", "t3 -> t4 -> t3"].map(String::from).into());
    let error = graph.topological_order().unwrap_err();
    assert!(error.cycle.tasks().len() >= 3, "{error}");
    assert!(!error.cycle.tasks().contains(&ids[5]), "it stands behind the cycle, not on it");
}

#[test]
fn bounds_hold_and_every_knot_is_represented() {
    // Complete graphs: the number of cycles explodes.
    let mut edges = Vec::new();
    for knot in 0..3 {
        for a in 0..9 {
            for b in 0..9 {
                edges.push((knot * 9 + a, knot * 9 + b));
            }
        }
    }
    let (graph, _) = permissive(27, &edges);
    let found = graph.detect_cycles(50);
    assert_eq!((found.cycles.len(), found.complete), (50, false));
    let knots: BTreeSet<usize> = found.cycles[..3].iter().map(|cycle| cycle.tasks()[0].index() / 9).collect();
    assert_eq!(knots.len(), 3);
    assert_eq!(graph.detect_cycles(0), graph.detect_cycles(CycleLimit::new(0)));
    assert!(graph.detect_cycles(0).cycles.is_empty());
    // Time: no time at all stops at the first look.
    let found = graph.detect_cycles(CycleLimit::new(usize::MAX).time(Duration::ZERO));
    assert!(!found.complete && !found.cycles.is_empty());
}

#[test]
fn huge_time_limits_do_not_overflow() {
    let (graph, _) = permissive(2, &[(0, 1), (1, 0)]);
    assert!(graph.detect_cycles(CycleLimit::new(9).time(Duration::MAX)).complete);
    let clock = Clock::virtual_();
    let graph = Graph::builder().clock(clock).build().unwrap();
    assert!(graph.detect_cycles(1).complete);
}

#[test]
fn resolve_cuts_the_cheapest_and_says_so() {
    let graph = Graph::builder().cycles(Cycles::Permit).build().unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| graph.add(Task::new(name)));
    graph.link(Dependency::new(a, b).weight(5)).unwrap();
    graph.link(Dependency::new(b, c).weight(1)).unwrap();
    graph.link(Dependency::new(c, a).weight(9).immutable()).unwrap();
    let resolution = graph.resolve().unwrap();
    assert_eq!(resolution.weight, 1);
    assert_eq!(resolution.ready, [b]);
    let cut = &resolution.cut[0];
    assert_eq!((cut.task, cut.on, cut.weight), (b, c, 1));
    assert_eq!(cut.cycle.to_string(), "b -> c -> a -> b");
    assert_eq!(cut.alternatives, [(a, b, 5)]);
    assert_eq!(graph.topological_order().unwrap(), [b, a, c]);
    assert_eq!(graph.resolve().unwrap(), Resolution::default());
}

#[test]
fn a_cycle_of_immutable_dependencies_is_an_error_and_nothing_is_cut() {
    let graph = Graph::builder().cycles(Cycles::Permit).build().unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| graph.add(Task::new(name)));
    graph.link(Dependency::new(a, b).immutable()).unwrap();
    graph.link(Dependency::new(b, a).immutable()).unwrap();
    graph.depend(b, c).unwrap();
    graph.depend(c, b).unwrap();
    let Err(ResolveError::Immutable { cycle }) = graph.resolve() else { panic!("nothing may be cut") };
    assert_eq!(cycle.tasks().len(), 3);
    assert_eq!(graph.dependencies(b).unwrap().len(), 2);
    assert_eq!(graph.dependencies(c).unwrap().len(), 1);
}

proptest! {
    /// Resolving leaves no cycle, each cut alone would close one again, and finding agrees with a
    /// brute-force count.
    #[test]
    fn resolve_and_detect_against_brute_force(
        n in 2usize..7,
        edges in proptest::collection::vec((0usize..7, 0usize..7, 0u64..4), 0..20),
    ) {
        let graph = Graph::builder().cycles(Cycles::Permit).build().unwrap();
        let ids: Vec<TaskId> = (0..n).map(|i| graph.add(Task::new(format!("t{i}")))).collect();
        let mut present = BTreeSet::new();
        for (task, on, weight) in edges {
            if task < n && on < n && task != on {
                graph.link(Dependency::new(ids[task], ids[on]).weight(weight)).unwrap();
                present.insert((task, on));
            }
        }
        let found = graph.detect_cycles(100_000);
        prop_assert!(found.complete);
        let distinct: BTreeSet<String> = found.cycles.iter().map(canonical).collect();
        prop_assert_eq!(distinct.len(), found.cycles.len());
        prop_assert_eq!(found.cycles.len(), count_cycles(n, &present));
        for cycle in &found.cycles {
            for pair in cycle.tasks().windows(2) {
                prop_assert!(present.contains(&(pair[0].index(), pair[1].index())));
            }
        }
        let resolution = graph.resolve().unwrap();
        prop_assert!(graph.topological_order().is_ok());
        prop_assert_eq!(resolution.cut.is_empty(), found.cycles.is_empty());
        for cut in &resolution.cut {
            graph.depend(cut.task, cut.on).unwrap();
            prop_assert!(graph.topological_order().is_err());
            graph.remove_dependency(cut.task, cut.on).unwrap();
            prop_assert_eq!(cut.cycle.tasks()[0], cut.task);
            prop_assert_eq!(cut.cycle.tasks()[1], cut.on);
        }
    }
}

fn canonical(cycle: &Cycle) -> String {
    let open = &cycle.tasks()[1..];
    let first = (0..open.len()).min_by_key(|&i| open[i]).unwrap();
    format!("{:?}", [&open[first..], &open[..first]].concat())
}

/// Paths from each task through larger ones back to it.
fn count_cycles(n: usize, edges: &BTreeSet<(usize, usize)>) -> usize {
    fn walk(
        at: usize,
        start: usize,
        seen: &mut Vec<usize>,
        n: usize,
        edges: &BTreeSet<(usize, usize)>,
    ) -> usize {
        let mut count = 0;
        for next in start..n {
            if edges.contains(&(at, next)) {
                if next == start {
                    count += 1;
                } else if !seen.contains(&next) {
                    seen.push(next);
                    count += walk(next, start, seen, n, edges);
                    seen.pop();
                }
            }
        }
        count
    }
    (0..n).map(|start| walk(start, start, &mut Vec::new(), n, edges)).sum()
}
