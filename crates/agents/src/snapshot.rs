//! The team at one instant.

use crate::task::{Priority, Status, TaskId};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Everything about a team. Durations that name an instant count from the start of the coordinator.
///
/// Statuses are of one instant, agents and slots of one a moment later; the coordinator does not stop
/// for a picture.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// How long the coordinator has been up.
    pub uptime: Duration,
    /// Figures.
    pub stats: Stats,
    /// Every agent.
    pub agents: Vec<AgentInfo>,
    /// Every task that is not finished, and the finished ones that are remembered, by age.
    pub tasks: Vec<TaskInfo>,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its id.
    pub id: TaskId,
    /// Its name.
    pub name: Arc<str>,
    /// The agent or role it asked for.
    pub wanted: Option<Arc<str>>,
    /// The agent that runs or last ran it.
    pub agent: Option<Arc<str>>,
    /// Its priority.
    pub priority: Priority,
    /// Where it stands.
    pub status: Status,
    /// How often it was started.
    pub attempts: u32,
    /// How often it may be tried again.
    pub retries: u32,
    /// What it depends on.
    pub dependencies: Vec<TaskId>,
    /// The resources it needs.
    pub needs: Vec<Arc<str>>,
    /// While it is blocked: the resource it waits for; `None` in the pause before a retry.
    pub waits_for: Option<Arc<str>>,
    /// How long it was expected to take.
    pub estimated: Option<Duration>,
    /// What was noted about it.
    pub metadata: BTreeMap<Arc<str>, Arc<str>>,
    /// When it was taken on.
    pub created: Duration,
    /// When it was first started.
    pub started: Option<Duration>,
    /// When it ended.
    pub ended: Option<Duration>,
    /// Why its last attempt, or it, failed.
    pub error: Option<Arc<str>>,
}

/// One agent.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AgentInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Its roles.
    pub roles: Vec<Arc<str>>,
    /// Whether it was hired on demand.
    pub hired: bool,
    /// Tasks it runs.
    pub running: usize,
    /// Tasks it runs at most.
    pub capacity: usize,
    /// Messages in its mailbox.
    pub queued: usize,
    /// Messages its tasks sent.
    pub sent: u64,
    /// Messages received for it.
    pub received: u64,
    /// Messages to it that were dropped.
    pub dropped: u64,
    /// Attempts that ended well.
    pub completed: u64,
    /// Attempts that did not.
    pub failed: u64,
    /// How long it ran at least one task.
    pub busy: Duration,
    /// That, as a part of the coordinator's life.
    pub utilisation: f64,
}

/// Figures of a team.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Tasks that wait for dependencies.
    pub pending: usize,
    /// Tasks that wait for a slot or an agent.
    pub ready: usize,
    /// Tasks that wait for resources or pause before a retry.
    pub blocked: usize,
    /// Tasks that run.
    pub running: usize,
    /// Tasks that completed, ever.
    pub completed: u64,
    /// Tasks that failed, ever.
    pub failed: u64,
    /// Tasks that were cancelled, ever.
    pub cancelled: u64,
    /// Tasks that were skipped, ever.
    pub skipped: u64,
    /// Retries, ever.
    pub retries: u64,
    /// Attempts that took too long, ever.
    pub timeouts: u64,
    /// Attempts that panicked, ever.
    pub panics: u64,
    /// Blocking bodies that go on though their attempt was given up.
    pub stuck: usize,
    /// Agents in the team.
    pub agents: usize,
    /// Those that run a task.
    pub agents_busy: usize,
    /// Those that run none.
    pub agents_idle: usize,
    /// The limit on busy agents.
    pub max_agents: usize,
    /// Slots for tasks in use.
    pub slots: usize,
    /// Of these, lent out by bodies that wait for resources.
    pub slots_lent: usize,
    /// The limit on running tasks.
    pub max_tasks: usize,
    /// Busy agents as a part of the limit, over the coordinator's life.
    pub agent_utilisation: f64,
    /// Running tasks as a part of the limit, over the coordinator's life.
    pub task_utilisation: f64,
    /// Messages sent, ever.
    pub messages_sent: u64,
    /// Messages received, ever.
    pub messages_received: u64,
    /// Messages dropped, ever.
    pub messages_dropped: u64,
    /// Messages in mailboxes.
    pub messages_queued: usize,
    /// Messages sent in the last minute.
    pub messages_per_minute: u64,
    /// From ready to running, in nanoseconds.
    pub queue_time: ropewalk_measure::Snapshot,
    /// One attempt, in nanoseconds.
    pub run_time: ropewalk_measure::Snapshot,
    /// Panics of listeners, caught.
    pub listener_panics: u64,
    /// Whether tasks are taken on.
    pub accepting: bool,
}

impl Stats {
    /// Tasks that are not in a final status.
    pub fn unfinished(&self) -> usize {
        self.pending + self.ready + self.blocked + self.running
    }
}

impl Snapshot {
    /// The tasks in a status.
    pub fn in_status(&self, status: Status) -> impl Iterator<Item = &TaskInfo> {
        self.tasks.iter().filter(move |task| task.status == status)
    }
}
