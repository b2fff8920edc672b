//! Telling listeners what happens in the team.

use crate::{
    guard::caught,
    task::{Status, TaskId},
};
use parking_lot::Mutex;
use ropewalk_measure::Counter;
use std::{collections::VecDeque, sync::Arc, time::Instant};

/// Something that happened, for listeners.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// When, by the coordinator's clock.
    pub at: Instant,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// A task moved from one status to another.
    Task {
        /// Its id.
        id: TaskId,
        /// Its name.
        name: Arc<str>,
        /// The agent that runs or last ran it.
        agent: Option<Arc<str>>,
        /// Where it was.
        from: Status,
        /// Where it is.
        to: Status,
        /// The number of its latest attempt; 0 before the first.
        attempt: u32,
    },
    /// An agent joined the team.
    AgentAdded {
        /// Its name.
        name: Arc<str>,
    },
    /// An agent left the team.
    AgentRemoved {
        /// Its name.
        name: Arc<str>,
    },
    /// A message was dropped because a mailbox was full.
    MessageDropped {
        /// Whose mailbox.
        to: Arc<str>,
    },
}

pub(crate) type Listener = Box<dyn Fn(&Event) + Send + Sync>;

/// Calls listeners one event at a time, in order, outside of every lock, on the threads that cause
/// the events.
#[derive(Default)]
pub(crate) struct Hub {
    listeners: Vec<Listener>,
    queue: Mutex<Queue>,
    pub(crate) panics: Counter,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    delivering: bool,
}

impl Hub {
    pub(crate) fn new(listeners: Vec<Listener>) -> Self {
        Self { listeners, ..Self::default() }
    }

    pub(crate) fn is_deaf(&self) -> bool {
        self.listeners.is_empty()
    }

    pub(crate) fn emit(&self, at: Instant, kind: EventKind) {
        if self.is_deaf() {
            return;
        }
        let mut queue = self.queue.lock();
        queue.events.push_back(Event { at, kind });
        if std::mem::replace(&mut queue.delivering, true) {
            // The thread that delivers takes this one too.
            return;
        }
        while let Some(event) = queue.events.pop_front() {
            drop(queue);
            for listener in &self.listeners {
                if caught(|| listener(&event)).is_none() {
                    self.panics.incr();
                }
            }
            queue = self.queue.lock();
        }
        queue.delivering = false;
    }
}
