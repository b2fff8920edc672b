//! A cancellation after every poll, a panic at every callback.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

/// After this many rounds a client is taken to have no end.
const ROUNDS: usize = 64;

/// Which poll a future is dropped after.
#[derive(Clone, Debug)]
pub struct Cancel {
    polls: usize,
    cut: Arc<AtomicBool>,
}

impl Cancel {
    /// Polls `future` as often as this round says, parking in between, and drops it if it is not ready then.
    pub fn run<F: Future>(&self, future: F) -> Option<F::Output> {
        let output = crate::future::poll_at_most(self.polls, future);
        if output.is_none() {
            self.cut.store(true, Relaxed);
        }
        output
    }
}

/// Runs `client` with its future dropped before the first poll, after the first, after the second and so on, until a round
/// in which no execution is left to cut; each round in every schedule of the other threads.
///
/// `client` asserts that nothing was lost. In a normal build each round runs once.
///
/// # Panics
///
/// When an assertion fails in some execution, when everybody waits, or when there is no end.
#[track_caller]
pub fn cancel_everywhere(client: impl Fn(&Cancel) + Send + Sync + 'static) {
    let client = Arc::new(client);
    for polls in 0..ROUNDS {
        let cancel = Cancel { polls, cut: Arc::default() };
        let (client, round) = (client.clone(), cancel.clone());
        safe("cancel", move || client(&round));
        if !cancel.cut.load(Relaxed) {
            return;
        }
    }
    panic!("the future was still pending after {ROUNDS} polls");
}

/// What [`Panics::here`] throws.
struct Injected;

/// Which call of a user's callback panics.
#[derive(Clone, Debug)]
pub struct Panics {
    at: usize,
    calls: Arc<AtomicUsize>,
}

impl Panics {
    /// To be called by every callback: panics if it is its turn.
    ///
    /// # Panics
    ///
    /// That is its purpose.
    pub fn here(&self) {
        if self.calls.fetch_add(1, Relaxed) == self.at {
            // Past the hook: nobody wants to read about it.
            resume_unwind(Box::new(Injected));
        }
    }

    /// Runs `f`; `None` if the injected panic came out of it. Other panics go on.
    pub fn catch<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(f)) {
            Ok(value) => Some(value),
            Err(payload) if payload.is::<Injected>() => None,
            Err(payload) => resume_unwind(payload),
        }
    }

    /// How often a callback has been called in this execution.
    pub fn calls(&self) -> usize {
        self.calls.load(Relaxed)
    }

    /// Whether this round's panic has happened.
    pub fn happened(&self) -> bool {
        self.calls.load(Relaxed) > self.at
    }
}

/// Runs `client` with a panic in the first call of a callback, in the second and so on, until a round in which there are
/// fewer calls.
///
/// `client` calls [`Panics::here`] in every callback, lets [`Panics::catch`] stop the panic and asserts that nothing was
/// lost. In a model build each round runs in every schedule; steps taken while unwinding are not preempted.
///
/// # Panics
///
/// When an assertion fails in some execution, when everybody waits, or when there is no end.
#[track_caller]
pub fn panic_everywhere(client: impl Fn(&Panics) + Send + Sync + 'static) {
    let client = Arc::new(client);
    for at in 0..ROUNDS {
        let reached = Arc::new(AtomicBool::new(false));
        let (client, seen) = (client.clone(), reached.clone());
        safe("panic", move || {
            let panics = Panics { at, calls: Arc::default() };
            client(&panics);
            seen.fetch_or(panics.happened(), Relaxed);
        });
        if !reached.load(Relaxed) {
            return;
        }
    }
    panic!("callbacks were still called after {ROUNDS} rounds");
}

#[cfg(ropewalk_loom)]
#[track_caller]
fn safe(claim: &'static str, body: impl Fn() + Send + Sync + 'static) {
    crate::modelled::claims::safe_as(claim, Arc::new(body));
}

#[cfg(not(ropewalk_loom))]
fn safe(_: &str, body: impl Fn()) {
    body();
}
