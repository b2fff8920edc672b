//! The adaptive policy's order: LIRS by stamps.
//!
//! A use stores the time of a coarse clock in the entry and moves nothing. Two queues:
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

use super::{Evict, SPARES, ghosts::Ghosts, lists::Lists};

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

#[derive(Clone, Copy, Default)]
struct Node {
    hash: u64,
    /// The clock at the last use.
    used: u64,
    /// The value of `used` when the entry was last queued.
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

    fn tick(&mut self, on: Ticks) {
        if self.ticks == on {
            self.since_tick += 1;
            if on == Ticks::Uses || self.since_tick >= self.len() / 64 {
                self.since_tick = 0;
                self.now += 1;
            }
        }
    }

    fn promote(&mut self, slot: u32) {
        let node = &mut self.nodes[slot as usize];
        node.queued = node.used;
        self.queues.move_back(HOT, slot);
        self.settle();
    }

    /// Brings the hot queue back to its quota, or nearer.
    fn settle(&mut self) {
        for _ in 0..SETTLES {
            if self.queues.weight(HOT) <= self.hot_quota || !self.demote() {
                return;
            }
        }
    }

    /// Runs the hand to the first hot entry not used since it was queued.
    fn demote(&mut self) -> bool {
        let mut spares = SPARES.min(u32::try_from(self.queues.len(HOT)).unwrap_or(SPARES));
        while let Some(slot) = self.queues.front(HOT) {
            let node = &mut self.nodes[slot as usize];
            if node.used > node.queued && spares > 0 {
                spares -= 1;
                node.queued = node.used;
                self.queues.move_back(HOT, slot);
                continue;
            }
            node.queued = node.used;
            self.queues.move_back(COLD, slot);
            return true;
        }
        false
    }
}

impl Evict for Rings {
    fn hit(&mut self, slot: u32) {
        self.tick(Ticks::Uses);
        self.nodes[slot as usize].used = self.now;
    }

    fn admit(&mut self, slot: u32, hash: u64, weight: u32) {
        self.tick(Ticks::Uses);
        self.tick(Ticks::Misses);
        if slot as usize >= self.nodes.len() {
            self.nodes.resize(slot as usize + 1, Node::default());
        }
        self.nodes[slot as usize] = Node { hash, used: self.now, queued: self.now };
        let close = self.ghosts.take(hash).is_some_and(|stamp| stamp >= self.floor());
        // A hot queue below its quota, at the start or after the dial moved, fills with newcomers:
        // nothing else would fill it when there are no close uses yet.
        let room = self.queues.weight(HOT) + u64::from(weight) <= self.hot_quota;
        self.queues.push_back(if close || room { HOT } else { COLD }, slot, weight);
        self.settle();
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        self.queues.reweigh(slot, weight);
    }

    fn victim(&mut self) -> Option<u32> {
        self.settle();
        let mut spares = SPARES;
        loop {
            if self.queues.len(COLD) == 0 {
                self.demote();
            }
            let slot = self.queues.front(COLD)?;
            let Node { hash, used, queued } = self.nodes[slot as usize];
            if used > queued && spares > 0 {
                spares -= 1;
                if queued >= self.floor() {
                    self.promote(slot);
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
