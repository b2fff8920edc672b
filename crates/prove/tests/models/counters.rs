//! One word.

use crate::specimens::{Countdown, Dekker};
use ropewalk_prove::{
    Explorer, Witness, lock_free, model, operation,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread, wait_free,
};

/// One `operation` beside a thread that does `n` of `other`.
fn beside<T: Send + Sync + 'static>(
    make: fn(usize) -> T,
    one: fn(&T),
    other: fn(&T),
) -> impl Fn(usize) -> Box<dyn Fn() + Send + Sync> {
    move |n| {
        Box::new(move || {
            let shared = Arc::new(make(n));
            let theirs = shared.clone();
            let t = thread::spawn(move || (0..n).for_each(|_| other(&theirs)));
            operation("one", || one(&shared));
            t.join().unwrap();
        })
    }
}

fn countdown_client() {
    let shared = Arc::new((Countdown::new(3), [Witness::new(), Witness::new(), Witness::new()]));
    let threads: Vec<_> = (1..3)
        .map(|me| {
            let shared = shared.clone();
            thread::spawn(move || finish(&shared, me))
        })
        .collect();
    let mut last = usize::from(finish(&shared, 0));
    last += threads.into_iter().map(|t| usize::from(t.join().unwrap())).sum::<usize>();
    assert_eq!(last, 1, "one is the last");
}

/// Each writes what is its own; the last reads what all wrote.
fn finish(shared: &(Countdown, [Witness; 3]), me: usize) -> bool {
    shared.1[me].write();
    let last = shared.0.done();
    if last {
        shared.1.iter().for_each(Witness::read);
    }
    last
}

#[test]
fn countdown_done_vs_done() {
    model(countdown_client);
}

#[test]
fn countdown_done_vs_done_is_lock_free() {
    lock_free(countdown_client);
}

#[test]
fn countdown_done_vs_done_is_wait_free() {
    wait_free("one", beside(|n| Countdown::new(n as u32 + 1), |c| _ = c.done(), |c| _ = c.done()));
}

fn raise(word: &AtomicU32) {
    let mut seen = word.load(Relaxed);
    while let Err(now) = word.compare_exchange(seen, seen + 1, Relaxed, Relaxed) {
        seen = now;
    }
}

#[test]
fn control_a_retry_loop_is_not_wait_free() {
    let grows = Explorer::new().wait_free("one", beside(|_| AtomicU32::new(0), raise, raise)).unwrap_err();
    assert_eq!(grows.steps, [3, 4, 5, 6], "a load, an exchange, and one more for each that came between");
}

#[test]
fn word_raise_vs_raise_is_lock_free() {
    lock_free(|| {
        let word = Arc::new(AtomicU32::new(0));
        let theirs = word.clone();
        let t = thread::spawn(move || raise(&theirs));
        raise(&word);
        t.join().unwrap();
        assert_eq!(word.load(Relaxed), 2);
    });
}

#[test]
fn dekker_enter_vs_enter() {
    model(|| {
        let dekker = Arc::new(Dekker::new());
        let theirs = dekker.clone();
        let t = thread::spawn(move || theirs.enter(1));
        let mine = dekker.enter(0);
        assert!(!(mine && t.join().unwrap()), "both entered");
    });
}
