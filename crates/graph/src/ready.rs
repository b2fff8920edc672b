//! The ready set: exact levels, order within a level, ageing.

use crate::Priority;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    hash::Hash,
    time::{Duration, Instant},
};

/// An ordered set of what may start: by effective level, then by rank, then by age.
///
/// * The **effective level** is the priority, raised by one level for each ageing interval waited.
///   One that rose to the top level, or waited there for an interval, goes by age alone and before
///   those that did not. So under any load an entry is at the very front, behind older ones only,
///   after at most three intervals.
/// * The **rank** (0 unless given) is a hint, for instance the length of the path behind a task: the
///   higher goes first within its level.
/// * The **age** is `order`: of two with the same level and rank the lower goes first.
///
/// Each operation takes O(log n). It is a plain value: no lock inside, time is given by the caller.
///
/// ```
/// use ropewalk_graph::{Priority, ReadySet};
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let mut ready = ReadySet::new(Some(Duration::from_secs(10)));
/// ready.insert("sweep", Priority::Low, 0, start, 1);
/// ready.insert("serve", Priority::Normal, 0, start, 2);
/// assert_eq!(ready.peek(start), Some(&"serve"));
/// // After ten seconds the sweep is as urgent as what comes now.
/// let later = start + Duration::from_secs(10);
/// ready.pop(later);
/// ready.insert("serve again", Priority::Normal, 0, later, 3);
/// assert_eq!(ready.pop(later), Some("sweep"));
/// ```
#[derive(Clone, Debug)]
pub struct ReadySet<K> {
    levels: [Level<K>; 4],
    places: HashMap<K, Place>,
    ageing: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Level<K> {
    order: BTreeMap<Key, K>,
    /// By the instant of entry into this level; those that cannot rise any more are not in it.
    entry: BTreeMap<(Instant, u64), K>,
}

/// Smaller goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    fresh: bool,
    rank: Reverse<u64>,
    order: u64,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    level: usize,
    key: Key,
    entered: Instant,
}

/// Where an entry stands in a [`ReadySet`]; smaller goes first. Comparable between sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
    level: usize,
    key: Key,
}

impl<K: Clone + Eq + Hash> ReadySet<K> {
    /// An empty set. `ageing` is the wait that raises an entry by one level; `None` for never.
    pub fn new(ageing: Option<Duration>) -> Self {
        Self {
            levels: std::array::from_fn(|_| Level { order: BTreeMap::new(), entry: BTreeMap::new() }),
            places: HashMap::new(),
            ageing,
        }
    }

    /// Adds `key`, or moves it when it is in the set already. `order` must be unique among the
    /// entries; `since` is when it became ready.
    pub fn insert(&mut self, key: K, priority: Priority, rank: u64, since: Instant, order: u64) {
        self.remove(&key);
        let place = Place {
            level: priority.level(),
            key: Key { fresh: true, rank: Reverse(rank), order },
            entered: since,
        };
        self.link(key, place);
    }

    /// Takes `key` out; tells whether it was there.
    pub fn remove(&mut self, key: &K) -> bool {
        match self.places.remove(key) {
            Some(place) => {
                self.unlink(place);
                true
            }
            None => false,
        }
    }

    /// Changes the rank of `key`; nothing happens when it is not in the set or goes by age alone.
    pub fn rerank(&mut self, key: &K, rank: u64) {
        if let Some(place) =
            self.places.get(key).copied().filter(|place| place.key.fresh && place.key.rank.0 != rank)
        {
            self.places.remove(key);
            self.unlink(place);
            let place = Place { key: Key { rank: Reverse(rank), ..place.key }, ..place };
            self.link(key.clone(), place);
        }
    }

    /// The first, as of `now`.
    pub fn peek(&mut self, now: Instant) -> Option<&K> {
        self.age(now);
        self.levels.iter().find_map(|level| level.order.values().next())
    }

    /// Where the first stands, as of `now`.
    pub fn front(&mut self, now: Instant) -> Option<Standing> {
        self.age(now);
        self.levels
            .iter()
            .enumerate()
            .find_map(|(level, entries)| entries.order.keys().next().map(|&key| Standing { level, key }))
    }

    /// Takes the first, as of `now`.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        let first = self.peek(now)?.clone();
        self.remove(&first);
        Some(first)
    }

    /// All, first to last, as of `now`.
    pub fn iter(&mut self, now: Instant) -> impl Iterator<Item = &K> {
        self.age(now);
        self.levels.iter().flat_map(|level| level.order.values())
    }

    /// Whether `key` is in it.
    pub fn contains(&self, key: &K) -> bool {
        self.places.contains_key(key)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Raises whatever has waited long enough. From the lowest level up, so that one that waited for
    /// several intervals rises by several levels at once.
    fn age(&mut self, now: Instant) {
        let Some(interval) = self.ageing else { return };
        for level in (0..self.levels.len()).rev() {
            while let Some((&(entered, _), key)) = self.levels[level].entry.first_key_value() {
                let Some(due) = entered.checked_add(interval).filter(|&due| due <= now) else { break };
                let key = key.clone();
                let Some(mut place) = self.places.remove(&key) else { break };
                self.unlink(place);
                place.entered = due;
                place.level = level.saturating_sub(1);
                if place.level == 0 {
                    place.key = Key { fresh: false, rank: Reverse(0), ..place.key };
                }
                self.link(key, place);
            }
        }
    }

    fn link(&mut self, key: K, place: Place) {
        let level = &mut self.levels[place.level];
        level.order.insert(place.key, key.clone());
        if place.key.fresh && self.ageing.is_some() {
            level.entry.insert((place.entered, place.key.order), key.clone());
        }
        self.places.insert(key, place);
    }

    fn unlink(&mut self, place: Place) {
        let level = &mut self.levels[place.level];
        level.order.remove(&place.key);
        level.entry.remove(&(place.entered, place.key.order));
    }
}
