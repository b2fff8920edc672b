//! Counted permits: one word for the fast path, a FIFO for the slow one.
//!
//! # The word
//!
//! ```text
//! | permits (all other bits) | CLOSED | WAITERS |
//! ```
//!
//! * `WAITERS` is set and cleared only under the queue's latch. While it is set, takers without the
//!   latch stand back (first come, first served) and every release comes to the latch to serve.
//! * No wake-up is lost: a joiner sets `WAITERS` and then looks at the permits in the same word. A
//!   release before that is seen by the look; a release after it sees the bit, waits for the latch
//!   and finds the joiner in the queue.
//! * `CLOSED` is set once, under the latch.
//!
//! # Orderings
//!
//! The word is changed by read-modify-writes alone, so each `Release` in [`give`](Permits::give) heads a release
//! sequence that holds every later value, and the `Acquire` by which somebody takes permits (`try_take`,
//! `take_latched`) reads from all releases before it: who holds a permit sees what its holders before did. All other
//! changes of the word publish nothing of their own and may be relaxed: the bits divert to the latch, which orders what
//! happens under it, and that a joiner's look and a release do not miss each other is the order of changes of one word.
//!
//! Taking and releasing without waiters is one atomic operation each.

use super::queue::{Cancelled, Locked, Polled, Ticket, WaitQueue};
use ropewalk_prove::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;

/// Somebody waits, or permits are owed: releases must come to the latch.
const WAITERS: usize = 1;
/// No permit is given out any more.
const CLOSED: usize = 2;
/// One permit.
const ONE: usize = 4;

/// The most permits that fit in the word with room for releases in flight.
pub const MAX_PERMITS: usize = usize::MAX >> 4;

/// Why [`Permits::try_take`] took nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not enough permits, or others stand in line first.
    Busy,
    /// The permits are closed.
    Closed,
}

/// What a waiter is handed: its permits, or the news that there will be none.
pub type Grant = Result<(), Closed>;

/// The permits are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// A place in the line of waiters.
pub type Place = Ticket<usize, Grant>;

/// The line of waiters; its state is the debt: permits to swallow as they come back.
type Line<'a> = Locked<'a, usize, Grant, usize>;

/// A count of permits and the line of those who wait for some.
#[derive(Debug)]
pub struct Permits {
    word: AtomicUsize,
    queue: WaitQueue<usize, Grant, usize>,
}

impl Permits {
    /// `permits` free permits, at most [`MAX_PERMITS`].
    pub fn new(permits: usize) -> Self {
        debug_assert!(permits <= MAX_PERMITS);
        Self { word: AtomicUsize::new(permits * ONE), queue: WaitQueue::with_state(0) }
    }

    /// Takes `n` permits without waiting and without overtaking anybody.
    ///
    /// # Errors
    ///
    /// [`Refused`] says why nothing was taken.
    pub fn try_take(&self, n: usize) -> Result<(), Refused> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & CLOSED != 0 {
                return Err(Refused::Closed);
            }
            if word & WAITERS != 0 || word / ONE < n {
                return Err(Refused::Busy);
            }
            // Acquire: pairs with the Release in `give`, whose permits these may be.
            match self.word.compare_exchange_weak(word, word - n * ONE, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(seen) => word = seen,
            }
        }
    }

    /// Takes `n` permits now, or joins the line.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the permits are closed.
    pub fn take_or_join(&self, n: usize) -> Result<Option<Place>, Closed> {
        let mut line = self.queue.lock();
        // Relaxed: this and a release are read-modify-writes of one word, so one comes first, and the look
        // below misses no release that did not see the bit. `take_latched` acquires what it takes.
        let word = self.word.fetch_or(WAITERS, Ordering::Relaxed);
        if word & CLOSED != 0 {
            self.settle(&mut line);
            return Err(Closed);
        }
        if line.is_empty() && *line == 0 && self.take_latched(n) {
            self.settle(&mut line);
            return Ok(None);
        }
        Ok(Some(line.join(n)))
    }

    /// Asks whether `place` was served.
    pub fn poll(&self, place: &Place, cx: &Context<'_>) -> Polled<Grant> {
        match self.queue.poll(place, cx) {
            Polled::Rejoined => {
                // Back in line: the bit may have been cleared while it rested.
                {
                    let mut line = self.queue.lock();
                    // Relaxed: as in `take_or_join`.
                    self.word.fetch_or(WAITERS, Ordering::Relaxed);
                    self.serve(&mut line);
                }
                self.queue.poll(place, cx)
            }
            polled => polled,
        }
    }

    /// Leaves the line; a grant that had already arrived is passed on.
    pub fn cancel(&self, place: Place, n: usize) {
        match self.queue.cancel(place) {
            Cancelled::Granted(Ok(())) => self.give(n),
            Cancelled::Granted(Err(Closed)) => {}
            // It may have stood before others who need less.
            Cancelled::Removed => self.serve(&mut self.queue.lock()),
        }
    }

    /// Gives `n` permits back.
    pub fn give(&self, n: usize) {
        // Release: pairs with the Acquire in `try_take` and `take_latched`, by which the next
        // holder sees what this one did.
        let word = self.word.fetch_add(n * ONE, Ordering::Release);
        if word & WAITERS != 0 {
            self.serve(&mut self.queue.lock());
        }
    }

    /// Adds `n` to the debt: that many permits vanish as they are free or come back.
    pub fn owe(&self, n: usize) {
        let mut line = self.queue.lock();
        *line += n;
        // Relaxed: as in `take_or_join`.
        self.word.fetch_or(WAITERS, Ordering::Relaxed);
        self.serve(&mut line);
    }

    /// Forgives up to `n` of the debt and returns how much was not owed.
    pub fn forgive(&self, n: usize) -> usize {
        let mut line = self.queue.lock();
        let forgiven = n.min(*line);
        *line -= forgiven;
        self.settle(&mut line);
        n - forgiven
    }

    /// Takes back grants that nobody polled for a whole interval between two calls, and serves the
    /// next in line with them. Waiters to whom they had been given stand at the head again when
    /// they are polled.
    pub fn revoke_stale(&self) -> usize {
        let mut line = self.queue.lock();
        let revoked = line.revoke_stale();
        let permits: usize = revoked.iter().filter(|(_, grant)| grant.is_ok()).map(|(n, _)| n).sum();
        if permits > 0 {
            // Relaxed: nobody has held these permits since they were taken under the latch, so there is nothing to
            // publish; what was released before stays in the release sequence.
            self.word.fetch_add(permits * ONE, Ordering::Relaxed);
            self.serve(&mut line);
        }
        revoked.len()
    }

    /// Closes: waiters and later takers are refused; permits that are out can still come back.
    pub fn close(&self) {
        let mut line = self.queue.lock();
        self.word.fetch_or(CLOSED, Ordering::Relaxed);
        line.grant_all(|| Err(Closed));
        self.settle(&mut line);
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.word.load(Ordering::Relaxed) & CLOSED != 0
    }

    /// Free permits at this instant.
    pub fn available(&self) -> usize {
        self.word.load(Ordering::Relaxed) / ONE
    }

    /// Waiters at this instant.
    pub fn waiting(&self) -> usize {
        self.queue.lock().len()
    }

    /// Permits still to vanish.
    pub fn debt(&self) -> usize {
        *self.queue.lock()
    }

    /// Pays the debt, serves the line in order as far as the permits reach, then clears the bit if
    /// it is no longer needed.
    fn serve(&self, line: &mut Line<'_>) {
        if self.is_closed() {
            line.grant_all(|| Err(Closed));
        }
        while **line > 0 && self.take_latched(1) {
            **line -= 1;
        }
        if **line == 0 {
            while let Some(&n) = line.front() {
                if !self.take_latched(n) {
                    break;
                }
                if line.grant_front(Ok(())).is_err() {
                    unreachable!("the front was just seen");
                }
            }
        }
        self.settle(line);
    }

    /// Clears `WAITERS` when nobody waits and nothing is owed.
    fn settle(&self, line: &mut Line<'_>) {
        if line.is_empty() && **line == 0 {
            // Relaxed: the bit only diverts to the latch, which orders what happens there.
            self.word.fetch_and(!WAITERS, Ordering::Relaxed);
        }
    }

    /// Takes `n` permits under the latch, whatever the bits say.
    fn take_latched(&self, n: usize) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        while word / ONE >= n {
            // Acquire: pairs with the Release in `give`.
            match self.word.compare_exchange_weak(word, word - n * ONE, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(seen) => word = seen,
            }
        }
        false
    }
}
