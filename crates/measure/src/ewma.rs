//! An exponentially weighted rate.

use crate::counter::Counter;
use crate::error::BuildError;
use ropewalk_sync::Clock;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Events per second, older ones weighing less: half as much for each half-life. Clones mark together.
///
/// [`mark`](Self::mark) only adds to a [`Counter`], without looking at the clock; [`rate`](Self::rate)
/// folds what came since the last reading in, taken as spread evenly over that time. So the answer is
/// exact for steady traffic however rarely it is read, and needs a reading per half-life or so to follow
/// bursts. The weights are those of the time since the start, so a fresh meter is not biased towards 0.
///
/// ```
/// use ropewalk_measure::Ewma;
/// use std::time::Duration;
///
/// let requests = Ewma::builder(Duration::from_secs(10)).build()?;
/// requests.mark(5);
/// assert!(requests.rate() >= 0.0);
/// # Ok::<(), ropewalk_measure::BuildError>(())
/// ```
#[derive(Clone)]
pub struct Ewma(Arc<Inner>);

struct Inner {
    events: Counter,
    half_life: f64,
    clock: Clock,
    folded: Mutex<Folded>,
}

#[derive(Clone, Copy)]
struct Folded {
    at: Instant,
    count: u64,
    /// Weighted events and weighted seconds; their ratio is the rate.
    events: f64,
    seconds: f64,
}

/// Sets up an [`Ewma`].
#[derive(Clone, Debug)]
pub struct EwmaBuilder {
    half_life: Duration,
    clock: Option<Clock>,
}

impl EwmaBuilder {
    /// Where time comes from; the system by default.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The meter.
    ///
    /// # Errors
    ///
    /// [`BuildError::Window`] for a half-life of 0.
    pub fn build(self) -> Result<Ewma, BuildError> {
        if self.half_life.is_zero() {
            return Err(BuildError::Window);
        }
        let clock = self.clock.unwrap_or_else(Clock::system);
        let folded = Folded { at: clock.now(), count: 0, events: 0.0, seconds: 0.0 };
        Ok(Ewma(Arc::new(Inner {
            events: Counter::new(),
            half_life: self.half_life.as_secs_f64(),
            clock,
            folded: Mutex::new(folded),
        })))
    }
}

impl Ewma {
    /// A rate that forgets half within `half_life`.
    pub fn builder(half_life: Duration) -> EwmaBuilder {
        EwmaBuilder { half_life, clock: None }
    }

    /// So many events happened.
    #[inline]
    pub fn mark(&self, n: u64) {
        self.0.events.add(n);
    }

    /// The weighted events per second; 0 as long as no time has passed.
    pub fn rate(&self) -> f64 {
        let inner = &*self.0;
        let mut folded = inner.folded.lock().unwrap_or_else(PoisonError::into_inner);
        let now = inner.clock.now();
        let passed = now.saturating_duration_since(folded.at).as_secs_f64();
        if passed > 0.0 {
            let count = inner.events.value();
            // Events and seconds fade alike. Over an interval at a steady rate the weight is the integral
            // of 2^(-t / half-life).
            let keep = (-passed / inner.half_life).exp2();
            let weight = inner.half_life / std::f64::consts::LN_2 * (1.0 - keep);
            let rate = count.wrapping_sub(folded.count) as f64 / passed;
            folded.events = folded.events * keep + rate * weight;
            folded.seconds = folded.seconds * keep + weight;
            folded.at = now;
            folded.count = count;
        }
        if folded.seconds > 0.0 { folded.events / folded.seconds } else { 0.0 }
    }

    /// Events since the start.
    pub fn total(&self) -> u64 {
        self.0.events.value()
    }
}

impl fmt::Debug for Ewma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ewma").field("total", &self.total()).finish_non_exhaustive()
    }
}
