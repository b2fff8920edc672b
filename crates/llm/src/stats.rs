//! What a processor has done so far.

use crate::{ErrorKind, Source, Usage};
use ropewalk_measure::{Counter, Histogram, Snapshot};
use std::time::Duration;

/// Counts since the processor was built, and its state at the moment of asking. The counts are read
/// one after the other, so under load they may be apart by what happened in between.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LlmStats {
    /// Questions asked.
    pub requests: u64,
    /// Questions answered from the cache.
    pub hits: u64,
    /// Questions answered by a call that somebody else had started.
    pub shared: u64,
    /// Questions answered by a call of their own.
    pub answered: u64,
    /// Questions that ended with an error other than a deadline.
    pub failed: u64,
    /// Questions whose deadline passed.
    pub expired: u64,
    /// Questions whose caller went before there was an answer, those with a deadline included.
    pub left: u64,
    /// Questions refused because the queue was full.
    pub overloaded: u64,
    /// Questions that no model could answer.
    pub invalid: u64,
    /// Calls to the backend; a batch that went out as one call counts once.
    pub calls: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Groups of calls that left together.
    pub batches: u64,
    /// Failed calls by kind, each kind that occurred.
    pub failures: Vec<(&'static str, u64)>,
    /// Tokens of questions that reached the backend, as far as it said.
    pub prompt_tokens: u64,
    /// Tokens of the answers.
    pub completion_tokens: u64,
    /// Questions that wait for their turn now.
    pub queued: usize,
    /// Calls in flight now.
    pub in_flight: usize,
    /// Calls that may be in flight now.
    pub limit: usize,
    /// Nanoseconds from the question to the start of its first call.
    pub queue_wait: Snapshot,
    /// Nanoseconds that calls took, failed ones included.
    pub backend_latency: Snapshot,
    /// Nanoseconds from the question to its answer, hits included.
    pub answered_latency: Snapshot,
}

impl LlmStats {
    /// The share of questions that were answered from the cache, from 0 to 1.
    pub fn hit_ratio(&self) -> f64 {
        self.share(self.hits)
    }

    /// The share of questions that needed no call of their own, from 0 to 1.
    pub fn saved_ratio(&self) -> f64 {
        self.share(self.hits + self.shared)
    }

    fn share(&self, part: u64) -> f64 {
        if self.requests == 0 { 0.0 } else { part as f64 / self.requests as f64 }
    }
}

#[derive(Default)]
pub(crate) struct Meters {
    pub(crate) requests: Counter,
    pub(crate) hits: Counter,
    shared: Counter,
    answers: Counter,
    pub(crate) failed: Counter,
    pub(crate) expired: Counter,
    pub(crate) left: Counter,
    pub(crate) overloaded: Counter,
    pub(crate) invalid: Counter,
    pub(crate) calls: Counter,
    pub(crate) retries: Counter,
    pub(crate) batches: Counter,
    failures: [Counter; ErrorKind::ALL.len()],
    prompt_tokens: Counter,
    completion_tokens: Counter,
    pub(crate) queue_wait: Histogram,
    pub(crate) backend: Histogram,
    pub(crate) answered: Histogram,
}

impl Meters {
    pub(crate) fn failure(&self, kind: ErrorKind) {
        if let Some(at) = ErrorKind::ALL.iter().position(|&other| other == kind) {
            self.failures[at].incr();
        }
    }

    pub(crate) fn tokens(&self, usage: &Usage) {
        self.prompt_tokens.add(usage.prompt_tokens);
        self.completion_tokens.add(usage.completion_tokens);
    }

    pub(crate) fn answer(&self, source: Source, latency: Duration) {
        match source {
            Source::Cache => self.hits.incr(),
            Source::Shared => self.shared.incr(),
            Source::Backend => self.answers.incr(),
        }
        self.answered.record_duration(latency);
    }

    pub(crate) fn stats(&self, queued: usize, in_flight: usize, limit: usize) -> LlmStats {
        let failures = ErrorKind::ALL.iter().zip(&self.failures);
        LlmStats {
            requests: self.requests.value(),
            hits: self.hits.value(),
            shared: self.shared.value(),
            answered: self.answers.value(),
            failed: self.failed.value(),
            expired: self.expired.value(),
            left: self.left.value(),
            overloaded: self.overloaded.value(),
            invalid: self.invalid.value(),
            calls: self.calls.value(),
            retries: self.retries.value(),
            batches: self.batches.value(),
            failures: failures
                .map(|(kind, count)| (kind.name(), count.value()))
                .filter(|&(_, count)| count > 0)
                .collect(),
            prompt_tokens: self.prompt_tokens.value(),
            completion_tokens: self.completion_tokens.value(),
            queued,
            in_flight,
            limit,
            queue_wait: self.queue_wait.snapshot(),
            backend_latency: self.backend.snapshot(),
            answered_latency: self.answered.snapshot(),
        }
    }
}
