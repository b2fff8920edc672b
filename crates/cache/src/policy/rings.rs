//! The adaptive policy's order: LIRS by stamps.
//!
//! A use stores the time of a coarse clock in the entry's mark and moves nothing. Two queues:
//!
//! * **cold**: newcomers and what lost its place, in the order they entered;
//! * **hot**: entries whose last two uses lay close together, with a hand at its front.
//!
//! Looking for a victim pops the cold queue. An entry used since it was queued is not evicted: it is
//! promoted when its previous stamp is no older than the one under the hot hand, which is the LIRS test
//! (its recency between uses beats the worst of the hot ones), and queued again otherwise. When the
//! hot queue is over its quota the hand queues again what was used and demotes the first that was not.
//! Evicted entries leave a ghost with their last stamp; a newcomer whose ghost passes the same test
//! enters hot at once.
//!
//! The one dial is the share of the cold queue. A small one resists scans and loops, a great one is
//! nearly LRU. No setting is good everywhere; `tune` picks it.

use super::{Evict, Marks, SPARES, ghosts::Ghosts, lists::Lists};

/// The settings of the dial: the cold queue's share of the weight.
pub(crate) const COLD_SHARES: [f64; 6] = [0.01, 0.05, 0.15, 0.35, 0.65, 0.95];
/// Where the dial stands before anything is known.
pub(crate) const FIRST_DIAL: usize = 1;

const COLD: u8 = 0;
const HOT: u8 = 1;

/// Demotions per call that a moved dial may cost, beyond those that make up for a promotion.
const SETTLES: u32 = 8;

/// What advances the clock of stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ticks {
    /// A 64th part of the entries' number of admissions: hits on a quiet cache store nothing new.
    Misses,
    /// Every use: exact, for the small shadows.
    Uses,
}

/// An entry, besides its mark, which is the clock at its last use.
#[derive(Clone, Copy, Default)]
struct Node {
    hash: u64,
    /// The stamp of the last use when the entry was last queued.
    queued: u64,
}

pub(super) struct Rings {
    queues: Lists<2>,
    nodes: Vec<Node>,
    ghosts: Ghosts,
    ghosts_min: usize,
    share: u64,
    dial: usize,
    hot_quota: u64,
    ticks: Ticks,
    now: u64,
    since_tick: usize,
}

impl Rings {
    pub(super) fn new(share: u64, ghosts_min: usize, ticks: Ticks) -> Self {
        let mut new = Self {
            queues: Lists::default(),
            nodes: Vec::new(),
            ghosts: Ghosts::default(),
            ghosts_min,
            share,
            dial: FIRST_DIAL,
            hot_quota: 0,
            ticks,
            now: 1,
            since_tick: 0,
        };
        new.resize(share);
        new
    }

    fn len(&self) -> usize {
        self.queues.len(COLD) + self.queues.len(HOT)
    }

    /// The stamp that a use must not be older than to count as close.
    fn floor(&self) -> u64 {
        self.queues.front(HOT).map_or(0, |slot| self.nodes[slot as usize].queued)
    }

    fn node(&mut self, slot: u32) -> &mut Node {
        let at = slot as usize;
        if at >= self.nodes.len() {
            self.nodes.resize(at + 1, Node::default());
        }
        &mut self.nodes[at]
    }

    fn tick(&mut self, on: Ticks) {
        if self.ticks == on {
            self.since_tick += 1;
            if on == Ticks::Uses || self.since_tick >= self.len() / 64 {
                self.since_tick = 0;
                self.now += 1;
            }
        }
    }

    fn promote(&mut self, slot: u32, marks: &dyn Marks) {
        self.nodes[slot as usize].queued = marks.mark(slot);
        self.queues.move_back(HOT, slot);
        self.settle(marks);
    }

    /// Brings the hot queue back to its quota, or nearer.
    fn settle(&mut self, marks: &dyn Marks) {
        for _ in 0..SETTLES {
            if self.queues.weight(HOT) <= self.hot_quota || !self.demote(marks) {
                return;
            }
        }
    }

    /// Runs the hand to the first hot entry not used since it was queued.
    fn demote(&mut self, marks: &dyn Marks) -> bool {
        let mut spares = SPARES.min(u32::try_from(self.queues.len(HOT)).unwrap_or(SPARES));
        while let Some(slot) = self.queues.front(HOT) {
            let (node, used) = (&mut self.nodes[slot as usize], marks.mark(slot));
            let spared = used > node.queued && spares > 0;
            node.queued = used;
            if spared {
                spares -= 1;
                self.queues.move_back(HOT, slot);
                continue;
            }
            self.queues.move_back(COLD, slot);
            return true;
        }
        false
    }
}

impl Evict for Rings {
    fn hit(&mut self, slot: u32, marks: &dyn Marks) {
        self.tick(Ticks::Uses);
        marks.set_mark(slot, self.now);
    }

    fn admit(&mut self, slot: u32, hash: u64, weight: u32, marks: &dyn Marks) {
        self.tick(Ticks::Uses);
        self.tick(Ticks::Misses);
        *self.node(slot) = Node { hash, queued: self.now };
        marks.set_mark(slot, self.now);
        let close = self.ghosts.take(hash).is_some_and(|stamp| stamp >= self.floor());
        // A hot queue below its quota, at the start or after the dial moved, fills with newcomers:
        // nothing else would fill it when there are no close uses yet.
        let room = self.queues.weight(HOT) + u64::from(weight) <= self.hot_quota;
        self.queues.push_back(if close || room { HOT } else { COLD }, slot, weight);
        self.settle(marks);
    }

    fn moved(&mut self, from: u32, to: u32) {
        *self.node(to) = self.nodes[from as usize];
        self.queues.rename(from, to);
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        self.queues.reweigh(slot, weight);
    }

    fn victim(&mut self, marks: &dyn Marks) -> Option<u32> {
        self.settle(marks);
        let mut spares = SPARES;
        loop {
            if self.queues.len(COLD) == 0 {
                self.demote(marks);
            }
            let slot = self.queues.front(COLD)?;
            let Node { hash, queued } = self.nodes[slot as usize];
            let used = marks.mark(slot);
            if used > queued && spares > 0 {
                spares -= 1;
                if queued >= self.floor() {
                    self.promote(slot, marks);
                } else {
                    self.nodes[slot as usize].queued = used;
                    self.queues.move_back(COLD, slot);
                }
                continue;
            }
            self.queues.remove(slot);
            let limit = self.ghosts_min.max(2 * (self.len() + 1));
            self.ghosts.push(hash, used, limit);
            return Some(slot);
        }
    }

    fn remove(&mut self, slot: u32) {
        self.queues.remove(slot);
    }

    fn now(&self) -> u64 {
        self.now
    }

    fn resize(&mut self, share: u64) {
        self.share = share;
        self.turn(self.dial);
    }

    fn turn(&mut self, dial: usize) {
        self.dial = dial;
        // Truncation is meant: a part of a share.
        let cold = ((self.share as f64 * COLD_SHARES[dial]) as u64).max(1);
        self.hot_quota = self.share.saturating_sub(cold);
    }
}
