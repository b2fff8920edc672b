//! Least recently used.

use super::{Evict, Marks, lists::Lists};

#[derive(Default)]
pub(super) struct Lru {
    order: Lists<1>,
}

impl Evict for Lru {
    fn hit(&mut self, slot: u32, _marks: &dyn Marks) {
        self.order.move_back(0, slot);
    }

    fn admit(&mut self, slot: u32, _hash: u64, weight: u32, _marks: &dyn Marks) {
        self.order.push_back(0, slot, weight);
    }

    fn moved(&mut self, from: u32, to: u32) {
        self.order.rename(from, to);
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        self.order.reweigh(slot, weight);
    }

    fn victim(&mut self, _marks: &dyn Marks) -> Option<u32> {
        let slot = self.order.front(0)?;
        self.order.remove(slot);
        Some(slot)
    }

    fn remove(&mut self, slot: u32) {
        self.order.remove(slot);
    }

    fn resize(&mut self, _share: u64) {}
}
