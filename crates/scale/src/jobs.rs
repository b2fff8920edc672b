//! Calls to the provisioner under way: many futures driven by one task, each bounded in time, a panic
//! in one of them an error of that one.

use crate::provisioner::Job;
use ropewalk_sync::Clock;
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll},
    time::Duration,
};

pub(crate) struct Jobs<T> {
    running: Vec<(u64, Job<T>)>,
}

impl<T> Jobs<T> {
    pub(crate) fn new() -> Self {
        Self { running: Vec::new() }
    }

    pub(crate) fn push(&mut self, slot: u64, job: Job<T>) {
        self.running.push((slot, job));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Drops the jobs of a slot.
    pub(crate) fn cancel(&mut self, slot: u64) {
        for (_, job) in self.running.extract(|(of, _)| *of == slot) {
            // The drop of a provisioner's future is its code and may panic.
            let _dropped = catch_unwind(AssertUnwindSafe(move || drop(job)));
        }
    }

    /// Polls all; the finished ones, if there are any.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Vec<(u64, T)>> {
        let mut finished = Vec::new();
        self.running.retain_mut(|(slot, job)| match job.as_mut().poll(cx) {
            Poll::Ready(output) => {
                finished.push((*slot, output));
                false
            }
            Poll::Pending => true,
        });
        if finished.is_empty() { Poll::Pending } else { Poll::Ready(finished) }
    }
}

impl<T> Drop for Jobs<T> {
    fn drop(&mut self) {
        for (_, job) in self.running.drain(..) {
            // As in `cancel`; and two that panicked in one unwinding would end the process.
            let _dropped = catch_unwind(AssertUnwindSafe(move || drop(job)));
        }
    }
}

trait Extract<T> {
    fn extract(&mut self, pick: impl Fn(&T) -> bool) -> Vec<T>;
}

impl<T> Extract<T> for Vec<T> {
    fn extract(&mut self, pick: impl Fn(&T) -> bool) -> Vec<T> {
        let (taken, kept) = std::mem::take(self).into_iter().partition(pick);
        *self = kept;
        taken
    }
}

/// Runs a call for at most `limit`. A panic, in making, polling or dropping the future, is an error.
pub(crate) async fn bounded<T>(
    clock: &Clock,
    limit: Duration,
    what: &str,
    make: impl FnOnce() -> Job<T>,
) -> Result<T, String> {
    let mut job = Some(caught(make).map_err(|message| format!("{what} panicked: {message}"))?);
    let call = std::future::poll_fn(|cx| {
        let Some(running) = job.as_mut() else { return Poll::Pending };
        match caught(|| running.as_mut().poll(cx)) {
            Ok(poll) => poll.map(Ok),
            Err(message) => Poll::Ready(Err(format!("{what} panicked: {message}"))),
        }
    });
    let outcome = clock.timeout(limit, call).await;
    let rest = job.take();
    let _dropped = caught(move || drop(rest));
    outcome.unwrap_or_else(|_elapsed| Err(format!("{what} took longer than {limit:?}")))
}

/// Runs user code; a panic becomes its message.
pub(crate) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(message)
}

fn message(panic: Box<dyn Any + Send>) -> String {
    if let Some(text) = panic.downcast_ref::<&'static str>() {
        return (*text).to_owned();
    }
    if let Some(text) = panic.downcast_ref::<String>() {
        return text.clone();
    }
    // A payload of the user's own type, whose drop may panic again.
    let _dropped = catch_unwind(AssertUnwindSafe(move || drop(panic)));
    "a value that is not text".to_owned()
}
