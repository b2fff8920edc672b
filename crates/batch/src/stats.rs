//! What a batcher has done so far.

use ropewalk_measure::{Counter, Histogram, Snapshot};

/// Counts since the batcher was built, and its state at the moment of asking. The counts are read one
/// after the other, so under load they may be apart by what happened in between.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BatchStats {
    /// Items taken into the queue.
    pub submitted: u64,
    /// Items refused because the queue was full.
    pub rejected: u64,
    /// Items withdrawn before they were dispatched: dropped or timed out.
    pub withdrawn: u64,
    /// Items answered with success by the handler.
    pub succeeded: u64,
    /// Items answered with an error by the handler.
    pub failed: u64,
    /// Items without an answer: the handler panicked or returned the wrong number of answers.
    pub unanswered: u64,
    /// Batches dispatched.
    pub batches: u64,
    /// Batches on which the handler panicked.
    pub panics: u64,
    /// Items in the queue now.
    pub queued: usize,
    /// Batches running now.
    pub in_flight: usize,
    /// Items per batch.
    pub batch_size: Snapshot,
    /// Nanoseconds that items spent in the queue, of those dispatched.
    pub queue_wait: Snapshot,
}

#[derive(Default)]
pub(crate) struct Meters {
    pub(crate) submitted: Counter,
    pub(crate) rejected: Counter,
    pub(crate) withdrawn: Counter,
    pub(crate) succeeded: Counter,
    pub(crate) failed: Counter,
    pub(crate) unanswered: Counter,
    pub(crate) batches: Counter,
    pub(crate) panics: Counter,
    pub(crate) batch_size: Histogram,
    pub(crate) queue_wait: Histogram,
}

impl Meters {
    pub(crate) fn stats(&self, queued: usize, in_flight: usize) -> BatchStats {
        BatchStats {
            submitted: self.submitted.value(),
            rejected: self.rejected.value(),
            withdrawn: self.withdrawn.value(),
            succeeded: self.succeeded.value(),
            failed: self.failed.value(),
            unanswered: self.unanswered.value(),
            batches: self.batches.value(),
            panics: self.panics.value(),
            queued,
            in_flight,
            batch_size: self.batch_size.snapshot(),
            queue_wait: self.queue_wait.snapshot(),
        }
    }
}
