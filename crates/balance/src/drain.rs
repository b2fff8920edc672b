//! Waiting for a node to finish what it has.

use ropewalk_sync::{Clock, Elapsed, Event};
use std::{fmt, sync::Arc, time::Duration};

/// Tells when a drain is over.
#[derive(Clone)]
pub struct Drain {
    pub(crate) drained: Arc<Event>,
    pub(crate) clock: Clock,
}

impl Drain {
    /// Whether nothing is in flight on the node any more, or the drain was ended by
    /// [`resume`](crate::Balancer::resume).
    pub fn is_done(&self) -> bool {
        self.drained.is_set()
    }

    /// Waits until nothing is in flight on the node, or the drain is ended by
    /// [`resume`](crate::Balancer::resume).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn done(&self) {
        self.drained.wait().await;
    }

    /// Parks this thread until nothing is in flight on it.
    pub fn done_blocking(&self) {
        self.clock.block_on(self.done());
    }

    /// [`done`](Self::done) for at most `duration`.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] when the time is over first; the node stays draining.
    pub async fn done_timeout(&self, duration: Duration) -> Result<(), Elapsed> {
        self.clock.timeout(duration, self.done()).await
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("done", &self.is_done()).finish_non_exhaustive()
    }
}
