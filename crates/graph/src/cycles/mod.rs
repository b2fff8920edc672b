//! Finding cycles and breaking them.

mod enumerate;
mod resolve;

pub use resolve::{Cut, Resolution};

use crate::{
    core::Core,
    error::{Cycle, ResolveError},
    graph::Graph,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Bounds for [`Graph::detect_cycles`]: there may be exponentially many cycles.
///
/// A plain number is a bound on their count, with ten seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CycleLimit {
    count: usize,
    time: Duration,
}

impl CycleLimit {
    /// At most `count` cycles, at most ten seconds.
    pub fn new(count: usize) -> Self {
        Self { count, time: Duration::from_secs(10) }
    }

    /// At most so long, by the graph's clock.
    pub fn time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }
}

impl From<usize> for CycleLimit {
    fn from(count: usize) -> Self {
        Self::new(count)
    }
}

/// The cycles that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CycleReport {
    /// Each named in full.
    pub cycles: Vec<Cycle>,
    /// Whether these are all. If not, a bound was reached; each knot of tasks that wait for each
    /// other is represented by at least one cycle as far as the count allows.
    pub complete: bool,
}

/// Dependencies among the unfinished tasks at one instant, as compressed rows over dense numbers.
/// The edges of row `v` lead to what `v` waits for.
pub(crate) struct Flat {
    /// The slot of each.
    pub(crate) slots: Vec<u32>,
    offsets: Vec<u32>,
    pub(crate) edges: Vec<FlatEdge>,
}

#[derive(Clone, Copy)]
pub(crate) struct FlatEdge {
    pub(crate) on: u32,
    pub(crate) weight: u64,
    pub(crate) immutable: bool,
}

impl Flat {
    pub(crate) fn of(core: &Core) -> Self {
        let slots: Vec<u32> =
            core.taken().filter(|(_, node)| !node.status.is_finished()).map(|(at, _)| at).collect();
        let mut position = vec![u32::MAX; core.slots()];
        for (&at, place) in slots.iter().zip(0u32..) {
            position[at as usize] = place;
        }
        let (mut offsets, mut edges) = (vec![0], Vec::new());
        for &at in &slots {
            edges.extend(
                core.node(at).waits.iter().filter(|wait| position[wait.on as usize] != u32::MAX).map(
                    |wait| FlatEdge {
                        on: position[wait.on as usize],
                        weight: wait.weight,
                        immutable: wait.immutable,
                    },
                ),
            );
            offsets.push(u32::try_from(edges.len()).expect("under 2^32 dependencies"));
        }
        Self { slots, offsets, edges }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The numbers of the edges of `v`.
    pub(crate) fn row(&self, v: u32) -> std::ops::Range<usize> {
        self.offsets[v as usize] as usize..self.offsets[v as usize + 1] as usize
    }

    pub(crate) fn targets(&self, v: u32) -> impl Iterator<Item = u32> {
        self.edges[self.row(v)].iter().map(|edge| edge.on)
    }

    /// The component of each, and how many there are: tasks that wait for each other share one.
    /// Tarjan, without recursion; a component has a higher number than what it waits for.
    pub(crate) fn components(&self) -> (Vec<u32>, u32) {
        const NEW: u32 = u32::MAX;
        let n = self.len();
        let (mut index, mut low) = (vec![NEW; n], vec![0; n]);
        let (mut component, mut count) = (vec![NEW; n], 0);
        let (mut next, mut open) = (0, Vec::new());
        let mut calls: Vec<(u32, std::ops::Range<usize>)> = Vec::new();
        for root in (0u32..).take(n) {
            if index[root as usize] != NEW {
                continue;
            }
            calls.push((root, self.row(root)));
            (index[root as usize], low[root as usize]) = (next, next);
            next += 1;
            open.push(root);
            while let Some((v, row)) = calls.last_mut() {
                let v = *v;
                if let Some(edge) = row.next() {
                    let on = self.edges[edge].on;
                    if index[on as usize] == NEW {
                        calls.push((on, self.row(on)));
                        (index[on as usize], low[on as usize]) = (next, next);
                        next += 1;
                        open.push(on);
                    } else if component[on as usize] == NEW {
                        low[v as usize] = low[v as usize].min(index[on as usize]);
                    }
                    continue;
                }
                calls.pop();
                if let Some(&(above, _)) = calls.last() {
                    low[above as usize] = low[above as usize].min(low[v as usize]);
                }
                if low[v as usize] == index[v as usize] {
                    while let Some(member) = open.pop() {
                        component[member as usize] = count;
                        if member == v {
                            break;
                        }
                    }
                    count += 1;
                }
            }
        }
        (component, count)
    }

    /// The members of each component of more than one task.
    pub(crate) fn knots(&self) -> Vec<Vec<u32>> {
        let (component, count) = self.components();
        let mut members = vec![Vec::new(); count as usize];
        for (v, &component) in (0u32..).zip(&component) {
            members[component as usize].push(v);
        }
        members.retain(|members| members.len() > 1);
        members
    }
}

impl Graph {
    /// Looks for cycles among the unfinished tasks and names each in full, shortest search first: one
    /// per knot of tasks that wait for each other, then the others, until all are found or a bound is
    /// reached.
    ///
    /// The lock is held to copy the dependencies only; the search runs on the copy. Without
    /// [`Cycles::Permit`](crate::Cycles::Permit) there are none.
    ///
    /// ```
    /// use ropewalk_graph::{Cycles, Graph, Task};
    ///
    /// let graph = Graph::builder().cycles(Cycles::Permit).build()?;
    /// let [a, b] = ["a", "b"].map(|name| graph.add(Task::new(name)));
    /// graph.depend(a, b)?;
    /// graph.depend(b, a)?;
    /// let found = graph.detect_cycles(100);
    /// assert!(found.complete);
    /// assert_eq!(found.cycles[0].to_string(), "a -> b -> a");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn detect_cycles(&self, limit: impl Into<CycleLimit>) -> CycleReport {
        let limit = limit.into();
        let (flat, ids, names) = {
            let core = self.shared.core.lock();
            let flat = Flat::of(&core);
            let ids = core.ids(flat.slots.iter().copied());
            let names: Vec<Arc<str>> = flat.slots.iter().map(|&at| core.node(at).name.clone()).collect();
            (flat, ids, names)
        };
        let clock = self.clock();
        let deadline = clock.deadline(limit.time);
        let late = || deadline.is_some_and(|deadline: Instant| clock.now() >= deadline);
        let (found, complete) = enumerate::cycles(&flat, limit.count, late);
        let cycles = found
            .iter()
            .map(|cycle| {
                let closed = cycle.iter().chain(cycle.first());
                Cycle {
                    tasks: closed.clone().map(|&v| ids[v as usize]).collect(),
                    names: closed.map(|&v| names[v as usize].clone()).collect(),
                }
            })
            .collect();
        CycleReport { cycles, complete }
    }

    /// Cuts dependencies until no cycle is left among the unfinished tasks, cheap ones first,
    /// immutable ones never, and reports each cut with the cycle it would close and what else could
    /// have been cut. Every cut is needed: each one alone, put back, would close a cycle.
    ///
    /// It holds the graph's lock meanwhile. Minimum feedback arc set is NP-hard; this is a heuristic:
    /// dependencies are laid in from the heaviest down, those that agree with an Eades-Lin-Smyth
    /// order of the knot first among equals, and one that would close a cycle is left out.
    ///
    /// # Errors
    ///
    /// [`ResolveError::Immutable`] when a cycle has nothing that may be cut; then nothing is.
    pub fn resolve(&self) -> Result<Resolution, ResolveError> {
        self.shared.change(resolve::resolve)
    }
}
