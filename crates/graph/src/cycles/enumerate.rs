//! Elementary cycles, bounded: Johnson's algorithm ("Finding all the elementary circuits of a
//! directed graph", 1975) on each strongly connected component, without recursion.

use super::Flat;
use std::collections::{HashMap, HashSet};

/// How many steps pass between looks at the time.
const STRIDE: u32 = 1024;

/// At most `limit` cycles, each as the numbers of its tasks in order of waiting, and whether these
/// are all.
pub(super) fn cycles(flat: &Flat, limit: usize, late: impl Fn() -> bool) -> (Vec<Vec<u32>>, bool) {
    let knots = flat.knots();
    let mut found = Vec::new();
    // One per knot first, so that a bound that is reached early hides no knot.
    for knot in &knots {
        if found.len() == limit {
            return (found, false);
        }
        found.push(shortest_through(flat, knot));
    }
    let firsts: HashSet<Vec<u32>> = found.iter().map(|cycle| canonical(cycle)).collect();
    for knot in &knots {
        let mut johnson = Johnson { flat, firsts: &firsts, found: &mut found, limit, late: &late, steps: 0 };
        if !johnson.run(knot) {
            return (found, false);
        }
    }
    (found, true)
}

/// A shortest cycle through the first of `knot`.
fn shortest_through(flat: &Flat, knot: &[u32]) -> Vec<u32> {
    let start = knot[0];
    let inside: HashSet<u32> = knot.iter().copied().collect();
    let mut from: HashMap<u32, u32> = HashMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(v) = queue.pop_front() {
        for on in flat.targets(v).filter(|on| inside.contains(on)) {
            if on == start {
                let mut path = vec![v];
                while let Some(&before) = from.get(&path[path.len() - 1]) {
                    path.push(before);
                }
                path.reverse();
                return path;
            }
            if let std::collections::hash_map::Entry::Vacant(entry) = from.entry(on) {
                entry.insert(v);
                queue.push_back(on);
            }
        }
    }
    unreachable!("in a knot every task reaches every other")
}

/// The cycle turned so that its smallest number is first.
fn canonical(cycle: &[u32]) -> Vec<u32> {
    let first = cycle.iter().enumerate().min_by_key(|&(_, v)| v).map_or(0, |(i, _)| i);
    [&cycle[first..], &cycle[..first]].concat()
}

struct Johnson<'a, L> {
    flat: &'a Flat,
    firsts: &'a HashSet<Vec<u32>>,
    found: &'a mut Vec<Vec<u32>>,
    limit: usize,
    late: &'a L,
    steps: u32,
}

impl<L: Fn() -> bool> Johnson<'_, L> {
    /// All cycles inside `knot`; false when a bound was reached.
    fn run(&mut self, knot: &[u32]) -> bool {
        let mut alive: HashSet<u32> = knot.iter().copied().collect();
        let mut order = knot.to_vec();
        order.sort_unstable();
        for &start in &order {
            if !self.from(start, &alive) {
                return false;
            }
            // Later cycles do not pass through here: each is found from its smallest task.
            alive.remove(&start);
        }
        true
    }

    fn from(&mut self, start: u32, alive: &HashSet<u32>) -> bool {
        let mut blocked: HashSet<u32> = HashSet::from([start]);
        let mut behind: HashMap<u32, HashSet<u32>> = HashMap::new();
        let mut path = vec![start];
        // The edges still to try, and whether a cycle was closed below.
        let mut calls = vec![(self.flat.row(start), false)];
        while let Some((row, closed)) = calls.last_mut() {
            self.steps += 1;
            if self.steps % STRIDE == 0 && (self.late)() {
                return false;
            }
            if let Some(edge) = row.next() {
                let on = self.flat.edges[edge].on;
                if on == start {
                    *closed = true;
                    if !self.report(&path) {
                        return false;
                    }
                } else if alive.contains(&on) && blocked.insert(on) {
                    path.push(on);
                    calls.push((self.flat.row(on), false));
                }
                continue;
            }
            let closed = *closed;
            calls.pop();
            let Some(v) = path.pop() else { return true };
            if closed {
                let mut free = vec![v];
                while let Some(v) = free.pop() {
                    if blocked.remove(&v) {
                        free.extend(behind.remove(&v).into_iter().flatten());
                    }
                }
            } else {
                for on in self.flat.targets(v).filter(|on| alive.contains(on)) {
                    behind.entry(on).or_default().insert(v);
                }
            }
            if let Some((_, above)) = calls.last_mut() {
                *above |= closed;
            }
        }
        true
    }

    fn report(&mut self, path: &[u32]) -> bool {
        // The path starts with the smallest of its tasks, so it is canonical.
        if self.firsts.contains(path) {
            return true;
        }
        if self.found.len() == self.limit {
            return false;
        }
        self.found.push(path.to_vec());
        true
    }
}
