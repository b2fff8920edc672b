//! The pool's time: one word, so that it is read once, compared at once and kept in atomics.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Nanoseconds since the pool was built: 584 years of them. Adding to it saturates at [`NEVER`].
pub(crate) type Tick = u64;

/// The instant that never comes, and what lasts for ever.
pub(crate) const NEVER: Tick = Tick::MAX;

/// A span; what does not fit is for ever.
pub(crate) fn span(duration: Duration) -> Tick {
    Tick::try_from(duration.as_nanos()).unwrap_or(NEVER)
}

/// Where ticks are counted from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin(pub(crate) Instant);

impl Origin {
    #[inline]
    pub(crate) fn tick(self, at: Instant) -> Tick {
        span(at.saturating_duration_since(self.0))
    }

    /// `None` for never.
    pub(crate) fn instant(self, tick: Tick) -> Option<Instant> {
        if tick == NEVER { None } else { self.0.checked_add(Duration::from_nanos(tick)) }
    }
}

/// When the keeper looks next, lowered by whoever knows of something earlier.
#[derive(Clone, Debug)]
pub(crate) struct Alarm(Arc<AtomicU64>);

impl Alarm {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(NEVER)))
    }

    /// Makes it `at` at the latest; tells whether the keeper must be rung for it.
    #[inline]
    pub(crate) fn lower(&self, at: Tick) -> bool {
        // The look spares the keeper's line: mostly something earlier is due already.
        at < self.0.load(Ordering::Relaxed) && at < self.0.fetch_min(at, Ordering::Relaxed)
    }

    /// The keeper begins to look at everything: what it does not see will ring.
    pub(crate) fn reset(&self) {
        self.0.store(NEVER, Ordering::Relaxed);
    }

    pub(crate) fn at(&self) -> Tick {
        self.0.load(Ordering::Relaxed)
    }
}
