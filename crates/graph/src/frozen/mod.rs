//! A graph that no longer changes, and can run many times at once.

mod deques;
#[cfg(feature = "rayon")]
mod on_rayon;
mod run;
mod state;
mod workers;

pub use run::{Failure, Report, Run, RunError, RunFailed};
pub use state::{IntoOutcome, TaskRef};
pub use workers::{Workers, WorkersBuilder};

use crate::{
    analysis::sorted,
    cycles::Flat,
    error::CycleError,
    graph::Graph,
    task::{FailurePolicy, Priority, TaskId, TriggerRule},
};
use std::{fmt, sync::Arc};

/// The unfinished part of a graph at one instant, as compressed rows in topological order.
///
/// It never changes; clones share it. Any number of runs may go on at once: each owns only its
/// counters, 5 bytes a task.
///
/// ```
/// use ropewalk_graph::{Graph, Task, Workers};
/// use std::sync::{Arc, Mutex};
///
/// let graph = Graph::new();
/// let build = graph.add(Task::new("build"));
/// graph.add(Task::new("test").after(build));
///
/// let names = Arc::new(Mutex::new(Vec::new()));
/// let seen = names.clone();
/// let report = graph
///     .freeze()?
///     .run(&Workers::new(2), move |task| seen.lock().unwrap().push(task.name().to_owned()))?
///     .wait()?;
/// assert_eq!(report.completed, 2);
/// assert_eq!(*names.lock().unwrap(), ["build", "test"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Frozen {
    plan: Arc<Plan>,
}

pub(crate) struct Plan {
    ids: Vec<TaskId>,
    names: Vec<Arc<str>>,
    priorities: Vec<Priority>,
    weights: Vec<u64>,
    rules: Vec<TriggerRule>,
    policies: Vec<FailurePolicy>,
    /// Whom each releases.
    dependents: Rows,
    /// What each waits for.
    waits: Rows,
}

struct Rows {
    offsets: Vec<u32>,
    items: Vec<u32>,
}

impl Rows {
    fn row(&self, v: u32) -> &[u32] {
        &self.items[self.offsets[v as usize] as usize..self.offsets[v as usize + 1] as usize]
    }

    fn from_rows(rows: impl Iterator<Item = impl IntoIterator<Item = u32>>) -> Self {
        let (mut offsets, mut items) = (vec![0], Vec::new());
        for row in rows {
            items.extend(row);
            offsets.push(u32::try_from(items.len()).expect("under 2^32 dependencies"));
        }
        Self { offsets, items }
    }
}

impl Graph {
    /// Takes the unfinished tasks and the dependencies among them as they are now. Later changes to
    /// the graph do not reach the frozen one, and its runs do not change the graph.
    ///
    /// # Errors
    ///
    /// [`CycleError`]; only with [`Cycles::Permit`](crate::Cycles::Permit).
    pub fn freeze(&self) -> Result<Frozen, CycleError> {
        let core = self.shared.core.lock();
        let flat = Flat::of(&core);
        let order: Vec<u32> = sorted(&flat, |cycle| core.cycle(cycle))?.into_iter().flatten().collect();
        let mut number = vec![0; order.len()];
        for (&v, new) in order.iter().zip(0u32..) {
            number[v as usize] = new;
        }
        let waits = Rows::from_rows(
            order.iter().map(|&v| flat.targets(v).map(|on| number[on as usize]).collect::<Vec<_>>()),
        );
        let mut dependents = vec![Vec::new(); order.len()];
        for v in (0u32..).take(order.len()) {
            for &on in waits.row(v) {
                dependents[on as usize].push(v);
            }
        }
        let nodes = || order.iter().map(|&v| core.node(flat.slots[v as usize]));
        Ok(Frozen {
            plan: Arc::new(Plan {
                ids: core.ids(order.iter().map(|&v| flat.slots[v as usize])),
                names: nodes().map(|node| node.name.clone()).collect(),
                priorities: nodes().map(|node| node.priority).collect(),
                weights: nodes().map(|node| node.weight).collect(),
                rules: nodes().map(|node| node.rule).collect(),
                policies: nodes().map(|node| node.policy.unwrap_or(core.policy)).collect(),
                dependents: Rows::from_rows(dependents.into_iter()),
                waits,
            }),
        })
    }
}

impl Frozen {
    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.plan.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tasks in topological order.
    pub fn tasks(&self) -> impl ExactSizeIterator<Item = TaskRef<'_>> {
        (0u32..u32::try_from(self.len()).expect("tasks are counted in u32"))
            .map(|v| TaskRef::new(&self.plan, v, None))
    }
}

impl Plan {
    fn len(&self) -> usize {
        self.ids.len()
    }

    fn level(&self, v: u32) -> usize {
        self.priorities[v as usize].level()
    }
}

impl fmt::Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frozen")
            .field("tasks", &self.len())
            .field("dependencies", &self.plan.waits.items.len())
            .finish_non_exhaustive()
    }
}
