//! Taking the most urgent ready task: at once, as a future, on a thread, with a deadline.
//!
//! A waiter stands in one FIFO line with all others, tasks and threads. What it is handed is a hint
//! to look again, never a task: the task is chosen when the waiter runs, so it is the most urgent
//! one of *that* moment, and a waiter that is dropped loses nothing but a hint, which it passes on.
//! A hint that its future never polls is taken back and passed on after one to two seconds by those
//! who still wait.

use crate::{
    core::Core,
    error::PopError,
    graph::{Graph, Shared},
    task::Claim,
};
use ropewalk_sync::{Cancelled, Elapsed, Polled, Sleep, Ticket};
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

const PATROL: Duration = Duration::from_secs(1);

impl Graph {
    /// Takes the most urgent ready task and starts it.
    ///
    /// # Errors
    ///
    /// [`PopError`] says why there is none.
    pub fn try_pop_ready(&self) -> Result<Claim, PopError> {
        self.shared.change(|core, now| core.pop(now))
    }

    /// Waits until a task is ready, takes the most urgent one and starts it. Ends when all tasks are
    /// finished, unless somebody [holds](Graph::hold) the graph open.
    ///
    /// ```
    /// use ropewalk_graph::{Graph, Task};
    ///
    /// let graph = Graph::new();
    /// let first = graph.add(Task::new("first"));
    /// graph.add(Task::new("second").after(first));
    /// std::thread::scope(|s| {
    ///     for _ in 0..2 {
    ///         s.spawn(|| {
    ///             while let Ok(claim) = graph.pop_ready_blocking() {
    ///                 graph.complete(claim).expect("nobody else reports this attempt");
    ///             }
    ///         });
    ///     }
    /// });
    /// assert_eq!(graph.stats().completed, 2);
    /// ```
    ///
    /// # Errors
    ///
    /// [`PopError::Finished`], and [`PopError::Stuck`] when only a cycle is left.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a task is taken by the poll that returns it.
    pub fn pop_ready(&self) -> PopReady {
        PopReady { shared: self.shared.clone(), ticket: None, patrol: None }
    }

    /// [`pop_ready`](Self::pop_ready) on this thread, in the same line.
    ///
    /// # Errors
    ///
    /// As [`pop_ready`](Self::pop_ready).
    pub fn pop_ready_blocking(&self) -> Result<Claim, PopError> {
        match self.try_pop_ready() {
            Err(PopError::Empty) => self.shared.clock.block_on(self.pop_ready()),
            taken => taken,
        }
    }

    /// [`pop_ready`](Self::pop_ready) for at most `within`.
    ///
    /// # Errors
    ///
    /// [`PopError::Timeout`] too.
    pub fn pop_ready_timeout(
        &self,
        within: Duration,
    ) -> impl Future<Output = Result<Claim, PopError>> + Send + use<> {
        let bounded = self.shared.clock.timeout(within, self.pop_ready());
        async move {
            match bounded.await {
                Ok(taken) => taken,
                Err(Elapsed) => Err(PopError::Timeout { within }),
            }
        }
    }

    /// [`pop_ready_timeout`](Self::pop_ready_timeout) on this thread.
    ///
    /// # Errors
    ///
    /// [`PopError::Timeout`] too.
    pub fn pop_ready_blocking_timeout(&self, within: Duration) -> Result<Claim, PopError> {
        self.shared.clock.block_on(self.pop_ready_timeout(within))
    }
}

impl Core {
    fn pop(&mut self, now: Instant) -> Result<Claim, PopError> {
        self.refresh_ranks();
        match self.ready.pop(now) {
            Some(at) => {
                let attempt = self.start(at, now);
                Ok(Claim { task: self.id(at), attempt })
            }
            None if self.holds > 0 || self.stats.running + self.stats.blocked > 0 => Err(PopError::Empty),
            None if self.stats.pending > 0 => Err(PopError::Stuck { waiting: self.stats.pending }),
            None => Err(PopError::Finished),
        }
    }
}

/// Waits for a ready task; see [`Graph::pop_ready`].
#[must_use = "futures do nothing unless polled"]
pub struct PopReady {
    shared: Arc<Shared>,
    ticket: Option<Ticket<(), ()>>,
    patrol: Option<Sleep>,
}

impl PopReady {
    fn look(&self) -> Result<Claim, PopError> {
        self.shared.change(|core, now| core.pop(now))
    }

    /// Leaves the line; a hint that came already is for the next one.
    fn leave(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            if let Cancelled::Granted(()) = self.shared.waiters.cancel(ticket) {
                self.shared.wake(1, false);
            }
        }
    }
}

impl Future for PopReady {
    type Output = Result<Claim, PopError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            // Stand in line first, look then: whoever makes a task ready after the look sees the
            // place in line, and whoever does so before it is seen by the look.
            let joined = this.ticket.is_none();
            if joined {
                this.ticket = Some(this.shared.waiters.lock().join(()));
            }
            let Some(ticket) = &this.ticket else { unreachable!("just joined") };
            let hinted = match this.shared.waiters.poll(ticket, cx) {
                Polled::Ready(()) => {
                    this.ticket = None;
                    true
                }
                Polled::Rejoined => true,
                Polled::Pending => joined,
            };
            if hinted {
                match this.look() {
                    Err(PopError::Empty) => {}
                    taken => {
                        // The next one's waker is user code: its panic must not take the claim along.
                        let _told = catch_unwind(AssertUnwindSafe(|| this.leave()));
                        return Poll::Ready(taken);
                    }
                }
                if this.ticket.is_none() {
                    continue;
                }
            }
            let clock = &this.shared.clock;
            let patrol = this.patrol.get_or_insert_with(|| clock.sleep(PATROL));
            if Pin::new(&mut *patrol).poll(cx).is_pending() {
                return Poll::Pending;
            }
            patrol.reset(clock.deadline(PATROL));
            let stale = this.shared.waiters.lock().revoke_stale().len();
            this.shared.wake(stale, false);
        }
    }
}

impl Drop for PopReady {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for PopReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PopReady").field("waits", &self.ticket.is_some()).finish_non_exhaustive()
    }
}
