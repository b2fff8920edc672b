//! Small helpers.

use ropewalk_balance::{Balancer, Need, Node, NodeId, Outcome};
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Polls once with a waker that nobody hears.
pub(crate) fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

pub(crate) fn waits<F: Future + Unpin>(future: &mut F) -> bool {
    poll(future).is_pending()
}

/// The output of a future that must be ready.
pub(crate) fn ready<F: Future + Unpin>(future: &mut F) -> F::Output {
    match poll(future) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future waits"),
    }
}

/// Nodes a, b, c... of these weights.
pub(crate) fn fill(nodes: &Balancer, weights: &[u32]) -> Vec<NodeId> {
    let ids = weights.iter().enumerate().map(|(i, weight)| {
        let name = char::from(b'a' + u8::try_from(i).unwrap()).to_string();
        nodes.insert(Node::new(name).weight(*weight)).unwrap()
    });
    ids.collect()
}

/// Picks one after the other, each ended with success; the addresses in order.
pub(crate) fn sequence(nodes: &Balancer, n: usize) -> String {
    (0..n)
        .map(|_| {
            let pick = nodes.pick(Need::any()).unwrap();
            let address = pick.node().address().to_owned();
            pick.complete(Outcome::Success);
            address
        })
        .collect()
}

pub(crate) fn count(sequence: &str) -> BTreeMap<char, usize> {
    let mut counts = BTreeMap::new();
    sequence.chars().for_each(|c| *counts.entry(c).or_default() += 1);
    counts
}

/// A pick of the node at `address`, by letting go of all others.
pub(crate) fn pick_of(nodes: &Balancer, address: &str) -> ropewalk_balance::Pick {
    let mut others = Vec::new();
    for _ in 0..10_000 {
        let pick = nodes.pick(Need::any()).unwrap();
        if pick.node().address() == address {
            return pick;
        }
        others.push(pick);
    }
    panic!("{address} is never picked");
}

/// A waker of the user's that panics.
pub(crate) struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("a waker of the user's");
    }
}

/// A waker that counts.
#[derive(Default)]
pub(crate) struct Bell(AtomicUsize);

impl Bell {
    pub(crate) fn rung(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn poll_with<F: Future + Unpin>(
    future: &mut F,
    waker: &Arc<impl Wake + Send + Sync + 'static>,
) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(&Waker::from(waker.clone())))
}

/// Puts a future in line with a waker that panics.
pub(crate) fn lay_a_bomb<F: Future + Unpin>(future: &mut F) {
    assert!(poll_with(future, &Arc::new(Bomb)).is_pending());
}

pub(crate) fn panics<R>(step: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(step)).is_err()
}
