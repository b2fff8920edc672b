use crate::virtual_team;
use ropewalk_agents::*;
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn exclusive_needs_exclude_and_shared_ones_share() {
    let (team, clock) = virtual_team(|b| b);
    let inside = Arc::new(AtomicUsize::new(0));
    let spawn = |request: Request| {
        let inside = inside.clone();
        team.task("t").needs(request).spawn(move |cx| {
            let inside = inside.clone();
            async move {
                let together = inside.fetch_add(1, Ordering::SeqCst) + 1;
                cx.sleep(SECOND).await;
                inside.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, Infallible>(together)
            }
        })
    };
    let alone: Vec<_> = (0..5).map(|_| spawn(Request::new().exclusive("file"))).collect();
    clock.advance(SECOND * 10);
    for handle in alone {
        assert_eq!(handle.join_blocking().unwrap(), 1);
    }
    let together: Vec<_> = (0..5).map(|_| spawn(Request::new().shared("file"))).collect();
    clock.settle();
    assert_eq!(inside.load(Ordering::SeqCst), 5);
    clock.advance(SECOND);
    for handle in together {
        handle.join_blocking().unwrap();
    }
}

#[test]
fn who_waits_for_a_resource_holds_no_slot() {
    let (team, clock) = virtual_team(|b| b.tasks(1).agents(1));
    let held = team.resources().try_acquire("me", Request::new().exclusive("file")).unwrap();
    let blocked: Vec<_> = (0..3)
        .map(|_| {
            team.task("blocked")
                .needs(Request::new().exclusive("file"))
                .spawn(|_| async { Ok::<_, Infallible>(()) })
        })
        .collect();
    let other = team.task("other").spawn(|_| async { Ok::<_, Infallible>(()) });
    other.join_blocking().unwrap();
    clock.settle();
    let snapshot = team.snapshot();
    assert_eq!(snapshot.in_status(Status::Blocked).count(), 3);
    assert_eq!(snapshot.tasks[0].waits_for.as_deref(), Some("file"));
    assert_eq!(&*snapshot.tasks[0].needs[0], "file");
    drop(held);
    for handle in blocked {
        handle.join_blocking().unwrap();
    }
}

#[test]
fn leases_come_back_after_a_panic_a_timeout_a_failure_and_a_cancellation() {
    let (team, clock) = virtual_team(|b| b.retries(0));
    let file = || Request::new().exclusive("file");
    let run = |name: &'static str| {
        team.task(name).needs(file()).timeout(SECOND).spawn(move |_| async move {
            match name {
                "panics" => panic!("as planned"),
                "fails" => Err("no"),
                _ => std::future::pending().await,
            }
        })
    };
    for name in ["panics", "fails", "hangs", "cancelled"] {
        let handle: TaskHandle<()> = run(name);
        clock.settle();
        if name == "cancelled" {
            handle.cancel();
        }
        clock.advance(SECOND);
        assert!(handle.join_blocking().is_err());
        assert!(team.resources().try_acquire("me", file()).is_ok(), "{name} kept its lease");
    }
}

#[test]
fn leases_come_back_after_a_blocking_body() {
    let team = Coordinator::builder().threads(1).backoff(Backoff::none()).build().unwrap();
    let file = || Request::new().exclusive("file");
    // The retry needs what the first attempt held.
    let task = team.task("t").needs(file()).retries(1).spawn_blocking(|cx| match cx.attempt() {
        1 => Err("once"),
        attempt => Ok(attempt),
    });
    assert_eq!(task.join_blocking().unwrap(), 2);
    assert!(team.resources().try_acquire("me", file()).is_ok());
}

#[test]
fn needs_that_can_never_be_had_fail_the_task() {
    let (team, _clock) = virtual_team(|b| b);
    team.resources().define("slot", 2).unwrap();
    let task = team
        .task("greedy")
        .needs(Request::new().units("slot", 3))
        .spawn(|_| async { Ok::<_, Infallible>(()) });
    let error = task.join_blocking().unwrap_err();
    assert!(matches!(error, TaskError::Resources { .. }), "{error}");
    assert!(error.to_string().contains("greedy"), "{error}");
    let empty = team.task("empty").needs(Request::new()).spawn(|_| async { Ok::<_, Infallible>(()) });
    empty.join_blocking().unwrap();
}

#[test]
fn a_body_that_asks_for_more_lends_its_slot_so_that_nobody_waits_in_a_circle() {
    // One slot, one agent, one place. `first` runs and wants `b`; `second` holds `b` by its lease and
    // waits for the slot.
    let (team, clock) = virtual_team(|b| b.tasks(1).agents(1).tasks_per_agent(1));
    let held = team.resources().try_acquire("me", Request::new().exclusive("b")).unwrap();
    let second = team
        .task("second")
        .needs(Request::new().exclusive("b"))
        .agent("other")
        .spawn(|_| async { Ok::<_, Infallible>(()) });
    clock.settle();
    assert_eq!(second.status(), Status::Blocked);
    let first = team.task("first").needs(Request::new().exclusive("a")).spawn(|cx| async move {
        cx.sleep(SECOND).await;
        let more = cx.acquire(Request::new().exclusive("b")).await?;
        Ok::<_, BoxError>(more.owner().as_str().to_owned())
    });
    clock.settle();
    assert_eq!(first.status(), Status::Running);
    // Now `second` gets its lease, but there is no slot.
    drop(held);
    clock.settle();
    assert_eq!(second.status(), Status::Blocked);
    clock.advance(SECOND);
    second.join_blocking().unwrap();
    assert!(first.join_blocking().unwrap().starts_with("first"));
    assert_eq!(team.stats().slots_lent, 0);
}

#[test]
fn an_owner_that_would_close_a_circle_of_holders_is_told() {
    let (team, clock) = virtual_team(|b| b.retries(0));
    let spawn = |mine: &'static str, other: &'static str| {
        team.task(mine).needs(Request::new().exclusive(mine)).spawn(move |cx| async move {
            cx.sleep(SECOND).await;
            let _more = cx.acquire(Request::new().exclusive(other)).await?;
            Ok::<_, BoxError>(())
        })
    };
    let (a, b) = (spawn("a", "b"), spawn("b", "a"));
    clock.advance(SECOND);
    let results = [a.join_blocking(), b.join_blocking()];
    let refused: Vec<String> =
        results.iter().filter_map(|result| result.as_ref().err()).map(ToString::to_string).collect();
    assert_eq!(refused.len(), 1, "{results:?}");
    assert!(refused[0].contains("deadlock"), "{}", refused[0]);
}
