//! Futures in a model.

use super::threads::{self as thread, Thread};
use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Drives `future` to its end on this thread, which parks between polls.
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    poll_at_most(usize::MAX, future).expect("polled until it is ready")
}

/// Polls `future` at most `polls` times, parking in between, then drops it; `None` when it was not ready.
#[track_caller]
pub fn poll_at_most<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    for left in (0..polls).rev() {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        if left > 0 {
            thread::park();
        }
    }
    None
}
