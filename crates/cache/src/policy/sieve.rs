//! SIEVE (Zhang et al., NSDI 2024): newcomers at the back, a hand that walks from the front and spares
//! what was visited since it last came by. It stops where it evicted and starts again from the front
//! when it runs off the back.

use super::{Evict, SPARES, lists::Lists};

#[derive(Default)]
pub(super) struct Sieve {
    order: Lists<1>,
    visited: Vec<bool>,
    hand: Option<u32>,
}

impl Evict for Sieve {
    fn hit(&mut self, slot: u32) {
        self.visited[slot as usize] = true;
    }

    fn admit(&mut self, slot: u32, _hash: u64, weight: u32) {
        if slot as usize >= self.visited.len() {
            self.visited.resize(slot as usize + 1, false);
        }
        self.visited[slot as usize] = false;
        self.order.push_back(0, slot, weight);
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        self.order.reweigh(slot, weight);
    }

    fn victim(&mut self) -> Option<u32> {
        let mut spares = SPARES;
        loop {
            let slot = self.hand.or_else(|| self.order.front(0))?;
            self.hand = self.order.next(slot);
            if spares > 0 && std::mem::take(&mut self.visited[slot as usize]) {
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
