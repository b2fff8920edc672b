//! S3-FIFO (Yang et al., SOSP 2023): a small queue of a tenth of the weight, a main queue, and ghosts
//! of what the small one gave up, nine for ten entries. What is used twice in the small queue, or comes back as a ghost,
//! enters the main queue, whose hand grants another round per use, three at most.

use super::{Evict, Marks, SPARES, ghosts::Ghosts, lists::Lists};

const SMALL: u8 = 0;
const MAIN: u8 = 1;
pub(super) const USES_COUNTED: u64 = 3;

/// The mark of an entry counts its uses.
pub(super) struct S3Fifo {
    queues: Lists<2>,
    hashes: Vec<u64>,
    ghosts: Ghosts,
    small: u64,
}

impl S3Fifo {
    pub(super) fn new(share: u64) -> Self {
        let mut new =
            Self { queues: Lists::default(), hashes: Vec::new(), ghosts: Ghosts::default(), small: 0 };
        new.resize(share);
        new
    }
}

impl Evict for S3Fifo {
    fn hit(&mut self, slot: u32, marks: &dyn Marks) {
        marks.set_mark(slot, (marks.mark(slot) + 1).min(USES_COUNTED));
    }

    fn admit(&mut self, slot: u32, hash: u64, weight: u32, marks: &dyn Marks) {
        if slot as usize >= self.hashes.len() {
            self.hashes.resize(slot as usize + 1, 0);
        }
        self.hashes[slot as usize] = hash;
        marks.set_mark(slot, 0);
        let queue = if self.ghosts.take(hash).is_some() { MAIN } else { SMALL };
        self.queues.push_back(queue, slot, weight);
    }

    fn moved(&mut self, from: u32, to: u32) {
        if to as usize >= self.hashes.len() {
            self.hashes.resize(to as usize + 1, 0);
        }
        self.hashes[to as usize] = self.hashes[from as usize];
        self.queues.rename(from, to);
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        self.queues.reweigh(slot, weight);
    }

    fn victim(&mut self, marks: &dyn Marks) -> Option<u32> {
        let mut spares = SPARES;
        loop {
            let from_small = self.queues.weight(SMALL) >= self.small || self.queues.len(MAIN) == 0;
            let queue = if from_small && self.queues.len(SMALL) > 0 { SMALL } else { MAIN };
            let slot = self.queues.front(queue)?;
            let uses = marks.mark(slot);
            let spared = if queue == SMALL { uses > 1 } else { uses > 0 };
            if spared && spares > 0 {
                spares -= 1;
                marks.set_mark(slot, if queue == SMALL { 0 } else { uses - 1 });
                self.queues.move_back(MAIN, slot);
                continue;
            }
            self.queues.remove(slot);
            if queue == SMALL {
                let entries = self.queues.len(SMALL) + self.queues.len(MAIN);
                self.ghosts.push(self.hashes[slot as usize], 0, (entries * 9 / 10).max(1));
            }
            return Some(slot);
        }
    }

    fn remove(&mut self, slot: u32) {
        self.queues.remove(slot);
    }

    fn resize(&mut self, share: u64) {
        self.small = (share / 10).max(1);
    }
}
