//! Depth first over all choices, by running the client again from its beginning for each path.

use super::Claim;
use crate::modelled::verdict::Limits;
use std::{
    collections::{BTreeMap, HashSet},
    hash::{BuildHasherDefault, Hasher},
    time::Instant,
};

/// The states that have been seen; a state is its hash, which needs no hashing.
#[derive(Default)]
pub(crate) struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.0 = self.0.rotate_left(8) ^ u64::from(byte));
    }
    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64 ^ (hash >> 64) as u64;
    }
}

#[derive(Clone, Copy, Debug)]
struct Branch {
    taken: usize,
    of: usize,
}

/// What the whole search has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) executions: u64,
    pub(crate) steps: u64,
    /// The most steps of its own that an operation took.
    pub(crate) operations: BTreeMap<&'static str, u64>,
}

/// What to do at a point of choice.
pub(crate) enum Turn {
    /// Take this alternative.
    Take(usize),
    /// Everything from here on has been seen: lead the execution to its end.
    Lead,
}

/// A position in the tree of choices.
pub(crate) struct Search {
    pub(crate) claim: Claim,
    pub(crate) limits: Limits,
    pub(crate) totals: Totals,
    path: Vec<Branch>,
    depth: usize,
    seen: HashSet<u128, BuildHasherDefault<Folded>>,
    leading: bool,
    started: Instant,
    /// A path to follow once, and nothing else.
    replay: bool,
}

/// Depth at which the tree is cut into shards.
const SHARD_DEPTH: usize = 4;

impl Search {
    pub(crate) fn new(claim: Claim, limits: Limits) -> Self {
        let path = limits.from.iter().map(|&taken| Branch { taken, of: usize::MAX }).collect();
        let replay = limits.replay;
        Self {
            claim,
            limits,
            totals: Totals::default(),
            path,
            depth: 0,
            seen: HashSet::default(),
            leading: false,
            started: Instant::now(),
            replay,
        }
    }

    pub(crate) fn begin(&mut self) {
        self.depth = 0;
        self.leading = false;
        self.totals.executions += 1;
    }

    pub(crate) fn states(&self) -> u64 {
        self.seen.len() as u64
    }

    /// Whether this execution only runs to its end.
    pub(crate) fn is_leading(&self) -> bool {
        self.leading
    }

    pub(crate) fn lead(&mut self) {
        self.leading = true;
    }

    /// The choices so far, to be followed again.
    pub(crate) fn schedule(&self) -> Vec<usize> {
        self.path[..self.depth].iter().map(|branch| branch.taken).collect()
    }

    /// A choice of who runs, in a state.
    pub(crate) fn turn(&mut self, state: u128, of: usize) -> Turn {
        if self.depth < self.path.len() {
            return Turn::Take(if of == 1 { 0 } else { self.choose(of) });
        }
        if self.replay {
            return Turn::Take(if of == 1 { 0 } else { self.choose(of) });
        }
        if !self.seen.insert(state) || !self.is_in_shard() {
            self.leading = true;
            return Turn::Lead;
        }
        Turn::Take(if of == 1 { 0 } else { self.choose(of) })
    }

    /// A choice among `of` alternatives.
    pub(crate) fn choose(&mut self, of: usize) -> usize {
        if self.depth == self.path.len() {
            self.path.push(Branch { taken: 0, of });
        }
        let branch = &mut self.path[self.depth];
        branch.of = of;
        self.depth += 1;
        branch.taken
    }

    fn is_in_shard(&self) -> bool {
        let (index, of) = self.limits.shard;
        if of <= 1 || self.depth != SHARD_DEPTH {
            return true;
        }
        let prefix = self.path.iter().fold(0usize, |hash, branch| hash.wrapping_mul(31) + branch.taken);
        prefix % of == index
    }

    /// Moves to the next path; `false` when there is none.
    pub(crate) fn advance(&mut self) -> bool {
        if self.replay {
            return false;
        }
        self.path.truncate(self.depth);
        while let Some(branch) = self.path.last_mut() {
            if branch.taken + 1 < branch.of {
                branch.taken += 1;
                return true;
            }
            self.path.pop();
        }
        false
    }

    /// Why the search may not go on, if it may not.
    pub(crate) fn exhausted(&self) -> Option<String> {
        let Limits { executions, states, time, .. } = &self.limits;
        if self.totals.executions >= *executions {
            return Some(format!("{executions} executions"));
        }
        if self.states() >= *states {
            return Some(format!("{states} states"));
        }
        // A look at the clock costs more than a short execution.
        if self.totals.executions % 64 == 0 && self.started.elapsed() >= *time {
            return Some(format!("{} s", time.as_secs_f64()));
        }
        None
    }

    /// The path to resume from.
    pub(crate) fn position(&self) -> Vec<usize> {
        self.path.iter().map(|branch| branch.taken).collect()
    }
}
