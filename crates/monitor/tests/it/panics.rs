//! User code that panics, or that asks the monitor from wherever it is called.

use crate::{Rig, high};
use ropewalk_monitor::{AlertState, Labels, Rule, RuleError, gauge, raised};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
};

struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("in a waker");
    }
}

#[test]
fn a_waker_that_panics_ends_neither_the_monitor_nor_the_wait_of_others() {
    let rig = Rig::new(|b| b);
    let waker = Waker::from(Arc::new(Bomb));
    for _ in 0..3 {
        let after = rig.monitor.tick();
        let mut bomb = pin!(rig.monitor.ticked(after));
        assert!(bomb.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let mut other = pin!(rig.monitor.ticked(after));
        assert!(other.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        rig.tick(3.0);
        assert_eq!(rig.monitor.tick(), after + 1);
        assert!(!rig.monitor.is_stopped());
        assert!(other.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
    assert_eq!(rig.monitor.value(&gauge("load_level")), Some(3.0));
    let after = rig.monitor.tick();
    let handle = rig.monitor.handle();
    let mut last = pin!(handle.ticked(after));
    assert!(last.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(rig);
    assert!(handle.is_stopped(), "its end is told by a waker that panics, too");
}

/// Text that asks the monitor before it is one.
struct Asks<'a>(&'a Rig);

impl From<Asks<'_>> for String {
    fn from(asks: Asks<'_>) -> Self {
        format!("{} alerts", asks.0.monitor.alerts().len())
    }
}

struct Panics;

impl From<Panics> for String {
    fn from(_panics: Panics) -> Self {
        panic!("in a conversion")
    }
}

#[test]
fn what_a_caller_converts_runs_under_no_lock() {
    let rig = Rig::new(|b| b.rule(Rule::new("race").when(raised())));
    rig.monitor.raise("race", Labels::none(), Asks(&rig)).unwrap();
    let alert = rig.monitor.alerts()[0].clone();
    assert_eq!(alert.message, "0 alerts");
    rig.monitor.acknowledge(alert.id, Asks(&rig)).unwrap();
    assert_eq!(rig.monitor.alerts()[0].acknowledged.as_ref().map(|who| who.by.as_str()), Some("1 alerts"));
    rig.monitor.resolve(alert.id, Asks(&rig)).unwrap();
    assert!(!rig.monitor.alerts().iter().any(|active| active.id == alert.id));
}

#[test]
fn a_conversion_that_panics_changes_nothing() {
    let rig = Rig::new(|b| b.rule(Rule::new("race").when(raised())).rule(high()));
    rig.tick(11.0);
    let id = rig.monitor.alerts()[0].id;
    let before = rig.monitor.alerts();
    for call in 0..3 {
        let panicked = catch_unwind(AssertUnwindSafe(|| match call {
            0 => drop(rig.monitor.raise("race", Labels::none(), Panics)),
            1 => drop(rig.monitor.acknowledge(id, Panics)),
            _ => drop(rig.monitor.resolve(id, Panics)),
        }));
        assert!(panicked.is_err());
        assert_eq!(rig.monitor.alerts(), before);
    }
    rig.tick(1.0);
    assert_eq!(rig.state(), None, "the monitor goes on");
}

#[test]
fn a_rule_that_is_refused_drops_what_it_owns_under_no_lock() {
    struct Asks(ropewalk_monitor::Handle, Arc<AtomicUsize>);
    impl Drop for Asks {
        fn drop(&mut self) {
            self.1.fetch_add(1 + self.0.alerts().len(), Ordering::SeqCst);
        }
    }
    let rig = Rig::new(|b| b.rule(high()));
    let dropped = Arc::new(AtomicUsize::new(0));
    let asks = Asks(rig.monitor.handle(), dropped.clone());
    let refused = rig.monitor.rule(high().act(move |_| {
        let _owned = &asks;
    }));
    assert_eq!(refused, Err(RuleError::Duplicate("high".into())));
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    rig.tick(11.0);
    assert_eq!(rig.state(), Some(AlertState::Firing));
}
