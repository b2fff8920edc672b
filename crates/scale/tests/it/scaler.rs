//! Nodes really start and stop, at the right times.

use crate::{Fake, SECOND};
use ropewalk_scale::{Load, NodeState, Reason, ScaleError, SettleError};
use ropewalk_sync::Clock;
use std::sync::{Arc, Mutex};

#[test]
fn begins_with_the_minimum_and_measures_the_start() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, 5 * SECOND);
    let scaler = fake.builder().nodes(2..=8).build().unwrap();
    clock.settle();
    assert_eq!((scaler.status().wanted, scaler.status().ready, scaler.status().starting), (2, 0, 2));
    clock.advance(5 * SECOND);
    let status = scaler.status();
    assert_eq!((status.ready, status.starting), (2, 0));
    assert_eq!(status.nodes[0].state, NodeState::Ready);
    assert_eq!(status.stats.start_up, Some(5 * SECOND));
    assert_eq!(status.stats.node_time, 10 * SECOND);
}

#[test]
fn up_at_once_down_after_the_window() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, 2 * SECOND);
    let scaler = fake.builder().nodes(1..=8).stabilization(60 * SECOND).build().unwrap();
    clock.settle();
    scaler.observe(Load::demand(2.0));
    clock.settle();
    assert_eq!(scaler.status().wanted, 4);
    clock.advance(2 * SECOND);
    assert_eq!((scaler.status().ready, fake.running()), (4, 4));

    scaler.observe(Load::demand(0.5));
    clock.settle();
    assert_eq!(scaler.status().wanted, 4);
    assert!(matches!(scaler.status().last.unwrap().reason, Reason::Stabilizing { held_at: 4 }));
    clock.advance(61 * SECOND);
    scaler.observe(Load::demand(0.5));
    clock.settle();
    assert_eq!((scaler.status().wanted, fake.running()), (1, 1));
    let log = fake.log();
    // The youngest go first, drained before they are stopped.
    assert_eq!(log[4..], ["drain n3", "stop n3", "drain n2", "stop n2", "drain n1", "stop n1"]);
    let history = scaler.history();
    assert_eq!(history.iter().map(|change| (change.from, change.to)).collect::<Vec<_>>(), [(1, 4), (4, 1)]);
    assert_eq!(history[1].at, 63 * SECOND);
    assert_eq!((scaler.stats().scale_ups, scaler.stats().scale_downs), (1, 1));
}

#[test]
fn bounds_hold_for_loads_and_hands() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, SECOND);
    let scaler = fake.builder().nodes(2..=4).stabilization(SECOND).build().unwrap();
    scaler.observe(Load::demand(1e9));
    clock.settle();
    assert_eq!(scaler.status().wanted, 4);
    clock.advance(3 * SECOND);
    scaler.observe(Load::demand(0.0));
    clock.settle();
    assert_eq!((scaler.status().wanted, fake.running()), (2, 2));
    assert_eq!(scaler.scale_to(5), Err(ScaleError::OutOfRange { asked: 5, min: 2, max: 4 }));
    assert_eq!(scaler.scale_to(1), Err(ScaleError::OutOfRange { asked: 1, min: 2, max: 4 }));
}

#[test]
fn a_number_set_by_hand_holds_for_a_window() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, SECOND);
    let scaler = fake.builder().nodes(1..=8).stabilization(30 * SECOND).build().unwrap();
    assert_eq!(scaler.scale_to(6).unwrap().reason, Reason::Manual);
    clock.advance(SECOND);
    assert_eq!(scaler.status().ready, 6);
    scaler.observe(Load::demand(0.5));
    clock.settle();
    assert_eq!(scaler.status().wanted, 6);
    clock.advance(31 * SECOND);
    scaler.observe(Load::demand(0.5));
    clock.settle();
    assert_eq!(scaler.status().wanted, 1);
}

#[test]
fn paused_it_keeps_its_nodes_and_replaces_the_dead() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, SECOND);
    let scaler = fake.builder().nodes(2..=8).build().unwrap();
    clock.advance(SECOND);
    scaler.pause();
    scaler.observe(Load::demand(4.0));
    clock.settle();
    assert_eq!((scaler.status().wanted, scaler.status().last.unwrap().reason), (2, Reason::Paused));
    fake.set_health("n0", ropewalk_scale::Health::Gone);
    scaler.reconcile();
    clock.advance(2 * SECOND);
    assert_eq!((scaler.status().ready, scaler.stats().replaced), (2, 1));
    scaler.resume();
    scaler.observe(Load::demand(4.0));
    clock.settle();
    assert_eq!(scaler.status().wanted, 8);
}

#[test]
fn the_load_is_asked_for_every_so_often() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, SECOND);
    let load = Arc::new(Mutex::new(0.5));
    let source = load.clone();
    let scaler = fake
        .builder()
        .nodes(1..=8)
        .every(10 * SECOND)
        .record(10 * SECOND, 100)
        .load(move || Load::demand(*source.lock().unwrap()))
        .build()
        .unwrap();
    clock.settle();
    assert_eq!(scaler.stats().samples, 1);
    *load.lock().unwrap() = 3.0;
    clock.advance(9 * SECOND);
    assert_eq!(scaler.status().wanted, 1);
    clock.advance(SECOND);
    assert_eq!(scaler.status().wanted, 6);
    clock.advance(20 * SECOND);
    assert_eq!(scaler.load_history().values().collect::<Vec<_>>(), [0.5, 3.0, 3.0]);
}

#[test]
fn a_start_no_longer_wanted_is_given_up() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, SECOND);
    let scaler = fake.builder().nodes(1..=8).build().unwrap();
    clock.advance(SECOND);
    fake.state.lock().unwrap().hang = Some("start");
    scaler.scale_to(5).unwrap();
    clock.settle();
    assert_eq!(scaler.status().starting, 4);
    scaler.scale_to(1).unwrap();
    clock.settle();
    assert_eq!((scaler.status().starting, scaler.stats().cancelled_starts, fake.running()), (0, 4, 1));
}

#[test]
fn stop_stops_everything_it_started() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, SECOND);
    let scaler = fake.builder().nodes(3..=8).build().unwrap();
    clock.advance(SECOND);
    scaler.stop_blocking().unwrap();
    assert_eq!(fake.running(), 0);
    assert!(scaler.status().stopped);
    scaler.stop_blocking().unwrap();
    assert_eq!(scaler.scale_to(4), Err(ScaleError::Stopped));
    assert_eq!(scaler.settled_blocking(), Err(SettleError::Stopped));
    scaler.observe(Load::demand(3.0));
    clock.advance(10 * SECOND);
    assert_eq!(fake.running(), 0);
}

#[test]
fn dropped_it_leaves_its_nodes() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, SECOND);
    let scaler = fake.builder().nodes(3..=8).build().unwrap();
    clock.advance(SECOND);
    drop(scaler);
    assert_eq!(fake.running(), 3);
}

#[test]
fn the_same_samples_give_the_same_history() {
    let run = || {
        let clock = Clock::virtual_();
        let fake = Fake::new(&clock, 3 * SECOND);
        let scaler =
            fake.builder().nodes(1..=12).stabilization(20 * SECOND).cooldown(5 * SECOND).build().unwrap();
        for i in 0..120_u32 {
            scaler.observe(Load::demand(f64::from(i * 37 % 11) / 2.0));
            clock.advance(SECOND);
        }
        let history: Vec<String> = scaler.history().iter().map(ToString::to_string).collect();
        (history, fake.log())
    };
    let first = run();
    assert!(first.0.len() > 3);
    assert_eq!(first, run());
}

#[test]
fn history_is_bounded() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, SECOND);
    let scaler = fake.builder().nodes(1..=8).history(3).build().unwrap();
    for i in 0..10 {
        scaler.scale_to(1 + i % 2).unwrap();
    }
    let history = scaler.history();
    assert_eq!(history.len(), 3);
    assert_eq!((history[2].from, history[2].to), (1, 2));
}

#[test]
fn settings_that_contradict_are_refused() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, SECOND);
    #[allow(clippy::reversed_empty_ranges)] // that is the point
    let reversed = 5..=2;
    assert!(fake.builder().nodes(reversed).build().is_err());
    assert!(fake.builder().initial(21).build().is_err());
    assert!(fake.builder().step_up(0).build().is_err());
    assert!(fake.builder().every(std::time::Duration::ZERO).build().is_err());
    assert!(fake.builder().tolerance(f64::NAN).build().is_err());
    assert_eq!(fake.running(), 0);
}

#[test]
fn the_longest_times_do_not_overflow() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, SECOND);
    let long = std::time::Duration::MAX;
    let builder = fake.builder().nodes(1..=8).stabilization(long).cooldown(long).cooldown_up(long);
    let builder = builder.start_timeout(long).check_timeout(long).drain_timeout(long).stop_timeout(long);
    let scaler = builder.retry(long, long).every(long).record(long, 3).build().unwrap();
    scaler.observe(Load::demand(2.0));
    clock.advance(SECOND);
    scaler.scale_to(2).unwrap();
    clock.advance(SECOND);
    assert_eq!(scaler.status().ready, 2);
    scaler.stop_blocking().unwrap();
    assert_eq!(fake.running(), 0);
}
