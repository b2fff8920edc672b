use crate::virtual_team;
use ropewalk_agents::*;
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn agents_talk() {
    let (team, clock) = virtual_team(|b| b);
    team.add_agent(Agent::new("ada")).unwrap();
    team.add_agent(Agent::new("bob").mailbox(1)).unwrap();
    let listens = team.task("listens").agent("bob").spawn(|cx| async move {
        let message = cx.recv().await?;
        let reply = format!("{} says {}", message.sender(), message.text().unwrap_or("nothing"));
        cx.send(message.sender(), Message::new(reply)).await?;
        Ok::<_, BoxError>(())
    });
    let asks = team.task("asks").agent("ada").spawn(|cx| async move {
        cx.send("bob", Message::new("hello")).await?;
        Ok::<_, BoxError>(cx.recv().await?.text().map(str::to_owned))
    });
    assert_eq!(asks.join_blocking().unwrap().unwrap(), "ada says hello");
    listens.join_blocking().unwrap();
    assert_eq!(team.broadcast(&Message::new("all")), 2);
    // Bob's mailbox is full now: a broadcast does not wait for him.
    assert_eq!(team.broadcast(&Message::new("again")), 1);
    assert!(matches!(team.try_send("bob", Message::new(1)), Err(SendError::Full(_))));
    assert!(matches!(team.try_send("eve", Message::new(1)), Err(SendError::UnknownAgent { .. })));
    clock.settle();
    let stats = team.stats();
    assert_eq!((stats.messages_sent, stats.messages_received, stats.messages_queued), (5, 2, 3));
    assert_eq!(stats.messages_per_minute, 5);
    clock.advance(SECOND * 120);
    assert_eq!(team.stats().messages_per_minute, 0);
    let snapshot = team.snapshot();
    let ada = snapshot.agents.iter().find(|agent| &*agent.name == "ada").unwrap();
    assert_eq!((ada.sent, ada.received, ada.queued), (1, 1, 2));
}

#[test]
fn drop_policies_count_and_tell() {
    let dropped = Arc::new(Mutex::new(Vec::new()));
    let log = dropped.clone();
    let (team, _clock) = virtual_team(|b| {
        b.mailbox(1, Overflow::DropOldest).on_event(move |event| {
            if let EventKind::MessageDropped { to } = &event.kind {
                log.lock().unwrap().push(to.to_string());
            }
        })
    });
    let ada = team.add_agent(Agent::new("ada")).unwrap();
    assert_eq!(ada.try_send(Message::new("old")).unwrap(), Sent::Delivered);
    assert_eq!(ada.try_send(Message::new("new")).unwrap(), Sent::DroppedOldest);
    assert_eq!(ada.recv_blocking().unwrap().text(), Some("new"));
    assert_eq!(*dropped.lock().unwrap(), ["ada"]);
    assert_eq!(team.stats().messages_dropped, 1);
    team.remove_agent("ada").unwrap();
    assert_eq!(ada.recv_blocking().err(), Some(RecvError::Closed));
}

#[test]
fn the_snapshot_is_complete() {
    let (team, clock) =
        virtual_team(|b| b.agents(2).tasks(2).tasks_per_agent(1).backoff(Backoff::fixed(SECOND * 9)));
    let run =
        team.task("run").agent("worker").estimated(SECOND).metadata("file", "a.rs").spawn(|cx| async move {
            assert_eq!(cx.metadata("file"), Some("a.rs"));
            cx.sleep(SECOND * 5).await;
            Ok::<_, Infallible>(())
        });
    let fails = team.task("fails").retries(1).spawn(|_| async { Err::<(), _>("no luck") });
    clock.settle();
    let more = team.task("more").spawn(|cx| async move {
        cx.sleep(SECOND * 5).await;
        Ok::<_, Infallible>(())
    });
    let ready = team.task("ready").priority(Priority::Low).spawn(|_| async { Ok::<_, Infallible>(()) });
    let pending = team.task("pending").after([&run, &more]).spawn(|_| async { Ok::<_, Infallible>(()) });
    clock.advance(SECOND);
    let snapshot = team.snapshot();
    let of = |id: TaskId| snapshot.tasks.iter().find(|task| task.id == id).unwrap();
    let statuses: Vec<Status> =
        [run.id(), fails.id(), more.id(), ready.id(), pending.id()].map(|id| of(id).status).into();
    assert_eq!(statuses, [Status::Running, Status::Blocked, Status::Running, Status::Ready, Status::Pending]);
    let task = of(run.id());
    assert_eq!(task.agent.as_deref(), Some("worker-1"));
    assert_eq!(task.wanted.as_deref(), Some("worker"));
    assert_eq!((task.estimated, task.attempts, task.started), (Some(SECOND), 1, Some(Duration::ZERO)));
    assert_eq!(task.metadata["file"].as_ref(), "a.rs");
    assert_eq!(of(pending.id()).dependencies, [run.id(), more.id()]);
    assert!(of(fails.id()).error.as_deref().unwrap().contains("no luck"));
    let stats = &snapshot.stats;
    assert_eq!((stats.agents_busy, stats.agents_idle, stats.slots, stats.unfinished()), (2, 0, 2, 5));
    assert!((stats.agent_utilisation - 1.0).abs() < 1e-9, "{}", stats.agent_utilisation);
    clock.advance(SECOND * 60);
    assert!(fails.join_blocking().is_err());
    let stats = team.stats();
    assert_eq!((stats.completed, stats.failed, stats.retries), (4, 1, 1));
    assert_eq!(stats.run_time.count(), 6);
    assert!(stats.agent_utilisation < 0.2);
    for handle in [run, more, ready, pending] {
        handle.join_blocking().unwrap();
    }
    assert_eq!(snapshot.uptime, SECOND);
}

#[test]
fn listeners_hear_every_change_in_order_and_their_panics_are_theirs() {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = heard.clone();
    let (team, clock) = virtual_team(|b| {
        b.on_event(move |event| {
            if let EventKind::Task { name, from, to, attempt, agent, .. } = &event.kind {
                let agent = agent.as_deref().unwrap_or("-");
                log.lock().unwrap().push(format!("{name} {from}>{to} {attempt} {agent}"));
            }
        })
        .on_event(|_| panic!("a listener's own business"))
    });
    let a = team.task("a").spawn(|cx| async move { if cx.attempt() == 1 { Err("no") } else { Ok(()) } });
    let b = team.task("b").after([&a]).spawn(|_| async { Ok::<_, Infallible>(()) });
    b.join_blocking().unwrap();
    clock.settle();
    let heard = heard.lock().unwrap();
    let of = |name: &str| {
        heard.iter().filter(|line| line.starts_with(name)).map(|line| &line[2..]).collect::<Vec<_>>()
    };
    assert_eq!(
        of("a "),
        [
            "pending>ready 0 -",
            "ready>running 1 agent-1",
            "running>blocked 1 agent-1",
            "blocked>ready 1 agent-1",
            "ready>running 2 agent-1",
            "running>completed 2 agent-1"
        ]
    );
    assert_eq!(of("b "), ["pending>ready 0 -", "ready>running 1 agent-1", "running>completed 1 agent-1"]);
    assert!(team.stats().listener_panics >= heard.len() as u64);
}

/// A listener runs inside the start of an attempt, before the attempt has anything to be stopped by.
#[test]
fn a_cancellation_in_the_middle_of_a_start_is_not_lost() {
    let slot: Arc<Mutex<Option<Coordinator>>> = Arc::default();
    let team_of = slot.clone();
    let (team, _clock) = virtual_team(|b| {
        b.on_event(move |event| {
            if let EventKind::Task { id, to: Status::Running, .. } = event.kind {
                let team = team_of.lock().unwrap().clone();
                team.expect("the team is there").cancel(id).unwrap();
            }
        })
    });
    *slot.lock().unwrap() = Some(team.clone());
    let task = team.task("t").spawn(|_| std::future::pending::<Result<(), Infallible>>());
    assert!(matches!(task.join_blocking(), Err(TaskError::Cancelled { .. })));
    let taken = slot.lock().unwrap().take();
    drop(taken);
}

#[cfg(feature = "serde")]
#[test]
fn snapshots_serialise() {
    fn assert_serialise<T: serde::Serialize>(_: &T) {}
    let team = Coordinator::builder().threads(1).build().unwrap();
    assert_serialise(&team.snapshot());
}
