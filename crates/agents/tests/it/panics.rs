//! User code that panics where the engine calls it: wakers, drops, errors, listeners, spawners. It takes nothing of
//! anybody else along.

use crate::{Bell, lay_a_bomb, panics, poll_with, ready, virtual_team, waits};
use ropewalk_agents::*;
use ropewalk_sync::{BoxFuture, Clock, Spawn};
use std::{
    convert::Infallible,
    error::Error,
    fmt, mem,
    sync::{Arc, Mutex},
    task::Waker,
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

struct DropBomb;

impl Drop for DropBomb {
    fn drop(&mut self) {
        panic!("a drop of the user's");
    }
}

async fn nap(cx: TaskCx) -> Result<(), Infallible> {
    cx.sleep(SECOND).await;
    Ok(())
}

async fn hang(_: TaskCx) -> Result<(), Infallible> {
    std::future::pending().await
}

/// A task goes through, and nothing is left behind.
fn all_is_well(team: &Coordinator, clock: &Clock) {
    let after = team.task("after").spawn(|_| async { Ok::<_, Infallible>(7) });
    clock.settle();
    assert_eq!(after.join_blocking().unwrap(), 7);
    let stats = team.stats();
    assert_eq!((stats.unfinished(), stats.slots, stats.slots_lent, stats.agents_busy), (0, 0, 0, 0));
}

// ---- mailboxes ----

#[test]
fn a_waker_that_panics_costs_no_message() {
    let mailbox = Mailbox::new(1);
    mailbox.try_send(1).unwrap();
    let mut sender = Box::pin(mailbox.send(2));
    lay_a_bomb(&mut sender);
    assert_eq!(mailbox.try_recv(), Ok(1), "what was taken arrives, though the sender's waker panics");
    assert!(ready(&mut sender).is_ok(), "and the sender has its place");
    assert_eq!(mailbox.try_recv(), Ok(2));

    let mut receiver = Box::pin(mailbox.recv());
    lay_a_bomb(&mut receiver);
    assert_eq!(mailbox.try_send(3).ok(), Some(Sent::Delivered));
    assert_eq!(ready(&mut receiver), Ok(3));

    // A hint that passes on.
    let (mut first, mut second) = (Box::pin(mailbox.recv()), Box::pin(mailbox.recv()));
    assert!(waits(&mut first));
    lay_a_bomb(&mut second);
    mailbox.try_send(4).unwrap();
    drop(first);
    assert_eq!(ready(&mut second), Ok(4));
    drop(second);

    // A receiver that takes one for which a sender waits.
    mailbox.try_send(5).unwrap();
    let mut sender = Box::pin(mailbox.send(6));
    lay_a_bomb(&mut sender);
    assert_eq!(ready(&mut Box::pin(mailbox.recv())), Ok(5));
    assert!(ready(&mut sender).is_ok());
    assert_eq!((mailbox.try_recv(), mailbox.len()), (Ok(6), 0));
}

#[test]
fn close_tells_both_sides_behind_a_waker_that_panics() {
    let mailbox = Mailbox::new(1);
    mailbox.try_send(1).unwrap();
    let (mut served, mut sender) = (Box::pin(mailbox.send(2)), Box::pin(mailbox.send(3)));
    assert!(waits(&mut served));
    lay_a_bomb(&mut sender);
    // The place goes to the one that does not come for it, so both sides wait.
    assert_eq!(mailbox.try_recv(), Ok(1));
    let bell = Arc::new(Bell::default());
    let (mut first, mut second) = (Box::pin(mailbox.recv()), Box::pin(mailbox.recv()));
    lay_a_bomb(&mut first);
    assert!(poll_with(&mut second, &Waker::from(bell.clone())).is_pending());
    mailbox.close();
    assert_eq!(bell.rung(), 1);
    assert!(matches!(ready(&mut sender), Err(SendError::Closed(3))));
    assert!(matches!(ready(&mut served), Err(SendError::Closed(2))));
    assert_eq!((ready(&mut first), ready(&mut second)), (Err(RecvError::Closed), Err(RecvError::Closed)));
}

#[test]
fn an_old_message_that_panics_as_it_drops_is_no_business_of_the_sender() {
    let mailbox = Mailbox::with(1, Overflow::DropOldest, Clock::virtual_());
    assert!(mailbox.try_send(Some(DropBomb)).is_ok());
    assert_eq!(mailbox.try_send(None).ok(), Some(Sent::DroppedOldest));
    assert!(mailbox.try_recv().unwrap().is_none());
}

#[test]
fn a_broadcast_reaches_all_behind_a_waker_that_panics() {
    let (team, clock) = virtual_team(|b| b);
    let agents = ["ada", "bob", "eve"].map(|name| team.add_agent(Agent::new(name)).unwrap());
    let mut line = agents.iter().map(|agent| Box::pin(agent.recv())).collect::<Vec<_>>();
    line.iter_mut().for_each(lay_a_bomb);
    assert_eq!(team.broadcast(&Message::new("all")), 3);
    assert!(line.iter_mut().all(|one| ready(one).unwrap().text() == Some("all")));
    assert_eq!((team.stats().messages_sent, team.stats().messages_received), (3, 3));
    all_is_well(&team, &clock);
}

// ---- wakers of those who wait for the team ----

#[test]
fn a_waker_on_a_token_that_panics_stops_no_cancellation() {
    let (team, clock) = virtual_team(|b| b);
    let slot: Arc<Mutex<Vec<CancelToken>>> = Arc::default();
    let keep = |slot: &Arc<Mutex<Vec<CancelToken>>>| {
        let slot = slot.clone();
        move |cx: TaskCx| {
            slot.lock().unwrap().push(cx.token().clone());
            hang(cx)
        }
    };
    let running = team.task("running").spawn(keep(&slot));
    let behind = team.task("behind").after([&running]).spawn(nap);
    let timed = team.task("timed").timeout(SECOND).retries(0).spawn(keep(&slot));
    clock.settle();
    let tokens = mem::take(&mut *slot.lock().unwrap());
    let mut told = tokens.iter().map(|token| Box::pin(token.cancelled())).collect::<Vec<_>>();
    told.iter_mut().for_each(lay_a_bomb);
    team.cancel_tree(running.id()).unwrap();
    clock.advance(SECOND);
    assert!(running.is_finished() && behind.is_finished() && timed.is_finished());
    assert!(matches!(running.join_blocking(), Err(TaskError::Cancelled { .. })));
    assert!(matches!(behind.join_blocking(), Err(TaskError::Cancelled { .. })));
    assert!(matches!(timed.join_blocking(), Err(TaskError::TimedOut { .. })));
    told.iter_mut().for_each(ready);
    all_is_well(&team, &clock);
}

#[test]
fn a_waker_on_a_handle_or_on_idleness_that_panics_holds_nobody_up() {
    let (team, clock) = virtual_team(|b| b);
    let mut first = team.task("first").spawn(nap);
    let mut second = team.task("second").after([&first]).spawn(nap);
    let bell = Arc::new(Bell::default());
    let (mut idle, mut also) = (Box::pin(team.idle()), Box::pin(team.idle()));
    lay_a_bomb(&mut first);
    lay_a_bomb(&mut second);
    lay_a_bomb(&mut idle);
    assert!(poll_with(&mut also, &Waker::from(bell.clone())).is_pending());
    clock.advance(SECOND * 2);
    ready(&mut first).unwrap();
    ready(&mut second).unwrap();
    assert_eq!(bell.rung(), 1);
    ready(&mut idle);
    ready(&mut also);
    all_is_well(&team, &clock);
}

#[test]
fn an_abort_closes_all_mailboxes_behind_wakers_that_panic() {
    for by_drop in [false, true] {
        let (team, clock) = virtual_team(|b| b);
        let agents = ["ada", "bob"].map(|name| team.add_agent(Agent::new(name)).unwrap());
        let mut line = agents.iter().map(|agent| Box::pin(agent.recv())).collect::<Vec<_>>();
        line.iter_mut().for_each(lay_a_bomb);
        let mut handles = (0..3).map(|_| team.task("t").spawn(hang)).collect::<Vec<_>>();
        clock.settle();
        handles.iter_mut().for_each(lay_a_bomb);
        if by_drop {
            drop(team);
        } else {
            let mut idle = Box::pin(team.idle());
            lay_a_bomb(&mut idle);
            assert_eq!(team.abort(), 3);
            clock.settle();
            ready(&mut idle);
        }
        for handle in handles {
            assert!(matches!(handle.join_blocking(), Err(TaskError::Cancelled { .. })));
        }
        assert!(line.iter_mut().all(|one| ready(one).err() == Some(RecvError::Closed)));
    }
}

// ---- wakers of others who use the pool ----

/// Its own timers wake nobody.
fn patient_pool() -> ResourcePool {
    ResourcePool::builder().clock(Clock::virtual_()).overtaking(0).build().unwrap()
}

#[test]
fn a_strangers_waker_that_panics_when_a_lease_comes_back_holds_no_task_up() {
    let pool = patient_pool();
    let (team, clock) = virtual_team(|b| b.resources(pool));
    let file = || Request::new().exclusive("file");
    for cancel in [false, true] {
        let task = team.task("t").needs(file()).spawn(nap);
        let behind = team.task("behind").after([&task]).rule(TriggerRule::AllDone).spawn(nap);
        clock.settle();
        let mut stranger = team.resources().acquire("stranger", file());
        lay_a_bomb(&mut stranger);
        if cancel {
            task.cancel();
        }
        clock.advance(SECOND * 2);
        assert!(task.is_finished() && behind.is_finished());
        assert_eq!(task.join_blocking().is_ok(), !cancel);
        behind.join_blocking().unwrap();
        drop(ready(&mut stranger).unwrap());
        all_is_well(&team, &clock);
    }
}

#[test]
fn a_lease_that_a_task_never_used_comes_back_to_a_waker_that_panics() {
    let pool = patient_pool();
    let (team, clock) = virtual_team(|b| b.tasks(1).resources(pool));
    let file = || Request::new().exclusive("file");
    let held = team.resources().try_acquire("me", file()).unwrap();
    let waits_first = team.task("waits").needs(file()).spawn(nap);
    clock.settle();
    let running = team.task("running").spawn(hang);
    clock.settle();
    let mut stranger = team.resources().acquire("stranger", file());
    lay_a_bomb(&mut stranger);
    // Granted to the task, which finds no slot; then it is called off.
    drop(held);
    clock.settle();
    waits_first.cancel();
    assert!(matches!(waits_first.join_blocking(), Err(TaskError::Cancelled { .. })));
    drop(ready(&mut stranger).unwrap());
    running.cancel();
    assert!(running.join_blocking().is_err());
    all_is_well(&team, &clock);
}

#[test]
fn a_strangers_waker_that_panics_as_a_task_takes_its_lease_stops_no_dispatch() {
    let pool = patient_pool();
    let (team, clock) = virtual_team(|b| b.resources(pool.clone()));
    let gate = team.task("gate").spawn(nap);
    let task = team.task("t").after([&gate]).needs(Request::new().exclusive("w")).spawn(nap);
    clock.settle();
    // The task's name in the pool waits for y already, which is kept for a barrier that it may pass as soon as it
    // holds anything: so the taking of w wakes that waiter.
    let owner = format!("t ({})", task.id());
    let z = pool.try_acquire("h", Request::new().exclusive("z")).unwrap();
    let mut barrier = pool.acquire("barrier", Request::new().exclusive("y").exclusive("z"));
    assert!(waits(&mut barrier));
    let mut second = pool.acquire(owner.as_str(), Request::new().exclusive("y"));
    lay_a_bomb(&mut second);
    clock.advance(SECOND * 2);
    drop(ready(&mut second).unwrap());
    drop((barrier, z));
    clock.advance(SECOND * 2);
    assert!(gate.is_finished() && task.is_finished());
    gate.join_blocking().unwrap();
    task.join_blocking().unwrap();
    all_is_well(&team, &clock);
}

#[test]
fn a_strangers_waker_that_panics_in_the_line_of_the_pool_loses_no_task() {
    let clock = Clock::virtual_();
    let pool = ResourcePool::builder().clock(clock.clone()).regrant_after(SECOND).build().unwrap();
    let (team, _) = virtual_team(|b| b.clock(clock.clone()).resources(pool.clone()));
    let one = |name: &'static str| Request::new().exclusive(name);
    let (x, file) = (pool.try_acquire("me", one("x")).unwrap(), pool.try_acquire("me", one("file")).unwrap());
    let mut sleepy = pool.acquire("sleepy", one("x"));
    assert!(waits(&mut sleepy));
    let task = team.task("t").needs(one("file")).spawn(nap);
    clock.settle();
    // Granted and not polled; who waits in the pool's line, as the task does, takes it back in time.
    drop(x);
    clock.advance(SECOND / 2);
    let mut stranger = pool.acquire("stranger", one("x"));
    lay_a_bomb(&mut stranger);
    clock.advance(SECOND / 2);
    assert_eq!(task.status(), Status::Blocked);
    drop(ready(&mut stranger).unwrap());
    drop((sleepy, file));
    clock.advance(SECOND * 2);
    task.join_blocking().unwrap();
    all_is_well(&team, &clock);
}

// ---- what bodies leave ----

/// An error that looks at the team, and panics, as it is told.
struct Nasty {
    team: Option<Coordinator>,
    displays: bool,
    drops: bool,
}

impl fmt::Debug for Nasty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nasty")
    }
}

impl fmt::Display for Nasty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert!(self.displays, "an error of the user's");
        // Needs every lock that there is.
        let tasks = self.team.as_ref().map_or(0, |team| team.snapshot().tasks.len());
        write!(f, "nasty among {}", tasks.min(1))
    }
}

impl Error for Nasty {}

impl Drop for Nasty {
    fn drop(&mut self) {
        assert!(!self.drops || std::thread::panicking(), "an error of the user's");
    }
}

#[test]
fn an_error_that_panics_or_looks_around_fails_its_own_task_only() {
    for (displays, drops, looks) in
        [(true, false, true), (false, false, false), (true, true, false), (false, true, true)]
    {
        let (team, clock) = virtual_team(|b| b.keep_finished(0));
        let slot = Arc::new(Mutex::new(looks.then(|| team.clone())));
        let inside = slot.clone();
        let task = team.task("nasty").retries(1).spawn(move |_| {
            let error = Nasty { team: inside.lock().unwrap().clone(), displays, drops };
            async move { Err::<(), _>(error) }
        });
        let behind = team.task("behind").after([&task]).rule(TriggerRule::AllDone).spawn(nap);
        clock.settle();
        clock.advance(SECOND);
        let error = task.join_blocking().unwrap_err();
        assert!(matches!(error, TaskError::Failed { attempts: 2, .. }));
        let said =
            team.snapshot().tasks.iter().find(|task| &*task.name == "nasty").and_then(|t| t.error.clone());
        if displays && looks {
            assert!(said.is_none_or(|said| said.contains("nasty among 1")));
        }
        behind.join_blocking().unwrap();
        all_is_well(&team, &clock);
        slot.lock().unwrap().take();
        if drops {
            mem::forget(error);
        }
    }
}

#[test]
fn a_blocking_body_that_was_given_up_may_leave_a_bomb() {
    let team = Coordinator::builder().threads(2).blocking_grace(Duration::ZERO).build().unwrap();
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let (started, running) = std::sync::mpsc::channel::<()>();
    let captured = (Mutex::new(gate), Mutex::new(started), DropBomb);
    let file = || Request::new().exclusive("file");
    let task = team.task("stuck").needs(file()).spawn_blocking(move |_| {
        let (gate, started, _bomb) = &captured;
        started.lock().unwrap().send(())?;
        gate.lock().unwrap().recv()?;
        Ok::<_, BoxError>(())
    });
    running.recv().unwrap();
    task.cancel();
    assert!(matches!(task.join_blocking(), Err(TaskError::Cancelled { .. })));
    assert_eq!(team.stats().stuck, 1);
    release.send(()).unwrap();
    drop(team.resources().acquire_blocking("me", file()).unwrap());
    assert_eq!(team.stats().stuck, 0);
}

#[test]
fn a_listener_may_panic_with_a_bomb() {
    let (team, clock) = virtual_team(|b| b.on_event(|_| std::panic::panic_any(DropBomb)));
    let task = team.task("t").spawn(|_| async { Err::<(), _>("no") });
    assert!(task.join_blocking().is_err());
    team.add_agent(Agent::new("ada")).unwrap();
    team.remove_agent("ada").unwrap();
    all_is_well(&team, &clock);
    assert!(team.stats().listener_panics > 2);
}

#[test]
fn a_body_may_panic_with_a_bomb() {
    let (team, clock) = virtual_team(|b| b.retries(0));
    let task = team.task("t").spawn(|_| async {
        if std::hint::black_box(true) {
            std::panic::panic_any(DropBomb);
        }
        Ok::<_, Infallible>(())
    });
    assert!(matches!(task.join_blocking(), Err(TaskError::Panicked { .. })));
    all_is_well(&team, &clock);
}

struct Refuses;

impl Spawn for Refuses {
    fn spawn(&self, name: &str, job: BoxFuture) {
        drop(job);
        panic!("a spawner of the user's refuses {name}");
    }
}

#[test]
fn a_spawner_that_panics_loses_its_tasks_and_hangs_nobody() {
    let team = Coordinator::builder().spawner(Refuses).build().unwrap();
    let lost = team.task("t").needs(Request::new().exclusive("file")).spawn(nap);
    let behind = team.task("behind").after([&lost]).spawn(nap);
    assert!(matches!(lost.join_blocking(), Err(TaskError::Lost { .. })));
    assert!(matches!(behind.join_blocking(), Err(TaskError::Skipped { .. })));
    let stats = team.stats();
    assert_eq!((stats.slots, stats.unfinished(), team.resources().stats().leases), (0, 0, 0));
    team.shutdown_blocking();
}

#[test]
fn messages_that_panic_as_they_drop_do_not_end_the_drop_of_the_others() {
    let mailbox = Mailbox::new(3);
    let counted = Arc::new(());
    let held = counted.clone();
    mailbox.try_send(Box::new(DropBomb) as Box<dyn Send>).ok();
    mailbox.try_send(Box::new(held)).ok();
    assert!(panics(|| drop(mailbox)), "who drops the last handle hears of it");
    assert_eq!(Arc::strong_count(&counted), 1);
}
