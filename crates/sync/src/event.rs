//! Telling others that something happened.

use crate::{
    Clock, Elapsed, block_on,
    raw::queue::{Cancelled, Polled, Ticket, WaitQueue},
};
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// A flag to wait for; once set it stays set until [`reset`](Self::reset).
///
/// ```
/// use ropewalk_sync::{Event, block_on};
/// let done = Event::new();
/// std::thread::scope(|s| {
///     s.spawn(|| done.set());
///     block_on(done.wait());
/// });
/// assert!(done.is_set());
/// ```
#[derive(Debug, Default)]
pub struct Event {
    queue: WaitQueue<(), (), bool>,
}

impl Event {
    /// An event that has not happened.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag and wakes all who wait. What happened before is visible to them.
    pub fn set(&self) {
        let mut queue = self.queue.lock();
        *queue = true;
        queue.grant_all(|| ());
    }

    /// Clears the flag.
    pub fn reset(&self) {
        *self.queue.lock() = false;
    }

    /// Whether the flag is set.
    pub fn is_set(&self) -> bool {
        *self.queue.lock()
    }

    /// Waits for the flag.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the queue; nothing is lost.
    pub fn wait(&self) -> EventWait<'_> {
        EventWait { event: self, ticket: None }
    }

    /// Parks this thread until the flag is set.
    pub fn wait_blocking(&self) {
        block_on(self.wait());
    }

    /// Waits for at most `duration` of `clock`.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] when the time is over first.
    pub fn wait_timeout(
        &self,
        clock: &Clock,
        duration: Duration,
    ) -> impl Future<Output = Result<(), Elapsed>> + use<'_> {
        clock.timeout(duration, self.wait())
    }
}

/// Waits for an [`Event`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct EventWait<'a> {
    event: &'a Event,
    ticket: Option<Ticket<(), ()>>,
}

impl Future for EventWait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.ticket.is_none() {
            let mut queue = self.event.queue.lock();
            if *queue {
                return Poll::Ready(());
            }
            let ticket = queue.join(());
            drop(queue);
            self.ticket = Some(ticket);
        }
        let Some(ticket) = &self.ticket else { unreachable!("just joined") };
        match self.event.queue.poll(ticket, cx) {
            Polled::Ready(()) => {
                self.ticket = None;
                Poll::Ready(())
            }
            // Grants of an event are never taken back.
            Polled::Pending | Polled::Rejoined => Poll::Pending,
        }
    }
}

impl Drop for EventWait<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            // An event grants everybody, so there is nothing to pass on.
            let (Cancelled::Removed | Cancelled::Granted(())) = self.event.queue.cancel(ticket);
        }
    }
}

/// A wake-up for a driver loop: [`notify`](Self::notify) wakes one who waits, or is kept for the
/// next who comes. Any number of notifications kept are one.
///
/// ```
/// use ropewalk_sync::{Signal, block_on};
/// let work = Signal::new();
/// work.notify();
/// work.notify();
/// block_on(work.notified()); // takes the kept one
/// ```
#[derive(Debug, Default)]
pub struct Signal {
    queue: WaitQueue<(), (), bool>,
}

impl Signal {
    /// A signal without a notification.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes the oldest who waits, or keeps the notification.
    pub fn notify(&self) {
        let mut queue = self.queue.lock();
        if queue.grant_front(()).is_err() {
            *queue = true;
        }
    }

    /// Waits for a notification and takes it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future after it was notified passes the notification on.
    pub fn notified(&self) -> Notified<'_> {
        Notified { signal: self, ticket: None }
    }
}

/// Waits for a [`Signal`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Notified<'a> {
    signal: &'a Signal,
    ticket: Option<Ticket<(), ()>>,
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.ticket.is_none() {
            let mut queue = self.signal.queue.lock();
            if std::mem::take(&mut *queue) {
                return Poll::Ready(());
            }
            let ticket = queue.join(());
            drop(queue);
            self.ticket = Some(ticket);
        }
        let Some(ticket) = &self.ticket else { unreachable!("just joined") };
        match self.signal.queue.poll(ticket, cx) {
            Polled::Ready(()) => {
                self.ticket = None;
                Poll::Ready(())
            }
            // Grants of a signal are never taken back.
            Polled::Pending | Polled::Rejoined => Poll::Pending,
        }
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            if let Cancelled::Granted(()) = self.signal.queue.cancel(ticket) {
                self.signal.notify();
            }
        }
    }
}
