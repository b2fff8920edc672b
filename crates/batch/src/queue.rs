//! The order in which items are collected into batches, as plain data: no threads, no clock of its own.
//!
//! An item has a group (a batch holds one), a level (0 is the most urgent) and an arrival. Items are
//! ordered by `arrival + level * ageing`, a key that never changes: an item of level `l` is overtaken
//! only by items that arrive less than `l * ageing` after it, so nobody starves, and inside a level the
//! order is first come, first served. A batch is the first item in that order whose group is due,
//! followed by the next of its group.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// What the items of one batch have in common.
///
/// ```
/// use ropewalk_batch::GroupKey;
/// assert_eq!(GroupKey::from("m"), GroupKey::from("m".to_owned()));
/// assert_ne!(GroupKey::from("1"), GroupKey::from(1));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupKey(Key);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    One,
    Number(u64),
    Text(Arc<str>),
}

impl GroupKey {
    /// The group of everything that has no other.
    pub const ONE: Self = Self(Key::One);
}

impl From<u64> for GroupKey {
    fn from(number: u64) -> Self {
        Self(Key::Number(number))
    }
}

impl From<Arc<str>> for GroupKey {
    fn from(text: Arc<str>) -> Self {
        Self(Key::Text(text))
    }
}

impl From<String> for GroupKey {
    fn from(text: String) -> Self {
        Self(Key::Text(text.into()))
    }
}

impl From<&str> for GroupKey {
    fn from(text: &str) -> Self {
        Self(Key::Text(text.into()))
    }
}

/// Level (only where ageing cannot express it), aged arrival, sequence number.
type Rank = (u8, Instant, u64);

/// Where an item stands in a [`BatchQueue`]: what [`BatchQueue::remove`] takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    group: GroupKey,
    rank: Rank,
    since: Instant,
}

/// Collects items into batches: the order and the grouping of a [`Batcher`](crate::Batcher) without
/// its workers, for those who bring their own.
///
/// It is not synchronised and never looks at a clock: put it behind a lock and pass the time in. It
/// runs no code of the user's but the drop of items when it is dropped itself.
///
/// ```
/// use ropewalk_batch::{BatchQueue, GroupKey};
/// use std::time::{Duration, Instant};
///
/// let now = Instant::now();
/// let mut queue = BatchQueue::new(5).ageing(Duration::from_secs(10));
/// queue.push("slow a", GroupKey::from("a"), 1, now);
/// queue.push("urgent b", GroupKey::from("b"), 0, now);
/// queue.push("slow b", GroupKey::from("b"), 1, now);
/// assert_eq!(queue.take(now, usize::MAX), ["urgent b", "slow b"]);
/// assert_eq!(queue.take(now, usize::MAX), ["slow a"]);
/// ```
pub struct BatchQueue<T> {
    max_items: usize,
    max_wait: Duration,
    ageing: Duration,
    groups: HashMap<GroupKey, Group<T>>,
    /// The first rank of every group.
    heads: BTreeMap<Rank, GroupKey>,
    next: u64,
    len: usize,
}

struct Group<T> {
    /// Each with its arrival.
    items: BTreeMap<Rank, (Instant, T)>,
    /// Arrivals, oldest first; kept only when items may be made to wait.
    arrivals: BTreeSet<(Instant, u64)>,
    flushed: bool,
}

impl<T> BatchQueue<T> {
    /// A queue whose batches hold at most `max_items`; 0 counts as 1.
    pub fn new(max_items: usize) -> Self {
        Self {
            max_items: max_items.max(1),
            max_wait: Duration::ZERO,
            ageing: Duration::MAX,
            groups: HashMap::new(),
            heads: BTreeMap::new(),
            next: 0,
            len: 0,
        }
    }

    /// Lets a group that is not full wait up to this long for more; zero (the default) never waits.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// How much later than a less urgent item one of the next level may come and still go first.
    /// `Duration::MAX` (the default): however late, so that urgent items can starve the others.
    pub fn ageing(mut self, step: Duration) -> Self {
        self.ageing = step;
        self
    }

    /// Adds an item that arrived at `since`. O(log n).
    pub fn push(&mut self, item: T, group: GroupKey, level: u8, since: Instant) -> Place {
        let aged = self.ageing.checked_mul(level.into()).and_then(|late| since.checked_add(late));
        let sequence = self.next;
        self.next += 1;
        let rank = aged.map_or((level, since, sequence), |at| (0, at, sequence));
        let entry = self.groups.entry(group.clone()).or_insert_with(|| Group {
            items: BTreeMap::new(),
            arrivals: BTreeSet::new(),
            flushed: false,
        });
        let before = entry.head();
        entry.items.insert(rank, (since, item));
        if !self.max_wait.is_zero() {
            entry.arrivals.insert((since, sequence));
        }
        let after = entry.head();
        self.len += 1;
        self.move_head(&group, before, after);
        Place { group, rank, since }
    }

    /// Takes one item out, if it is still here. O(log n).
    pub fn remove(&mut self, place: &Place) -> Option<T> {
        let entry = self.groups.get_mut(&place.group)?;
        let before = entry.head();
        let (_, item) = entry.items.remove(&place.rank)?;
        entry.arrivals.remove(&(place.since, place.rank.2));
        let after = entry.head();
        self.len -= 1;
        if after.is_none() {
            self.groups.remove(&place.group);
        }
        self.move_head(&place.group, before, after);
        Some(item)
    }

    /// Takes the next batch that is due: at most `limit` and at most the maximum; empty when none is.
    pub fn take(&mut self, now: Instant, limit: usize) -> Vec<T> {
        self.take_while(now, limit, |_| true)
    }

    /// [`take`](Self::take) that stops before the first item that `admit` refuses.
    ///
    /// `admit` must not panic: the queue would be left in disorder.
    pub fn take_while(&mut self, now: Instant, limit: usize, mut admit: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut batch = Vec::new();
        let Some(group) = self.next_group(now) else { return batch };
        let Some(entry) = self.groups.get_mut(&group) else { return batch };
        let before = entry.head();
        while batch.len() < limit.min(self.max_items) {
            let Some(first) = entry.items.first_entry() else { break };
            if !admit(&first.get().1) {
                break;
            }
            let ((_, _, sequence), (since, item)) = first.remove_entry();
            entry.arrivals.remove(&(since, sequence));
            batch.push(item);
        }
        let after = entry.head();
        self.len -= batch.len();
        if after.is_none() {
            self.groups.remove(&group);
        }
        self.move_head(&group, before, after);
        batch
    }

    /// The item that the next batch starts with, if one is due.
    pub fn peek(&self, now: Instant) -> Option<&T> {
        let group = self.next_group(now)?;
        self.groups.get(&group)?.items.first_key_value().map(|(_, (_, item))| item)
    }

    /// When the next batch is due by age, if none is now; `None` also for never.
    pub fn next_due(&self) -> Option<Instant> {
        self.groups.values().filter_map(|group| group.due(self.max_wait)).min()
    }

    /// Whether a batch is due.
    pub fn is_due(&self, now: Instant) -> bool {
        self.next_group(now).is_some()
    }

    /// Makes all that is here now due.
    pub fn flush(&mut self) {
        if !self.max_wait.is_zero() {
            self.groups.values_mut().for_each(|group| group.flushed = true);
        }
    }

    /// Takes everything out, in no particular order.
    pub fn drain(&mut self) -> Vec<T> {
        self.heads.clear();
        self.len = 0;
        self.groups.drain().flat_map(|(_, group)| group.items.into_values().map(|(_, item)| item)).collect()
    }

    /// How many items are here.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is here.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn next_group(&self, now: Instant) -> Option<GroupKey> {
        let is_due = |key: &&GroupKey| {
            self.max_wait.is_zero()
                || self.groups.get(*key).is_some_and(|group| {
                    group.flushed
                        || group.items.len() >= self.max_items
                        || group.due(self.max_wait).is_some_and(|due| due <= now)
                })
        };
        self.heads.values().find(is_due).cloned()
    }

    fn move_head(&mut self, group: &GroupKey, before: Option<Rank>, after: Option<Rank>) {
        if before == after {
            return;
        }
        if let Some(rank) = before {
            self.heads.remove(&rank);
        }
        if let Some(rank) = after {
            self.heads.insert(rank, group.clone());
        }
    }
}

impl<T> Group<T> {
    fn head(&self) -> Option<Rank> {
        self.items.first_key_value().map(|(&rank, _)| rank)
    }

    fn due(&self, max_wait: Duration) -> Option<Instant> {
        self.arrivals.first().and_then(|&(since, _)| since.checked_add(max_wait))
    }
}

impl<T> fmt::Debug for BatchQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchQueue")
            .field("len", &self.len)
            .field("groups", &self.groups.len())
            .finish_non_exhaustive()
    }
}
