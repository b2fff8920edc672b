//! Telling an attempt that it should stop.

use crate::guard::caught;
use ropewalk_sync::Event;
use std::sync::{Arc, OnceLock};

/// Why an attempt should stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// Its task was cancelled.
    Cancelled,
    /// It took too long.
    TimedOut,
    /// The deadline of its task passed.
    DeadlinePassed,
}

/// Seen by an attempt: whether, and why, it should stop. Clones see the same.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    event: Event,
    reason: OnceLock<StopReason>,
}

impl CancelToken {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The first reason stays.
    pub(crate) fn stop(&self, reason: StopReason) {
        self.0.reason.get_or_init(|| reason);
        // It wakes whoever waits for it, anywhere: their wakers are the user's.
        caught(|| self.0.event.set());
    }

    /// Whether the attempt should stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.event.is_set()
    }

    /// Why, if it should.
    pub fn reason(&self) -> Option<StopReason> {
        self.0.reason.get().copied()
    }

    /// Completes when the attempt should stop.
    pub async fn cancelled(&self) {
        self.0.event.wait().await;
    }

    /// [`cancelled`](Self::cancelled) on this thread.
    pub fn cancelled_blocking(&self) {
        self.0.event.wait_blocking();
    }
}
