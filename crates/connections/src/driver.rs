//! Where connections are opened, checked, reset and closed: never in a caller's future.

use crate::{error::ConnectError, workers::Workers};
use ropewalk_sync::{Clock, Spawn};
use std::{
    any::Any,
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// One step in a connection's life.
#[doc(hidden)]
#[derive(Debug)]
pub enum Op<C> {
    /// Open one.
    Open {
        /// The one that may write.
        writer: bool,
    },
    /// Find out whether it works.
    Check(C),
    /// Clean it.
    Reset(C),
    /// End it.
    Close(C),
}

/// How a step ended.
#[doc(hidden)]
#[derive(Debug)]
pub enum Outcome<C, E: Error + 'static> {
    /// A connection, or why not.
    Opened(Result<C, ConnectError<E>>),
    /// The connection and what the check or reset said.
    Judged(C, Result<(), ConnectError<E>>),
    /// It is gone.
    Closed,
}

/// Called with the outcome; dropped uncalled when the step was lost.
pub(crate) type Done<C, E> = Box<dyn FnOnce(Outcome<C, E>) + Send>;

/// What steps run on.
#[doc(hidden)]
pub struct Exec {
    pub(crate) clock: Clock,
    pub(crate) spawner: Arc<dyn Spawn>,
    pub(crate) workers: Arc<Workers>,
    pub(crate) connect_timeout: Duration,
    pub(crate) check_timeout: Duration,
}

impl Exec {
    pub(crate) fn spawn(&self, job: impl Future<Output = ()> + Send + 'static) {
        // A spawner that panics drops the job, which the pool notices as a lost step.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            self.spawner.spawn("ropewalk-connection", Box::pin(job));
        }));
    }
}

impl std::fmt::Debug for Exec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exec").finish_non_exhaustive()
    }
}

/// Runs user code and turns a panic into an error.
pub(crate) fn guarded<T, E: Error + 'static>(
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, ConnectError<E>> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| ConnectError::Failed(Arc::new(error))),
        Err(panic) => Err(ConnectError::Panicked(message(panic.as_ref()))),
    }
}

/// Runs a user's future for at most `bound` and turns a panic into an error.
pub(crate) async fn bounded<T, E: Error + 'static>(
    clock: &Clock,
    bound: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, ConnectError<E>> {
    match clock.timeout(bound, CatchUnwind(Box::pin(work))).await {
        Ok(Ok(result)) => result.map_err(|error| ConnectError::Failed(Arc::new(error))),
        Ok(Err(panic)) => Err(ConnectError::Panicked(message(panic.as_ref()))),
        Err(_elapsed) => Err(ConnectError::TimedOut(bound)),
    }
}

struct CatchUnwind<F>(Pin<Box<F>>);

impl<F: Future> Future for CatchUnwind<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
