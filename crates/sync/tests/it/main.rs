//! What the waiting kernel promises, in a normal build.

mod background;
mod clock;
mod deadlines;
mod event;
mod oneshot;
mod queue;
mod semaphore;

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Woken {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A waker that is user code at its worst.
struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        // Past the hook: nobody wants to read about it.
        std::panic::resume_unwind(Box::new("in the waker"));
    }
}

fn bomb() -> Waker {
    Waker::from(Arc::new(Bomb))
}

/// Tells whether `f` panicked.
fn panics<R>(f: impl FnOnce() -> R) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err()
}

fn poll_with<F: Future + Unpin>(future: &mut F, waker: Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn public_types_are_send_and_sync() {
    fn assert_send_sync<T: Send + Sync>() {}
    fn assert_send<T: Send>() {}
    assert_send_sync::<ropewalk_sync::Semaphore>();
    assert_send_sync::<ropewalk_sync::OwnedPermit>();
    assert_send_sync::<ropewalk_sync::Acquire<&ropewalk_sync::Semaphore>>();
    assert_send_sync::<ropewalk_sync::Clock>();
    assert_send_sync::<ropewalk_sync::Sleep>();
    assert_send_sync::<ropewalk_sync::Event>();
    assert_send_sync::<ropewalk_sync::Signal>();
    assert_send_sync::<ropewalk_sync::WaitQueue<u8, u8>>();
    assert_send_sync::<ropewalk_sync::Background>();
    assert_send::<ropewalk_sync::Sender<u8>>();
    assert_send::<ropewalk_sync::Receiver<u8>>();
}
