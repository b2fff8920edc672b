//! Time as a value: the system's, or one that a test moves by hand.

use crate::{
    park::{self, WorkerToken, Workers},
    timer::{Key, Timers},
};
use std::{
    fmt,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// A source of time and timers. Clones share one time.
///
/// [`Clock::system`] is real time; its clones in a process share one timer thread, started by the
/// first timer that has to wait and ended with the last clone. `Clock::virtual_` (feature
/// `test-util`) stands still until a test advances it.
///
/// ```
/// use ropewalk_sync::{Clock, block_on};
/// use std::time::Duration;
///
/// let clock = Clock::system();
/// let answer = block_on(clock.timeout(Duration::from_secs(5), async { 42 }));
/// assert_eq!(answer, Ok(42));
/// ```
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    timers: Arc<Timers>,
    source: Source,
}

enum Source {
    System,
    #[cfg(feature = "test-util")]
    Virtual(Virtual),
}

#[cfg(feature = "test-util")]
struct Virtual {
    origin: Instant,
    /// Nanoseconds since `origin`.
    elapsed: std::sync::atomic::AtomicU64,
    workers: Arc<Workers>,
    /// One `advance` at a time.
    advancing: Mutex<()>,
}

/// The clock that all system clocks of the process share while any lives.
static SYSTEM: Mutex<Weak<Inner>> = Mutex::new(Weak::new());

impl Clock {
    /// Real, monotonic time.
    pub fn system() -> Self {
        let mut shared = SYSTEM.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = shared.upgrade() {
            return Self(inner);
        }
        let inner = Arc::new(Inner { timers: Arc::default(), source: Source::System });
        *shared = Arc::downgrade(&inner);
        Self(inner)
    }

    /// A clock that stands still until [`advance`](Self::advance) moves it.
    #[cfg(feature = "test-util")]
    pub fn virtual_() -> Self {
        Self(Arc::new(Inner {
            timers: Arc::default(),
            source: Source::Virtual(Virtual {
                origin: Instant::now(),
                elapsed: std::sync::atomic::AtomicU64::new(0),
                workers: Arc::default(),
                advancing: Mutex::new(()),
            }),
        }))
    }

    /// The present instant.
    pub fn now(&self) -> Instant {
        match &self.0.source {
            Source::System => Instant::now(),
            #[cfg(feature = "test-util")]
            // Acquire: pairs with the Release in `advance`: who sees a time sees what came before it.
            Source::Virtual(v) => {
                v.origin + Duration::from_nanos(v.elapsed.load(std::sync::atomic::Ordering::Acquire))
            }
        }
    }

    /// The instant `after` from now; `None`, which means never, when it cannot be represented.
    pub fn deadline(&self, after: Duration) -> Option<Instant> {
        self.now().checked_add(after)
    }

    /// Whether this clock is a virtual one.
    pub fn is_virtual(&self) -> bool {
        !matches!(self.0.source, Source::System)
    }

    /// Completes after `duration`.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.deadline(duration))
    }

    /// Completes at `deadline`; never when it is `None`.
    pub fn sleep_until(&self, deadline: Option<Instant>) -> Sleep {
        Sleep { clock: self.clone(), deadline, timer: None }
    }

    /// Runs `future` for at most `duration`, then drops it. A future that is ready at the deadline
    /// wins over the deadline.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] when the time is over first.
    pub fn timeout<F: Future>(
        &self,
        duration: Duration,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Elapsed>> + use<F> {
        self.timeout_at(self.deadline(duration), future)
    }

    /// Runs `future` until `deadline` (for ever when it is `None`), then drops it.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] when the deadline comes first.
    pub fn timeout_at<F: Future>(
        &self,
        deadline: Option<Instant>,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Elapsed>> + use<F> {
        let mut sleep = self.sleep_until(deadline);
        async move {
            let mut future = pin!(future);
            std::future::poll_fn(move |cx| {
                if let Poll::Ready(output) = future.as_mut().poll(cx) {
                    return Poll::Ready(Ok(output));
                }
                Pin::new(&mut sleep).poll(cx).map(|()| Err(Elapsed))
            })
            .await
        }
    }

    /// Drives `future` on this thread, which parks between polls. Under a virtual clock a parked
    /// thread counts as idle for `settle`.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        match self.workers() {
            None => park::block_on(future),
            Some(workers) => park::block_on_observed(&workers, future),
        }
    }

    /// [`block_on`](Self::block_on) for at most `duration`.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] when the time is over first; the future is dropped then.
    pub fn block_on_timeout<F: Future>(&self, duration: Duration, future: F) -> Result<F::Output, Elapsed> {
        self.block_on(self.timeout(duration, future))
    }

    /// A token that keeps a thread about to be started counted as busy, and what it parks by.
    pub(crate) fn worker(&self) -> WorkerToken {
        WorkerToken::new(self.workers())
    }

    /// Drives `future` on a thread that holds a [`worker`](Self::worker) token already.
    pub(crate) fn drive_worker<F: Future>(&self, future: F) -> F::Output {
        match self.workers() {
            None => park::block_on(future),
            Some(workers) => park::drive_worker(&workers, future),
        }
    }

    fn workers(&self) -> Option<Arc<Workers>> {
        match &self.0.source {
            Source::System => None,
            #[cfg(feature = "test-util")]
            Source::Virtual(v) => Some(v.workers.clone()),
        }
    }
}

#[cfg(feature = "test-util")]
impl Clock {
    /// Moves a virtual clock by `duration`, stopping at each deadline on the way: there it fires the
    /// timers due, in order, and waits until the workers are idle, so that a timer armed by one of
    /// them inside the stretch fires inside the stretch too.
    ///
    /// # Panics
    ///
    /// On a system clock, and when the time does not fit in 64 bits of nanoseconds.
    pub fn advance(&self, duration: Duration) {
        use std::sync::atomic::Ordering;
        let v = self.virtual_source();
        let _alone = v.advancing.lock().unwrap_or_else(PoisonError::into_inner);
        v.workers.wait_until_quiet();
        let target = self.now().checked_add(duration).expect("the virtual time fits");
        loop {
            let next = self.0.timers.next_deadline().filter(|&next| next <= target);
            let to = next.unwrap_or(target).max(self.now());
            let nanos =
                u64::try_from(to.duration_since(v.origin).as_nanos()).expect("the virtual time fits in u64");
            // Release: pairs with the Acquire in `now`.
            v.elapsed.store(nanos, Ordering::Release);
            for waker in self.0.timers.take_due(to) {
                waker.wake();
            }
            v.workers.wait_until_quiet();
            if next.is_none() {
                return;
            }
        }
    }

    /// Waits until every worker of this virtual clock is parked: background jobs and threads inside
    /// [`block_on`](Self::block_on). Call it from a thread that is none of them.
    ///
    /// # Panics
    ///
    /// On a system clock.
    pub fn settle(&self) {
        self.virtual_source().workers.wait_until_quiet();
    }

    /// The earliest deadline that waits for this virtual clock.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.0.timers.next_deadline()
    }

    fn virtual_source(&self) -> &Virtual {
        match &self.0.source {
            Source::Virtual(v) => v,
            Source::System => {
                panic!("only a virtual clock is moved by hand: build the value with `Clock::virtual_()`")
            }
        }
    }
}

impl Default for Clock {
    /// [`Clock::system`].
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_virtual() { "Clock::virtual_()" } else { "Clock::system()" })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.timers.stop();
    }
}

/// Completes at its deadline. Dropping it removes the timer.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Sleep {
    clock: Clock,
    deadline: Option<Instant>,
    timer: Option<Key>,
}

impl Sleep {
    /// When it completes; `None` for never.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Moves the deadline; the next poll registers it.
    pub fn reset(&mut self, deadline: Option<Instant>) {
        self.disarm();
        self.deadline = deadline;
    }

    fn disarm(&mut self) {
        if let Some(key) = self.timer.take() {
            self.clock.0.timers.remove(key);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        if self.clock.now() >= deadline {
            self.disarm();
            return Poll::Ready(());
        }
        let timers = &self.clock.0.timers;
        if !self.timer.is_some_and(|key| timers.update(key, cx.waker())) {
            let key = timers.insert(deadline, cx.waker().clone());
            if !self.clock.is_virtual() {
                timers.ensure_thread();
            }
            self.timer = Some(key);
        }
        // A virtual clock may have passed the deadline between the look at the time and the
        // registration; then nobody would fire the timer.
        if self.clock.now() >= deadline {
            self.disarm();
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
    }
}

/// The time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the deadline passed before the operation was done")]
pub struct Elapsed;
