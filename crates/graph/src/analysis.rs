//! Looking at the graph as a whole.

use crate::{
    cycles::Flat,
    error::{Cycle, CycleError},
    graph::Graph,
    task::{Status, TaskId},
};
use std::fmt::Write;

/// The heaviest path through the unfinished tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CriticalPath {
    /// The tasks, first to last.
    pub tasks: Vec<TaskId>,
    /// Their weights, added.
    pub weight: u64,
}

impl Graph {
    /// The unfinished tasks, each after everything it waits for.
    ///
    /// # Errors
    ///
    /// [`CycleError`] names a cycle; only with [`Cycles::Permit`](crate::Cycles::Permit).
    pub fn topological_order(&self) -> Result<Vec<TaskId>, CycleError> {
        Ok(self.levels()?.into_iter().flatten().collect())
    }

    /// The unfinished tasks by depth: the first level waits for nothing, each other for something in
    /// the level before it. The tasks of one level could all run at once.
    ///
    /// # Errors
    ///
    /// As [`topological_order`](Self::topological_order).
    pub fn levels(&self) -> Result<Vec<Vec<TaskId>>, CycleError> {
        let core = self.shared.core.lock();
        let flat = Flat::of(&core);
        let levels = sorted(&flat, |cycle| core.cycle(cycle))?;
        Ok(levels
            .into_iter()
            .map(|level| core.ids(level.into_iter().map(|v| flat.slots[v as usize])))
            .collect())
    }

    /// The heaviest path through the unfinished tasks: the least weight that must be worked off one
    /// after the other, however many workers there are.
    ///
    /// # Errors
    ///
    /// As [`topological_order`](Self::topological_order).
    pub fn critical_path(&self) -> Result<CriticalPath, CycleError> {
        let core = self.shared.core.lock();
        let flat = Flat::of(&core);
        let levels = sorted(&flat, |cycle| core.cycle(cycle))?;
        let mut reach = vec![0u64; flat.len()];
        let mut before = vec![None; flat.len()];
        let mut last: Option<u32> = None;
        for &v in levels.iter().flatten() {
            let heaviest = flat.targets(v).max_by_key(|&on| reach[on as usize]);
            before[v as usize] = heaviest;
            let own = core.node(flat.slots[v as usize]).weight;
            reach[v as usize] = own.saturating_add(heaviest.map_or(0, |on| reach[on as usize]));
            if last.is_none_or(|last| reach[v as usize] > reach[last as usize]) {
                last = Some(v);
            }
        }
        let weight = last.map_or(0, |last| reach[last as usize]);
        let mut path: Vec<u32> = std::iter::successors(last, |&v| before[v as usize]).collect();
        path.reverse();
        Ok(CriticalPath { tasks: core.ids(path.into_iter().map(|v| flat.slots[v as usize])), weight })
    }

    /// The graph in the DOT language of Graphviz, finished tasks included: names as labels, statuses
    /// as colours, an arrow from each task to those that wait for it.
    pub fn to_dot(&self) -> String {
        let core = self.shared.core.lock();
        let mut dot = String::from("digraph tasks {\n  rankdir=LR;\n  node [shape=box, style=filled];\n");
        for (at, node) in core.taken() {
            let colour = match node.status {
                Status::Pending => "white",
                Status::Ready => "lightblue",
                Status::Blocked => "khaki",
                Status::Running => "orange",
                Status::Completed => "palegreen",
                Status::Failed => "tomato",
                Status::Cancelled => "lightgrey",
                Status::Skipped => "gainsboro",
            };
            let label = node.name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            // Writing to a string cannot fail.
            let _ = writeln!(
                dot,
                "  t{at} [label=\"{label}\", fillcolor={colour}, tooltip=\"{}\"];",
                node.status
            );
        }
        for (at, node) in core.taken() {
            for wait in &node.waits {
                let style = if wait.immutable { " [style=bold]" } else { "" };
                let _ = writeln!(dot, "  t{} -> t{at}{style};", wait.on);
            }
        }
        dot.push_str("}\n");
        dot
    }
}

/// Kahn's algorithm by levels. `name` makes a cycle of slots readable.
pub(crate) fn sorted(flat: &Flat, name: impl Fn(&[u32]) -> Cycle) -> Result<Vec<Vec<u32>>, CycleError> {
    let n = flat.len();
    let mut waiting = vec![0u32; n];
    let mut dependents = vec![Vec::new(); n];
    for v in (0u32..).take(n) {
        for on in flat.targets(v) {
            waiting[v as usize] += 1;
            dependents[on as usize].push(v);
        }
    }
    let mut level: Vec<u32> = (0u32..).take(n).filter(|&v| waiting[v as usize] == 0).collect();
    let (mut levels, mut done) = (Vec::new(), 0);
    while !level.is_empty() {
        done += level.len();
        let mut next = Vec::new();
        for &v in &level {
            for &dependent in &dependents[v as usize] {
                waiting[dependent as usize] -= 1;
                if waiting[dependent as usize] == 0 {
                    next.push(dependent);
                }
            }
        }
        levels.push(std::mem::replace(&mut level, next));
    }
    if done == n {
        return Ok(levels);
    }
    // Whoever still waits waits for another that does, so that walk ends in a circle.
    let mut walk = Vec::new();
    let mut place = vec![usize::MAX; n];
    let mut v = (0u32..).take(n).find(|&v| waiting[v as usize] > 0).expect("not all were done");
    while place[v as usize] == usize::MAX {
        place[v as usize] = walk.len();
        walk.push(v);
        v = flat.targets(v).find(|&on| waiting[on as usize] > 0).expect("it waits for one that waits");
    }
    let cycle: Vec<u32> = walk[place[v as usize]..].iter().map(|&v| flat.slots[v as usize]).collect();
    Err(CycleError { cycle: name(&cycle) })
}
