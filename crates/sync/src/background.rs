//! Jobs that run beside the caller, on a thread of their own or on a runtime of the user's.

use crate::{Clock, Event};
use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    thread::{self, JoinHandle},
};

/// A boxed job.
pub type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Something that can run jobs: a runtime, or [`Threads`].
pub trait Spawn: Send + Sync + 'static {
    /// Runs `job` to its end, beside the caller. `name` says what it is, for thread names and traces.
    fn spawn(&self, name: &str, job: BoxFuture);
}

impl<S: Spawn + ?Sized> Spawn for Arc<S> {
    fn spawn(&self, name: &str, job: BoxFuture) {
        (**self).spawn(name, job);
    }
}

/// Starts one named thread for each job; it ends with the job.
#[derive(Clone, Debug, Default)]
pub struct Threads {
    clock: Clock,
}

impl Threads {
    /// Threads that count as workers of `clock`.
    pub fn new(clock: &Clock) -> Self {
        Self { clock: clock.clone() }
    }
}

impl Spawn for Threads {
    /// # Panics
    ///
    /// When the operating system refuses the thread.
    fn spawn(&self, name: &str, job: BoxFuture) {
        start(name, &self.clock, job).expect("the operating system starts a thread");
    }
}

/// Runs jobs on a tokio runtime.
#[cfg(feature = "tokio")]
#[derive(Clone, Debug)]
pub struct Tokio(tokio::runtime::Handle);

#[cfg(feature = "tokio")]
impl Tokio {
    /// Jobs go to the runtime of `handle`.
    pub fn new(handle: tokio::runtime::Handle) -> Self {
        Self(handle)
    }

    /// The runtime that this code runs on.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn current() -> Self {
        Self(tokio::runtime::Handle::current())
    }
}

#[cfg(feature = "tokio")]
impl Spawn for Tokio {
    fn spawn(&self, _name: &str, job: BoxFuture) {
        self.0.spawn(job);
    }
}

/// A job that runs until it ends or this handle drops.
///
/// Dropping (or [`stop`](Self::stop)) wakes the job and drops its future at the next await point. A
/// job on a thread of its own is then joined, so what it borrowed from its owner is free after the
/// drop; a job that drops its own handle is not joined by itself.
pub struct Background {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: Event,
    finished: AtomicBool,
}

impl Background {
    /// Starts `job` on a thread of its own.
    ///
    /// # Panics
    ///
    /// When the operating system refuses the thread.
    pub fn thread(name: &str, clock: &Clock, job: impl Future<Output = ()> + Send + 'static) -> Self {
        let (shared, job) = stoppable(job);
        let thread = start(name, clock, job).expect("the operating system starts a thread");
        Self { shared, thread: Some(thread) }
    }

    /// Starts `job` on `spawner`.
    pub fn spawn(name: &str, spawner: &dyn Spawn, job: impl Future<Output = ()> + Send + 'static) -> Self {
        let (shared, job) = stoppable(job);
        spawner.spawn(name, job);
        Self { shared, thread: None }
    }

    /// Asks the job to stop and does not wait for it.
    pub fn stop(&self) {
        self.shared.stop.set();
    }

    /// Whether the job has ended, by itself, by being stopped or by a panic.
    pub fn is_finished(&self) -> bool {
        // Acquire: pairs with the Release in `stoppable`: who sees the end sees what the job did.
        self.shared.finished.load(Ordering::Acquire)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            if thread.thread().id() != thread::current().id() {
                // A job that panicked has been reported by the panic hook already.
                let _ = thread.join();
            }
        }
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

fn stoppable(job: impl Future<Output = ()> + Send + 'static) -> (Arc<Shared>, BoxFuture) {
    struct Finish(Arc<Shared>);
    impl Drop for Finish {
        fn drop(&mut self) {
            // Release: pairs with the Acquire in `is_finished`.
            self.0.finished.store(true, Ordering::Release);
        }
    }

    let shared = Arc::new(Shared::default());
    let finish = Finish(shared.clone());
    let future = Box::pin(async move {
        let mut job: BoxFuture = Box::pin(job);
        let mut stop = std::pin::pin!(finish.0.stop.wait());
        std::future::poll_fn(|cx| {
            if stop.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            job.as_mut().poll(cx)
        })
        .await;
        drop(job);
    });
    (shared, future)
}

fn start(name: &str, clock: &Clock, job: BoxFuture) -> io::Result<JoinHandle<()>> {
    let (clock, token) = (clock.clone(), clock.worker());
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _token = token;
        // The panic hook has reported it; the thread ends in order so that the token is given back.
        let _ = catch_unwind(AssertUnwindSafe(|| clock.drive_worker(job)));
    })
}
