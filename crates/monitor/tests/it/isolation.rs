//! Collectors, callbacks and actions that hang, and what is flattened of statistics.

use crate::{Rig, SECOND, high};
use ropewalk_monitor::{ActionState, AlertState, Labels, Monitor, Rule, Samples, gauge, raised};
use ropewalk_sync::Event;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

// A thread that hangs is a busy worker of a virtual clock, which then stands still: these three run by the
// system's, and wait for ticks and events, never for time.

#[test]
fn a_collector_that_hangs_costs_its_limit_once_and_is_welcome_back() {
    let (gate, hang) = (Arc::new(Event::new()), Arc::new(AtomicBool::new(false)));
    let (wait, hangs) = (gate.clone(), hang.clone());
    let monitor = Monitor::builder()
        .every(Duration::from_millis(5))
        .collect_timeout(Duration::from_millis(400))
        .collect("slow", move || {
            if hangs.load(Ordering::SeqCst) {
                wait.wait_blocking();
            }
            Samples::new().gauge("level", 1)
        })
        .collect("load", || Samples::new().gauge("level", 7))
        .build()
        .unwrap();
    let status = || monitor.collectors().into_iter().find(|c| &*c.name == "slow").unwrap();
    monitor.ticked_blocking(1);
    assert!(status().up);
    hang.store(true, Ordering::SeqCst);
    while !status().stuck {
        monitor.ticked_blocking(monitor.tick());
    }
    let (tick, runs) = (monitor.tick(), status().runs);
    monitor.ticked_blocking(tick + 10);
    assert_eq!(monitor.value(&gauge("load_level")), Some(7.0), "the other collector goes on");
    assert_eq!(monitor.value(&gauge("slow_level")), None);
    let slow = status();
    assert_eq!((slow.stuck, slow.up, slow.runs, slow.failures), (true, false, runs, 1), "skipped meanwhile");
    assert!(monitor.health().reasons.iter().any(|why| why.contains("slow")));
    hang.store(false, Ordering::SeqCst);
    gate.set();
    while !status().up {
        monitor.ticked_blocking(monitor.tick());
    }
    assert!(!status().stuck);
    assert_eq!(monitor.value(&gauge("slow_level")), Some(1.0));
}

#[test]
fn a_collector_that_never_returns_does_not_hold_up_the_drop() {
    let gate = Arc::new(Event::new());
    let wait = gate.clone();
    let monitor = Monitor::builder()
        .every(Duration::from_millis(5))
        .collect("slow", move || {
            wait.wait_blocking();
            Samples::new()
        })
        .build()
        .unwrap();
    monitor.ticked_blocking(1);
    drop(monitor); // would not return if the thread were joined
    gate.set();
}

#[test]
fn a_callback_that_hangs_stalls_neither_ticks_nor_actions() {
    let (gate, acted) = (Arc::new(Event::new()), Arc::new(AtomicUsize::new(0)));
    let (wait, acts) = (gate.clone(), acted.clone());
    let monitor = Monitor::builder()
        .every(Duration::from_millis(5))
        .queue(2)
        .rule(Rule::new("race").when(raised()).act(move |_| {
            acts.fetch_add(1, Ordering::SeqCst);
        }))
        .on_alert(move |_| wait.wait_blocking())
        .build()
        .unwrap();
    for turn in 1..=6 {
        monitor.raise("race", Labels::none(), "two writers").unwrap();
        while acted.load(Ordering::SeqCst) < turn {
            std::thread::yield_now();
        }
        monitor.lower("race", &Labels::none()).unwrap();
    }
    let tick = monitor.tick();
    assert!(monitor.ticked_blocking(tick + 3) > tick);
    let summary = monitor.alert_summary();
    // Of 12 firings and endings (and some ends of actions) one is being told, two wait.
    assert!(summary.dropped_deliveries >= 9, "{summary:?}");
    assert_eq!((summary.delivered, acted.load(Ordering::SeqCst)), (0, 6));
    gate.set();
}

#[test]
fn an_action_that_hangs_is_seen_running() {
    let gate = Arc::new(Event::new());
    let wait = gate.clone();
    let rig = Rig::new(|b| b.rule(high().act(move |_| wait.wait_blocking())));
    rig.level.lock().replace(11.0);
    let before = rig.monitor.tick();
    // The action blocks a worker of the virtual clock, so nobody waits for it here.
    let clock = rig.clock.clone();
    let ticking = std::thread::spawn(move || clock.advance(SECOND));
    assert_eq!(rig.monitor.ticked_blocking(before), before + 1);
    let running = |alert: &ropewalk_monitor::Alert| alert.actions[0].state == ActionState::Running;
    let alerts = rig.monitor.alerts();
    assert!(alerts[0].state == AlertState::Firing && running(&alerts[0]), "{alerts:?}");
    gate.set();
    ticking.join().unwrap();
    rig.clock.settle();
    assert!(matches!(rig.monitor.alerts()[0].actions[0].state, ActionState::Done(_)));
}

#[cfg(feature = "serde")]
mod flattened {
    use super::Rig;
    use ropewalk_monitor::{Stats, gauge};
    use std::{collections::BTreeMap, time::Duration};

    #[derive(serde::Serialize)]
    struct Inner {
        p99: f64,
        buckets: Vec<u64>,
    }

    #[derive(serde::Serialize)]
    enum Mode {
        Fast,
        Slow { limit: u32 },
    }

    #[derive(serde::Serialize)]
    struct Whole {
        open: usize,
        ready: bool,
        wait: Inner,
        age: Duration,
        missing: Option<u64>,
        there: Option<u64>,
        by_kind: BTreeMap<&'static str, u64>,
        mode: Mode,
        other: Mode,
        name: String,
    }

    #[test]
    fn every_number_is_a_gauge_named_by_its_path() {
        let whole = || Whole {
            open: 5,
            ready: true,
            wait: Inner { p99: 0.25, buckets: vec![1, 2] },
            age: Duration::from_millis(1_500),
            missing: None,
            there: Some(9),
            by_kind: BTreeMap::from([("read", 3), ("write", 4)]),
            mode: Mode::Fast,
            other: Mode::Slow { limit: 8 },
            name: "main".into(),
        };
        let rig = Rig::new(|b| b.collect("pool", move || Stats(whole())));
        rig.tick(0.0);
        let numbers = [
            ("open", 5.0),
            ("ready", 1.0),
            ("wait_p99", 0.25),
            ("age", 1.5),
            ("there", 9.0),
            ("by_kind_read", 3.0),
            ("by_kind_write", 4.0),
            ("other_limit", 8.0),
        ];
        for (name, value) in numbers {
            assert_eq!(rig.monitor.value(&gauge(format!("pool_{name}"))), Some(value), "{name}");
        }
        for name in ["wait_buckets", "missing", "mode", "name"] {
            assert_eq!(rig.monitor.value(&gauge(format!("pool_{name}"))), None, "{name}");
        }
    }

    #[test]
    fn the_dashboard_serialises_as_its_page_reads_it() {
        let rig = Rig::new(|b| b.rule(super::high()));
        rig.tick(11.0);
        let view = serde_json::to_value(rig.monitor.dashboard()).unwrap();
        assert_eq!(view["health"]["state"], "healthy");
        assert_eq!(view["sections"][3]["id"], "performance");
        assert_eq!(view["sections"][3]["cards"][0]["name"], "level");
        assert_eq!(view["sections"][3]["cards"][0]["value"], 11.0);
        let alert = &view["alerts"][0];
        assert_eq!((&alert["severity"], &alert["state"]), (&"warning".into(), &"firing".into()));
        assert!(alert["id"].is_u64());
    }
}
