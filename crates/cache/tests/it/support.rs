//! What several test modules use.

use std::{
    hash::{BuildHasher, Hasher},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// All keys share two hashes, so chains are the rule.
#[derive(Clone, Copy, Default)]
pub(crate) struct Colliding;

pub(crate) struct TwoHashes(u64);

impl BuildHasher for Colliding {
    type Hasher = TwoHashes;
    fn build_hasher(&self) -> TwoHashes {
        TwoHashes(0)
    }
}

impl Hasher for TwoHashes {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 = u64::from(bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)) & 1);
    }
}

/// A waker that counts.
#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wakes {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls once with a waker that does nothing.
pub(crate) fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Pending `n` times, waking itself.
pub(crate) async fn yields(n: usize) {
    for _ in 0..n {
        let mut first = true;
        std::future::poll_fn(|cx| {
            if std::mem::take(&mut first) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }
}
