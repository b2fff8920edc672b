//! The batcher as its users see it.

use crate::{
    BatchStats, Place, SubmitError, TrySubmitError,
    builder::Builder,
    driver::{Answers, Handler, Shared},
};
use ropewalk_sync::{AcquireError, Elapsed, OwnedPermit, Receiver, TryAcquireError};
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// Collects single items into batches for a handler and gives each caller its own answer.
///
/// It starts up to [`in_flight`](Builder::in_flight) threads, as they are needed, that run the handler
/// and end when it drops; with [`spawner`](Builder::spawner) it starts none.
///
/// Dropping it gives queued items back as [`SubmitError::Closed`], waits for a blocking handler that
/// runs on a thread of its own, and drops an async one at its next await point;
/// [`close`](Self::close) drains instead.
pub struct Batcher<T: Send + 'static, R: Send + 'static, E: Send + 'static> {
    shared: Arc<Shared<T, R, E>>,
}

impl<T: Send + 'static, R: Send + 'static, E: Send + 'static> Batcher<T, R, E> {
    /// A batcher around a blocking handler, which returns one answer for each item, in order.
    pub fn builder(
        handler: impl Fn(Vec<T>) -> Vec<Result<R, E>> + Send + Sync + 'static,
    ) -> Builder<T, R, E> {
        Builder::new(Handler::Blocking(Box::new(handler)))
    }

    /// A batcher around an async handler, whose future gives one answer for each item, in order.
    ///
    /// ```
    /// use ropewalk_batch::Batcher;
    /// let double = Batcher::builder_async(|items: Vec<u64>| async move {
    ///     items.into_iter().map(|n| Ok::<_, std::convert::Infallible>(n * 2)).collect()
    /// })
    /// .build()?;
    /// let answer = ropewalk_sync::block_on(double.submit(4))?;
    /// assert_eq!(answer, 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder_async<F>(handler: impl Fn(Vec<T>) -> F + Send + Sync + 'static) -> Builder<T, R, E>
    where
        F: Future<Output = Answers<R, E>> + Send + 'static,
    {
        Builder::new(Handler::Async(Box::new(move |items| Box::pin(handler(items)))))
    }

    pub(crate) fn new(shared: Arc<Shared<T, R, E>>) -> Self {
        Self { shared }
    }

    /// Waits for room in the queue, then for the item's answer.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: the handler's error for this item, or why there is no answer.
    ///
    /// # Panics
    ///
    /// When the `group_by` closure panics, or the spawner or the operating system refuses a driver; the
    /// item is not queued then, unless a batch has taken it already.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future removes the item unless a batch has taken it; then it runs to its end and
    /// the answer is dropped.
    pub async fn submit(&self, item: T) -> Result<R, SubmitError<T, E>> {
        self.submit_until(item, None).await
    }

    /// [`submit`](Self::submit) that parks this thread.
    ///
    /// # Errors
    ///
    /// As for [`submit`](Self::submit).
    pub fn submit_blocking(&self, item: T) -> Result<R, SubmitError<T, E>> {
        self.shared.clock.block_on(self.submit(item))
    }

    /// [`submit`](Self::submit) for at most `duration`.
    ///
    /// # Errors
    ///
    /// As for [`submit`](Self::submit), and [`SubmitError::TimedOut`] with the item when no batch took
    /// it in time, [`SubmitError::TimedOutRunning`] when one did.
    ///
    /// # Cancel safety
    ///
    /// As for [`submit`](Self::submit).
    pub async fn submit_timeout(&self, item: T, duration: Duration) -> Result<R, SubmitError<T, E>> {
        self.submit_until(item, self.shared.clock.deadline(duration)).await
    }

    /// [`submit_timeout`](Self::submit_timeout) that parks this thread.
    ///
    /// # Errors
    ///
    /// As for [`submit_timeout`](Self::submit_timeout).
    pub fn submit_blocking_timeout(&self, item: T, duration: Duration) -> Result<R, SubmitError<T, E>> {
        self.shared.clock.block_on(self.submit_timeout(item, duration))
    }

    /// Queues the item if there is room and nobody waits for it; gives a future of its answer.
    ///
    /// # Errors
    ///
    /// [`TrySubmitError`] gives the item back.
    ///
    /// # Panics
    ///
    /// As for [`submit`](Self::submit).
    pub fn try_submit(&self, item: T) -> Result<Answer<T, R, E>, TrySubmitError<T>> {
        let room = match self.shared.room.try_acquire_owned() {
            Ok(room) => room,
            Err(TryAcquireError::Closed) => return Err(TrySubmitError::Closed(item)),
            // All other reasons are a want of room.
            Err(_) => {
                self.shared.meters.rejected.incr();
                return Err(TrySubmitError::Full(item));
            }
        };
        self.enqueue(item, room).map_err(TrySubmitError::Closed)
    }

    /// Makes everything queued now due at once, and waits until it is answered or withdrawn. Items
    /// that wait for room, or come later, are not waited for.
    ///
    /// # Cancel safety
    ///
    /// What was queued stays due.
    pub async fn flush(&self) {
        // An error would mean that the batcher was stopped: nothing is left then.
        let _done = self.shared.flush(false).await;
    }

    /// [`flush`](Self::flush) that parks this thread.
    pub fn flush_blocking(&self) {
        self.shared.clock.block_on(self.flush());
    }

    /// Takes no more items and waits until all that are queued are answered. Those that wait for room
    /// get [`SubmitError::Closed`] with their item. Closing again waits again.
    ///
    /// # Cancel safety
    ///
    /// It stays closed, and what is queued is still answered while the batcher lives.
    pub async fn close(&self) {
        self.shared.shut_the_door();
        // As in `flush`.
        let _done = self.shared.flush(true).await;
    }

    /// [`close`](Self::close) that parks this thread.
    pub fn close_blocking(&self) {
        self.shared.clock.block_on(self.close());
    }

    /// Counts so far and the present state.
    pub fn stats(&self) -> BatchStats {
        self.shared.stats()
    }

    fn enqueue(&self, item: T, room: OwnedPermit) -> Result<Answer<T, R, E>, T> {
        let (place, receiver, needed) = self.shared.enqueue(item, room)?;
        let answer = Answer { shared: self.shared.clone(), place: Some(place), receiver };
        if needed {
            // When that panics, the drop of `answer` takes the item back.
            self.shared.kick();
        }
        Ok(answer)
    }

    async fn submit_until(&self, item: T, deadline: Option<Instant>) -> Result<R, SubmitError<T, E>> {
        let clock = &self.shared.clock;
        let room = match self.shared.room.try_acquire_owned() {
            Ok(room) => room,
            Err(_) => match clock.timeout_at(deadline, self.shared.room.acquire_owned()).await {
                Ok(Ok(room)) => room,
                Err(Elapsed) => return Err(SubmitError::TimedOut(item)),
                Ok(Err(AcquireError::Closed)) => return Err(SubmitError::Closed(item)),
                Ok(Err(error)) => unreachable!("one permit of at least one: {error}"),
            },
        };
        let mut answer = self.enqueue(item, room).map_err(SubmitError::Closed)?;
        if deadline.is_none() {
            return answer.await;
        }
        match clock.timeout_at(deadline, &mut answer).await {
            Ok(answer) => answer,
            Err(Elapsed) => match answer.take_back() {
                Some(item) => Err(SubmitError::TimedOut(item)),
                None => Err(SubmitError::TimedOutRunning),
            },
        }
    }
}

impl<T: Send + 'static, R: Send + 'static, E: Send + 'static> Drop for Batcher<T, R, E> {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl<T: Send + 'static, R: Send + 'static, E: Send + 'static> fmt::Debug for Batcher<T, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// The answer to an item of [`Batcher::try_submit`]: a future, and [`wait_blocking`](Self::wait_blocking).
///
/// # Cancel safety
///
/// Dropping it removes the item unless a batch has taken it.
#[must_use = "dropping it withdraws the item"]
pub struct Answer<T: Send + 'static, R: Send + 'static, E: Send + 'static> {
    shared: Arc<Shared<T, R, E>>,
    /// Until the answer came.
    place: Option<Place>,
    receiver: Receiver<Result<R, SubmitError<T, E>>>,
}

impl<T: Send + 'static, R: Send + 'static, E: Send + 'static> Answer<T, R, E> {
    /// Parks this thread until the answer comes.
    ///
    /// # Errors
    ///
    /// As for [`Batcher::submit`].
    pub fn wait_blocking(self) -> Result<R, SubmitError<T, E>> {
        let shared = self.shared.clone();
        shared.clock.block_on(self)
    }

    /// Takes the item back, unless a batch has taken it.
    pub fn withdraw(mut self) -> Option<T> {
        self.take_back()
    }

    fn take_back(&mut self) -> Option<T> {
        self.place.take().and_then(|place| self.shared.withdraw(&place))
    }
}

impl<T: Send + 'static, R: Send + 'static, E: Send + 'static> Future for Answer<T, R, E> {
    type Output = Result<R, SubmitError<T, E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.receiver).poll(cx));
        self.place = None;
        Poll::Ready(answer.unwrap_or(Err(SubmitError::Stopped)))
    }
}

impl<T: Send + 'static, R: Send + 'static, E: Send + 'static> Drop for Answer<T, R, E> {
    fn drop(&mut self) {
        drop(self.take_back());
    }
}

impl<T: Send + 'static, R: Send + 'static, E: Send + 'static> fmt::Debug for Answer<T, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("pending", &self.place.is_some()).finish_non_exhaustive()
    }
}
