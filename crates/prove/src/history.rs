//! Linearizability: a history recorded inside a model, checked against a sequential one.

use crate::sync::atomic::{AtomicUsize, Ordering};
use std::{
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
};

/// A sequential object: what each operation returns when nobody else is there.
pub trait Sequential: Clone {
    /// An operation with its arguments.
    type Op: Clone + Debug + Send + 'static;
    /// What it returns.
    type Return: Clone + PartialEq + Debug + Send + 'static;

    /// Does the operation.
    fn apply(&mut self, op: &Self::Op) -> Self::Return;
}

#[derive(Clone, Debug)]
struct Call<O, R> {
    op: O,
    returned: R,
    from: usize,
    to: usize,
}

#[derive(Debug)]
struct Inner<O, R> {
    /// Real time. It orders calls for loom too, so no ordering is judged by a model that has it.
    clock: AtomicUsize,
    calls: Mutex<Vec<Call<O, R>>>,
}

/// The calls of one execution, with the times at which they began and ended.
#[derive(Debug)]
pub struct History<S: Sequential>(Arc<Inner<S::Op, S::Return>>);

impl<S: Sequential> Clone for History<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Sequential> History<S> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner { clock: AtomicUsize::new(0), calls: Mutex::default() }))
    }

    /// Does `call`, and records it as `op`.
    pub fn call(&self, op: S::Op, call: impl FnOnce() -> S::Return) -> S::Return {
        // AcqRel: pairs with itself, so that "ended before the other began" is a happens-before.
        let from = self.0.clock.fetch_add(1, Ordering::AcqRel);
        let returned = call();
        let to = self.0.clock.fetch_add(1, Ordering::AcqRel);
        let call = Call { op, returned: returned.clone(), from, to };
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        returned
    }

    /// # Panics
    ///
    /// When no order of the calls that respects their times explains what they returned.
    pub(crate) fn check(&self, start: &S) {
        let calls = self.0.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let mut order = Vec::new();
        assert!(explains(&calls, &mut order, start), "not linearizable: {calls:#?}");
    }
}

/// Wing and Gong's search: which call could come first, then which next.
fn explains<S: Sequential>(calls: &[Call<S::Op, S::Return>], order: &mut Vec<usize>, state: &S) -> bool {
    if order.len() == calls.len() {
        return true;
    }
    let open = |i: &usize| !order.contains(i);
    let first_end = (0..calls.len()).filter(open).map(|i| calls[i].to).min().unwrap_or(usize::MAX);
    let candidates: Vec<usize> =
        (0..calls.len()).filter(open).filter(|&i| calls[i].from < first_end).collect();
    candidates.into_iter().any(|i| {
        let mut next = state.clone();
        if next.apply(&calls[i].op) != calls[i].returned {
            return false;
        }
        order.push(i);
        let explained = explains(calls, order, &next);
        order.pop();
        explained
    })
}

/// Checks that in every execution of `client` the recorded calls are linearizable with regard to `start`
/// (Herlihy and Wing, 1990): each seems to happen at one instant between its beginning and its end.
///
/// In a normal build the client runs once.
///
/// # Panics
///
/// With the history that nothing explains.
pub fn linearizable<S: Sequential + Send + Sync + 'static>(
    start: S,
    client: impl Fn(&History<S>) + Send + Sync + 'static,
) {
    let body = move || {
        let history = History::new();
        client(&history);
        history.check(&start);
    };
    #[cfg(ropewalk_loom)]
    crate::modelled::run::ordering("linearizable", Arc::new(body));
    #[cfg(not(ropewalk_loom))]
    body();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Register(u32);

    impl Sequential for Register {
        type Op = Option<u32>;
        type Return = u32;
        fn apply(&mut self, op: &Option<u32>) -> u32 {
            if let Some(value) = op {
                self.0 = *value;
            }
            self.0
        }
    }

    fn call(op: Option<u32>, returned: u32, from: usize, to: usize) -> Call<Option<u32>, u32> {
        Call { op, returned, from, to }
    }

    fn is_linearizable(calls: &[Call<Option<u32>, u32>]) -> bool {
        explains(calls, &mut Vec::new(), &Register::default())
    }

    #[test]
    fn calls_side_by_side_may_come_in_either_order() {
        assert!(is_linearizable(&[call(Some(1), 1, 0, 3), call(None, 0, 1, 2)]));
        assert!(is_linearizable(&[call(Some(1), 1, 0, 3), call(None, 1, 1, 2)]));
    }

    #[test]
    fn a_read_after_a_finished_write_sees_it() {
        assert!(is_linearizable(&[call(Some(1), 1, 0, 1), call(None, 1, 2, 3)]));
        assert!(!is_linearizable(&[call(Some(1), 1, 0, 1), call(None, 0, 2, 3)]));
    }

    #[test]
    fn two_reads_in_a_row_do_not_go_back() {
        assert!(!is_linearizable(&[call(Some(1), 1, 0, 5), call(None, 1, 1, 2), call(None, 0, 3, 4)]));
    }
}
