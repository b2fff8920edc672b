//! A bounded queue of messages, for threads and tasks on both sides.
//!
//! A place in the queue is a permit of a fair semaphore that travels with the message, so senders are
//! served strictly in the order in which they came. Receivers stand in one line too; what they are
//! handed is a hint to look, so a receiver that is dropped loses nothing.
//!
//! A waker is its owner's: a panic of it costs the one who set it off nothing, neither the message just taken nor
//! the news of how the sending went.

use crate::{
    error::{RecvError, SendError},
    guard::caught,
};
use parking_lot::Mutex;
use ropewalk_sync::{
    Cancelled, Clock, Elapsed, OwnedPermit, Polled, Semaphore, Ticket, TryAcquireError, WaitQueue,
};
use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// What happens to a message when the mailbox is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Overflow {
    /// The sender waits, or gets it back from `try_send`. Nothing is ever dropped.
    #[default]
    Wait,
    /// The oldest message is dropped to make room; sending never waits.
    DropOldest,
    /// The new message is dropped; sending never waits.
    DropNewest,
}

/// What became of a message that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sent {
    /// It is in the mailbox.
    Delivered,
    /// It is in the mailbox, and the oldest was dropped for it.
    DroppedOldest,
    /// It was dropped.
    DroppedNewest,
}

/// A bounded mailbox. Clones are handles to one; any number may send and receive.
///
/// ```
/// use ropewalk_agents::Mailbox;
///
/// let mailbox = Mailbox::new(2);
/// mailbox.try_send("one")?;
/// mailbox.send_blocking("two")?;
/// assert_eq!(mailbox.try_send("three").unwrap_err().into_message(), "three");
/// assert_eq!(mailbox.try_recv()?, "one");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Mailbox<M>(Arc<Inner<M>>);

struct Inner<M> {
    queue: Mutex<Queue<M>>,
    places: Arc<Semaphore>,
    receivers: WaitQueue<(), ()>,
    capacity: usize,
    overflow: Overflow,
    clock: Clock,
}

struct Queue<M> {
    messages: VecDeque<(M, OwnedPermit)>,
    closed: bool,
}

impl<M> Mailbox<M> {
    /// A mailbox of `capacity` messages (at least 1) whose senders wait when it is full.
    pub fn new(capacity: usize) -> Self {
        Self::with(capacity, Overflow::Wait, Clock::system())
    }

    /// A mailbox with everything said.
    pub fn with(capacity: usize, overflow: Overflow, clock: Clock) -> Self {
        let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
        let places = Semaphore::builder(capacity).clock(clock.clone()).build();
        Self(Arc::new(Inner {
            queue: Mutex::new(Queue { messages: VecDeque::new(), closed: false }),
            places: Arc::new(places.expect("the capacity is within bounds")),
            receivers: WaitQueue::new(),
            capacity,
            overflow,
            clock,
        }))
    }

    /// Sends without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] or [`SendError::Closed`], with the message.
    pub fn try_send(&self, message: M) -> Result<Sent, SendError<M>> {
        match self.0.places.try_acquire_owned() {
            Ok(place) => self.0.push(message, place).map(|()| Sent::Delivered),
            Err(TryAcquireError::Closed) => Err(SendError::Closed(message)),
            Err(_) => match self.0.overflow {
                Overflow::Wait => Err(SendError::Full(message)),
                Overflow::DropNewest => Ok(Sent::DroppedNewest),
                Overflow::DropOldest => self.0.replace_oldest(message),
            },
        }
    }

    /// Sends; waits for room under [`Overflow::Wait`], first come, first served.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`], with the message.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the message and leaves the line.
    pub async fn send(&self, message: M) -> Result<Sent, SendError<M>> {
        let message = match self.try_send(message) {
            Err(SendError::Full(message)) => message,
            done => return done,
        };
        match self.0.places.acquire_owned().await {
            Ok(place) => self.0.push(message, place).map(|()| Sent::Delivered),
            Err(_) => Err(SendError::Closed(message)),
        }
    }

    /// [`send`](Self::send) on this thread.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_blocking(&self, message: M) -> Result<Sent, SendError<M>> {
        match self.try_send(message) {
            Err(SendError::Full(message)) => self.0.clock.block_on(self.send(message)),
            done => done,
        }
    }

    /// [`send`](Self::send) that waits for at most `within`.
    ///
    /// # Errors
    ///
    /// [`SendError::Timeout`] too, with the message.
    pub async fn send_timeout(&self, message: M, within: Duration) -> Result<Sent, SendError<M>> {
        let message = match self.try_send(message) {
            Err(SendError::Full(message)) => message,
            done => return done,
        };
        match self.0.clock.timeout(within, self.0.places.acquire_owned()).await {
            Ok(Ok(place)) => self.0.push(message, place).map(|()| Sent::Delivered),
            Ok(Err(_)) => Err(SendError::Closed(message)),
            Err(Elapsed) => Err(SendError::Timeout { within, message }),
        }
    }

    /// Takes the oldest message without waiting.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`], [`RecvError::Closed`].
    pub fn try_recv(&self) -> Result<M, RecvError> {
        let mut queue = self.0.queue.lock();
        match queue.messages.pop_front() {
            // The place is given back after the lock is released: that wakes a sender.
            Some((message, place)) => {
                drop(queue);
                caught(|| drop(place));
                Ok(message)
            }
            None if queue.closed => Err(RecvError::Closed),
            None => Err(RecvError::Empty),
        }
    }

    /// Waits for a message. What was sent before the mailbox was closed is still received.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a message is taken by the poll that returns it.
    pub fn recv(&self) -> Recv<'_, M> {
        Recv { mailbox: self, ticket: None }
    }

    /// [`recv`](Self::recv) on this thread.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_blocking(&self) -> Result<M, RecvError> {
        match self.try_recv() {
            Err(RecvError::Empty) => self.0.clock.block_on(self.recv()),
            done => done,
        }
    }

    /// [`recv`](Self::recv) for at most `within`.
    ///
    /// # Errors
    ///
    /// [`RecvError::Timeout`] too.
    pub async fn recv_timeout(&self, within: Duration) -> Result<M, RecvError> {
        match self.0.clock.timeout(within, self.recv()).await {
            Ok(done) => done,
            Err(Elapsed) => Err(RecvError::Timeout { within }),
        }
    }

    /// Refuses further messages. Those in it can still be received.
    pub fn close(&self) {
        self.0.queue.lock().closed = true;
        caught(|| self.0.places.close());
        caught(|| self.0.receivers.lock().grant_all(|| ()));
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.0.queue.lock().closed
    }

    /// How many messages are in it.
    pub fn len(&self) -> usize {
        self.0.queue.lock().messages.len()
    }

    /// Whether no message is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages it holds at most.
    pub fn capacity(&self) -> usize {
        self.0.capacity
    }
}

impl<M> Inner<M> {
    fn push(&self, message: M, place: OwnedPermit) -> Result<(), SendError<M>> {
        let mut queue = self.queue.lock();
        if queue.closed {
            drop(queue);
            return Err(SendError::Closed(message));
        }
        queue.messages.push_back((message, place));
        drop(queue);
        self.wake_one();
        Ok(())
    }

    fn replace_oldest(&self, message: M) -> Result<Sent, SendError<M>> {
        let mut queue = self.queue.lock();
        if queue.closed {
            drop(queue);
            return Err(SendError::Closed(message));
        }
        // The place of the oldest goes to the newest. When there is no oldest, its place is on its
        // way back from a receiver, and this message is the one that is dropped.
        let Some((oldest, place)) = queue.messages.pop_front() else { return Ok(Sent::DroppedNewest) };
        queue.messages.push_back((message, place));
        drop(queue);
        // Its drop is the user's code, and no business of who sends.
        caught(|| drop(oldest));
        Ok(Sent::DroppedOldest)
    }

    fn wake_one(&self) {
        // Nobody in line is fine: who comes looks first.
        caught(|| self.receivers.lock().grant_front(()).is_ok());
    }
}

impl<M> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("len", &self.len())
            .field("capacity", &self.0.capacity)
            .finish_non_exhaustive()
    }
}

/// Waits for a message; see [`Mailbox::recv`].
#[must_use = "futures do nothing unless polled"]
pub struct Recv<'a, M> {
    mailbox: &'a Mailbox<M>,
    ticket: Option<Ticket<(), ()>>,
}

impl<M> Recv<'_, M> {
    fn leave(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            if let Cancelled::Granted(()) = self.mailbox.0.receivers.cancel(ticket) {
                self.mailbox.0.wake_one();
            }
        }
    }
}

impl<M> Future for Recv<'_, M> {
    type Output = Result<M, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            // In line first, then look: a message that comes after the look finds the place in line.
            let joined = self.ticket.is_none();
            if joined {
                self.ticket = Some(self.mailbox.0.receivers.lock().join(()));
            }
            let Some(ticket) = &self.ticket else { unreachable!("just joined") };
            match self.mailbox.0.receivers.poll(ticket, cx) {
                Polled::Ready(()) => self.ticket = None,
                // Hints are never taken back.
                Polled::Rejoined | Polled::Pending if !joined => return Poll::Pending,
                Polled::Rejoined | Polled::Pending => {}
            }
            match self.mailbox.try_recv() {
                Err(RecvError::Empty) if self.ticket.is_some() => return Poll::Pending,
                Err(RecvError::Empty) => {}
                done => {
                    self.leave();
                    return Poll::Ready(done);
                }
            }
        }
    }
}

impl<M> Drop for Recv<'_, M> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<M> fmt::Debug for Recv<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recv").field("waits", &self.ticket.is_some()).finish_non_exhaustive()
    }
}
