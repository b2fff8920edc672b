//! Walks over the arena: is there a path, what comes behind, in which order.

use super::Core;

impl Core {
    pub(super) fn new_mark(&mut self) -> u64 {
        self.mark += 1;
        self.mark
    }

    /// What a new dependency of `task` on `on` would close: the slots of the cycle in order of
    /// waiting, `task` first, when `on` waits for `task` already. Only tasks that are not finished
    /// stand on it. O(tasks and edges behind `task`); O(1) when either end is bare.
    pub(super) fn path(&mut self, task: u32, on: u32) -> Option<Vec<u32>> {
        if self.node(task).dependents.is_empty() || self.node(on).waits.is_empty() {
            return None;
        }
        let mark = self.new_mark();
        self.node_mut(task).mark = mark;
        // Each with the place of the one that it waits for, so that a path can be read back.
        let mut seen: Vec<(u32, usize)> = vec![(task, 0)];
        let mut next = 0;
        while let Some(&(at, _)) = seen.get(next) {
            for i in 0..self.node(at).dependents.len() {
                let dependent = self.node(at).dependents[i];
                if dependent == on {
                    // `on` waits for `at`, which waits for ..., which waits for `task`.
                    let mut path = vec![task, on];
                    let mut place = next;
                    while place != 0 {
                        path.push(seen[place].0);
                        place = seen[place].1;
                    }
                    return Some(path);
                }
                let node = self.node_mut(dependent);
                if node.mark != mark && !node.status.is_finished() {
                    node.mark = mark;
                    seen.push((dependent, next));
                }
            }
            next += 1;
        }
        None
    }

    /// All that wait for `at`, directly or not, without `at`.
    pub(crate) fn descendants(&mut self, at: u32) -> Vec<u32> {
        let mark = self.new_mark();
        self.node_mut(at).mark = mark;
        let mut seen = vec![at];
        let mut next = 0;
        while let Some(&at) = seen.get(next) {
            for i in 0..self.node(at).dependents.len() {
                let dependent = self.node(at).dependents[i];
                let node = self.node_mut(dependent);
                if node.mark != mark {
                    node.mark = mark;
                    seen.push(dependent);
                }
            }
            next += 1;
        }
        seen.remove(0);
        seen
    }

    /// Unfinished tasks, each after its dependents (but for those on a permitted cycle).
    pub(super) fn dependents_first(&mut self) -> Vec<u32> {
        let mark = self.new_mark();
        let mut order = Vec::new();
        let mut stack: Vec<(u32, usize)> = Vec::new();
        for root in 0..u32::try_from(self.slots.len()).expect("slots are counted in u32") {
            if self.enter(root, mark) {
                stack.push((root, 0));
            }
            while let Some((at, next)) = stack.last_mut() {
                let at = *at;
                match self.node(at).dependents.get(*next).copied() {
                    Some(dependent) => {
                        *next += 1;
                        if self.enter(dependent, mark) {
                            stack.push((dependent, 0));
                        }
                    }
                    None => {
                        order.push(at);
                        stack.pop();
                    }
                }
            }
        }
        order
    }

    fn enter(&mut self, at: u32, mark: u64) -> bool {
        match &mut self.slots[at as usize].node {
            Some(node) if node.mark != mark && !node.status.is_finished() => {
                node.mark = mark;
                true
            }
            _ => false,
        }
    }
}
