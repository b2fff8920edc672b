//! Timers: an ordered map of deadlines to wakers, shared by all clones of a clock.

use parking_lot::{Condvar, Mutex};
use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    task::Waker,
    thread,
    time::Instant,
};

/// Names one registered timer; ordered by deadline, then by registration.
pub(crate) type Key = (Instant, u64);

/// The registered timers of one clock.
#[derive(Default)]
pub(crate) struct Timers {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    timers: BTreeMap<Key, Waker>,
    next: u64,
    threaded: bool,
    stopped: bool,
}

impl Timers {
    pub(crate) fn insert(&self, deadline: Instant, waker: Waker) -> Key {
        let mut state = self.state.lock();
        let key = (deadline, state.next);
        state.next += 1;
        state.timers.insert(key, waker);
        let first = state.timers.first_key_value().is_some_and(|(&first, _)| first == key);
        drop(state);
        if first {
            self.changed.notify_one();
        }
        key
    }

    /// Replaces the waker of a timer; false when it has fired.
    pub(crate) fn update(&self, key: Key, waker: &Waker) -> bool {
        let mut waker = waker.clone();
        let mut state = self.state.lock();
        let live = state.timers.get_mut(&key).map(|slot| std::mem::swap(slot, &mut waker)).is_some();
        drop(state);
        live
    }

    pub(crate) fn remove(&self, key: Key) {
        let waker = self.state.lock().timers.remove(&key);
        drop(waker);
    }

    /// The earliest deadline.
    #[cfg(feature = "test-util")]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.state.lock().timers.first_key_value().map(|(&(deadline, _), _)| deadline)
    }

    /// Takes out the wakers of all timers due at `now`, in order.
    #[cfg(feature = "test-util")]
    pub(crate) fn take_due(&self, now: Instant) -> Vec<Waker> {
        self.state.lock().take_due(now)
    }

    /// Starts the timer thread if none runs.
    pub(crate) fn ensure_thread(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.threaded || state.stopped {
            return;
        }
        state.threaded = true;
        drop(state);
        let timers = Arc::downgrade(self);
        let started = thread::Builder::new().name("ropewalk-timer".into()).spawn(move || run(&timers));
        if let Err(error) = started {
            self.state.lock().threaded = false;
            panic!("the operating system refused the timer thread: {error}");
        }
    }

    /// Ends the timer thread.
    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_one();
    }
}

impl State {
    fn take_due(&mut self, now: Instant) -> Vec<Waker> {
        let mut due = Vec::new();
        while let Some(first) = self.timers.first_entry() {
            if first.key().0 > now {
                break;
            }
            due.push(first.remove());
        }
        due
    }
}

fn run(timers: &Weak<Timers>) {
    while let Some(timers) = timers.upgrade() {
        let mut state = timers.state.lock();
        if state.stopped {
            return;
        }
        let due = state.take_due(Instant::now());
        if !due.is_empty() {
            drop(state);
            for waker in due {
                // A waker is user code; one that panics must not take the others' timers with it.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| waker.wake()));
            }
            continue;
        }
        match state.timers.first_key_value() {
            Some((&(deadline, _), _)) => {
                timers.changed.wait_until(&mut state, deadline);
            }
            None => timers.changed.wait(&mut state),
        }
    }
}
