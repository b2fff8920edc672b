//! Telling observers what happened.

use crate::task::{Status, TaskId};
use std::{sync::Arc, time::Instant};

/// Something that happened in a graph, for observers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// Its number: events of one graph are delivered in this order, without gaps.
    pub seq: u64,
    /// When, by the graph's clock.
    pub at: Instant,
    /// To which task.
    pub task: TaskId,
    /// The task's name.
    pub name: Arc<str>,
    /// What.
    pub change: Change,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The task was added.
    Added,
    /// It moved from one status to another.
    Status {
        /// Where it was.
        from: Status,
        /// Where it is.
        to: Status,
        /// The number of its latest attempt; 0 when it has not been started.
        attempt: u32,
    },
    /// It was asked to stop while it runs.
    CancelRequested,
    /// It got a dependency.
    DependencyAdded {
        /// On this task.
        on: TaskId,
    },
    /// It lost a dependency.
    DependencyRemoved {
        /// On this task.
        on: TaskId,
    },
    /// It was removed.
    Removed,
}

pub(crate) type Observer = Box<dyn Fn(&Event) + Send + Sync>;
