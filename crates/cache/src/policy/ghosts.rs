//! Evicted entries, remembered by hash.

use crate::shard::ByHash;
use std::collections::VecDeque;

/// A FIFO of hashes with the stamp of their last use.
#[derive(Default)]
pub(super) struct Ghosts {
    stamps: ByHash<(u64, u64)>,
    queue: VecDeque<(u64, u64)>,
    turn: u64,
}

impl Ghosts {
    pub(super) fn push(&mut self, hash: u64, stamp: u64, limit: usize) {
        self.turn += 1;
        self.stamps.insert(hash, (stamp, self.turn));
        self.queue.push_back((hash, self.turn));
        // Two at a time: enough to follow a limit that shrinks, and bounded.
        for _ in 0..2 {
            if self.queue.len() > limit {
                if let Some((hash, turn)) = self.queue.pop_front() {
                    if self.stamps.get(&hash).is_some_and(|&(_, newest)| newest == turn) {
                        self.stamps.remove(&hash);
                    }
                }
            }
        }
    }

    /// Forgets `hash` and tells its stamp.
    pub(super) fn take(&mut self, hash: u64) -> Option<u64> {
        self.stamps.remove(&hash).map(|(stamp, _)| stamp)
    }
}
