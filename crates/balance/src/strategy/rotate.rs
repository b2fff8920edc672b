//! Taking turns.

use super::{Candidates, Strategy};
use crate::draw::Draw;
use parking_lot::Mutex;
use ropewalk_prove::sync::atomic::Ordering;

/// One after the other, whatever their weights.
///
/// While nodes stay as they are, each of `n` gets every `n`th request of its need, exactly. A pick takes no
/// lock: it moves one word by compare-and-swap, and looks again when another pick moved it meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobin {}

impl RoundRobin {
    /// The strategy.
    pub fn new() -> Self {
        Self {}
    }
}

impl Strategy for RoundRobin {
    fn choose(&self, candidates: &Candidates<'_>, _: &mut Draw) -> Option<usize> {
        let cursor = candidates.cursor();
        // The cursor is where the search for the next begins: behind the last one chosen. So a node that
        // is skipped does not give its neighbour a second turn. Relaxed: it publishes nothing but itself.
        let mut seen = cursor.load(Ordering::Relaxed);
        loop {
            let (at, _) = candidates.next(seen)?;
            match cursor.compare_exchange_weak(seen, at + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(at),
                Err(now) => seen = now,
            }
        }
    }
}

/// Turns in proportion to weight, spread evenly: weights 5, 1, 1 give a a b a c a a (nginx's smooth
/// weighted round robin).
///
/// While nodes and their weights stay as they are and all requests ask for the same, every cycle of as
/// many requests as the weights' sum gives each node exactly its weight. With a slow start the weights
/// of warming nodes are scaled, in steps of 1 %. A pick looks at all `n` candidates under a latch that
/// only picks take: O(n).
#[derive(Debug, Default)]
pub struct SmoothWeighted {
    turn: Mutex<()>,
}

impl SmoothWeighted {
    /// The strategy.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Strategy for SmoothWeighted {
    fn choose(&self, candidates: &Candidates<'_>, _: &mut Draw) -> Option<usize> {
        let _turn = self.turn.lock();
        let (mut best, mut total) = (None::<(usize, i64)>, 0_i64);
        for (at, candidate) in candidates.iter() {
            let weight = (candidate.weight() * 100.0).round() as i64;
            // Relaxed: the latch orders the picks.
            let now = candidate.scratch().load(Ordering::Relaxed) + weight;
            candidate.scratch().store(now, Ordering::Relaxed);
            total += weight;
            if weight > 0 && best.is_none_or(|(_, most)| now > most) {
                best = Some((at, now));
            }
        }
        let (at, now) = best?;
        if let Some(chosen) = candidates.get(at) {
            chosen.scratch().store(now - total, Ordering::Relaxed);
        }
        Some(at)
    }
}
