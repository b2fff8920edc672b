//! The monitor by a virtual clock: every tick is the test's.

mod cancel;
mod concurrent;
mod conditions;
mod isolation;
mod panics;
mod phase;
mod prometheus;
mod waits;

use parking_lot::Mutex;
use ropewalk_monitor::{
    ActionState, AlertKind, AlertState, BuildError, Builder, Happened, Monitor, Rule, Samples, Section,
    Severity, Silence, WaitEdge, gauge,
};
use ropewalk_sync::Clock;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

const SECOND: Duration = Duration::from_secs(1);

/// A gauge `load_level` that the test sets, and a monitor of it.
struct Rig {
    clock: Clock,
    level: Arc<Mutex<Option<f64>>>,
    monitor: Monitor,
}

impl Rig {
    fn new(settings: impl FnOnce(Builder) -> Builder) -> Self {
        let clock = Clock::virtual_();
        let level = Arc::new(Mutex::new(Some(0.0)));
        let read = level.clone();
        let builder = Monitor::builder().every(SECOND).clock(clock.clone()).collect("load", move || {
            let level = *read.lock();
            level.map(|level| Samples::new().section(Section::Performance).gauge("level", level))
        });
        let monitor = settings(builder).build().unwrap();
        clock.settle();
        Self { clock, level, monitor }
    }

    /// One tick at which the gauge reads `level`.
    fn tick(&self, level: impl Into<Option<f64>>) {
        *self.level.lock() = level.into();
        self.clock.advance(SECOND);
    }

    fn state(&self) -> Option<AlertState> {
        self.monitor.alerts().first().map(|alert| alert.state)
    }
}

fn high() -> Rule {
    Rule::new("high").severity(Severity::Warning).when(gauge("load_level").above(10.0))
}

#[test]
fn public_types_are_send_and_sync() {
    fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Monitor>();
    assert_send_sync::<ropewalk_monitor::Handle>();
    assert_send_sync::<ropewalk_monitor::Dashboard>();
}

#[test]
fn builder_refuses_contradictions() {
    assert!(matches!(
        Monitor::builder().collect("a", Samples::new).collect("a", Samples::new).build(),
        Err(BuildError::DuplicateCollector(_))
    ));
    assert!(Monitor::builder().every(Duration::ZERO).build().is_err());
    assert!(
        Monitor::builder().rule(high().clear_below(20.0)).build().is_err(),
        "it would clear while it fires"
    );
    assert!(Monitor::builder().rule(Rule::new("never").when(gauge("x").above(f64::NAN))).build().is_err());
}

#[test]
fn an_alert_fires_after_its_time_and_clears_below_its_own_threshold() {
    let rig = Rig::new(|b| b.rule(high().clear_below(5.0).for_(2 * SECOND)));
    rig.tick(11.0);
    assert_eq!(rig.state(), Some(AlertState::Pending));
    rig.tick(11.0);
    rig.tick(11.0);
    assert_eq!(rig.state(), Some(AlertState::Firing));
    rig.tick(7.0);
    assert_eq!(rig.state(), Some(AlertState::Firing), "between the thresholds nothing changes");
    rig.tick(4.0);
    assert_eq!(rig.state(), None);
    assert_eq!(rig.monitor.alert_summary().resolved, 1);
    assert_eq!(rig.monitor.alert_history().len(), 1);
}

#[test]
fn missing_data_and_nan_resolve_nothing() {
    let rig = Rig::new(|b| b.rule(high()));
    rig.tick(11.0);
    for nothing in [None, Some(f64::NAN), None] {
        rig.tick(nothing);
        assert_eq!(rig.state(), Some(AlertState::Firing));
    }
    rig.tick(1.0);
    assert_eq!(rig.state(), None);
}

#[test]
fn acknowledge_resolve_and_silence() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = told.clone();
    let rig = Rig::new(|b| b.rule(high()).on_alert(move |event| seen.lock().push(event.what)));
    rig.tick(11.0);
    let alert = rig.monitor.alerts()[0].clone();
    rig.monitor.acknowledge(alert.id, "ada").unwrap();
    assert_eq!(rig.monitor.alert_summary().acknowledged, 1);
    assert_eq!(rig.monitor.alerts()[0].acknowledged.as_ref().map(|a| a.by.as_str()), Some("ada"));
    rig.monitor.resolve(alert.id, "ada").unwrap();
    assert!(rig.monitor.resolve(alert.id, "ada").is_err(), "it is over");
    rig.clock.settle();
    assert_eq!(*told.lock(), [Happened::Fired, Happened::Acknowledged, Happened::Resolved]);

    rig.tick(1.0);
    let silence = rig.monitor.silence(Silence::all(), 10 * SECOND);
    rig.tick(11.0);
    assert_eq!(rig.monitor.alert_summary().silenced, 1);
    rig.clock.settle();
    assert_eq!(told.lock().len(), 3, "a silenced alert tells nobody");
    assert!(rig.monitor.unsilence(silence));
}

#[test]
fn a_corrective_action_runs_once_for_each_firing_and_its_result_is_kept() {
    let limit = Arc::new(AtomicUsize::new(64));
    let lowered = limit.clone();
    let rig = Rig::new(|b| {
        b.rule(high().act(move |firing| {
            let before = lowered.fetch_sub(32, Ordering::SeqCst);
            format!("lowered the limit from {before} at {}", firing.value)
        }))
    });
    rig.tick(11.0);
    rig.tick(12.0);
    rig.clock.settle();
    assert_eq!(limit.load(Ordering::SeqCst), 32, "one firing, one action");
    let actions = rig.monitor.alerts()[0].actions.clone();
    assert!(
        matches!(&actions[0].state, ActionState::Done(what) if what.contains("from 64 at 11")),
        "{actions:?}"
    );
    rig.tick(1.0);
    rig.tick(11.0);
    rig.clock.settle();
    assert_eq!(limit.load(Ordering::SeqCst), 0);
}

#[test]
fn a_panic_in_a_callback_or_an_action_stops_nobody() {
    let heard = Arc::new(AtomicUsize::new(0));
    let hears = heard.clone();
    let rig = Rig::new(|b| {
        b.rule(high().act(|_| -> String { panic!("in the action") }))
            .on_alert(|_| -> () { panic!("in the callback") })
            .on_alert(move |event| {
                if event.what == Happened::Fired {
                    hears.fetch_add(1, Ordering::SeqCst);
                }
            })
    });
    for _ in 0..3 {
        rig.tick(11.0);
        rig.tick(1.0);
    }
    rig.clock.settle();
    assert_eq!(heard.load(Ordering::SeqCst), 3);
    let actions = &rig.monitor.alert_history()[0].actions;
    assert!(
        matches!(&actions[0].state, ActionState::Failed(why) if why.contains("in the action")),
        "{actions:?}"
    );
}

#[test]
fn a_panic_in_a_collector_takes_no_other_with_it() {
    let rig = Rig::new(|b| b.collect("bad", || -> Samples { panic!("in the collector") }));
    rig.tick(3.0);
    assert_eq!(rig.monitor.value(&gauge("load_level")), Some(3.0));
    let bad = rig.monitor.collectors().into_iter().find(|c| &*c.name == "bad").unwrap();
    assert!(!bad.up && bad.failures > 0, "{bad:?}");
    assert!(bad.last_error.is_some_and(|error| error.contains("in the collector")));
}

#[test]
fn a_deadlock_is_reported_when_two_looks_agree_and_never_for_a_wait_that_moved_on() {
    let start = Instant::now();
    let edges = Arc::new(Mutex::new(Vec::new()));
    let read = edges.clone();
    let broken = Arc::new(Mutex::new(Vec::new()));
    let victims = broken.clone();
    let rig = Rig::new(|b| {
        b.watch_waits("files", move || read.lock().clone()).rule(
            Rule::new("deadlock")
                .kind(AlertKind::Deadlock)
                .severity(Severity::Critical)
                .when(ropewalk_monitor::deadlock())
                .act(move |firing| {
                    let youngest = firing
                        .deadlocks()
                        .iter()
                        .filter_map(|d| Some(d.youngest()?.owner.clone()))
                        .collect::<Vec<_>>();
                    victims.lock().extend(youngest);
                }),
        )
    });
    let cycle = |shift: u32| {
        vec![
            WaitEdge::new("agent-3", "agent-7", "src/lib.rs", start + shift * SECOND),
            WaitEdge::new("agent-7", "agent-3", "src/main.rs", start + (shift + 1) * SECOND),
        ]
    };
    // The waits begin anew between any two looks: each look sees a circle, no two the same.
    for shift in 0..4 {
        *edges.lock() = cycle(2 * shift);
        rig.tick(0.0);
        assert_eq!(rig.monitor.deadlocks(), []);
    }
    rig.tick(0.0);
    let found = rig.monitor.deadlocks();
    assert_eq!(found.len(), 1);
    let named = found[0].to_string();
    assert!(
        ["agent-3", "agent-7", "src/lib.rs", "src/main.rs"].iter().all(|name| named.contains(name)),
        "{named}"
    );
    rig.clock.settle();
    assert_eq!(*broken.lock(), ["agent-7"], "the one who waits for the shortest time");
    edges.lock().clear();
    rig.tick(0.0);
    assert_eq!(rig.monitor.deadlocks(), []);
}

#[cfg(feature = "system")]
#[test]
fn the_process_and_the_machine_are_real() {
    let rig = Rig::new(Builder::system);
    rig.tick(0.0);
    rig.tick(0.0);
    let text = rig.monitor.prometheus();
    let memory = text
        .lines()
        .find_map(|line| line.strip_prefix("process_memory_bytes ")?.parse::<f64>().ok())
        .unwrap_or_else(|| panic!("no memory of the process in {text}"));
    assert!(memory > 1e6, "{memory}");
}

#[test]
fn the_dashboard_shows_six_sections_and_the_health_says_why() {
    let rig = Rig::new(|b| b.rule(high().severity(Severity::Critical)));
    rig.tick(11.0);
    let dashboard = rig.monitor.dashboard();
    assert_eq!(dashboard.sections.len(), 6);
    let performance = dashboard.sections.iter().find(|s| s.id == Section::Performance).unwrap();
    assert_eq!(performance.cards.len(), 1);
    assert_eq!(dashboard.alerts[0].rule, "high");
    assert!(dashboard.health.score < 100.0 && dashboard.health.reasons.iter().any(|r| r.contains("high")));
}

#[test]
fn dropping_the_monitor_ends_its_threads() {
    let held = Arc::new(());
    let kept = held.clone();
    let rig = Rig::new(|b| {
        b.collect("keeps", move || {
            let _kept = &kept;
            Samples::new()
        })
    });
    rig.tick(0.0);
    drop(rig);
    assert_eq!(Arc::strong_count(&held), 1);
}
