//! Breaking cycles: a weighted feedback arc set by ordered insertion.
//!
//! Inside each knot the edges are laid in one by one: immutable ones first, then from the heaviest
//! down. An order of the tasks is kept in which every laid edge points backwards; one that points
//! forwards makes the order be repaired (Pearce and Kelly) or, when no order can have it, closes a
//! cycle with laid edges and is cut. So every cut is needed, and no immutable edge is ever cut.

use super::Flat;
use crate::{
    core::Core,
    error::{Cycle, ResolveError},
    task::{Effects, TaskId},
};
use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    time::Instant,
};

/// What [`Graph::resolve`](crate::Graph::resolve) did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolution {
    /// The dependencies that were cut.
    pub cut: Vec<Cut>,
    /// Their weights, added.
    pub weight: u64,
    /// Tasks that became ready, most urgent first.
    pub ready: Vec<TaskId>,
}

/// One dependency that was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cut {
    /// This task no longer waits
    pub task: TaskId,
    /// for this one.
    pub on: TaskId,
    /// What the dependency was worth.
    pub weight: u64,
    /// The cycle that it would close with what was kept.
    pub cycle: Cycle,
    /// The other dependencies of that cycle that might have been cut in its place: dependent, what it
    /// waits for, weight.
    pub alternatives: Vec<(TaskId, TaskId, u64)>,
}

/// An edge inside a knot, by local numbers.
#[derive(Clone, Copy)]
struct Edge {
    task: u32,
    on: u32,
    weight: u64,
    immutable: bool,
}

pub(super) fn resolve(core: &mut Core, now: Instant) -> Result<Resolution, ResolveError> {
    let flat = Flat::of(core);
    let mut resolution = Resolution::default();
    let mut cuts = Vec::new();
    for knot in flat.knots() {
        let slots: Vec<u32> = knot.iter().map(|&v| flat.slots[v as usize]).collect();
        let edges = edges_inside(&flat, &knot);
        let mut laid = Laid::new(&initial_order(knot.len(), &edges));
        let mut sorted = edges;
        sorted.sort_by_key(|edge| {
            (
                !edge.immutable,
                Reverse(edge.weight),
                laid.place[edge.task as usize] < laid.place[edge.on as usize],
            )
        });
        for edge in sorted {
            let Some(path) = laid.lay(edge) else { continue };
            let cycle = core.cycle(&path.iter().map(|&v| slots[v as usize]).collect::<Vec<_>>());
            if edge.immutable {
                return Err(ResolveError::Immutable { cycle });
            }
            let id = |v: u32| core.id(slots[v as usize]);
            // The kept edges of the cycle: from each to the next, but for the one that was cut.
            let alternatives = path[1..]
                .iter()
                .zip(path[2..].iter().chain([&path[0]]))
                .filter_map(|(&task, &on)| {
                    let edge = laid.waits[task as usize].iter().find(|edge| edge.on == on)?;
                    (!edge.immutable).then(|| (id(task), id(on), edge.weight))
                })
                .collect();
            let (task, on) = (slots[edge.task as usize], slots[edge.on as usize]);
            cuts.push((task, on));
            resolution.weight = resolution.weight.saturating_add(edge.weight);
            resolution.cut.push(Cut {
                task: core.id(task),
                on: core.id(on),
                weight: edge.weight,
                cycle,
                alternatives,
            });
        }
    }
    let mut effects = Effects::default();
    for &(task, on) in &cuts {
        core.cut(task, on, now);
    }
    for (task, _) in cuts {
        core.reconsider(task, now, &mut effects);
    }
    core.sort_by_urgency(&mut effects.ready);
    resolution.ready = effects.ready;
    Ok(resolution)
}

fn edges_inside(flat: &Flat, knot: &[u32]) -> Vec<Edge> {
    let local: HashMap<u32, u32> = knot.iter().copied().zip(0..).collect();
    let mut edges = Vec::new();
    for (&v, task) in knot.iter().zip(0u32..) {
        for edge in &flat.edges[flat.row(v)] {
            if let Some(&on) = local.get(&edge.on) {
                edges.push(Edge { task, on, weight: edge.weight, immutable: edge.immutable });
            }
        }
    }
    edges
}

/// Eades, Lin and Smyth ("A fast and effective heuristic for the feedback arc set problem", 1993) by
/// weight: ends are taken off at both sides, else the one that gives most more than it takes. Returns
/// the tasks so that most of the weight points from a later one to an earlier one it waits for.
fn initial_order(n: usize, edges: &[Edge]) -> Vec<u32> {
    /// What is left of a task's edges.
    #[derive(Clone, Default)]
    struct Left {
        waits: usize,
        /// The weight that it waits for less the weight that waits for it.
        surplus: i128,
    }
    let mut left = vec![Left::default(); n];
    let mut neighbours = vec![Vec::new(); n];
    for edge in edges {
        let weight = i128::from(edge.weight.max(1));
        left[edge.task as usize].waits += 1;
        left[edge.task as usize].surplus += weight;
        left[edge.on as usize].surplus -= weight;
        neighbours[edge.task as usize].push((edge.on, false, weight));
        neighbours[edge.on as usize].push((edge.task, true, weight));
    }
    // Those that wait for nothing first, then those for which most more waits than they wait for.
    let key = |left: &Left, v: u32| (left.waits > 0, left.surplus, v);
    let mut queue: BTreeSet<(bool, i128, u32)> =
        (0u32..).take(n).map(|v| key(&left[v as usize], v)).collect();
    let mut order = Vec::with_capacity(n);
    while let Some((_, _, v)) = queue.pop_first() {
        order.push(v);
        for &(other, waits, weight) in &neighbours[v as usize] {
            let remaining = &mut left[other as usize];
            if queue.remove(&key(remaining, other)) {
                remaining.waits -= usize::from(waits);
                remaining.surplus += if waits { -weight } else { weight };
                queue.insert(key(remaining, other));
            }
        }
    }
    order
}

/// The edges laid so far, and an order in which each task stands after what it waits for.
struct Laid {
    place: Vec<u32>,
    at: Vec<u32>,
    waits: Vec<Vec<Edge>>,
    dependents: Vec<Vec<u32>>,
}

impl Laid {
    fn new(order: &[u32]) -> Self {
        let mut place = vec![0; order.len()];
        for (&v, at) in order.iter().zip(0u32..) {
            place[v as usize] = at;
        }
        let (waits, dependents) = (vec![Vec::new(); order.len()], vec![Vec::new(); order.len()]);
        Self { place, at: order.to_vec(), waits, dependents }
    }

    /// Lays `edge`, or returns the cycle that it would close: its task, what it waits for, and so on.
    fn lay(&mut self, edge: Edge) -> Option<Vec<u32>> {
        let (low, high) = (self.place[edge.task as usize], self.place[edge.on as usize]);
        if low < high {
            // Everything behind the task, up to the place of `on`.
            let mut from: HashMap<u32, u32> = HashMap::new();
            let mut behind = vec![edge.task];
            let mut next = 0;
            while let Some(&v) = behind.get(next) {
                for &dependent in &self.dependents[v as usize] {
                    if self.place[dependent as usize] > high || from.contains_key(&dependent) {
                        continue;
                    }
                    from.insert(dependent, v);
                    if dependent == edge.on {
                        let mut path = vec![edge.task, edge.on];
                        let mut at = v;
                        while at != edge.task {
                            path.push(at);
                            at = from[&at];
                        }
                        return Some(path);
                    }
                    behind.push(dependent);
                }
                next += 1;
            }
            // Everything that `on` waits for, down to the place of the task.
            let mut before = vec![edge.on];
            let mut seen = BTreeSet::from([edge.on]);
            let mut next = 0;
            while let Some(&v) = before.get(next) {
                for wait in &self.waits[v as usize] {
                    if self.place[wait.on as usize] >= low && seen.insert(wait.on) {
                        before.push(wait.on);
                    }
                }
                next += 1;
            }
            // What `on` needs moves before what needs the task, on the places that both have.
            before.sort_by_key(|&v| self.place[v as usize]);
            behind.sort_by_key(|&v| self.place[v as usize]);
            let moved = [before, behind].concat();
            let mut places: Vec<u32> = moved.iter().map(|&v| self.place[v as usize]).collect();
            places.sort_unstable();
            for (&v, &place) in moved.iter().zip(&places) {
                self.place[v as usize] = place;
                self.at[place as usize] = v;
            }
        }
        self.waits[edge.task as usize].push(edge);
        self.dependents[edge.on as usize].push(edge.task);
        None
    }
}
