//! Setting a pool up.

use crate::{BuildError, ResourcePool, pool::Inner};
use ropewalk_sync::Clock;
use std::time::Duration;

/// How often a waiter may be overtaken, unless the builder says otherwise.
const OVERTAKING: u32 = 8;
/// How long a grant may lie unpolled while others wait, unless the builder says otherwise.
const REGRANT_AFTER: Duration = Duration::from_secs(1);
/// How many names nobody uses are remembered, unless the builder says otherwise.
const IDLE_NAMES: usize = 10_000;

/// Builds a [`ResourcePool`].
#[derive(Clone, Debug)]
pub struct ResourcePoolBuilder {
    overtaking: u32,
    regrant_after: Duration,
    idle_names: usize,
    clock: Clock,
}

impl ResourcePoolBuilder {
    pub(crate) fn new() -> Self {
        Self {
            overtaking: OVERTAKING,
            regrant_after: REGRANT_AFTER,
            idle_names: IDLE_NAMES,
            clock: Clock::system(),
        }
    }

    /// How many younger requests may take something a waiter waits for before it comes first; 8 by
    /// default. 0 is strict first come, first served on each resource; more let sets that are free now go
    /// on while a large one gathers, for more throughput and a longer tail.
    #[must_use]
    pub fn overtaking(mut self, times: u32) -> Self {
        self.overtaking = times;
        self
    }

    /// How long a lease may lie with a waiter that is not polled before it passes on to those in line
    /// behind it: it survives at least one such time and at most two while somebody waits. 1 s by default;
    /// `Duration::MAX` turns it off.
    #[must_use]
    pub fn regrant_after(mut self, interval: Duration) -> Self {
        self.regrant_after = interval;
        self
    }

    /// How many names that nobody holds or waits for keep their statistics; 10,000 by default. Counted
    /// resources are kept for good.
    #[must_use]
    pub fn idle_names(mut self, names: usize) -> Self {
        self.idle_names = names;
        self
    }

    /// The clock for timeouts, statistics and regrants; the system's by default.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Builds it.
    ///
    /// # Errors
    ///
    /// [`BuildError::ZeroInterval`] for a regrant interval of zero.
    pub fn build(self) -> Result<ResourcePool, BuildError> {
        if self.regrant_after.is_zero() {
            return Err(BuildError::ZeroInterval);
        }
        Ok(ResourcePool::start(Inner::new(self.overtaking, self.idle_names, self.regrant_after, self.clock)))
    }
}
