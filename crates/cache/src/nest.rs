//! Loads inside loads: how one that waits for itself is found.
//!
//! While a loader runs on a thread (a closure, or one poll of a future) the flight it works for stands
//! on the thread's stack of flights. Whoever joins a flight from inside a loader waits *for* the joined
//! flight *on behalf of* all on its stack. A cycle of such waits would hang for ever; so each wait is
//! entered as edges in a graph, under its latch, after a look whether they would close a cycle.
//!
//! What is found: a loader that asks for its own key, directly or through other keys, on one thread or
//! across threads and tasks, within one cache. What is not: a loader that hands the question to another
//! task or thread and waits for that one's answer, and cycles through two caches on two threads.

use parking_lot::Mutex;
use std::{cell::RefCell, collections::HashMap};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(pub(crate) usize);

thread_local! {
    static STACK: RefCell<Vec<Id>> = const { RefCell::new(Vec::new()) };
}

/// Keeps a flight on this thread's stack.
pub(crate) struct Inside(());

impl Inside {
    pub(crate) fn of(flight: Id) -> Option<Self> {
        // While the thread is torn down nothing is recorded, and so nothing found.
        STACK.try_with(|stack| stack.borrow_mut().push(flight)).ok().map(|()| Self(()))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = STACK.try_with(|stack| stack.borrow_mut().pop());
    }
}

fn stack() -> Vec<Id> {
    STACK.try_with(|stack| stack.borrow().clone()).unwrap_or_default()
}

/// Who waits for whom, for waits from inside a loader only.
#[derive(Debug, Default)]
pub(crate) struct Waits(Mutex<HashMap<Id, Vec<Id>>>);

/// The edges of one wait.
#[derive(Debug, Default)]
pub(crate) struct Edges {
    from: Vec<Id>,
    to: Option<Id>,
}

impl Waits {
    /// Enters a wait of this thread for `flight`; `None` when it would wait for itself.
    pub(crate) fn enter(&self, flight: Id) -> Option<Edges> {
        let from = stack();
        if from.is_empty() {
            return Some(Edges::default());
        }
        let mut graph = self.0.lock();
        let mut seen = vec![flight];
        let mut next = 0;
        while let Some(&at) = seen.get(next) {
            if from.contains(&at) {
                return None;
            }
            for &to in graph.get(&at).into_iter().flatten() {
                if !seen.contains(&to) {
                    seen.push(to);
                }
            }
            next += 1;
        }
        for &id in &from {
            graph.entry(id).or_default().push(flight);
        }
        Some(Edges { from, to: Some(flight) })
    }

    /// Takes the edges of a wait that is over.
    pub(crate) fn leave(&self, edges: &Edges) {
        let Some(flight) = edges.to else { return };
        let mut graph = self.0.lock();
        for id in &edges.from {
            if let Some(to) = graph.get_mut(id) {
                if let Some(at) = to.iter().position(|&other| other == flight) {
                    to.swap_remove(at);
                }
                if to.is_empty() {
                    graph.remove(id);
                }
            }
        }
    }
}
