//! SIEVE (Zhang et al., NSDI 2024): newcomers at the back, a hand that walks from the front and spares
//! what was visited since it last came by. It stops where it evicted and starts again from the front
//! when it runs off the back.

use super::{Evict, Marks, SPARES, lists::Lists};

/// The mark of an entry is 1 when it was visited since the hand came by.
#[derive(Default)]
pub(super) struct Sieve {
    order: Lists<1>,
    hand: Option<u32>,
}

impl Evict for Sieve {
    fn hit(&mut self, slot: u32, marks: &dyn Marks) {
        marks.set_mark(slot, 1);
    }

    fn admit(&mut self, slot: u32, _hash: u64, weight: u32, marks: &dyn Marks) {
        marks.set_mark(slot, 0);
        self.order.push_back(0, slot, weight);
    }

    fn moved(&mut self, from: u32, to: u32) {
        if self.hand == Some(from) {
            self.hand = Some(to);
        }
        self.order.rename(from, to);
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        self.order.reweigh(slot, weight);
    }

    fn victim(&mut self, marks: &dyn Marks) -> Option<u32> {
        let mut spares = SPARES;
        loop {
            let slot = self.hand.or_else(|| self.order.front(0))?;
            self.hand = self.order.next(slot);
            if spares > 0 && marks.mark(slot) > 0 {
                marks.set_mark(slot, 0);
                spares -= 1;
                continue;
            }
            self.order.remove(slot);
            return Some(slot);
        }
    }

    fn remove(&mut self, slot: u32) {
        if self.hand == Some(slot) {
            self.hand = self.order.next(slot);
        }
        self.order.remove(slot);
    }

    fn resize(&mut self, _share: u64) {}
}
