//! Many threads at one monitor.

use crate::{Rig, SECOND, high};
use parking_lot::Mutex;
use ropewalk_monitor::{
    AlertId, CardValue, Happened, Labels, Monitor, RegisterError, Rule, Samples, Section, Silence, gauge,
    raised,
};
use ropewalk_sync::Clock;
use std::{
    collections::HashMap,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

const THREADS: usize = 4;

type Heard = Arc<Mutex<HashMap<AlertId, Vec<Happened>>>>;

/// A monitor with a rule to raise, and what its callbacks heard of each alert.
fn heard() -> (Monitor, Heard) {
    let heard = Heard::default();
    let hears = heard.clone();
    let monitor = Monitor::builder()
        .clock(Clock::virtual_())
        .queue(100_000)
        .rule(Rule::new("race").when(raised()))
        .on_alert(move |event| hears.lock().entry(event.alert.id).or_default().push(event.what))
        .build()
        .unwrap();
    (monitor, heard)
}

#[test]
fn what_is_raised_by_many_fires_and_ends_once_each() {
    const ROUNDS: usize = 100;
    let (monitor, heard) = heard();
    thread::scope(|s| {
        for i in 0..THREADS {
            let monitor = &monitor;
            s.spawn(move || {
                let labels = Labels::from([("thread", i.to_string())]);
                for round in 0..ROUNDS {
                    monitor.raise("race", labels.clone(), round.to_string()).unwrap();
                    let mine = || monitor.alerts().into_iter().filter(|alert| alert.labels == labels).count();
                    assert_eq!(mine(), 1, "seen by who raised it, before the call returns");
                    assert_eq!(monitor.lower("race", &labels), Ok(true));
                    assert_eq!(mine(), 0, "and so is its end");
                }
            });
        }
    });
    let summary = monitor.alert_summary();
    assert_eq!((summary.fired, summary.resolved), ((THREADS * ROUNDS) as u64, (THREADS * ROUNDS) as u64));
    monitor.clock().settle();
    let heard = heard.lock();
    assert_eq!(heard.len(), THREADS * ROUNDS, "each firing has a number of its own");
    assert!(heard.values().all(|events| *events == [Happened::Fired, Happened::Resolved]));
}

#[test]
fn callbacks_hear_in_the_order_in_which_it_happened_whoever_did_it() {
    let (monitor, heard) = heard();
    thread::scope(|s| {
        for i in 0..THREADS {
            let monitor = &monitor;
            s.spawn(move || {
                for round in 0..300 {
                    if (i + round) % 2 == 0 {
                        monitor.raise("race", Labels::none(), "").unwrap();
                    } else {
                        monitor.lower("race", &Labels::none()).unwrap();
                    }
                }
            });
        }
    });
    monitor.lower("race", &Labels::none()).unwrap();
    monitor.clock().settle();
    let heard = heard.lock();
    assert!(!heard.is_empty());
    let odd: Vec<_> = heard.iter().filter(|(_, e)| **e != [Happened::Fired, Happened::Resolved]).collect();
    assert!(odd.is_empty(), "{odd:?}");
}

#[test]
fn an_alert_is_ended_and_acknowledged_by_one_of_many() {
    let rig = Rig::new(|b| b.rule(high()));
    for _ in 0..50 {
        rig.tick(11.0);
        let (id, silence) = (rig.monitor.alerts()[0].id, rig.monitor.silence(Silence::rule("other"), SECOND));
        let (start, won) = (Barrier::new(THREADS), Mutex::new([0; 2]));
        thread::scope(|s| {
            for i in 0..THREADS {
                let (start, won, monitor) = (&start, &won, &rig.monitor);
                s.spawn(move || {
                    start.wait();
                    // Whoever is first is told; an alert that ended in between has no more to acknowledge.
                    let _ended = monitor.acknowledge(id, i.to_string());
                    let ended = monitor.resolve(id, i.to_string()).is_ok();
                    let unsilenced = monitor.unsilence(silence);
                    let mut won = won.lock();
                    won[0] += usize::from(ended);
                    won[1] += usize::from(unsilenced);
                });
            }
        });
        assert_eq!(*won.lock(), [1, 1]);
        let over = &rig.monitor.alert_history()[0];
        assert!(over.id == id && over.acknowledged.is_some(), "{over:?}");
        rig.tick(0.0);
    }
    assert_eq!(rig.monitor.alert_summary().resolved, 50);
}

#[test]
fn a_recorder_is_one_however_many_ask_for_it() {
    let rig = Rig::new(|b| b);
    let start = Barrier::new(THREADS);
    thread::scope(|s| {
        for _ in 0..THREADS {
            s.spawn(|| {
                start.wait();
                for i in 0..100 {
                    let labels = || Labels::from([("i", (i % 10).to_string())]);
                    rig.monitor.counter("served", labels()).unwrap().incr();
                    rig.monitor.gauge("inside", labels()).unwrap().add(1);
                    rig.monitor.histogram("wait", labels()).unwrap().record(1);
                    rig.monitor.float_gauge("level", labels()).unwrap().set(0.5);
                    let other = rig.monitor.gauge("served", labels());
                    assert!(matches!(other, Err(RegisterError::Kind(name)) if name == "served"));
                }
            });
        }
    });
    rig.tick(0.0);
    let text = rig.monitor.prometheus();
    for i in 0..10 {
        for line in ["served_total", "inside", "wait_count"] {
            let line = format!("{line}{{i=\"{i}\"}} {}\n", 10 * THREADS);
            assert!(text.contains(&line), "{line} in {text}");
        }
    }
}

#[test]
fn rules_of_one_name_are_added_once_and_callbacks_all() {
    let rig = Rig::new(|b| b);
    let (start, told) = (Barrier::new(THREADS), Arc::new(Mutex::new(0)));
    let added: usize = thread::scope(|s| {
        let add = || {
            start.wait();
            let told = told.clone();
            rig.monitor.on_alert(move |_| *told.lock() += 1);
            rig.monitor.show("load_level", Section::Alerts);
            usize::from(rig.monitor.rule(high()).is_ok())
        };
        let threads: Vec<_> = (0..THREADS).map(|_| s.spawn(add)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(added, 1);
    rig.tick(11.0);
    rig.clock.settle();
    assert_eq!(*told.lock(), THREADS);
    let alerts = rig.monitor.dashboard().sections.into_iter().find(|s| s.id == Section::Alerts).unwrap();
    assert!(alerts.cards.iter().any(|card| card.name == "level"), "{alerts:?}");
}

#[test]
fn a_reader_never_sees_half_a_tick() {
    let clock = Clock::virtual_();
    let mut runs = 0;
    let monitor = Monitor::builder()
        .every(SECOND)
        .clock(clock.clone())
        .collect("own", move || {
            runs += 1;
            Samples::new().section(Section::Performance).gauge("first", runs).gauge("last", runs)
        })
        .build()
        .unwrap();
    clock.settle();
    let (over, start) = (AtomicBool::new(false), Barrier::new(THREADS));
    thread::scope(|s| {
        for _ in 1..THREADS {
            s.spawn(|| {
                start.wait();
                while !over.load(Ordering::SeqCst) {
                    let text = monitor.prometheus();
                    let of = |name: &str| {
                        text.lines().find_map(|line| line.strip_prefix(name)?.parse::<f64>().ok())
                    };
                    assert_eq!(of("own_first "), of("own_last "), "{text}");
                    assert_eq!(of("own_first "), of("monitor_ticks_total "), "{text}");
                    let view = monitor.dashboard();
                    let cards = view.sections.iter().flat_map(|section| &section.cards);
                    let shown: Vec<_> = cards
                        .filter(|card| card.name == "first" || card.name == "last")
                        .map(|card| card.value.clone())
                        .collect();
                    assert_eq!(shown, vec![CardValue::Number(view.tick as f64); 2]);
                }
            });
        }
        start.wait();
        (0..200).for_each(|_| clock.advance(SECOND));
        over.store(true, Ordering::SeqCst);
    });
    assert_eq!((monitor.tick(), monitor.value(&gauge("own_last"))), (201, Some(201.0)));
}

#[test]
fn everybody_who_waits_for_a_tick_sees_each() {
    let rig = Rig::new(|b| b);
    let (start, seen) = (Barrier::new(THREADS + 1), Mutex::new(0));
    thread::scope(|s| {
        for _ in 0..THREADS {
            s.spawn(|| {
                start.wait();
                let mut last = 1;
                while last < 20 {
                    let tick = rig.monitor.ticked_blocking(last);
                    assert!(tick > last);
                    last = tick;
                }
                *seen.lock() += 1;
            });
        }
        start.wait();
        (1..20).for_each(|_| rig.tick(0.0));
    });
    assert_eq!(*seen.lock(), THREADS);
    assert_eq!(rig.monitor.tick(), 20);
}
