//! The crate seen from outside.

mod cancel;
mod executor;
mod limits;
mod mailbox;
mod needs;
mod panics;
mod shutdown;
mod stress;
mod tasks;
mod team;

use ropewalk_agents::*;
use ropewalk_sync::Clock;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

#[test]
fn types_are_send_and_sync() {
    fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Coordinator>();
    assert_send_sync::<CoordinatorBuilder>();
    assert_send_sync::<TaskBuilder>();
    assert_send_sync::<TaskHandle<u8>>();
    assert_send_sync::<TaskCx>();
    assert_send_sync::<AgentHandle>();
    assert_send_sync::<Mailbox<u8>>();
    assert_send_sync::<Message>();
    assert_send_sync::<CancelToken>();
    assert_send_sync::<Snapshot>();
    assert_send_sync::<TaskError>();
    assert_send_sync::<Spawner>();
    assert_send_sync::<Executor>();
}

/// A team on a clock that stands still.
fn virtual_team(setup: impl FnOnce(CoordinatorBuilder) -> CoordinatorBuilder) -> (Coordinator, Clock) {
    let clock = Clock::virtual_();
    let builder = Coordinator::builder().clock(clock.clone()).threads(2).backoff(Backoff::none());
    (setup(builder).build().expect("the test's settings are valid"), clock)
}

/// A waker of the user's that panics.
struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("a waker of the user's");
    }
}

/// A waker that counts.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Bell {
    fn rung(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(waker))
}

fn waits<F: Future + Unpin>(future: &mut F) -> bool {
    poll_with(future, Waker::noop()).is_pending()
}

fn ready<F: Future + Unpin>(future: &mut F) -> F::Output {
    match poll_with(future, Waker::noop()) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future waits"),
    }
}

/// Lets a future wait with a waker that panics.
fn lay_a_bomb<F: Future + Unpin>(future: &mut F) {
    assert!(poll_with(future, &Waker::from(Arc::new(Bomb))).is_pending());
}

fn panics<R>(step: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(step)).is_err()
}
