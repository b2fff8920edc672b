//! Setting a balancer up.

use crate::{
    Balancer, BuildError, Ejection, PeakEwma, Probe, Strategy,
    inner::{Inner, Settings},
};
use ropewalk_sync::{Clock, Spawn};
use std::{fmt, sync::Arc, time::Duration};

/// How long a slot may lie with a waiter that does not poll, unless the builder says otherwise.
const REGRANT_AFTER: Duration = Duration::from_secs(1);

/// Builds a [`Balancer`].
pub struct BalancerBuilder {
    strategy: Box<dyn Strategy>,
    probe: Option<Probe>,
    ejection: Option<Ejection>,
    panic_threshold: u32,
    slow_start: Duration,
    max_in_flight: Option<u32>,
    regrant_after: Duration,
    seed: u64,
    clock: Clock,
    spawner: Option<Arc<dyn Spawn>>,
}

impl BalancerBuilder {
    pub(crate) fn new() -> Self {
        Self {
            strategy: Box::new(PeakEwma::new()),
            probe: None,
            ejection: Some(Ejection::new()),
            panic_threshold: 50,
            slow_start: Duration::ZERO,
            max_in_flight: None,
            regrant_after: REGRANT_AFTER,
            seed: 0x526f_7065,
            clock: Clock::system(),
            spawner: None,
        }
    }

    /// How nodes are chosen; [`PeakEwma`] by default.
    #[must_use]
    pub fn strategy(mut self, strategy: impl Strategy) -> Self {
        self.strategy = Box::new(strategy);
        self
    }

    /// Asks nodes at intervals whether they are well; not done by default. It takes a background job:
    /// on a thread of its own, or where [`spawner`](Self::spawner) says. A node takes requests from its
    /// first good answer on.
    #[must_use]
    pub fn health(mut self, probe: Probe) -> Self {
        self.probe = Some(probe);
        self
    }

    /// When nodes are ejected because requests failed on them; [`Ejection::new`] by default.
    #[must_use]
    pub fn ejection(mut self, ejection: Ejection) -> Self {
        self.ejection = Some(ejection);
        self
    }

    /// Never ejects a node because requests failed on it.
    #[must_use]
    pub fn without_ejection(mut self) -> Self {
        self.ejection = None;
        self
    }

    /// Below this percentage of nodes that are up (of those that can serve a request and are not
    /// draining), health is ignored: when nearly all look sick, the sick may still serve better than the
    /// few that are left alone. 50 by default; 0 never ignores it, and then
    /// [`PickError::AllUnhealthy`](crate::PickError::AllUnhealthy) is the answer.
    #[must_use]
    pub fn panic_threshold(mut self, percent: u32) -> Self {
        self.panic_threshold = percent;
        self
    }

    /// For so long after it comes up, a node's weight grows from a tenth to all of it, for strategies that
    /// look at weights. None by default.
    #[must_use]
    pub fn slow_start_window(mut self, window: Duration) -> Self {
        self.slow_start = window;
        self
    }

    /// How many requests a node may have in flight from this balancer, unless it says so itself; no limit
    /// by default.
    #[must_use]
    pub fn max_in_flight(mut self, max: u32) -> Self {
        self.max_in_flight = Some(max);
        self
    }

    /// How long a slot may lie with a waiter that is not polled while others wait before it passes on: it
    /// survives at least one such time and at most two. 1 s by default.
    #[must_use]
    pub fn regrant_after(mut self, interval: Duration) -> Self {
        self.regrant_after = interval;
        self
    }

    /// Where random draws begin: the same seed and the same calls in the same order give the same picks.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The clock for latencies, ejections, probes and timeouts; the system's by default.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Where the background job of [`health`](Self::health) runs.
    #[must_use]
    pub fn spawner(mut self, spawner: Arc<dyn Spawn>) -> Self {
        self.spawner = Some(spawner);
        self
    }

    /// Builds it.
    ///
    /// # Errors
    ///
    /// A percentage above 100, an interval or threshold of zero, ejection times that contradict.
    pub fn build(self) -> Result<Balancer, BuildError> {
        if self.panic_threshold > 100 {
            return Err(BuildError::Percentage { what: "panic_threshold", value: self.panic_threshold });
        }
        if self.regrant_after.is_zero() {
            return Err(BuildError::Zero {
                what: "regrant_after",
                way_out: ", or Duration::MAX to turn it off",
            });
        }
        if let Some(ejection) = &self.ejection {
            ejection.check()?;
        }
        if let Some(probe) = &self.probe {
            probe.check_settings()?;
        }
        let settings = Settings {
            decay: self.strategy.decay().max(Duration::from_nanos(1)),
            strategy: self.strategy,
            ejection: self.ejection,
            probed: self.probe.is_some(),
            panic_threshold: self.panic_threshold,
            slow_start: u64::try_from(self.slow_start.as_nanos()).unwrap_or(u64::MAX),
            max_in_flight: self.max_in_flight,
            regrant_after: self.regrant_after,
            seed: self.seed,
            clock: self.clock,
        };
        Ok(Balancer::start(Inner::new(settings), self.probe, self.spawner))
    }
}

impl fmt::Debug for BalancerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BalancerBuilder")
            .field("strategy", &self.strategy)
            .field("health", &self.probe)
            .field("ejection", &self.ejection)
            .field("panic_threshold", &self.panic_threshold)
            .field("max_in_flight", &self.max_in_flight)
            .finish_non_exhaustive()
    }
}
