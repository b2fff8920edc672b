//! One timer for a whole line of deadlines.

use crate::{Clock, Sleep};
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Wake, Waker},
    time::{Duration, Instant},
};

/// One timer for many deadlines: a line of waiters sets one each, most are met, and a timer of its own for each would
/// cost more than the waiting.
///
/// [`by`](Self::by) is one load while something earlier is set already. When the earliest comes, `due` is called with
/// the present instant on the clock's timer thread, or by whoever advances a virtual clock: it does what is due and
/// tells the earliest deadline that is left. It is called once at a time or more often than needed, never too late.
///
/// Whoever puts a deadline where `due` looks must do so *before* it calls [`by`](Self::by), and under the same lock as
/// `due` looks: then either `due` sees it, or the call sees that nothing earlier is set.
///
/// ```
/// use ropewalk_sync::{Clock, Deadlines, Event};
/// use std::{sync::Arc, time::Duration};
///
/// let (clock, rung) = (Clock::system(), Arc::new(Event::new()));
/// let ring = rung.clone();
/// let deadlines = Deadlines::new(&clock, move |_now| {
///     ring.set();
///     None
/// });
/// deadlines.by(clock.deadline(Duration::from_millis(1)));
/// rung.wait_blocking();
/// ```
///
/// A panic in `due` is caught (the panic hook has reported it); nothing is set then until the next call of
/// [`by`](Self::by). Dropping this removes the timer; a call of `due` under way goes on.
pub struct Deadlines {
    inner: Arc<Inner>,
}

type Due = dyn Fn(Instant) -> Option<Instant> + Send + Sync;

struct Inner {
    clock: Clock,
    origin: Instant,
    /// Nanoseconds from `origin` to the deadline that is set.
    set: AtomicU64,
    sleep: Mutex<Sleep>,
    due: Box<Due>,
}

/// The deadline that never comes.
const NEVER: u64 = u64::MAX;

impl Deadlines {
    /// None set.
    pub fn new(clock: &Clock, due: impl Fn(Instant) -> Option<Instant> + Send + Sync + 'static) -> Self {
        let inner = Inner {
            clock: clock.clone(),
            origin: clock.now(),
            set: AtomicU64::new(NEVER),
            sleep: Mutex::new(clock.sleep_until(None)),
            due: Box::new(due),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Has `due` called at `deadline` at the latest, here and now if it has passed. `None` is never.
    #[inline]
    pub fn by(&self, deadline: Option<Instant>) {
        if let Some(deadline) = deadline.filter(|&deadline| self.inner.is_earlier(deadline)) {
            if self.inner.arm(deadline) {
                self.inner.look();
            }
        }
    }
}

impl Inner {
    fn nanos(&self, deadline: Instant) -> u64 {
        u64::try_from(deadline.saturating_duration_since(self.origin).as_nanos()).unwrap_or(NEVER)
    }

    fn is_earlier(&self, deadline: Instant) -> bool {
        self.nanos(deadline) < self.set.load(Relaxed)
    }

    /// Sets the timer, unless something as early is set; tells whether `deadline` has passed.
    fn arm(self: &Arc<Self>, deadline: Instant) -> bool {
        let mut sleep = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_earlier(deadline) {
            return false;
        }
        self.set.store(self.nanos(deadline), Relaxed);
        sleep.reset(Some(deadline));
        let waker = Waker::from(self.clone());
        Pin::new(&mut *sleep).poll(&mut Context::from_waker(&waker)).is_ready()
    }

    /// Does what is due and sets what is next.
    fn look(self: &Arc<Self>) {
        loop {
            // Before `due` takes its lock: whoever comes after it sees that nothing is set.
            self.set.store(NEVER, Relaxed);
            let next = catch_unwind(AssertUnwindSafe(|| (self.due)(self.clock.now()))).unwrap_or(None);
            let next = next.filter(|&next| self.is_earlier(next));
            if !next.is_some_and(|next| self.arm(next)) {
                return;
            }
        }
    }
}

impl Wake for Inner {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}

impl Drop for Deadlines {
    fn drop(&mut self) {
        // The timer holds a share, by its waker.
        self.inner.sleep.lock().unwrap_or_else(PoisonError::into_inner).reset(None);
    }
}

impl fmt::Debug for Deadlines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.inner.set.load(Relaxed);
        let set = (set != NEVER).then(|| Duration::from_nanos(set));
        f.debug_struct("Deadlines").field("set", &set).finish_non_exhaustive()
    }
}
