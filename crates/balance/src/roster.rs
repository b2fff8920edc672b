//! Who is there: immutable tables that readers share, and the registry that makes them.
//!
//! A reader loads the current [`Table`] and never waits for a writer. A writer holds the registry's
//! lock, copies the chunk of 64 nodes it changes and the list of chunks, and publishes a new table. The
//! counters and the moving parts of a node live behind an `Arc` that all tables share, so requests in
//! flight survive every change.

use crate::{Need, Node, NodeId, NodeState, shared::Shared};
use ropewalk_prove::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::{collections::HashMap, sync::Arc};

const CHUNK: usize = 64;

/// A node in a table.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: NodeId,
    pub(crate) node: Node,
    pub(crate) shared: Arc<Shared>,
}

/// A list whose copies share all but what changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster {
    chunks: Vec<Arc<Vec<Arc<Entry>>>>,
    len: usize,
}

impl Roster {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Arc<Entry>> {
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    fn push(&mut self, entry: Arc<Entry>) {
        if self.len % CHUNK == 0 {
            self.chunks.push(Arc::new(Vec::with_capacity(CHUNK)));
        }
        let last = self.chunks.last_mut().expect("just ensured");
        Arc::make_mut(last).push(entry);
        self.len += 1;
    }

    fn replace(&mut self, at: usize, entry: Arc<Entry>) {
        Arc::make_mut(&mut self.chunks[at / CHUNK])[at % CHUNK] = entry;
    }

    /// Puts the last into the place `at`; tells who moved.
    fn swap_remove(&mut self, at: usize) -> Option<NodeId> {
        let last_chunk = self.chunks.last_mut().expect("only called with a place in use");
        let last = Arc::make_mut(last_chunk).pop().expect("chunks are never empty");
        if last_chunk.is_empty() {
            self.chunks.pop();
        }
        self.len -= 1;
        (at < self.len).then(|| {
            let moved = last.id;
            self.replace(at, last);
            moved
        })
    }
}

/// The nodes that share a capability, or all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) roster: Roster,
    pub(crate) tally: Arc<Tally>,
}

/// What all tables' versions of a group share.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Where a rotation stands.
    pub(crate) cursor: AtomicUsize,
    /// Members that are up.
    up: AtomicUsize,
    /// Members that are not draining.
    staying: AtomicUsize,
    /// The earliest time at which an ejected member may be tried; never later than that, perhaps earlier.
    next_trial: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            cursor: AtomicUsize::new(0),
            up: AtomicUsize::new(0),
            staying: AtomicUsize::new(0),
            next_trial: AtomicU64::new(u64::MAX),
        }
    }
}

impl Tally {
    pub(crate) fn trial_is_due(&self, now: u64) -> bool {
        now >= self.next_trial.load(Ordering::Relaxed)
    }

    fn trial_at(&self, at: u64) {
        // AcqRel: pairs with the swap in `Group::due`.
        self.next_trial.fetch_min(at, Ordering::AcqRel);
    }

    /// Whether fewer than `threshold` percent of the members that stay are up.
    pub(crate) fn in_panic(&self, threshold: u32) -> bool {
        // Relaxed: a hint; a pick beside a change may see either side of it.
        let up = self.up.load(Ordering::Relaxed);
        let staying = self.staying.load(Ordering::Relaxed);
        up * 100 < threshold as usize * staying
    }

    fn count(&self, state: NodeState, add: bool) {
        let change = |counter: &AtomicUsize| {
            if add {
                counter.fetch_add(1, Ordering::Relaxed)
            } else {
                counter.fetch_sub(1, Ordering::Relaxed)
            };
        };
        if state == NodeState::Up {
            change(&self.up);
        }
        if state != NodeState::Draining {
            change(&self.staying);
        }
    }
}

impl Group {
    /// Claims the trial of an ejected member that `fits` and whose time is over.
    pub(crate) fn try_out(&self, now: u64, mut fits: impl FnMut(&Entry) -> bool) -> Option<Arc<Entry>> {
        // AcqRel: pairs with the `fetch_min` in `trial_at`. Whoever sets a time before this swap has made
        // the member due before it, so the search below sees that; whoever sets one later is kept.
        self.tally.next_trial.swap(u64::MAX, Ordering::AcqRel);
        let mut found = None;
        for entry in self.roster.iter().filter(|e| e.shared.is_ejected()) {
            if found.is_none() && entry.shared.is_due(now) && fits(entry) && entry.shared.begin_trial() {
                if entry.shared.enter() {
                    found = Some(entry.clone());
                    continue;
                }
                entry.shared.end_trial();
            }
            if !entry.shared.is_tried() {
                self.tally.trial_at(entry.shared.ejected_until());
            }
        }
        found
    }
}

/// What readers see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) all: Group,
    by_capability: HashMap<Arc<str>, Group>,
}

impl Table {
    /// The smallest group that holds all nodes that meet `need`.
    pub(crate) fn group(&self, need: &Need) -> Option<&Group> {
        let mut smallest = &self.all;
        for capability in need.capabilities() {
            let group = self.by_capability.get(&**capability)?;
            if group.roster.len() <= smallest.roster.len() {
                smallest = group;
            }
        }
        Some(smallest)
    }

    /// Notes that `entry` may be tried from `at` on.
    pub(crate) fn trial_at(&self, entry: &Entry, at: u64) {
        self.all.tally.trial_at(at);
        for capability in entry.node.shared_capabilities() {
            if let Some(group) = self.by_capability.get(capability) {
                group.tally.trial_at(at);
            }
        }
    }
}

/// What writers keep under the lock.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    table: Table,
    by_address: HashMap<Arc<str>, NodeId>,
    entries: HashMap<NodeId, Arc<Entry>>,
    place: HashMap<NodeId, usize>,
    places: HashMap<Arc<str>, HashMap<NodeId, usize>>,
    next: u64,
    pub(crate) ejected: usize,
}

impl Registry {
    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::new(self.table.clone())
    }

    pub(crate) fn table_now(&self) -> &Table {
        &self.table
    }

    pub(crate) fn find(&self, address: &str) -> Option<NodeId> {
        self.by_address.get(address).copied()
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&Arc<Entry>> {
        self.entries.get(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The address must be new.
    pub(crate) fn insert(&mut self, node: Node, shared: Shared) -> NodeId {
        let id = NodeId(self.next);
        self.next += 1;
        self.by_address.insert(node.shared_address().clone(), id);
        let state = shared.state();
        let entry = Arc::new(Entry { id, node, shared: Arc::new(shared) });
        self.place.insert(id, self.table.all.roster.len());
        self.table.all.roster.push(entry.clone());
        self.table.all.tally.count(state, true);
        for capability in entry.node.shared_capabilities() {
            let group = self.table.by_capability.entry(capability.clone()).or_default();
            self.places.entry(capability.clone()).or_default().insert(id, group.roster.len());
            group.roster.push(entry.clone());
            group.tally.count(state, true);
        }
        self.entries.insert(id, entry);
        id
    }

    pub(crate) fn remove(&mut self, id: NodeId) -> Option<Arc<Entry>> {
        let entry = self.entries.remove(&id)?;
        self.by_address.remove(entry.node.address());
        let state = entry.shared.state();
        self.ejected -= usize::from(entry.shared.is_ejected());
        let leave = |group: &mut Group, places: &mut HashMap<NodeId, usize>| {
            let at = places.remove(&id).expect("a registered node has a place in each of its groups");
            if let Some(moved) = group.roster.swap_remove(at) {
                places.insert(moved, at);
            }
            group.tally.count(state, false);
        };
        leave(&mut self.table.all, &mut self.place);
        for capability in entry.node.shared_capabilities() {
            let group = self.table.by_capability.get_mut(capability).expect("a node's group exists");
            leave(group, self.places.get_mut(capability).expect("a group has places"));
            if group.roster.len() == 0 {
                self.table.by_capability.remove(capability);
                self.places.remove(capability);
            }
        }
        Some(entry)
    }

    /// Gives a node another weight; its counters stay.
    pub(crate) fn reweigh(&mut self, id: NodeId, weight: u32) -> bool {
        let Some(old) = self.entries.get(&id) else { return false };
        let entry = Arc::new(Entry { id, node: old.node.clone().weight(weight), shared: old.shared.clone() });
        self.table.all.roster.replace(self.place[&id], entry.clone());
        for capability in entry.node.shared_capabilities() {
            let group = self.table.by_capability.get_mut(capability).expect("a node's group exists");
            group.roster.replace(self.places[capability][&id], entry.clone());
        }
        self.entries.insert(id, entry);
        true
    }

    /// Runs `change` on a registered node's standing and keeps the tallies.
    pub(crate) fn change<R>(&mut self, id: NodeId, change: impl FnOnce(&Shared) -> R) -> Option<R> {
        let entry = self.entries.get(&id)?;
        let (before, was_ejected) = (entry.shared.state(), entry.shared.is_ejected());
        let result = change(&entry.shared);
        let (after, is_ejected) = (entry.shared.state(), entry.shared.is_ejected());
        self.ejected = self.ejected + usize::from(is_ejected) - usize::from(was_ejected);
        if before != after {
            let groups = entry.node.shared_capabilities().iter().map(|c| &self.table.by_capability[c]);
            for group in groups.chain([&self.table.all]) {
                group.tally.count(before, false);
                group.tally.count(after, true);
            }
        }
        Some(result)
    }
}
