//! The nodes and what is to be done about them: a state machine without time, locks or calls of its
//! own.
//!
//! A slot is a place for a node. It goes `Launching` (the provisioner's start runs) -> `Starting` (it
//! has a name, its health is asked for) -> `Ready` -> `Retiring` (drain and stop run) -> gone. A start
//! that fails or takes too long, a node that dies, and a surplus node go to `Retiring`, or straight away
//! where there is nothing to stop. A stop that fails goes to `Stuck` and is tried again.
//! Only `plan` makes slots and decides what is surplus; only `finished` moves them on.

use crate::{Health, NodeId};
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

const START_UPS: usize = 64;
/// Tries to stop a node while the whole scaler stops.
const LAST_TRIES: u32 = 3;

#[derive(Clone, Debug)]
pub(crate) struct Times {
    pub(crate) start: Duration,
    pub(crate) check_every: Duration,
    pub(crate) misses: u32,
    pub(crate) retry: Duration,
    pub(crate) retry_max: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Launching,
    Starting,
    Ready,
    Retiring,
    Stuck,
}

#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) node: Option<NodeId>,
    pub(crate) phase: Phase,
    /// When the phase began; of a start, when the launch did.
    pub(crate) since: Instant,
    /// When it is looked at next: a health check of a living node, another try of a stuck one.
    due: Option<Instant>,
    misses: u32,
    tries: u32,
    asking: bool,
}

/// What the driver has to do for a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Launch,
    Check(NodeId),
    /// Drop whatever runs for the slot, then drain (if it served) and stop.
    Retire {
        node: NodeId,
        drain: bool,
    },
    /// Drop whatever runs for the slot.
    Forget,
}

#[derive(Clone, Debug)]
pub(crate) enum Done {
    Launched(Result<NodeId, String>),
    Checked(Health),
    Retired(Result<(), String>),
}

/// Something that happened to a node.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum NodeEvent {
    /// It serves for the first time.
    Ready {
        /// The node.
        node: NodeId,
        /// How long it took to start.
        after: Duration,
    },
    /// It is being drained: send it nothing more.
    Retiring {
        /// The node.
        node: NodeId,
        /// Why.
        reason: Retirement,
    },
    /// It is stopped.
    Stopped {
        /// The node.
        node: NodeId,
    },
    /// A start failed; another is tried later.
    StartFailed {
        /// The node, if it got as far as having a name.
        node: Option<NodeId>,
        /// What the provisioner said.
        error: String,
    },
    /// A stop failed; it is tried again.
    StopFailed {
        /// The node.
        node: NodeId,
        /// What the provisioner said.
        error: String,
    },
}

/// Why a node leaves.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Retirement {
    /// Fewer nodes are wanted.
    Surplus,
    /// It died, or said that it does not serve; it is replaced.
    Unhealthy(String),
    /// It did not become ready in time; another is tried.
    NeverReady,
    /// The scaler stops.
    Stopping,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) starts: u64,
    pub(crate) failed_starts: u64,
    pub(crate) cancelled_starts: u64,
    pub(crate) replaced: u64,
    pub(crate) stops: u64,
    pub(crate) failed_stops: u64,
}

pub(crate) struct Fleet {
    times: Times,
    pub(crate) slots: BTreeMap<u64, Slot>,
    next: u64,
    /// Launches that failed in a row.
    failures: u32,
    /// No launch before.
    pub(crate) retry_at: Option<Instant>,
    pub(crate) stopping: bool,
    pub(crate) counts: Counts,
    pub(crate) start_ups: VecDeque<Duration>,
    /// Nodes given up while stopping.
    pub(crate) left: Vec<NodeId>,
    pub(crate) events: Vec<NodeEvent>,
    /// Node-seconds up to `accounted`.
    node_time: Duration,
    accounted: Instant,
}

impl Fleet {
    pub(crate) fn new(times: Times, now: Instant) -> Self {
        Self {
            times,
            slots: BTreeMap::new(),
            next: 0,
            failures: 0,
            retry_at: None,
            stopping: false,
            counts: Counts::default(),
            start_ups: VecDeque::new(),
            left: Vec::new(),
            events: Vec::new(),
            node_time: Duration::ZERO,
            accounted: now,
        }
    }

    pub(crate) fn count(&self, phase: Phase) -> usize {
        self.slots.values().filter(|slot| slot.phase == phase).count()
    }

    /// Nodes that serve or will.
    pub(crate) fn active(&self) -> usize {
        self.slots.values().filter(|slot| slot.is_active()).count()
    }

    pub(crate) fn is_settled(&self, wanted: usize) -> bool {
        self.slots.len() == wanted && self.count(Phase::Ready) == wanted
    }

    pub(crate) fn start_up(&self) -> Option<Duration> {
        let mut times: Vec<Duration> = self.start_ups.iter().copied().collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }

    /// The time that nodes were kept so far, summed over nodes.
    pub(crate) fn node_time(&self, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.accounted);
        let slots = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.node_time.saturating_add(since.saturating_mul(slots))
    }

    fn account(&mut self, now: Instant) {
        self.node_time = self.node_time(now);
        self.accounted = now;
    }

    /// Makes every living node due for a check.
    pub(crate) fn check_all(&mut self, now: Instant) {
        for slot in
            self.slots.values_mut().filter(|slot| matches!(slot.phase, Phase::Starting | Phase::Ready))
        {
            slot.due = Some(now);
        }
    }

    /// Compares what is with what is wanted and orders the difference.
    pub(crate) fn plan(&mut self, wanted: usize, now: Instant) -> Vec<(u64, Order)> {
        self.account(now);
        let wanted = if self.stopping { 0 } else { wanted };
        let mut orders = self.overdue(now);
        while self.active() > wanted {
            let Some(id) = self.victim() else { break };
            let reason = if self.stopping { Retirement::Stopping } else { Retirement::Surplus };
            if let Some(order) = self.retire(id, reason, now) {
                orders.push((id, order));
            }
        }
        let mut missing = wanted.saturating_sub(self.active());
        if self.retry_at.is_some_and(|at| at > now) {
            missing = 0;
        } else if self.failures > 0 {
            // After a failure one start is tried before the rest.
            missing = if self.count(Phase::Launching) + self.count(Phase::Starting) > 0 {
                0
            } else {
                missing.min(1)
            };
        }
        for _ in 0..missing {
            let id = self.next;
            self.next += 1;
            self.counts.starts += 1;
            self.slots.insert(id, Slot::launching(now));
            orders.push((id, Order::Launch));
        }
        orders.extend(self.checks(now));
        orders
    }

    /// When `plan` has something to do by time alone.
    pub(crate) fn next_due(&self, now: Instant) -> Option<Instant> {
        let starting =
            self.slots.values().filter(|slot| matches!(slot.phase, Phase::Launching | Phase::Starting));
        let overdue = starting.filter_map(|slot| slot.since.checked_add(self.times.start));
        let due = self.slots.values().filter(|slot| !slot.asking).filter_map(|slot| slot.due);
        due.chain(overdue).chain(self.retry_at.filter(|at| *at > now)).min()
    }

    pub(crate) fn finished(&mut self, id: u64, done: Done, now: Instant) -> Option<(u64, Order)> {
        self.account(now);
        let check_every = self.times.check_every;
        let slot = self.slots.get_mut(&id)?;
        match (slot.phase, done) {
            (Phase::Launching, Done::Launched(Ok(node))) => {
                slot.node = Some(node);
                slot.phase = Phase::Starting;
                slot.due = Some(now);
                None
            }
            (Phase::Launching, Done::Launched(Err(error))) => {
                self.slots.remove(&id);
                self.start_failed(None, error, now);
                None
            }
            (Phase::Starting | Phase::Ready, Done::Checked(health)) => {
                slot.asking = false;
                slot.due = now.checked_add(check_every);
                self.checked(id, health, now)
            }
            (Phase::Retiring, Done::Retired(Ok(()))) => {
                let node = slot.node.take();
                self.slots.remove(&id);
                self.counts.stops += 1;
                self.events.extend(node.map(|node| NodeEvent::Stopped { node }));
                None
            }
            (Phase::Retiring, Done::Retired(Err(error))) => {
                self.stop_failed(id, error, now);
                None
            }
            // An answer from a phase that is over.
            (Phase::Launching | Phase::Starting | Phase::Ready | Phase::Retiring | Phase::Stuck, _) => None,
        }
    }

    fn checked(&mut self, id: u64, health: Health, now: Instant) -> Option<(u64, Order)> {
        let slot = self.slots.get_mut(&id)?;
        let node = slot.node.clone()?;
        let (reason, gone) = match (slot.phase, health) {
            (Phase::Starting, Health::Ready) => {
                let after = now.saturating_duration_since(slot.since);
                slot.phase = Phase::Ready;
                slot.since = now;
                slot.misses = 0;
                self.failures = 0;
                self.retry_at = None;
                if self.start_ups.len() == START_UPS {
                    self.start_ups.pop_front();
                }
                self.start_ups.push_back(after);
                self.events.push(NodeEvent::Ready { node, after });
                return None;
            }
            (_, Health::Ready) => {
                slot.misses = 0;
                return None;
            }
            // One that starts may say what it likes until its time is over.
            (Phase::Starting, Health::Starting | Health::Unhealthy(_)) => return None,
            (_, Health::Gone) => ("it is gone".to_owned(), true),
            (_, Health::Starting) => ("it is starting again".to_owned(), false),
            (_, Health::Unhealthy(reason)) => (reason, false),
        };
        slot.misses += 1;
        if !gone && slot.misses < self.times.misses {
            return None;
        }
        if slot.phase == Phase::Starting {
            self.start_failed(Some(node), reason.clone(), now);
        } else {
            self.counts.replaced += 1;
        }
        self.retire(id, Retirement::Unhealthy(reason), now).map(|order| (id, order))
    }

    /// Starts that take too long, and stops to be tried again.
    fn overdue(&mut self, now: Instant) -> Vec<(u64, Order)> {
        let mut orders = Vec::new();
        let limit = self.times.start;
        let late = |slot: &Slot| now.saturating_duration_since(slot.since) >= limit;
        let ids: Vec<u64> = self
            .slots
            .iter()
            .filter(|(_, slot)| matches!(slot.phase, Phase::Launching | Phase::Starting) && late(slot))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let node = self.slots.get(&id).and_then(|slot| slot.node.clone());
            self.start_failed(node, format!("not ready within {limit:?}"), now);
            orders.extend(self.retire(id, Retirement::NeverReady, now).map(|order| (id, order)));
        }
        for (id, slot) in &mut self.slots {
            if slot.phase == Phase::Stuck && slot.due.is_some_and(|due| due <= now) {
                slot.phase = Phase::Retiring;
                slot.due = None;
                orders.extend(slot.node.clone().map(|node| (*id, Order::Retire { node, drain: false })));
            }
        }
        orders
    }

    fn checks(&mut self, now: Instant) -> Vec<(u64, Order)> {
        let mut orders = Vec::new();
        for (id, slot) in &mut self.slots {
            let living = matches!(slot.phase, Phase::Starting | Phase::Ready);
            if living && !slot.asking && slot.due.is_some_and(|due| due <= now) {
                slot.asking = true;
                orders.extend(slot.node.clone().map(|node| (*id, Order::Check(node))));
            }
        }
        orders
    }

    /// Who goes first: those that do not serve yet, then the youngest.
    fn victim(&self) -> Option<u64> {
        let active = self.slots.iter().filter(|(_, slot)| slot.is_active());
        active
            .max_by_key(|(id, slot)| (slot.phase != Phase::Ready, slot.phase == Phase::Launching, **id))
            .map(|(id, _)| *id)
    }

    fn retire(&mut self, id: u64, reason: Retirement, now: Instant) -> Option<Order> {
        let slot = self.slots.get_mut(&id)?;
        let Some(node) = slot.node.clone() else {
            self.slots.remove(&id);
            self.counts.cancelled_starts += u64::from(reason != Retirement::NeverReady);
            return Some(Order::Forget);
        };
        let drain = slot.phase == Phase::Ready && !matches!(reason, Retirement::Unhealthy(_));
        slot.phase = Phase::Retiring;
        slot.since = now;
        slot.due = None;
        slot.asking = false;
        self.events.push(NodeEvent::Retiring { node: node.clone(), reason });
        Some(Order::Retire { node, drain })
    }

    fn start_failed(&mut self, node: Option<NodeId>, error: String, now: Instant) {
        self.counts.failed_starts += 1;
        // Starts that fail together are one failure.
        if self.retry_at.is_none_or(|at| at <= now) {
            self.failures = self.failures.saturating_add(1);
            self.retry_at = now.checked_add(self.times.backoff(self.failures));
        }
        self.events.push(NodeEvent::StartFailed { node, error });
    }

    fn stop_failed(&mut self, id: u64, error: String, now: Instant) {
        self.counts.failed_stops += 1;
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.tries = slot.tries.saturating_add(1);
        slot.phase = Phase::Stuck;
        slot.due = now.checked_add(self.times.backoff(slot.tries));
        let give_up = self.stopping && slot.tries >= LAST_TRIES;
        let Some(node) = slot.node.clone() else { return };
        if give_up {
            self.slots.remove(&id);
            self.left.push(node.clone());
        }
        self.events.push(NodeEvent::StopFailed { node, error });
    }
}

impl Slot {
    fn launching(now: Instant) -> Self {
        Self {
            node: None,
            phase: Phase::Launching,
            since: now,
            due: None,
            misses: 0,
            tries: 0,
            asking: false,
        }
    }

    fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Launching | Phase::Starting | Phase::Ready)
    }
}

impl Times {
    /// `retry` doubled for each failure after the first, up to `retry_max`.
    fn backoff(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.retry.saturating_mul(factor).min(self.retry_max)
    }
}
