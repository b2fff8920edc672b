//! A thread that stops for good before its k-th step, inside loom.
//!
//! The quick filter before the explorer: it sees one suspended thread at a time, but under the weak memory model. The
//! suspended thread sleeps until nobody else can move for a reason other than it, then goes on so that the execution
//! ends. If somebody waits for it, loom reports a deadlock or an execution without end.

use super::step::Site;
use std::cell::RefCell;

/// What one execution is to do, and has done.
#[derive(Default)]
struct Stall {
    /// Thread and the number of steps it takes before it stops.
    victim: Option<(usize, u64)>,
    /// Where it stopped.
    at: Option<Site>,
    sleeping: Option<loom::thread::Thread>,
    /// Threads that are neither finished nor waiting for the end of another.
    moving: usize,
    /// Steps of each thread, the greatest over all executions.
    most: Vec<u64>,
    steps: Vec<u64>,
    names: Vec<loom::thread::ThreadId>,
    released: bool,
}

thread_local! {
    static STALL: RefCell<Option<Stall>> = const { RefCell::new(None) };
}

fn with<R>(f: impl FnOnce(&mut Stall) -> R) -> Option<R> {
    STALL.with_borrow_mut(|stall| stall.as_mut().map(f))
}

/// Runs models with a plan until [`end`].
pub(crate) fn begin(victim: Option<(usize, u64)>) {
    STALL.set(Some(Stall { victim, ..Stall::default() }));
}

/// The most steps of each thread, and where the victim last stopped.
pub(crate) fn end() -> (Vec<u64>, Option<Site>) {
    STALL.take().map(|stall| (stall.most, stall.at)).unwrap_or_default()
}

/// A new execution.
pub(crate) fn execution() {
    with(|s| {
        (s.sleeping, s.released, s.moving) = (None, false, 1);
        s.steps = vec![0];
        s.names = vec![loom::thread::current().id()];
    });
}

/// A thread was started.
pub(crate) fn started() {
    with(|s| {
        s.moving += 1;
        s.steps.push(0);
        s.names.push(loom::thread::current().id());
    });
}

/// The caller stops moving: it ended, or waits for the end of another.
pub(crate) fn rests() {
    let woken = with(|s| {
        s.moving = s.moving.saturating_sub(1);
        if s.moving == 0 {
            s.released = true;
            return s.sleeping.take();
        }
        None
    });
    if let Some(Some(thread)) = woken {
        thread.unpark();
    }
}

/// It moves again.
pub(crate) fn moves() {
    with(|s| s.moving += 1);
}

/// Counts a step, and stops the victim before its own.
pub(crate) fn step(site: Site) {
    if std::thread::panicking() || STALL.with_borrow(Option::is_none) {
        return;
    }
    let id = loom::thread::current().id();
    let stops = with(|s| {
        let Some(me) = s.names.iter().position(|&name| name == id) else { return false };
        let taken = s.steps[me];
        s.steps[me] += 1;
        if s.most.len() < s.steps.len() {
            s.most.resize(s.steps.len(), 0);
        }
        s.most[me] = s.most[me].max(s.steps[me]);
        if s.victim != Some((me, taken)) || s.released {
            return false;
        }
        s.at = Some(site);
        s.moving -= 1;
        if s.moving == 0 {
            s.released = true;
            return false;
        }
        s.sleeping = Some(loom::thread::current());
        true
    });
    if stops == Some(true) {
        while with(|s| s.released) == Some(false) {
            loom::thread::park();
        }
    }
}
