//! Building a graph.

use crate::{
    core::Settings,
    error::BuildError,
    graph::Graph,
    observe::{Event, Observer},
    task::FailurePolicy,
};
use ropewalk_sync::Clock;
use std::{fmt, time::Duration};

/// Ten seconds: a low task under a flood of critical ones is at the front after thirty.
const AGEING: Duration = Duration::from_secs(10);

/// What to do about a dependency that would close a cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cycles {
    /// Refuse it, with the whole cycle in the error.
    #[default]
    Refuse,
    /// Accept it unchecked. Tasks in and behind a cycle stay pending until
    /// [`Graph::resolve`] or [`Graph::remove_dependency`] breaks it.
    Permit,
}

/// What decides among ready tasks of one effective level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// The one that has been ready for longer.
    #[default]
    Age,
    /// The one with the heaviest path behind it, then the one ready for longer. Path weights are a
    /// hint: they are recomputed when a 64th of the graph has changed.
    CriticalPath,
}

/// Builds a [`Graph`].
#[must_use = "call build()"]
pub struct GraphBuilder {
    clock: Clock,
    ageing: Duration,
    cycles: Cycles,
    order: Order,
    policy: FailurePolicy,
    capacity: usize,
    observers: Vec<Observer>,
}

impl GraphBuilder {
    pub(crate) fn new() -> Self {
        Self {
            clock: Clock::system(),
            ageing: AGEING,
            cycles: Cycles::default(),
            order: Order::default(),
            policy: FailurePolicy::default(),
            capacity: 0,
            observers: Vec::new(),
        }
    }

    /// The clock that ageing and timeouts follow; the system's by default.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How long a ready task waits before it counts as one level more urgent; 10 s by default,
    /// `Duration::MAX` turns it off.
    pub fn ageing(mut self, interval: Duration) -> Self {
        self.ageing = interval;
        self
    }

    /// What to do about cycles; refused by default.
    pub fn cycles(mut self, cycles: Cycles) -> Self {
        self.cycles = cycles;
        self
    }

    /// What decides within a level; age by default.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// What the failure of a task does, unless the task says otherwise; dependents are skipped by
    /// default.
    pub fn on_failure(mut self, policy: FailurePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Room for so many tasks from the start; it grows beyond.
    pub fn capacity(mut self, tasks: usize) -> Self {
        self.capacity = tasks;
        self
    }

    /// Calls `observer` for each event: in order, one at a time, outside of every lock, on a thread
    /// that changes the graph. It may use the graph. A panic in it is caught and counted.
    pub fn observer(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// Builds it.
    ///
    /// # Errors
    ///
    /// [`BuildError::ZeroAgeing`].
    pub fn build(self) -> Result<Graph, BuildError> {
        if self.ageing.is_zero() {
            return Err(BuildError::ZeroAgeing);
        }
        let settings = Settings {
            policy: self.policy,
            permit_cycles: self.cycles == Cycles::Permit,
            critical_path_first: self.order == Order::CriticalPath,
            ageing: Some(self.ageing).filter(|&ageing| ageing != Duration::MAX),
            capacity: self.capacity,
            observed: !self.observers.is_empty(),
        };
        Ok(Graph::from_parts(&settings, self.clock, self.observers))
    }
}

impl fmt::Debug for GraphBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphBuilder")
            .field("clock", &self.clock)
            .field("ageing", &self.ageing)
            .field("cycles", &self.cycles)
            .field("order", &self.order)
            .field("on_failure", &self.policy)
            .field("observers", &self.observers.len())
            .finish_non_exhaustive()
    }
}
