//! Nodes that do not start, do not stop, die, or hang.

use crate::{Fake, SECOND};
use ropewalk_scale::{Health, NodeState, StopError};
use ropewalk_sync::Clock;

#[test]
fn failed_starts_are_counted_and_tried_again_with_growing_waits() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, SECOND);
    fake.state.lock().unwrap().fail_starts = 4;
    let scaler = fake.builder().nodes(2..=8).retry(SECOND, 60 * SECOND).build().unwrap();
    clock.settle();
    // The two first failed together: one wait of 1 s. Then one is tried, after 1 s, 2 s, 4 s.
    assert_eq!(scaler.stats().failed_starts, 2);
    assert_eq!(scaler.status().retry_in, Some(SECOND));
    assert_eq!(scaler.status().last_error.as_deref(), Some("no capacity"));
    assert!(scaler.status().to_string().contains("no capacity"), "{}", scaler.status());
    clock.advance(SECOND);
    assert_eq!((scaler.stats().failed_starts, scaler.status().retry_in), (3, Some(2 * SECOND)));
    clock.advance(2 * SECOND);
    assert_eq!((scaler.stats().failed_starts, scaler.status().retry_in), (4, Some(4 * SECOND)));
    clock.advance(4 * SECOND);
    assert_eq!((scaler.status().starting, fake.running()), (1, 1));
    // Once it is ready the rest follows.
    clock.advance(2 * SECOND);
    assert_eq!((scaler.status().ready, scaler.stats().failed_starts, scaler.stats().starts), (2, 4, 6));
}

#[test]
fn a_node_that_is_never_ready_is_stopped_and_another_is_tried() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, 3600 * SECOND);
    let scaler = fake.builder().nodes(1..=8).start_timeout(10 * SECOND).build().unwrap();
    clock.advance(10 * SECOND);
    assert_eq!((fake.running(), scaler.stats().failed_starts), (0, 1));
    clock.advance(SECOND);
    assert_eq!((fake.running(), scaler.stats().starts), (1, 2));
    assert_eq!(fake.log(), ["start n0", "stop n0", "start n1"]);
}

#[test]
fn a_start_that_hangs_is_dropped() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, SECOND);
    fake.state.lock().unwrap().hang = Some("start");
    let scaler = fake.builder().nodes(1..=8).start_timeout(10 * SECOND).build().unwrap();
    clock.advance(10 * SECOND);
    assert_eq!(scaler.stats().failed_starts, 1);
    fake.state.lock().unwrap().hang = None;
    clock.advance(2 * SECOND);
    assert_eq!(scaler.status().ready, 1);
}

#[test]
fn a_node_that_dies_is_replaced_at_once() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, 2 * SECOND);
    let scaler = fake.builder().nodes(3..=8).build().unwrap();
    clock.advance(2 * SECOND);
    fake.state.lock().unwrap().nodes.remove(&"n1".into());
    clock.advance(SECOND);
    assert_eq!((scaler.status().ready, scaler.status().starting, scaler.stats().replaced), (2, 1, 1));
    clock.advance(2 * SECOND);
    assert_eq!(scaler.status().ready, 3);
}

#[test]
fn a_sick_node_gets_its_chances() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, SECOND);
    let scaler = fake.builder().nodes(1..=8).unhealthy_after(3).build().unwrap();
    clock.advance(SECOND);
    fake.set_health("n0", Health::Unhealthy("overloaded".into()));
    clock.advance(2 * SECOND);
    assert_eq!(scaler.stats().replaced, 0);
    fake.set_health("n0", Health::Ready);
    clock.advance(SECOND);
    // The count starts anew.
    fake.set_health("n0", Health::Unhealthy("overloaded".into()));
    clock.advance(2 * SECOND);
    assert_eq!((scaler.stats().replaced, fake.running()), (0, 1));
    clock.advance(2 * SECOND);
    assert_eq!((scaler.stats().replaced, scaler.status().ready), (1, 1));
    assert_eq!(fake.log(), ["start n0", "stop n0", "start n1"]);
}

#[test]
fn a_health_check_that_hangs_counts_against_its_node() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, SECOND);
    let scaler = fake.builder().nodes(1..=8).check_timeout(2 * SECOND).unhealthy_after(2).build().unwrap();
    clock.advance(SECOND);
    fake.state.lock().unwrap().hang = Some("health");
    clock.advance(30 * SECOND);
    assert!(scaler.stats().replaced + scaler.stats().failed_starts >= 1, "{:?}", scaler.stats());
}

#[test]
fn a_stop_that_fails_is_tried_again_and_stays_visible() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, SECOND);
    let scaler = fake.builder().nodes(1..=8).initial(2).build().unwrap();
    clock.advance(SECOND);
    fake.state.lock().unwrap().fail_stops = 2;
    scaler.scale_to(1).unwrap();
    clock.settle();
    assert_eq!(scaler.status().nodes[1].state, NodeState::Stuck);
    assert_eq!(scaler.status().stopping, 1);
    clock.advance(3 * SECOND);
    assert_eq!((fake.running(), scaler.stats().failed_stops, scaler.stats().stops), (1, 2, 1));
    assert_eq!(scaler.status().stopping, 0);
}

#[test]
fn a_drain_that_hangs_is_cut_short() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, SECOND);
    let scaler = fake.builder().nodes(1..=8).initial(2).drain_timeout(10 * SECOND).build().unwrap();
    clock.advance(SECOND);
    fake.state.lock().unwrap().hang = Some("drain");
    scaler.scale_to(1).unwrap();
    clock.advance(9 * SECOND);
    assert_eq!(fake.running(), 2);
    clock.advance(SECOND);
    assert_eq!((fake.running(), scaler.stats().failed_drains), (1, 1));
}

#[test]
fn stop_gives_up_after_three_tries_and_names_what_is_left() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, SECOND);
    let scaler = fake.builder().nodes(1..=8).build().unwrap();
    clock.advance(SECOND);
    fake.state.lock().unwrap().fail_stops = 100;
    let stop = std::thread::spawn({
        let scaler = scaler.clone();
        move || scaler.stop_blocking()
    });
    // The stop may begin after this thread moves the clock; it ends all the same.
    while !stop.is_finished() {
        clock.advance(SECOND);
        std::thread::yield_now();
    }
    assert_eq!(stop.join().unwrap(), Err(StopError::Left { left: vec!["n0".into()] }));
}
