//! The arena behind the graph's one lock: tasks in slots, dependencies in their lists.
//!
//! Everything here runs under the lock and calls nothing of the user's. What must be told to others
//! (events, wake-ups) is collected and handed out after the lock is released.
//!
//! # Counting
//!
//! A task counts its dependencies by how they stand: `waiting` not finished, `succeeded`, `bad`; the
//! rest were skipped for no bad reason. Each dependency is moved from `waiting` to another count
//! exactly once, by the transition of its task into a final status. A trigger rule looks at the
//! counts only.

mod edges;
mod finish;
mod search;

use crate::{
    error::{Cycle, LookupError},
    observe::{Change, Event},
    ready::ReadySet,
    stats::Stats,
    task::{FailurePolicy, Priority, Status, Task, TaskId, TriggerRule},
};
pub(crate) use finish::Report;
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) struct Core {
    slots: Vec<Slot>,
    free: Vec<u32>,
    pub(crate) ready: ReadySet<u32>,
    /// What the failure of a task does unless the task says otherwise.
    pub(crate) policy: FailurePolicy,
    pub(crate) permit_cycles: bool,
    pub(crate) critical_path_first: bool,
    pub(crate) stats: Stats,
    /// Hands out the age of ready tasks.
    next_order: u64,
    /// The number of the last search; a node is visited when its mark is this.
    mark: u64,
    /// Nodes and edges since the ranks were computed.
    rank_debt: usize,
    /// Values that keep the graph open.
    pub(crate) holds: usize,
    /// Tasks that became ready since wake-ups were last handed out.
    pub(crate) woken: usize,
    pub(crate) observed: bool,
    pub(crate) events: VecDeque<Event>,
    pub(crate) delivering: bool,
    event_seq: u64,
}

struct Slot {
    generation: u32,
    node: Option<Node>,
}

pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    pub(crate) priority: Priority,
    pub(crate) weight: u64,
    pub(crate) rule: TriggerRule,
    pub(crate) policy: Option<FailurePolicy>,
    pub(crate) status: Status,
    pub(crate) attempt: u32,
    /// It runs and was asked to stop.
    pub(crate) cancelled: bool,
    /// It was skipped because of something bad.
    tainted: bool,
    /// It failed and frees its dependents.
    pardoned: bool,
    pub(crate) waits: Vec<Wait>,
    pub(crate) dependents: Vec<u32>,
    waiting: u32,
    succeeded: u32,
    bad: u32,
    /// The heaviest path from here to an end.
    pub(crate) rank: u64,
    /// Its age among the ready; kept when it is set aside and comes back.
    order: u64,
    since: Instant,
    mark: u64,
}

impl Node {
    pub(crate) fn waiting_for(&self) -> usize {
        self.waiting as usize
    }
}

/// A dependency, in the list of the dependent.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    pub(crate) on: u32,
    pub(crate) weight: u64,
    pub(crate) immutable: bool,
}

pub(crate) struct Settings {
    pub(crate) policy: FailurePolicy,
    pub(crate) permit_cycles: bool,
    pub(crate) critical_path_first: bool,
    pub(crate) ageing: Option<Duration>,
    pub(crate) capacity: usize,
    pub(crate) observed: bool,
}

impl Core {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            slots: Vec::with_capacity(settings.capacity),
            free: Vec::new(),
            ready: ReadySet::new(settings.ageing),
            policy: settings.policy,
            permit_cycles: settings.permit_cycles,
            critical_path_first: settings.critical_path_first,
            stats: Stats::default(),
            next_order: 0,
            mark: 0,
            rank_debt: 0,
            holds: 0,
            woken: 0,
            observed: settings.observed,
            events: VecDeque::new(),
            delivering: false,
            event_seq: 0,
        }
    }

    // ---- lookup ----

    pub(crate) fn find(&self, task: TaskId) -> Result<u32, LookupError> {
        match self.slots.get(task.index as usize) {
            None => Err(LookupError::UnknownTask { task }),
            Some(slot) if slot.generation == task.generation && slot.node.is_some() => Ok(task.index),
            Some(slot) if slot.generation < task.generation => Err(LookupError::UnknownTask { task }),
            Some(_) => Err(LookupError::Stale { task }),
        }
    }

    /// The node in a slot that is known to be taken.
    pub(crate) fn node(&self, at: u32) -> &Node {
        self.slots[at as usize].node.as_ref().expect("lists name taken slots only")
    }

    pub(crate) fn node_mut(&mut self, at: u32) -> &mut Node {
        self.slots[at as usize].node.as_mut().expect("lists name taken slots only")
    }

    pub(crate) fn id(&self, at: u32) -> TaskId {
        TaskId { index: at, generation: self.slots[at as usize].generation }
    }

    pub(crate) fn ids(&self, at: impl IntoIterator<Item = u32>) -> Vec<TaskId> {
        at.into_iter().map(|at| self.id(at)).collect()
    }

    /// All taken slots, in the order of the arena.
    pub(crate) fn taken(&self) -> impl Iterator<Item = (u32, &Node)> {
        self.slots.iter().enumerate().filter_map(|(at, slot)| {
            slot.node.as_ref().map(|node| (u32::try_from(at).expect("slots are counted in u32"), node))
        })
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// A cycle from its slots; the first is repeated at the end.
    pub(crate) fn cycle(&self, slots: &[u32]) -> Cycle {
        let closed = slots.iter().chain(slots.first());
        Cycle {
            tasks: closed.clone().map(|&at| self.id(at)).collect(),
            names: closed.map(|&at| self.node(at).name.clone()).collect(),
        }
    }

    // ---- tasks ----

    /// Takes a slot for `task`, whose dependencies are known to exist; `None` when there is no slot.
    pub(crate) fn insert(&mut self, task: &Task, now: Instant) -> Option<u32> {
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                let at = u32::try_from(self.slots.len()).ok().filter(|&at| at != u32::MAX)?;
                self.slots.push(Slot { generation: 0, node: None });
                at
            }
        };
        self.slots[at as usize].node = Some(Node {
            name: task.name.clone(),
            priority: task.priority,
            weight: task.weight,
            rule: task.rule,
            policy: task.policy,
            status: Status::Pending,
            attempt: 0,
            cancelled: false,
            tainted: false,
            pardoned: false,
            waits: Vec::with_capacity(task.after.len()),
            dependents: Vec::new(),
            waiting: 0,
            succeeded: 0,
            bad: 0,
            rank: task.weight,
            order: 0,
            since: now,
            mark: 0,
        });
        self.stats.added += 1;
        self.stats.count(Status::Pending, 1);
        self.rank_debt += 1;
        self.emit(at, now, Change::Added);
        Some(at)
    }

    /// Frees the slot of a task that is in no list any more. A slot whose generations are used up is
    /// retired.
    fn release(&mut self, at: u32) -> Option<Node> {
        let slot = &mut self.slots[at as usize];
        let node = slot.node.take();
        if let Some(generation) = slot.generation.checked_add(1) {
            slot.generation = generation;
            self.free.push(at);
        }
        node
    }

    // ---- status ----

    pub(crate) fn set_status(&mut self, at: u32, to: Status, now: Instant) {
        let node = self.node_mut(at);
        let from = std::mem::replace(&mut node.status, to);
        let attempt = node.attempt;
        if from == to {
            return;
        }
        self.stats.count(from, -1);
        self.stats.count(to, 1);
        self.emit(at, now, Change::Status { from, to, attempt });
    }

    pub(crate) fn make_ready(&mut self, at: u32, now: Instant) {
        let order = self.next_order;
        let node = self.node_mut(at);
        if node.status == Status::Pending {
            (node.order, node.since) = (order, now);
            self.next_order += 1;
        }
        let node = self.node(at);
        let (priority, rank, since, order) = (node.priority, self.rank_of(node), node.since, node.order);
        self.ready.insert(at, priority, rank, since, order);
        self.set_status(at, Status::Ready, now);
        self.woken += 1;
    }

    pub(crate) fn start(&mut self, at: u32, now: Instant) -> u32 {
        self.ready.remove(&at);
        let node = self.node_mut(at);
        node.attempt = node.attempt.saturating_add(1);
        let attempt = node.attempt;
        self.stats.started += 1;
        self.set_status(at, Status::Running, now);
        attempt
    }

    pub(crate) fn unfinished(&self) -> usize {
        self.stats.unfinished()
    }

    // ---- ranks ----

    fn rank_of(&self, node: &Node) -> u64 {
        if self.critical_path_first { node.rank } else { 0 }
    }

    /// Brings the ranks up to date when enough has changed that the work is paid for by the changes:
    /// the order by critical path is a hint, and at most a 64th of the tasks stand on an old one.
    pub(crate) fn refresh_ranks(&mut self) {
        if !self.critical_path_first || self.rank_debt == 0 || self.rank_debt < self.unfinished() / 64 {
            return;
        }
        self.rank_debt = 0;
        // Postorder: a task after all its dependents. A dependent on the way back in a permitted
        // cycle is skipped, so its rank is a lower bound.
        for at in self.dependents_first() {
            let node = self.node(at);
            let behind =
                node.dependents.iter().map(|&next| self.node(next)).filter(|next| !next.status.is_finished());
            let rank = node.weight.saturating_add(behind.map(|next| next.rank).max().unwrap_or(0));
            self.node_mut(at).rank = rank;
            self.ready.rerank(&at, rank);
        }
    }

    // ---- events ----

    fn emit(&mut self, at: u32, now: Instant, change: Change) {
        if self.observed {
            let event = Event {
                seq: self.event_seq,
                at: now,
                task: self.id(at),
                name: self.node(at).name.clone(),
                change,
            };
            self.event_seq += 1;
            self.events.push_back(event);
        }
    }
}
