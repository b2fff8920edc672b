use ropewalk_graph::*;
use ropewalk_sync::Clock;
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_secs(10);

fn pop(graph: &Graph) -> String {
    let claim = graph.try_pop_ready().unwrap();
    graph.info(claim.task()).unwrap().name.to_string()
}

#[test]
fn by_priority_then_age() {
    let graph = Graph::new();
    for (name, priority) in [
        ("low", Priority::Low),
        ("normal 1", Priority::Normal),
        ("critical", Priority::Critical),
        ("normal 2", Priority::Normal),
        ("high", Priority::High),
    ] {
        graph.add(Task::new(name).priority(priority));
    }
    let order: Vec<String> = (0..5).map(|_| pop(&graph)).collect();
    assert_eq!(order, ["critical", "high", "normal 1", "normal 2", "low"]);
}

#[test]
fn complete_returns_the_most_urgent_first() {
    let graph = Graph::new();
    let a = graph.add(Task::new("a"));
    let low = graph.add(Task::new("low").priority(Priority::Low).after(a));
    let high = graph.add(Task::new("high").priority(Priority::High).after(a));
    assert_eq!(graph.complete(a).unwrap(), [high, low]);
}

#[test]
fn ageing_lifts_a_level_at_each_interval_and_starves_nobody() {
    let clock = Clock::virtual_();
    let graph = Graph::builder().clock(clock.clone()).ageing(STEP).build().unwrap();
    graph.add(Task::new("low").priority(Priority::Low));
    // A flood of critical ones: two come for each that is taken.
    let mut taken = 0;
    while pop_flood(&graph) != "low" {
        clock.advance(Duration::from_secs(1));
        taken += 1;
        assert!(taken <= 31, "low must rank with the critical after three intervals");
    }
    assert_eq!(taken, 30);
}

fn pop_flood(graph: &Graph) -> String {
    graph.add(Task::new("flood").priority(Priority::Critical));
    graph.add(Task::new("flood").priority(Priority::Critical));
    // Of equals at the top the oldest goes first, so only the effective level holds `low` back.
    pop(graph)
}

#[test]
fn without_ageing_low_waits_for_ever() {
    let clock = Clock::virtual_();
    let graph = Graph::builder().clock(clock.clone()).ageing(Duration::MAX).build().unwrap();
    graph.add(Task::new("low").priority(Priority::Low));
    for _ in 0..100 {
        clock.advance(Duration::from_secs(1_000_000));
        assert_eq!(pop_flood(&graph), "flood");
    }
    assert_eq!(Graph::builder().ageing(Duration::ZERO).build().err(), Some(BuildError::ZeroAgeing));
}

#[test]
fn a_task_set_aside_keeps_its_age() {
    let graph = Graph::new();
    let [a, b] = ["a", "b"].map(|name| graph.add(Task::new(name)));
    graph.block(a).unwrap();
    graph.unblock(a).unwrap();
    assert_eq!(graph.ready(), [a, b]);
    let claim = graph.start(a).unwrap();
    graph.retry(claim).unwrap();
    assert_eq!(graph.ready(), [a, b]);
}

#[test]
fn critical_path_goes_first_within_a_level() {
    let graph = Graph::builder().order(Order::CriticalPath).build().unwrap();
    let short = graph.add(Task::new("short").weight(5));
    let long = graph.add(Task::new("long").weight(1));
    graph.add(Task::new("tail").weight(9).after(long));
    let urgent = graph.add(Task::new("urgent").priority(Priority::High));
    assert_eq!(graph.rank(long), Ok(10));
    assert_eq!(graph.ready(), [urgent, long, short]);
    assert_eq!(pop(&graph), "urgent");
    assert_eq!(pop(&graph), "long");
}

#[test]
fn critical_path_starves_nobody_either() {
    let clock = Clock::virtual_();
    let graph =
        Graph::builder().clock(clock.clone()).ageing(STEP).order(Order::CriticalPath).build().unwrap();
    graph.add(Task::new("short").priority(Priority::Critical).weight(1));
    for second in 0.. {
        graph.add(Task::new("long").priority(Priority::Critical).weight(100));
        if pop(&graph) == "short" {
            assert_eq!(second, 10);
            break;
        }
        clock.advance(Duration::from_secs(1));
    }
}

#[test]
fn ready_set_moves_removes_and_reranks() {
    let now = Instant::now();
    let mut set = ReadySet::new(Some(STEP));
    for (key, priority) in [(1, Priority::Low), (2, Priority::High), (3, Priority::High)] {
        set.insert(key, priority, 0, now, key);
    }
    assert_eq!(set.iter(now).copied().collect::<Vec<_>>(), [2, 3, 1]);
    set.rerank(&3, 7);
    assert_eq!(set.peek(now), Some(&3));
    set.insert(3, Priority::Low, 0, now, 3);
    assert_eq!(set.len(), 3);
    assert!(set.remove(&2) && !set.remove(&2));
    let mut other = ReadySet::new(None);
    other.insert(9, Priority::Normal, 0, now, 9);
    assert!(other.front(now) < set.front(now));
    assert_eq!(set.pop(now + STEP * 100), Some(1));
    assert_eq!(set.pop(now), Some(3));
    assert!(set.is_empty() && set.pop(now).is_none());
}
