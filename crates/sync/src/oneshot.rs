//! One value from one place to another, for threads and tasks.

use crate::block_on;
use ropewalk_prove::{Latch, sync::Arc};
use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// A sender and the receiver of its one value.
///
/// ```
/// let (tx, rx) = ropewalk_sync::oneshot();
/// std::thread::spawn(move || tx.send(42));
/// assert_eq!(rx.recv_blocking(), Ok(42));
/// ```
pub fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Latch::new(State { slot: Slot::Empty, receiver: None, sender: None }));
    (Sender { shared: Some(shared.clone()) }, Receiver { shared })
}

/// Sends the value; dropping it unsent tells the receiver.
#[derive(Debug)]
pub struct Sender<T> {
    shared: Option<Arc<Latch<State<T>>>>,
}

/// Receives the value: a future, and [`recv_blocking`](Self::recv_blocking). Dropping it tells the
/// sender.
#[derive(Debug)]
#[must_use = "the value arrives only where it is received"]
pub struct Receiver<T> {
    shared: Arc<Latch<State<T>>>,
}

/// The sender went away without sending, or the value was received already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sender was dropped without sending a value")]
pub struct Canceled;

#[derive(Debug)]
struct State<T> {
    slot: Slot<T>,
    receiver: Option<Waker>,
    sender: Option<Waker>,
}

#[derive(Debug)]
enum Slot<T> {
    Empty,
    Sent(T),
    /// The sender is gone and nothing (more) will come.
    Closed,
    /// The receiver is gone.
    Abandoned,
}

impl<T> Sender<T> {
    /// Sends `value` and wakes the receiver.
    ///
    /// # Errors
    ///
    /// Gives the value back when the receiver is gone.
    pub fn send(mut self, value: T) -> Result<(), T> {
        let Some(shared) = self.shared.take() else { return Err(value) };
        let mut state = shared.lock();
        if matches!(state.slot, Slot::Abandoned) {
            return Err(value);
        }
        state.slot = Slot::Sent(value);
        let (receiver, sender) = (state.receiver.take(), state.sender.take());
        drop(state);
        drop(sender);
        if let Some(waker) = receiver {
            waker.wake();
        }
        Ok(())
    }

    /// Whether the receiver is gone, so that the work for it may stop.
    pub fn is_canceled(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| matches!(shared.lock().slot, Slot::Abandoned))
    }

    /// Ready when the receiver is gone.
    pub fn poll_canceled(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Some(shared) = &self.shared else { return Poll::Ready(()) };
        let waker = cx.waker().clone();
        let mut state = shared.lock();
        if matches!(state.slot, Slot::Abandoned) {
            return Poll::Ready(());
        }
        let old = state.sender.replace(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else { return };
        let mut state = shared.lock();
        if matches!(state.slot, Slot::Empty) {
            state.slot = Slot::Closed;
        }
        let (receiver, sender) = (state.receiver.take(), state.sender.take());
        drop(state);
        drop(sender);
        if let Some(waker) = receiver {
            waker.wake();
        }
    }
}

impl<T> Receiver<T> {
    /// The value if it has arrived.
    ///
    /// # Errors
    ///
    /// [`Canceled`] when none will arrive.
    pub fn try_recv(&mut self) -> Result<Option<T>, Canceled> {
        let mut state = self.shared.lock();
        match state.slot {
            Slot::Empty => Ok(None),
            Slot::Sent(_) => match std::mem::replace(&mut state.slot, Slot::Closed) {
                Slot::Sent(value) => Ok(Some(value)),
                Slot::Empty | Slot::Closed | Slot::Abandoned => unreachable!("just seen"),
            },
            Slot::Closed | Slot::Abandoned => Err(Canceled),
        }
    }

    /// Parks this thread until the value arrives.
    ///
    /// # Errors
    ///
    /// [`Canceled`] when none will arrive.
    pub fn recv_blocking(self) -> Result<T, Canceled> {
        block_on(self)
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, Canceled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.try_recv() {
            Ok(None) => {}
            Ok(Some(value)) => return Poll::Ready(Ok(value)),
            Err(canceled) => return Poll::Ready(Err(canceled)),
        }
        let waker = cx.waker().clone();
        let mut state = self.shared.lock();
        let old = state.receiver.replace(waker);
        let arrived = !matches!(state.slot, Slot::Empty);
        drop(state);
        drop(old);
        // It may have arrived between the look and the registration.
        if arrived {
            return match self.try_recv() {
                Ok(Some(value)) => Poll::Ready(Ok(value)),
                Ok(None) => Poll::Pending,
                Err(canceled) => Poll::Ready(Err(canceled)),
            };
        }
        Poll::Pending
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let value = std::mem::replace(&mut state.slot, Slot::Abandoned);
        let (receiver, sender) = (state.receiver.take(), state.sender.take());
        drop(state);
        drop((value, receiver));
        if let Some(waker) = sender {
            waker.wake();
        }
    }
}
