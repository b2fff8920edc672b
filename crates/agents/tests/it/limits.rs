use crate::virtual_team;
use ropewalk_agents::*;
use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

async fn nap(cx: TaskCx) -> Result<String, Infallible> {
    cx.sleep(SECOND).await;
    Ok(cx.agent().name().to_owned())
}

#[test]
fn no_more_tasks_run_than_the_limit_and_no_fewer() {
    let (team, clock) = virtual_team(|b| b.agents(50).tasks(7));
    let handles: Vec<_> = (0..20).map(|_| team.task("t").spawn(nap)).collect();
    for done in [0, 7, 14, 20] {
        clock.settle();
        let stats = team.stats();
        assert_eq!((stats.completed, stats.running), (done, (20 - done as usize).min(7)));
        assert_eq!(stats.slots, stats.running);
        clock.advance(SECOND);
    }
    for handle in handles {
        handle.join_blocking().unwrap();
    }
}

#[test]
fn no_more_agents_are_busy_than_the_limit() {
    let (team, clock) = virtual_team(|b| b.agents(3).tasks(100).tasks_per_agent(2));
    for i in 0..20 {
        drop(team.task("t").agent(format!("role {}", i % 5)).spawn(nap));
    }
    clock.settle();
    let stats = team.stats();
    assert_eq!(stats.agents_busy, 3);
    assert!(stats.running <= 6);
    for _ in 0..20 {
        assert!(team.stats().agents_busy <= 3);
        clock.advance(SECOND);
    }
    assert_eq!(team.stats().completed, 20);
    assert_eq!(team.stats().agents_busy, 0);
}

#[test]
fn the_starting_lines_fifty_tasks_run_at_once() {
    let (team, clock) = virtual_team(|b| b.agents(50).tasks(200));
    let handles: Vec<_> = (0..50).map(|_| team.task("t").spawn(nap)).collect();
    clock.settle();
    assert_eq!((team.stats().running, team.stats().agents_busy), (50, 50));
    clock.advance(SECOND);
    let agents: BTreeSet<String> =
        handles.into_iter().map(|handle| handle.join_blocking().unwrap()).collect();
    assert_eq!(agents.len(), 50, "each has an agent of its own while there are idle ones");
}

#[test]
fn roles_names_and_hiring() {
    let (team, clock) = virtual_team(|b| b);
    team.add_agent(Agent::new("ada").role("reviewer").capacity(1)).unwrap();
    team.add_agent(Agent::new("bob").role("reviewer").role("tester").capacity(1)).unwrap();
    assert!(matches!(team.add_agent(Agent::new("ada")), Err(BuildError::DuplicateAgent { .. })));
    let by_name = team.task("t").agent("ada").spawn(nap);
    let by_role = team.task("t").agent("reviewer").spawn(nap);
    // Both reviewers are busy now, and nobody is hired for a role that was filled on purpose.
    let third = team.task("t").agent("reviewer").spawn(nap);
    let stranger = team.task("t").agent("writer").spawn(nap);
    clock.settle();
    assert_eq!(third.status(), Status::Ready);
    clock.advance(SECOND * 2);
    assert_eq!(by_name.join_blocking().unwrap(), "ada");
    assert_eq!(by_role.join_blocking().unwrap(), "bob");
    assert!(["ada", "bob"].contains(&third.join_blocking().unwrap().as_str()));
    assert_eq!(stranger.join_blocking().unwrap(), "writer-1");
    // When the last who could is gone, somebody is hired.
    team.remove_agent("ada").unwrap();
    assert!(matches!(team.remove_agent("ada"), Err(RemoveAgentError::Unknown { .. })));
    team.remove_agent("bob").unwrap();
    let hired = team.task("t").agent("tester").spawn(nap);
    clock.settle();
    assert!(matches!(team.remove_agent("tester-1"), Err(RemoveAgentError::Busy { running: 1, .. })));
    clock.advance(SECOND);
    assert_eq!(hired.join_blocking().unwrap(), "tester-1");
}

#[test]
fn an_agent_that_is_added_takes_what_waits_for_it() {
    let (team, clock) = virtual_team(|b| b.agents(1).tasks(10).tasks_per_agent(1));
    let long = team.task("long").spawn(nap);
    let waits = team.task("waits").agent("ada").spawn(nap);
    clock.settle();
    assert_eq!(waits.status(), Status::Ready);
    team.add_agent(Agent::new("ada")).unwrap();
    clock.settle();
    assert_eq!(waits.status(), Status::Ready, "still one busy agent too many");
    clock.advance(SECOND * 2);
    long.join_blocking().unwrap();
    assert_eq!(waits.join_blocking().unwrap(), "ada");
}

#[test]
fn the_order_is_priority_then_critical_path_then_age_and_ageing_lifts() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let (team, clock) = virtual_team(|b| b.agents(1).tasks(1).ageing(SECOND * 5));
    let note = |name: &'static str| {
        let order = order.clone();
        move |cx: TaskCx| {
            order.lock().unwrap().push(name);
            async move {
                cx.sleep(SECOND).await;
                Ok::<_, Infallible>(())
            }
        }
    };
    let first = team.task("first").spawn(note("first"));
    drop(team.task("low").priority(Priority::Low).spawn(note("low")));
    drop(team.task("short").estimated(SECOND).spawn(note("short")));
    let long = team.task("long").estimated(SECOND).spawn(note("long"));
    drop(team.task("tail").after([&long]).estimated(SECOND * 9).spawn(note("tail")));
    drop(team.task("high").priority(Priority::High).spawn(note("high")));
    clock.settle();
    for _ in 0..40 {
        // A flood of high ones: the low one gets through by age.
        if order.lock().unwrap().len() >= 4 && !order.lock().unwrap().contains(&"low") {
            drop(team.task("flood").priority(Priority::High).spawn(note("flood")));
            drop(team.task("flood").priority(Priority::High).spawn(note("flood")));
        }
        clock.advance(SECOND);
    }
    first.join_blocking().unwrap();
    let order = order.lock().unwrap();
    assert_eq!(order[..4], ["first", "high", "long", "tail"], "{order:?}");
    let low = order.iter().position(|name| *name == "low").expect("low runs");
    assert!(low <= 16, "low waited for three intervals at most: {order:?}");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let zero = |builder: CoordinatorBuilder| {
        assert!(matches!(builder.build(), Err(BuildError::Zero { .. })));
    };
    zero(Coordinator::builder().agents(0));
    zero(Coordinator::builder().tasks(0));
    zero(Coordinator::builder().threads(0));
    zero(Coordinator::builder().tasks_per_agent(0));
    zero(Coordinator::builder().mailbox(0, Overflow::Wait));
    zero(Coordinator::builder().ageing(Duration::ZERO));
    assert!(matches!(
        Coordinator::builder().backoff(Backoff::exponential(SECOND * 2, SECOND)).build(),
        Err(BuildError::Backoff { .. })
    ));
    let team = Coordinator::builder().threads(1).build().unwrap();
    assert!(matches!(team.add_agent(Agent::new("a").capacity(0)), Err(BuildError::Zero { .. })));
    assert!(team.agent("a").is_none());
}

#[test]
fn old_finished_tasks_are_forgotten_unless_somebody_holds_on() {
    let (team, clock) = virtual_team(|b| b.keep_finished(5));
    let kept = team.task("kept").spawn(|_| async { Ok::<_, Infallible>(()) });
    clock.settle();
    let count = Arc::new(AtomicUsize::new(0));
    for _ in 0..100 {
        let count = count.clone();
        drop(team.task("t").spawn(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, Infallible>(()) }
        }));
        clock.settle();
    }
    assert_eq!(count.load(Ordering::Relaxed), 100);
    assert!(team.snapshot().tasks.len() <= 7, "{}", team.snapshot().tasks.len());
    assert!(team.graph().len() <= 7);
    let after = team.task("after").after([&kept]).spawn(|_| async { Ok::<_, Infallible>(()) });
    after.join_blocking().unwrap();
    assert_eq!(team.stats().completed, 102);
}
