//! Several doubly linked lists over one space of slots; a slot is in at most one of them.

const NONE: u32 = u32::MAX;
const NOWHERE: u8 = u8::MAX;

#[derive(Clone, Copy)]
struct Node {
    prev: u32,
    next: u32,
    weight: u32,
    list: u8,
}

#[derive(Clone, Copy)]
struct Ends {
    front: u32,
    back: u32,
    len: usize,
    weight: u64,
}

pub(super) struct Lists<const N: usize> {
    nodes: Vec<Node>,
    ends: [Ends; N],
}

impl<const N: usize> Default for Lists<N> {
    fn default() -> Self {
        Self { nodes: Vec::new(), ends: [Ends { front: NONE, back: NONE, len: 0, weight: 0 }; N] }
    }
}

impl<const N: usize> Lists<N> {
    /// Which list holds `slot`.
    pub(super) fn list(&self, slot: u32) -> Option<u8> {
        self.nodes.get(slot as usize).map(|node| node.list).filter(|&list| list != NOWHERE)
    }

    pub(super) fn front(&self, list: u8) -> Option<u32> {
        Some(self.ends[list as usize].front).filter(|&slot| slot != NONE)
    }

    /// The neighbour towards the back.
    pub(super) fn next(&self, slot: u32) -> Option<u32> {
        Some(self.nodes[slot as usize].next).filter(|&slot| slot != NONE)
    }

    pub(super) fn len(&self, list: u8) -> usize {
        self.ends[list as usize].len
    }

    pub(super) fn weight(&self, list: u8) -> u64 {
        self.ends[list as usize].weight
    }

    pub(super) fn push_back(&mut self, list: u8, slot: u32, weight: u32) {
        self.extend(slot);
        let at = slot as usize;
        let ends = &mut self.ends[list as usize];
        let back = std::mem::replace(&mut ends.back, slot);
        ends.len += 1;
        ends.weight += u64::from(weight);
        self.nodes[at] = Node { prev: back, next: NONE, weight, list };
        match back {
            NONE => ends.front = slot,
            back => self.nodes[back as usize].next = slot,
        }
    }

    /// Takes `slot` out of its list, if it is in one.
    pub(super) fn remove(&mut self, slot: u32) {
        let Some(list) = self.list(slot) else { return };
        let ends = &mut self.ends[list as usize];
        let Node { prev, next, weight, .. } = self.nodes[slot as usize];
        ends.len -= 1;
        ends.weight -= u64::from(weight);
        match prev {
            NONE => ends.front = next,
            prev => self.nodes[prev as usize].next = next,
        }
        match next {
            NONE => ends.back = prev,
            next => self.nodes[next as usize].prev = prev,
        }
        self.nodes[slot as usize].list = NOWHERE;
    }

    /// Puts `to`, which is in no list, in the place of `from`.
    pub(super) fn rename(&mut self, from: u32, to: u32) {
        let Some(list) = self.list(from) else { return };
        self.extend(to);
        let node = self.nodes[from as usize];
        self.nodes[to as usize] = node;
        self.nodes[from as usize].list = NOWHERE;
        let ends = &mut self.ends[list as usize];
        match node.prev {
            NONE => ends.front = to,
            prev => self.nodes[prev as usize].next = to,
        }
        match node.next {
            NONE => ends.back = to,
            next => self.nodes[next as usize].prev = to,
        }
    }

    fn extend(&mut self, slot: u32) {
        let len = slot as usize + 1;
        if len > self.nodes.len() {
            self.nodes.resize(len, Node { prev: NONE, next: NONE, weight: 0, list: NOWHERE });
        }
    }

    /// Moves `slot` to the back of `list`.
    pub(super) fn move_back(&mut self, list: u8, slot: u32) {
        let weight = self.nodes[slot as usize].weight;
        self.remove(slot);
        self.push_back(list, slot, weight);
    }

    pub(super) fn reweigh(&mut self, slot: u32, weight: u32) {
        let Some(list) = self.list(slot) else { return };
        let old = std::mem::replace(&mut self.nodes[slot as usize].weight, weight);
        let sum = &mut self.ends[list as usize].weight;
        *sum = *sum - u64::from(old) + u64::from(weight);
    }
}
