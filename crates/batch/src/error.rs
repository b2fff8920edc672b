//! What can go wrong.

/// Why a batcher cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A limit of zero.
    #[error("`{0}` is zero, so nothing would ever run; use at least 1")]
    Zero(&'static str),
    /// The queue is larger than can be counted.
    #[error("a queue of {queue} items is more than can be counted; use at most {max}")]
    QueueTooLong {
        /// What was asked for.
        queue: usize,
        /// What is possible.
        max: usize,
    },
}

/// Why an item was refused at once; the item comes back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrySubmitError<T> {
    /// The queue is full, or others wait for room in it.
    #[error("the batcher's queue is full; wait with submit(), or shed the item")]
    Full(T),
    /// The batcher was closed.
    #[error("the batcher is closed; the item was not taken")]
    Closed(T),
}

/// Why an item has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError<T, E> {
    /// The handler's own error for this item.
    #[error("the handler failed on this item")]
    Handler(E),
    /// The batcher was closed before the item was dispatched; the item comes back.
    #[error("the batcher is closed; the item was not dispatched")]
    Closed(T),
    /// The time was over before the item was dispatched; the item comes back and will not run.
    #[error("no batch took the item in time; it was withdrawn, so it may be submitted again")]
    TimedOut(T),
    /// The time was over while the item's batch ran; its outcome is unknown.
    #[error("the item's batch did not finish in time; it runs on, so submitting again may repeat it")]
    TimedOutRunning,
    /// The handler did not return one answer for each item, so no answer can be trusted.
    #[error(
        "the handler returned {answers} answers for a batch of {items}; it must return one for each item, in order"
    )]
    Unanswered {
        /// Items in the batch.
        items: usize,
        /// Answers returned.
        answers: usize,
    },
    /// The handler panicked on the item's batch.
    #[error("the handler panicked on the item's batch: {0}")]
    Panicked(String),
    /// The batcher was dropped while the item's batch ran, or its runtime ended; the outcome is unknown.
    #[error("the batcher was dropped while the item's batch ran; close() it first to drain")]
    Stopped,
}
