//! What a balancer tells of itself.

use crate::{NodeState, NodeStats, inner::Inner, roster::Entry};
use ropewalk_measure::{Counter, Histogram, Snapshot};
use ropewalk_prove::sync::atomic::{AtomicU64, Ordering};

/// A balancer at one instant.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BalancerStats {
    /// Nodes registered.
    pub nodes: usize,
    /// Nodes that take requests.
    pub up: usize,
    /// Nodes whose first probe is awaited.
    pub unproven: usize,
    /// Nodes ejected because requests failed on them.
    pub ejected: usize,
    /// Nodes whose probes fail.
    pub down: usize,
    /// Nodes that finish what they have.
    pub draining: usize,
    /// Requests in flight on registered nodes.
    pub in_flight: u64,
    /// Requests that wait in line for a slot.
    pub waiting: usize,
    /// Nodes picked since the start.
    pub picks: u64,
    /// Requests that ended well.
    pub successes: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Requests that nodes rejected.
    pub rejected: u64,
    /// Picks dropped without an outcome.
    pub cancelled: u64,
    /// Picks refused for want of a node.
    pub refused: u64,
    /// Picks that ignored health, because too few nodes were up.
    pub fail_open: u64,
    /// Ejections.
    pub ejections: u64,
    /// Readmissions after an ejection.
    pub readmissions: u64,
    /// From pick to outcome, in nanoseconds.
    pub latency: Snapshot,
    /// Time in line of those who had to wait, in nanoseconds.
    pub wait: Snapshot,
}

/// Counts of the whole balancer, nodes that left included.
pub(crate) struct Totals {
    pub(crate) picks: Counter,
    pub(crate) successes: Counter,
    pub(crate) failures: Counter,
    pub(crate) rejected: Counter,
    pub(crate) cancelled: Counter,
    pub(crate) refused: Counter,
    pub(crate) fail_open: Counter,
    pub(crate) ejections: Counter,
    pub(crate) readmissions: Counter,
    pub(crate) latency: Histogram,
    pub(crate) wait: Histogram,
}

impl Totals {
    pub(crate) fn new() -> Self {
        Self {
            picks: Counter::new(),
            successes: Counter::new(),
            failures: Counter::new(),
            rejected: Counter::new(),
            cancelled: Counter::new(),
            refused: Counter::new(),
            fail_open: Counter::new(),
            ejections: Counter::new(),
            readmissions: Counter::new(),
            latency: Histogram::new(),
            wait: Histogram::new(),
        }
    }
}

impl Inner {
    pub(crate) fn stats(&self) -> BalancerStats {
        let totals = &self.totals;
        let mut stats = BalancerStats {
            nodes: 0,
            up: 0,
            unproven: 0,
            ejected: 0,
            down: 0,
            draining: 0,
            in_flight: 0,
            waiting: self.line.len(),
            picks: totals.picks.value(),
            successes: totals.successes.value(),
            failures: totals.failures.value(),
            rejected: totals.rejected.value(),
            cancelled: totals.cancelled.value(),
            refused: totals.refused.value(),
            fail_open: totals.fail_open.value(),
            ejections: totals.ejections.value(),
            readmissions: totals.readmissions.value(),
            latency: totals.latency.snapshot(),
            wait: totals.wait.snapshot(),
        };
        for entry in self.table().all.roster.iter() {
            stats.nodes += 1;
            stats.in_flight += u64::from(entry.shared.in_flight());
            *match entry.shared.state() {
                NodeState::Up => &mut stats.up,
                NodeState::Unproven => &mut stats.unproven,
                NodeState::Ejected => &mut stats.ejected,
                NodeState::Down => &mut stats.down,
                NodeState::Draining => &mut stats.draining,
            } += 1;
        }
        stats
    }
}

impl Entry {
    pub(crate) fn stats(&self) -> NodeStats {
        let shared = &self.shared;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        NodeStats {
            id: self.id,
            address: self.node.address().to_owned(),
            weight: self.node.nominal_weight(),
            capabilities: self.node.capabilities().map(str::to_owned).collect(),
            state: shared.state(),
            in_flight: shared.in_flight(),
            picks: count(&shared.counts.picks),
            successes: count(&shared.counts.successes),
            failures: count(&shared.counts.failures),
            rejected: count(&shared.counts.rejected),
            cancelled: count(&shared.counts.cancelled),
            latency: shared.latency(),
            error_rate: shared.error_rate(),
            ejections: count(&shared.counts.ejections),
        }
    }
}
