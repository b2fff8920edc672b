//! Figures of a graph.

use crate::task::Status;

/// A graph at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Tasks that wait for dependencies.
    pub pending: usize,
    /// Tasks that may start.
    pub ready: usize,
    /// Tasks that were set aside.
    pub blocked: usize,
    /// Tasks that run.
    pub running: usize,
    /// Tasks in the graph that completed.
    pub completed: usize,
    /// Tasks in the graph that failed.
    pub failed: usize,
    /// Tasks in the graph that were cancelled.
    pub cancelled: usize,
    /// Tasks in the graph that were skipped.
    pub skipped: usize,
    /// Tasks ever added.
    pub added: u64,
    /// Tasks ever removed.
    pub removed: u64,
    /// Starts ever.
    pub started: u64,
    /// Retries ever.
    pub retried: u64,
    /// Panics of observers, caught.
    pub observer_panics: u64,
}

impl Stats {
    /// Tasks that are not in a final status.
    pub fn unfinished(&self) -> usize {
        self.pending + self.ready + self.blocked + self.running
    }

    /// Tasks in a final status that are still in the graph.
    pub fn finished(&self) -> usize {
        self.completed + self.failed + self.cancelled + self.skipped
    }

    pub(crate) fn count(&mut self, status: Status, by: isize) {
        let field = match status {
            Status::Pending => &mut self.pending,
            Status::Ready => &mut self.ready,
            Status::Blocked => &mut self.blocked,
            Status::Running => &mut self.running,
            Status::Completed => &mut self.completed,
            Status::Failed => &mut self.failed,
            Status::Cancelled => &mut self.cancelled,
            Status::Skipped => &mut self.skipped,
        };
        *field = field.checked_add_signed(by).expect("a status is left as often as it was entered");
    }
}
