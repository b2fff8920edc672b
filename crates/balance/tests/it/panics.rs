//! User code that panics: wakers, conversions, hashes. The caller hears of it, and nobody loses a slot, a place or a
//! wake-up.

use crate::support::{Bell, lay_a_bomb, panics, poll_with, ready, waits};
use ropewalk_balance::{
    Balancer, Check, CheckFuture, Ejection, Need, Node, NodeState, Outcome, PickError, Probe, Rollout,
};
use ropewalk_sync::{BoxFuture, Clock, Spawn};
use std::{
    hash::{Hash, Hasher},
    sync::{Arc, Mutex},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

/// Nodes a, b... with one slot each, where health counts at once and nothing passes on by time.
fn strict(clock: &Clock, names: &[&str]) -> Balancer {
    let ejection =
        Ejection::new().consecutive_failures(1).base_ejection_time(SECOND).max_ejection_percent(100);
    let nodes = Balancer::builder()
        .max_in_flight(1)
        .panic_threshold(0)
        .ejection(ejection)
        .regrant_after(100 * SECOND)
        .clock(clock.clone())
        .build()
        .unwrap();
    for name in names {
        nodes.insert(Node::new(*name).offers(*name)).unwrap();
    }
    nodes
}

fn at_rest(nodes: &Balancer) {
    let stats = nodes.stats();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    assert_eq!(stats.picks, stats.successes + stats.failures + stats.rejected + stats.cancelled);
}

#[test]
fn a_request_that_ends_passes_its_slot_on_to_a_waker_that_panics() {
    let nodes = strict(&Clock::virtual_(), &["a"]);
    let ends: [fn(ropewalk_balance::Pick); 2] = [drop, |pick| pick.complete(Outcome::Success)];
    for end in ends {
        let held = nodes.pick(Need::any()).unwrap();
        let (mut first, mut second) = (nodes.pick_wait(Need::any()), nodes.pick_wait(Need::any()));
        lay_a_bomb(&mut first);
        assert!(waits(&mut second));
        assert!(panics(|| end(held)), "the caller hears of it");
        let pick = ready(&mut first).unwrap();
        assert!(waits(&mut second), "there is one slot");
        drop(pick);
        drop(ready(&mut second).unwrap());
        at_rest(&nodes);
    }
}

#[test]
fn an_outcome_that_ejects_the_node_frees_its_slot_behind_a_waker_that_panics() {
    let clock = Clock::virtual_();
    let nodes = strict(&clock, &["a"]);
    let held = nodes.pick(Need::any()).unwrap();
    let (bell, mut first, mut second) =
        (Arc::new(Bell::default()), nodes.pick_wait(Need::any()), nodes.pick_wait(Need::of("a")));
    lay_a_bomb(&mut first);
    assert!(poll_with(&mut second, &bell).is_pending());
    assert!(panics(|| held.complete(Outcome::Failure)));
    assert_eq!(bell.rung(), 1, "both are told that the node is out");
    for mut told in [first, second] {
        assert!(matches!(ready(&mut told), Err(PickError::AllUnhealthy { ejected: 1, .. })));
    }
    at_rest(&nodes);
    clock.advance(SECOND);
    // A trial that goes well serves those who came meanwhile.
    let trial = nodes.pick(Need::any()).unwrap();
    assert!(trial.is_trial());
    trial.complete(Outcome::Success);
    assert_eq!((nodes.stats().up, nodes.stats().readmissions), (1, 1));
    at_rest(&nodes);
}

#[test]
fn a_trial_that_ends_well_readmits_the_node_behind_a_waker_that_panics() {
    let clock = Clock::virtual_();
    let nodes = strict(&clock, &["a", "b"]);
    let (a, b) = (nodes.pick(Need::of("a")).unwrap(), nodes.pick(Need::of("b")).unwrap());
    a.complete(Outcome::Failure);
    clock.advance(SECOND);
    let trial = nodes.pick(Need::any()).unwrap();
    assert!(trial.is_trial());
    let mut waiting = nodes.pick_wait(Need::any());
    lay_a_bomb(&mut waiting);
    assert!(panics(|| trial.complete(Outcome::Success)));
    assert_eq!((nodes.stats().readmissions, nodes.stats().up), (1, 2));
    let served = ready(&mut waiting).unwrap();
    assert_eq!(served.node().address(), "a");
    drop((served, b));
    at_rest(&nodes);
}

#[test]
fn whatever_changes_the_registry_tells_all_behind_a_waker_that_panics() {
    type Change = fn(&Balancer);
    let changes: [(Change, bool); 6] = [
        (|nodes| drop(nodes.insert(Node::new("b").max_in_flight(2))), true),
        (|nodes| nodes.set_max_in_flight(nodes.find("a").unwrap(), Some(3)).unwrap(), true),
        (|nodes| nodes.resume(nodes.find("spare").unwrap()).unwrap(), true),
        (|nodes| drop(nodes.drain(nodes.find("a").unwrap())), false),
        (|nodes| drop(nodes.remove(nodes.find("a").unwrap())), false),
        (|nodes| nodes.close(), false),
    ];
    for (i, (change, serves)) in changes.into_iter().enumerate() {
        let nodes = strict(&Clock::virtual_(), &["a"]);
        let spare = nodes.insert(Node::new("spare").max_in_flight(2)).unwrap();
        drop(nodes.drain(spare).unwrap());
        let held = nodes.pick(Need::any()).unwrap();
        let bell = Arc::new(Bell::default());
        let (mut first, mut second) = (nodes.pick_wait(Need::any()), nodes.pick_wait(Need::any()));
        lay_a_bomb(&mut first);
        assert!(poll_with(&mut second, &bell).is_pending());
        assert!(panics(|| change(&nodes)), "change {i}: the caller hears of it");
        assert_eq!(bell.rung(), 1, "change {i}: the one behind is told all the same");
        let told = [first, second].map(|mut one| ready(&mut one));
        assert!(told.iter().all(|told| told.is_ok() == serves), "change {i}: {told:?}");
        drop((told, held));
        at_rest(&nodes);
    }
}

#[test]
fn resuming_tells_the_line_and_those_who_wait_for_the_drain() {
    let nodes = strict(&Clock::virtual_(), &["a"]);
    let held = nodes.pick(Need::any()).unwrap();
    nodes.insert(Node::new("b").max_in_flight(0)).unwrap();
    let drain = nodes.drain(held.id()).unwrap();
    let bell = Arc::new(Bell::default());
    let (mut done, mut waiting) = (Box::pin(drain.done()), nodes.pick_wait(Need::any()));
    assert!(poll_with(&mut done, &bell).is_pending());
    lay_a_bomb(&mut waiting);
    nodes.set_max_in_flight(held.id(), Some(2)).unwrap();
    assert!(panics(|| nodes.resume(held.id())));
    assert_eq!(bell.rung(), 1, "who waits for the drain hears that it is over");
    assert!(drain.is_done());
    drop((ready(&mut waiting).unwrap(), held));
    at_rest(&nodes);
}

#[test]
fn the_last_request_of_a_drain_leaves_behind_a_waker_that_panics() {
    let nodes = strict(&Clock::virtual_(), &["a"]);
    let held = nodes.pick(Need::any()).unwrap();
    let drain = nodes.drain(held.id()).unwrap();
    let bell = Arc::new(Bell::default());
    let (mut first, mut second) = (Box::pin(drain.done()), Box::pin(drain.done()));
    lay_a_bomb(&mut first);
    assert!(poll_with(&mut second, &bell).is_pending());
    assert!(panics(|| drop(held)));
    assert_eq!(bell.rung(), 1);
    assert!(drain.is_done());
    at_rest(&nodes);
}

#[test]
fn a_place_in_line_is_kept_when_joining_wakes_a_waker_that_panics() {
    let clock = Clock::virtual_();
    let nodes = strict(&clock, &["a", "b"]);
    nodes.pick(Need::of("a")).unwrap().complete(Outcome::Failure);
    let held = nodes.pick(Need::of("b")).unwrap();
    let mut first = nodes.pick_wait(Need::any());
    lay_a_bomb(&mut first);
    // The time of the ejection is over, and nobody has looked yet: whoever joins serves the first.
    clock.advance(SECOND);
    let (mut second, mut third) = (nodes.pick_wait(Need::any()), nodes.pick_wait(Need::any()));
    assert!(panics(|| waits(&mut second)));
    assert_eq!(nodes.stats().waiting, 1, "it stands in line");
    assert!(waits(&mut third));
    drop(second);
    assert_eq!(nodes.stats().waiting, 1, "and leaves it");
    let trial = ready(&mut first).unwrap();
    assert!(trial.is_trial());
    drop(held);
    drop((ready(&mut third).unwrap(), trial));
    at_rest(&nodes);
}

#[test]
fn a_slot_that_its_future_drops_passes_on_to_a_waker_that_panics() {
    let nodes = strict(&Clock::virtual_(), &["a"]);
    let held = nodes.pick(Need::any()).unwrap();
    let (mut first, mut second, mut third) =
        (nodes.pick_wait(Need::any()), nodes.pick_wait(Need::any()), nodes.pick_wait(Need::any()));
    assert!(waits(&mut first));
    lay_a_bomb(&mut second);
    assert!(waits(&mut third));
    drop(held);
    assert!(panics(|| drop(first)));
    drop(ready(&mut second).unwrap());
    drop(ready(&mut third).unwrap());
    at_rest(&nodes);
}

#[test]
fn a_patrol_passes_all_slots_on_behind_a_waker_that_panics() {
    let clock = Clock::virtual_();
    let nodes =
        Balancer::builder().max_in_flight(2).regrant_after(SECOND).clock(clock.clone()).build().unwrap();
    nodes.insert(Node::new("a")).unwrap();
    let held = [(); 2].map(|()| nodes.pick(Need::any()).unwrap());
    let mut line = (0..5).map(|_| nodes.pick_wait(Need::any())).collect::<Vec<_>>();
    assert!(line.iter_mut().all(waits));
    drop(held);
    clock.advance(SECOND);
    assert!(waits(&mut line[4]), "a grant survives one interval");
    for one in &mut line[2..4] {
        lay_a_bomb(one);
    }
    // Their timers wake them too.
    let _ = panics(|| clock.advance(SECOND));
    assert!(panics(|| waits(&mut line[4])), "the patrol hears of it");
    let picks = [ready(&mut line[2]).unwrap(), ready(&mut line[3]).unwrap()];
    assert!([0, 1, 4].into_iter().all(|at| waits(&mut line[at])));
    drop(picks);
    drop([0, 1].map(|at| ready(&mut line[at]).unwrap()));
    drop(ready(&mut line[4]).unwrap());
    at_rest(&nodes);
}

/// Keeps the job that it is given.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Option<BoxFuture>>>);

impl Spawn for Kept {
    fn spawn(&self, _: &str, job: BoxFuture) {
        *self.0.lock().unwrap() = Some(job);
    }
}

struct Well;

impl Check for Well {
    fn check<'a>(&'a self, _: &'a Node, _: Duration) -> CheckFuture<'a> {
        Box::pin(async { Ok(()) })
    }
}

#[test]
fn news_for_the_watch_are_news_for_the_line_behind_a_waker_that_panics() {
    let changes: [fn(&Balancer); 3] = [
        |nodes| drop(nodes.insert(Node::new("b"))),
        |nodes| drop(nodes.remove(nodes.find("a").unwrap())),
        |nodes| {
            nodes.close();
        },
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let (clock, kept) = (Clock::virtual_(), Kept::default());
        let nodes = Balancer::builder()
            .health(Probe::new(Well).interval(SECOND))
            .panic_threshold(0)
            .clock(clock.clone())
            .spawner(Arc::new(kept.clone()))
            .build()
            .unwrap();
        let mut job = kept.0.lock().unwrap().take().unwrap();
        nodes.insert(Node::new("a").max_in_flight(0)).unwrap();
        assert!(waits(&mut job));
        assert!(waits(&mut job), "asked, and answered");
        assert_eq!(nodes.stats().up, 1);
        let (bell, mut waiting) = (Arc::new(Bell::default()), nodes.pick_wait(Need::any()));
        assert!(poll_with(&mut waiting, &bell).is_pending());
        lay_a_bomb(&mut job);
        assert!(panics(|| change(&nodes)), "change {i}: the caller hears of it");
        if i > 0 {
            assert_eq!(bell.rung(), 1, "change {i}: the line is told all the same");
            assert!(ready(&mut waiting).is_err());
        } else {
            // The newcomer is asked, and serves.
            assert!(waits(&mut job) && waits(&mut job));
            drop(ready(&mut waiting).unwrap());
        }
    }
}

#[test]
fn a_waker_that_panics_in_the_watch_does_not_end_it() {
    let (clock, kept) = (Clock::virtual_(), Kept::default());
    let nodes = Balancer::builder()
        .health(Probe::new(Well).interval(SECOND))
        .panic_threshold(0)
        .max_in_flight(1)
        .clock(clock.clone())
        .spawner(Arc::new(kept.clone()))
        .build()
        .unwrap();
    let mut job = kept.0.lock().unwrap().take().unwrap();
    nodes.insert(Node::new("a")).unwrap();
    assert!(waits(&mut job) && waits(&mut job));
    let held = nodes.pick(Need::any()).unwrap();
    let mut waiting = nodes.pick_wait(Need::any());
    lay_a_bomb(&mut waiting);
    let b = nodes.insert(Node::new("b")).unwrap();
    // The good answer of b serves the line.
    assert!(waits(&mut job) && waits(&mut job));
    let served = ready(&mut waiting).unwrap();
    assert_eq!(served.id(), b);
    let c = nodes.insert(Node::new("c")).unwrap();
    assert!(waits(&mut job) && waits(&mut job));
    assert_eq!(nodes.node(c).unwrap().state, NodeState::Up, "the watch goes on");
    drop((held, served));
}

struct Undecided;

impl From<Undecided> for Outcome {
    fn from(_: Undecided) -> Self {
        panic!("a conversion of the user's");
    }
}

impl Hash for Undecided {
    fn hash<H: Hasher>(&self, _: &mut H) {
        panic!("a hash of the user's");
    }
}

#[test]
fn a_conversion_that_panics_counts_as_cancelled() {
    let nodes = strict(&Clock::virtual_(), &["a"]);
    let pick = nodes.pick(Need::any()).unwrap();
    assert!(panics(|| pick.complete(Undecided)));
    assert_eq!(nodes.stats().cancelled, 1);
    at_rest(&nodes);
}

#[test]
fn a_key_or_a_conversion_that_panics_leaves_the_rollout_as_it_is() {
    let rollout = Rollout::builder(1, 2).auto_advance(1).build().unwrap();
    assert!(panics(|| rollout.route(&Undecided)));
    let route = (0..100).map(|key| rollout.route(&key)).find(|route| *route.get() == 2).unwrap();
    assert!(panics(|| route.complete(Undecided)));
    assert_eq!((rollout.percent(), rollout.history().len(), rollout.evidence().new.requests), (10, 1, 0));
    (0..100)
        .map(|key| rollout.route(&key))
        .find(|route| *route.get() == 2)
        .unwrap()
        .complete(Outcome::Success);
    assert_eq!(rollout.percent(), 50);
}

#[test]
fn a_second_panic_while_unwinding_does_not_abort() {
    struct HoldsWhilePanicking(Option<ropewalk_balance::Pick>);
    impl Drop for HoldsWhilePanicking {
        fn drop(&mut self) {
            drop(self.0.take());
        }
    }
    let nodes = strict(&Clock::virtual_(), &["a"]);
    let held = HoldsWhilePanicking(nodes.pick(Need::any()).ok());
    let mut waiting = nodes.pick_wait(Need::any());
    lay_a_bomb(&mut waiting);
    assert!(panics(|| {
        let _held = held;
        panic!("the first");
    }));
    drop(ready(&mut waiting).unwrap());
    at_rest(&nodes);
}
