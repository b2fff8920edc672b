//! What the waiting kernel promises, in a normal build.

mod background;
mod clock;
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
