//! Waiting for a slot.

use crate::support::{fill, poll, ready, waits};
use ropewalk_balance::{Balancer, Ejection, Need, Node, Outcome, PickError, PickTimeoutError};
use ropewalk_sync::Clock;
use std::{task::Poll, time::Duration};

const SECOND: Duration = Duration::from_secs(1);

fn one_slot(clock: &Clock) -> Balancer {
    let nodes = Balancer::builder().max_in_flight(1).clock(clock.clone()).build().unwrap();
    nodes.insert(Node::new("a").offers("x")).unwrap();
    nodes
}

#[test]
fn the_line_is_first_come_first_served() {
    let nodes = one_slot(&Clock::virtual_());
    let mut held = Some(nodes.pick(Need::any()).unwrap());
    let mut line = (0..4).map(|_| nodes.pick_wait(Need::any())).collect::<Vec<_>>();
    assert!(line.iter_mut().all(waits));
    assert_eq!(nodes.stats().waiting, 4);
    for i in 0..4 {
        held.take().unwrap().complete(Outcome::Success);
        assert!(nodes.pick(Need::any()).is_err(), "the slot was handed over");
        let mut newcomer = nodes.pick_wait(Need::any());
        assert!(waits(&mut newcomer));
        assert!(line[i + 1..].iter_mut().all(waits));
        held = Some(ready(&mut line[i]).unwrap());
    }
    drop(held);
    let stats = nodes.stats();
    assert_eq!((stats.waiting, stats.in_flight, stats.wait.count()), (0, 0, 4));
}

#[test]
fn a_slot_goes_to_the_first_who_can_use_it() {
    let nodes = one_slot(&Clock::virtual_());
    nodes.insert(Node::new("b").offers("y")).unwrap();
    let (x, y) = (nodes.pick(Need::of("x")).unwrap(), nodes.pick(Need::of("y")).unwrap());
    let (mut first, mut second, mut third) =
        (nodes.pick_wait(Need::of("y")), nodes.pick_wait(Need::of("x")), nodes.pick_wait(Need::any()));
    assert!(waits(&mut first) && waits(&mut second) && waits(&mut third));
    drop(x);
    assert!(waits(&mut first) && waits(&mut third));
    let x = ready(&mut second).unwrap();
    drop(y);
    assert!(waits(&mut third));
    drop(ready(&mut first).unwrap());
    drop(ready(&mut third).unwrap());
    drop(x);
}

#[test]
fn cancelling_passes_the_slot_on() {
    let nodes = one_slot(&Clock::virtual_());
    for granted in [false, true] {
        let held = nodes.pick(Need::any()).unwrap();
        let (mut first, mut second) = (nodes.pick_wait(Need::any()), nodes.pick_wait(Need::any()));
        assert!(waits(&mut first) && waits(&mut second));
        if granted {
            drop(held);
            drop(first);
        } else {
            drop(first);
            drop(held);
        }
        drop(ready(&mut second).unwrap());
        let stats = nodes.stats();
        assert_eq!((stats.waiting, stats.in_flight), (0, 0));
    }
}

#[test]
fn whatever_makes_room_serves_the_line() {
    let clock = Clock::virtual_();
    let room: [fn(&Balancer); 4] = [
        |nodes| assert!(nodes.insert(Node::new("b")).is_ok()),
        |nodes| nodes.set_max_in_flight(nodes.find("a").unwrap(), Some(2)).unwrap(),
        |nodes| nodes.resume(nodes.find("d").unwrap()).unwrap(),
        |nodes| nodes.set_max_in_flight(nodes.find("a").unwrap(), None).unwrap(),
    ];
    for make_room in room {
        let nodes = one_slot(&clock);
        let spare = nodes.insert(Node::new("d")).unwrap();
        drop(nodes.drain(spare).unwrap());
        let held = nodes.pick(Need::any()).unwrap();
        let mut waiting = nodes.pick_wait(Need::any());
        assert!(waits(&mut waiting));
        make_room(&nodes);
        let served = ready(&mut waiting).unwrap();
        drop((held, served));
    }
}

#[test]
fn those_for_whom_nothing_can_come_are_told() {
    let nodes = one_slot(&Clock::virtual_());
    let id = nodes.find("a").unwrap();
    let held = nodes.pick(Need::any()).unwrap();
    let mut line = [nodes.pick_wait(Need::of("x")), nodes.pick_wait(Need::any())];
    assert!(line.iter_mut().all(waits));
    nodes.insert(Node::new("b").max_in_flight(0)).unwrap();
    nodes.remove(id).unwrap();
    assert!(matches!(ready(&mut line[0]), Err(PickError::NoCapableNode { .. })));
    assert!(waits(&mut line[1]), "b may get room yet");
    nodes.close();
    assert_eq!(ready(&mut line[1]).unwrap_err(), PickError::Closed);
    drop(held);
    assert_eq!(ready(&mut nodes.pick_wait(Need::any())).unwrap_err(), PickError::Closed);
}

#[test]
fn a_slot_that_nobody_polls_passes_on() {
    let clock = Clock::virtual_();
    let nodes = one_slot(&clock);
    let held = nodes.pick(Need::any()).unwrap();
    let (mut sleepy, mut second, mut third) =
        (nodes.pick_wait(Need::any()), nodes.pick_wait(Need::any()), nodes.pick_wait(Need::any()));
    assert!(waits(&mut sleepy) && waits(&mut second) && waits(&mut third));
    drop(held);
    clock.advance(SECOND);
    // However many police the line, a grant survives a whole interval.
    assert!(waits(&mut second) && waits(&mut third) && waits(&mut second));
    clock.advance(SECOND);
    let _ = poll(&mut third);
    let pick = match poll(&mut second) {
        Poll::Ready(pick) => pick.unwrap(),
        Poll::Pending => ready(&mut second).unwrap(),
    };
    assert!(waits(&mut sleepy), "it stands first in line again");
    drop(pick);
    drop(ready(&mut sleepy).unwrap());
    drop(ready(&mut third).unwrap());
    assert_eq!(nodes.stats().in_flight, 0);
}

#[test]
fn deadlines_and_threads() {
    let clock = Clock::virtual_();
    let nodes = one_slot(&clock);
    let held = nodes.pick(Need::any()).unwrap();
    let mut late = Box::pin(nodes.pick_timeout(Need::any(), SECOND));
    assert!(waits(&mut late));
    clock.advance(SECOND);
    assert_eq!(ready(&mut late).unwrap_err(), PickTimeoutError::Timeout { waiting: 0 });
    std::thread::scope(|s| {
        let blocked = s.spawn(|| nodes.pick_blocking(Need::any()).map(drop));
        let timed = s.spawn(|| nodes.pick_blocking_timeout(Need::of("none"), SECOND).map(drop));
        assert!(matches!(
            timed.join().unwrap(),
            Err(PickTimeoutError::Pick(PickError::NoCapableNode { .. }))
        ));
        while nodes.stats().waiting == 0 {
            std::thread::yield_now();
        }
        drop(held);
        blocked.join().unwrap().unwrap();
    });
    assert!(ready(&mut Box::pin(nodes.pick_timeout(Need::any(), Duration::MAX))).is_ok());
}

#[test]
fn a_lowered_limit_takes_back_slots_as_requests_end() {
    let nodes = Balancer::builder().max_in_flight(2).build().unwrap();
    let ids = fill(&nodes, &[1]);
    let held = [nodes.pick(Need::any()).unwrap(), nodes.pick(Need::any()).unwrap()];
    let mut waiting = nodes.pick_wait(Need::any());
    assert!(waits(&mut waiting));
    nodes.set_max_in_flight(ids[0], Some(1)).unwrap();
    let [first, second] = held;
    drop(first);
    assert!(waits(&mut waiting), "one is in flight, and one may be");
    drop(second);
    drop(ready(&mut waiting).unwrap());
}

#[test]
fn sick_nodes_serve_the_line_when_there_are_no_others() {
    let rule = Ejection::new().consecutive_failures(1);
    let nodes = Balancer::builder().max_in_flight(1).ejection(rule).build().unwrap();
    nodes.insert(Node::new("a")).unwrap();
    nodes.pick(Need::any()).unwrap().complete(Outcome::Failure);
    let held = nodes.pick(Need::any()).unwrap();
    assert_eq!((nodes.stats().ejected, nodes.stats().fail_open), (1, 1));
    let mut waiting = nodes.pick_wait(Need::any());
    assert!(waits(&mut waiting));
    drop(held);
    drop(ready(&mut waiting).unwrap());
}
