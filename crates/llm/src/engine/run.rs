//! Calls to the backend.

use super::{Engine, flight::Sink};
use crate::{BackendError, Batch, Call, Completion, Deltas, ErrorKind, Route, backend::CallFuture};
use futures_util::StreamExt;
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

impl Engine {
    /// Sends a batch out: one route for all, a call for each, or one for all where the backend takes batches.
    pub(super) async fn run(self: Arc<Self>, calls: Vec<(Permit, Call)>, failed: Vec<Route>) {
        let (mut guards, mut sent): (Vec<Permit>, Vec<Call>) = calls.into_iter().unzip();
        let Some(model) = sent.first().map(|call| call.chat.body().model.clone()) else { return };
        let batch = Batch { model: &model, calls: sent.len(), failed: &failed };
        match caught(|| self.backend.route(&batch)) {
            Ok(Ok(route)) => {
                for (guard, call) in guards.iter_mut().zip(&mut sent) {
                    guard.route = route.clone();
                    call.route = route.clone();
                }
            }
            Ok(Err(error)) | Err(error) => {
                return guards.into_iter().for_each(|guard| guard.end(Err(error.clone())));
            }
        }
        let streams = guards.iter().any(|guard| guard.sink().is_some());
        let takes_batches = caught(|| self.backend.takes_batches()).unwrap_or(false);
        if sent.len() > 1 && takes_batches && !streams {
            return self.run_batch(guards, sent).await;
        }
        let mut alone = None;
        for (guard, call) in guards.into_iter().zip(sent) {
            let job = self.clone().run_one(guard, call);
            // The last needs no job of its own.
            if let Some(before) = alone.replace(job) {
                self.jobs.push(Box::pin(before));
            }
        }
        if let Some(last) = alone {
            last.await;
        }
    }

    async fn run_batch(self: Arc<Self>, guards: Vec<Permit>, calls: Vec<Call>) {
        self.meters.calls.incr();
        let backend = self.backend.clone();
        let answers = self.bounded(self.limits.whole, || backend.complete_batch(calls)).await;
        match answers {
            Ok(answers) => guards.into_iter().zip(answers).for_each(|(guard, answer)| guard.end(answer)),
            Err(error) => guards.into_iter().for_each(|guard| guard.end(Err(error.clone()))),
        }
    }

    async fn run_one(self: Arc<Self>, guard: Permit, call: Call) {
        self.meters.calls.incr();
        let backend = self.backend.clone();
        let answer = match guard.sink() {
            None => {
                let answer = self.bounded(self.limits.whole, || backend.complete(call)).await;
                answer.and_then(|answer| answer)
            }
            Some(sink) => self.run_stream(&sink, call).await,
        };
        guard.end(answer);
    }

    async fn run_stream(&self, sink: &Sink, call: Call) -> Result<Completion, BackendError> {
        let gone = || BackendError::new(ErrorKind::Stopped, "the consumer of the stream went away");
        let mut cancelled = pin!(sink.cancelled().wait());
        let backend = self.backend.clone();
        let mut opening = pin!(self.bounded(self.limits.whole, || backend.stream(call)));
        let opened = std::future::poll_fn(|cx| {
            if cancelled.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(gone()));
            }
            opening.as_mut().poll(cx).map(|opened| opened.and_then(|opened| opened))
        });
        let mut pieces = Shield::new(opened.await?);
        let mut text = String::new();
        loop {
            let next = self.clock.timeout(self.limits.stall, pieces.next());
            let mut next = pin!(next);
            let piece = std::future::poll_fn(|cx| {
                if cancelled.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Err(gone()));
                }
                next.as_mut().poll(cx).map(|piece| {
                    piece.unwrap_or_else(|_| {
                        let message = format!("no piece of the stream came for {:?}", self.limits.stall);
                        Err(BackendError::new(ErrorKind::Timeout, message))
                    })
                })
            });
            let Some(delta) = piece.await? else {
                return Err(BackendError::new(ErrorKind::Cut, "the stream ended before the answer did"));
            };
            let delta = delta?;
            text.push_str(&delta.text);
            sink.push(delta.text);
            if let Some(mut end) = delta.end {
                end.text = text;
                return Ok(end);
            }
        }
    }

    /// Makes and awaits a call of the backend for at most `duration`, and turns its panics into errors.
    async fn bounded<T>(
        &self,
        duration: Duration,
        start: impl FnOnce() -> CallFuture<T>,
    ) -> Result<T, BackendError> {
        let mut call = Shield::new(caught(start)?);
        let answer = std::future::poll_fn(|cx| call.poll(|call| call.as_mut().poll(cx)));
        match self.clock.timeout(duration, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(BackendError::new(ErrorKind::Timeout, format!("no answer came for {duration:?}"))),
        }
    }
}

/// A permit to call, in use. It comes back with the outcome, or when it is dropped with its call.
pub(super) struct Permit {
    engine: Arc<Engine>,
    id: u64,
    route: Route,
    open: bool,
}

impl Permit {
    pub(super) fn new(engine: &Arc<Engine>, id: u64) -> Self {
        Self { engine: engine.clone(), id, route: Route::default(), open: true }
    }

    fn end(mut self, outcome: Result<Completion, BackendError>) {
        self.open = false;
        let route = std::mem::take(&mut self.route);
        self.engine.finish(self.id, outcome, route);
    }

    fn sink(&self) -> Option<Arc<Sink>> {
        self.engine.state.lock().flights.get(&self.id).and_then(|flight| flight.sink.clone())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.open {
            let stopped = BackendError::new(ErrorKind::Stopped, "the call was dropped by what ran it");
            self.engine.finish(self.id, Err(stopped), std::mem::take(&mut self.route));
        }
    }
}

/// Keeps panics of a backend's future or stream in: while it is polled, and while it is dropped.
struct Shield<F>(Option<F>);

impl<F> Shield<F> {
    fn new(inner: F) -> Self {
        Self(Some(inner))
    }

    fn poll<T>(&mut self, poll: impl FnOnce(&mut F) -> Poll<T>) -> Poll<Result<T, BackendError>> {
        let Some(inner) = &mut self.0 else { return Poll::Pending };
        match caught(|| poll(inner)) {
            Ok(poll) => poll.map(Ok),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Shield<Deltas> {
    async fn next(&mut self) -> Result<Option<Result<crate::Delta, BackendError>>, BackendError> {
        std::future::poll_fn(|cx| self.poll(|stream| Pin::new(stream).poll_next_unpin(cx))).await
    }
}

impl<F> Drop for Shield<F> {
    fn drop(&mut self) {
        let inner = self.0.take();
        // The outcome is known already, or nobody wants it.
        let _dropped = caught(move || drop(inner));
    }
}

pub(super) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, BackendError> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| BackendError::new(ErrorKind::Panicked, message(panic)))
}

fn message(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => match panic.downcast::<&'static str>() {
            Ok(message) => (*message).to_owned(),
            Err(panic) => {
                // A payload of the backend's own type, whose drop may panic again.
                let _dropped = catch_unwind(AssertUnwindSafe(move || drop(panic)));
                "a value that is not text".to_owned()
            }
        },
    }
}
