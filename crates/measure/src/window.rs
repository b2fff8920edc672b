//! Recording over a sliding window of time.
//!
//! Nothing is ever reset. A cumulative recorder runs on, and at each boundary between sub-windows a copy
//! of it ("mark") is kept; the window is the recorder now minus the mark one window ago. The first record
//! or read after a boundary makes the mark. A record that finds another thread making it goes on without
//! waiting, so at worst the records beside a boundary count to its other side.

use crate::counter::Counter;
use crate::error::BuildError;
use crate::histogram::Histogram;
use crate::snapshot::Snapshot;
use ropewalk_prove::sync::atomic::{AtomicU64, Ordering};
use ropewalk_sync::Clock;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

const PARTS: u32 = 6;

/// Sets up a [`Windowed`] histogram or a [`Rate`].
#[derive(Clone, Debug)]
pub struct WindowBuilder<W> {
    window: Duration,
    parts: u32,
    clock: Option<Clock>,
    precision: u32,
    kind: std::marker::PhantomData<fn() -> W>,
}

impl<W> WindowBuilder<W> {
    fn new(window: Duration) -> Self {
        let precision = crate::raw::cells::DEFAULT.bits();
        Self { window, parts: PARTS, clock: None, precision, kind: std::marker::PhantomData }
    }

    /// In how many steps the window slides; 6 by default. More is smoother and keeps more copies.
    #[must_use]
    pub fn parts(mut self, parts: u32) -> Self {
        self.parts = parts;
        self
    }

    /// Where time comes from; the system by default.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    fn ring<M>(&self) -> Result<Ring<M>, BuildError> {
        let part =
            self.window.checked_div(self.parts).filter(|part| !part.is_zero()).ok_or(BuildError::Window)?;
        let clock = self.clock.clone().unwrap_or_else(Clock::system);
        let start = clock.now();
        Ok(Ring {
            clock,
            start,
            part,
            parts: u64::from(self.parts),
            epoch: AtomicU64::new(0),
            marks: Mutex::default(),
        })
    }
}

/// Marks at the boundaries of sub-windows, and the time they are measured by.
struct Ring<M> {
    clock: Clock,
    start: Instant,
    part: Duration,
    parts: u64,
    /// The sub-window for which marks are complete.
    epoch: AtomicU64,
    /// (first sub-window after the mark, what stood then), oldest first.
    marks: Mutex<VecDeque<(u64, M)>>,
}

impl<M: Clone> Ring<M> {
    fn epoch_at(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.start).as_nanos();
        u64::try_from(since / self.part.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Makes the mark of the present sub-window if nobody has; does not wait.
    #[inline]
    fn turn(&self, now: Instant, mark: impl Fn() -> M) {
        let epoch = self.epoch_at(now);
        // Relaxed: only a hint; whether the mark is missing is decided under the lock.
        if epoch > self.epoch.load(Ordering::Relaxed) {
            let marks = match self.marks.try_lock() {
                Ok(marks) => marks,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            self.mark(marks, epoch, mark);
        }
    }

    fn mark(&self, mut marks: MutexGuard<'_, VecDeque<(u64, M)>>, epoch: u64, mark: impl Fn() -> M) {
        if epoch <= self.epoch.load(Ordering::Relaxed) {
            return;
        }
        marks.push_back((epoch, mark()));
        let first = self.first(epoch);
        while marks.front().is_some_and(|(at, _)| *at < first) {
            marks.pop_front();
        }
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    /// The first sub-window of the window that ends with `epoch`.
    fn first(&self, epoch: u64) -> u64 {
        epoch.saturating_add(1).saturating_sub(self.parts)
    }

    /// What stood when the window began (`None`: it began with the recorder), and how long ago that was.
    fn begin(&self, mark: impl Fn() -> M) -> (Option<M>, Duration) {
        let now = self.clock.now();
        let epoch = self.epoch_at(now);
        self.mark(self.lock(), epoch, mark);
        // Another reader may have gone further in the meantime; its window is as good.
        let epoch = epoch.max(self.epoch.load(Ordering::Relaxed));
        let first = self.first(epoch);
        let age = now.saturating_duration_since(self.start).as_nanos();
        let skipped = self.part.as_nanos().saturating_mul(u128::from(first));
        let span = u64::try_from(age.saturating_sub(skipped)).unwrap_or(u64::MAX);
        // Between two marks records fell into the sub-window of the earlier one only, or there would be a
        // mark between them: what stood at `first` is what the next mark holds.
        let begin = if first == 0 {
            None
        } else {
            self.lock().iter().find(|(at, _)| *at >= first).map(|(_, mark)| mark.clone())
        };
        // A start shorter than one part would make any rate look huge.
        (begin, Duration::from_nanos(span).max(self.part))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(u64, M)>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A [`Histogram`] over the last minutes: quantiles that forget. Clones record together.
///
/// The window slides in [`parts`](WindowBuilder::parts) steps: it holds the present part and the whole
/// parts before it, so between `window - window / parts` and `window` of time. A record reads the clock
/// and is otherwise a histogram's; the first one of a part also copies the histogram.
///
/// ```
/// use ropewalk_measure::Windowed;
/// use std::time::Duration;
///
/// let wait = Windowed::builder(Duration::from_secs(60)).build()?;
/// wait.record_duration(Duration::from_millis(3));
/// assert_eq!(wait.snapshot().count(), 1);
/// # Ok::<(), ropewalk_measure::BuildError>(())
/// ```
#[derive(Clone)]
pub struct Windowed(Arc<WindowedInner>);

struct WindowedInner {
    histogram: Histogram,
    ring: Ring<Snapshot>,
}

impl WindowBuilder<Windowed> {
    /// The precision, as of [`HistogramBuilder`](crate::HistogramBuilder::precision).
    #[must_use]
    pub fn precision(mut self, bits: u32) -> Self {
        self.precision = bits;
        self
    }

    /// The windowed histogram.
    ///
    /// # Errors
    ///
    /// [`BuildError`] for a window or a part of length 0, and for a precision above 12 bits.
    pub fn build(self) -> Result<Windowed, BuildError> {
        let histogram = Histogram::builder().precision(self.precision).build()?;
        Ok(Windowed(Arc::new(WindowedInner { histogram, ring: self.ring()? })))
    }
}

impl Windowed {
    /// A histogram of the last `window` of time.
    pub fn builder(window: Duration) -> WindowBuilder<Self> {
        WindowBuilder::new(window)
    }

    /// Counts one value.
    #[inline]
    pub fn record(&self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts a value `times` times; 0 times is nothing.
    #[inline]
    pub fn record_n(&self, value: u64, times: u64) {
        self.0.ring.turn(self.0.ring.clock.now(), || self.0.histogram.snapshot());
        self.0.histogram.record_n(value, times);
    }

    /// Counts a duration in nanoseconds.
    #[inline]
    pub fn record_duration(&self, duration: Duration) {
        self.record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What the window holds. Minimum and maximum are known to their cell.
    pub fn snapshot(&self) -> Snapshot {
        self.window().0
    }

    /// Values per second over the window.
    pub fn rate(&self) -> f64 {
        let (seen, span) = self.window();
        seen.count() as f64 / span.as_secs_f64()
    }

    /// What was counted since the start.
    pub fn total(&self) -> Snapshot {
        self.0.histogram.snapshot()
    }

    fn window(&self) -> (Snapshot, Duration) {
        let (begin, span) = self.0.ring.begin(|| self.0.histogram.snapshot());
        let now = self.0.histogram.snapshot();
        (begin.map_or_else(|| now.clone(), |begin| now.since(&begin)), span)
    }
}

impl fmt::Debug for Windowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Windowed").field("total", &self.0.histogram.count()).finish_non_exhaustive()
    }
}

/// A [`Counter`] over the last minutes: events per second. Clones count together.
///
/// ```
/// use ropewalk_measure::Rate;
/// use std::time::Duration;
///
/// let messages = Rate::builder(Duration::from_secs(60)).build()?;
/// messages.add(30);
/// assert_eq!(messages.count(), 30);
/// # Ok::<(), ropewalk_measure::BuildError>(())
/// ```
#[derive(Clone)]
pub struct Rate(Arc<RateInner>);

struct RateInner {
    counter: Counter,
    ring: Ring<u64>,
}

impl WindowBuilder<Rate> {
    /// The meter.
    ///
    /// # Errors
    ///
    /// [`BuildError::Window`] for a window or a part of length 0.
    pub fn build(self) -> Result<Rate, BuildError> {
        Ok(Rate(Arc::new(RateInner { counter: Counter::new(), ring: self.ring()? })))
    }
}

impl Rate {
    /// Counts events over the last `window` of time.
    pub fn builder(window: Duration) -> WindowBuilder<Self> {
        WindowBuilder::new(window)
    }

    /// One event.
    #[inline]
    pub fn incr(&self) {
        self.add(1);
    }

    /// So many events.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.ring.turn(self.0.ring.clock.now(), || self.0.counter.value());
        self.0.counter.add(n);
    }

    /// Events within the window.
    pub fn count(&self) -> u64 {
        self.window().0
    }

    /// Events per second over the window (over one part of it at least).
    pub fn rate(&self) -> f64 {
        let (count, span) = self.window();
        count as f64 / span.as_secs_f64()
    }

    /// Events since the start.
    pub fn total(&self) -> u64 {
        self.0.counter.value()
    }

    fn window(&self) -> (u64, Duration) {
        let (begin, span) = self.0.ring.begin(|| self.0.counter.value());
        (self.0.counter.value().wrapping_sub(begin.unwrap_or(0)), span)
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rate").field("total", &self.total()).finish_non_exhaustive()
    }
}
