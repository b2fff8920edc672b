//! Events and signals.

use ropewalk_prove::{
    Cancel, Holders, Witness, cancel_everywhere, future::block_on, model, sync::Arc, thread, waits_only_for,
};
use ropewalk_sync::{Event, Signal};

#[test]
fn event_set_vs_wait_publishes_what_happened() {
    model(|| {
        let (event, datum) = (Arc::new(Event::new()), Arc::new(Witness::new()));
        let (e, d) = (event.clone(), datum.clone());
        let t = thread::spawn(move || {
            d.write();
            e.set();
        });
        block_on(event.wait());
        datum.read();
        t.join().unwrap();
    });
}

#[test]
fn event_is_set_vs_set_publishes_what_happened() {
    model(|| {
        let (event, datum) = (Arc::new(Event::new()), Arc::new(Witness::new()));
        let (e, d) = (event.clone(), datum.clone());
        let t = thread::spawn(move || {
            d.write();
            e.set();
        });
        if event.is_set() {
            datum.read();
        }
        t.join().unwrap();
    });
}

#[test]
fn event_set_vs_reset() {
    model(|| {
        let event = Arc::new(Event::new());
        let e = event.clone();
        let t = thread::spawn(move || e.reset());
        event.set();
        // Reset or not, one who waits from before is woken by the next set.
        t.join().unwrap();
        event.set();
        block_on(event.wait());
        assert!(event.is_set());
    });
}

#[test]
fn event_set_vs_reset_waits_only_for_latches() {
    waits_only_for(Holders::LATCHES, || {
        let event = Arc::new(Event::new());
        let e = event.clone();
        let t = thread::spawn(move || {
            e.reset();
            e.is_set()
        });
        event.set();
        t.join().unwrap();
    });
}

#[test]
fn event_wait_cancelled_everywhere() {
    cancel_everywhere(|cancel: &Cancel| {
        let event = Arc::new(Event::new());
        let e = event.clone();
        let t = thread::spawn(move || e.set());
        let _ = cancel.run(event.wait());
        t.join().unwrap();
        block_on(event.wait());
    });
}

#[test]
fn signal_notify_vs_notified() {
    model(|| {
        let signal = Arc::new(Signal::new());
        let s = signal.clone();
        let t = thread::spawn(move || s.notify());
        block_on(signal.notified());
        t.join().unwrap();
    });
}

#[test]
fn signal_notify_vs_notify_are_kept_as_one() {
    model(|| {
        let signal = Arc::new(Signal::new());
        let s = signal.clone();
        let t = thread::spawn(move || s.notify());
        signal.notify();
        t.join().unwrap();
        block_on(signal.notified());
        let again = ropewalk_prove::future::poll_at_most(1, signal.notified());
        assert_eq!(again, None, "two that nobody waited for are one");
    });
}

#[test]
fn signal_notified_cancelled_everywhere() {
    cancel_everywhere(|cancel: &Cancel| {
        let signal = Arc::new(Signal::new());
        let s = signal.clone();
        let t = thread::spawn(move || s.notify());
        if cancel.run(signal.notified()).is_none() {
            // What reached the one who left is passed on.
            block_on(signal.notified());
        }
        t.join().unwrap();
    });
}
