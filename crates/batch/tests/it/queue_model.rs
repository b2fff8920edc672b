//! `BatchQueue` against a plain vector.

use proptest::prelude::*;
use ropewalk_batch::{BatchQueue, GroupKey, Place};
use std::time::{Duration, Instant};

#[derive(Clone, Debug)]
enum Op {
    Push { group: u8, level: u8 },
    Remove(usize),
    Take(usize),
    Wait(u64),
    Flush,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..3_u8, 0..4_u8).prop_map(|(group, level)| Op::Push { group, level }),
        1 => any::<usize>().prop_map(Op::Remove),
        2 => (0..6_usize).prop_map(Op::Take),
        2 => (0..20_u64).prop_map(Op::Wait),
        1 => Just(Op::Flush),
    ]
}

#[derive(Clone, Debug)]
struct Item {
    id: usize,
    group: u8,
    level: u8,
    since: Instant,
    flushed: bool,
    place: Place,
}

struct Model {
    items: Vec<Item>,
    max_items: usize,
    max_wait: Duration,
    ageing: Duration,
}

impl Model {
    fn order(&self, item: &Item) -> (u8, Instant, usize) {
        match self.ageing.checked_mul(item.level.into()).and_then(|late| item.since.checked_add(late)) {
            Some(at) => (0, at, item.id),
            None => (item.level, item.since, item.id),
        }
    }

    fn of(&self, group: u8) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| item.group == group)
    }

    /// A flush marks the group until it is empty.
    fn due(&self, group: u8, now: Instant) -> bool {
        self.max_wait.is_zero()
            || self.of(group).count() >= self.max_items
            || self.of(group).any(|item| item.flushed || item.since + self.max_wait <= now)
    }

    fn take(&mut self, now: Instant, limit: usize) -> Vec<usize> {
        let head = self
            .items
            .iter()
            .filter(|item| self.due(item.group, now))
            .min_by_key(|item| self.order(item))
            .map(|item| item.group);
        let Some(group) = head else { return Vec::new() };
        let mut batch: Vec<Item> = self.of(group).cloned().collect();
        batch.sort_by_key(|item| self.order(item));
        batch.truncate(limit.min(self.max_items));
        self.items.retain(|item| !batch.iter().any(|taken| taken.id == item.id));
        batch.into_iter().map(|item| item.id).collect()
    }
}

proptest! {
    #[test]
    fn the_queue_does_what_a_sorted_list_does(
        ops in prop::collection::vec(op(), 1..120),
        max_items in 1..5_usize,
        max_wait in prop_oneof![Just(0), Just(7), Just(30)],
        ageing in prop_oneof![Just(Duration::ZERO), Just(Duration::from_millis(9)), Just(Duration::MAX)],
    ) {
        let max_wait = Duration::from_millis(max_wait);
        let mut queue = BatchQueue::new(max_items).max_wait(max_wait).ageing(ageing);
        let mut model = Model { items: Vec::new(), max_items, max_wait, ageing };
        let mut now = Instant::now();
        for (id, op) in ops.into_iter().enumerate() {
            match op {
                Op::Push { group, level } => {
                    let place = queue.push(id, GroupKey::from(u64::from(group)), level, now);
                    // A group stays flushed until it has been empty.
                    let flushed = model.of(group).any(|item| item.flushed);
                    model.items.push(Item { id, group, level, since: now, flushed, place });
                }
                Op::Remove(at) if !model.items.is_empty() => {
                    let item = model.items.swap_remove(at % model.items.len());
                    prop_assert_eq!(queue.remove(&item.place), Some(item.id));
                    prop_assert_eq!(queue.remove(&item.place), None);
                }
                Op::Remove(_) => {}
                Op::Take(limit) => {
                    let peeked = queue.peek(now).copied();
                    let due = queue.is_due(now);
                    let expected = model.take(now, limit);
                    prop_assert_eq!(due, peeked.is_some());
                    if limit > 0 {
                        prop_assert_eq!(peeked, expected.first().copied());
                    }
                    prop_assert_eq!(queue.take(now, limit), expected);
                }
                Op::Wait(millis) => now += Duration::from_millis(millis),
                Op::Flush => {
                    queue.flush();
                    model.items.iter_mut().for_each(|item| item.flushed = true);
                }
            }
            prop_assert_eq!(queue.len(), model.items.len());
            prop_assert_eq!(queue.is_empty(), model.items.is_empty());
            if !max_wait.is_zero() {
                prop_assert_eq!(queue.next_due(), model.items.iter().map(|item| item.since + max_wait).min());
            }
        }
        let mut rest = queue.drain();
        rest.sort_unstable();
        let mut expected: Vec<usize> = model.items.iter().map(|item| item.id).collect();
        expected.sort_unstable();
        prop_assert_eq!(rest, expected);
        prop_assert!(queue.is_empty() && queue.take(now, 9).is_empty());
    }
}

#[test]
fn a_low_item_is_overtaken_only_by_what_comes_within_its_ageing() {
    let start = Instant::now();
    let step = Duration::from_secs(5);
    let mut queue = BatchQueue::new(1).ageing(step);
    queue.push("low", GroupKey::ONE, 3, start);
    queue.push("in time", GroupKey::ONE, 0, start + Duration::from_secs(14));
    queue.push("too late", GroupKey::ONE, 0, start + Duration::from_secs(16));
    let order: Vec<_> = (0..3).flat_map(|_| queue.take(start, 1)).collect();
    assert_eq!(order, ["in time", "low", "too late"]);
}

#[test]
fn without_ageing_levels_are_strict() {
    let start = Instant::now();
    let mut queue = BatchQueue::new(1);
    queue.push("low", GroupKey::ONE, 1, start);
    queue.push("late", GroupKey::ONE, 0, start + Duration::from_secs(1_000_000));
    assert_eq!(queue.take(start, 1), ["late"]);
    assert_eq!(queue.take(start, 1), ["low"]);
}

#[test]
fn take_while_stops_before_the_first_that_is_refused() {
    let now = Instant::now();
    let mut queue = BatchQueue::new(5);
    for n in 0..4 {
        queue.push(n, GroupKey::ONE, 0, now);
    }
    assert_eq!(queue.take_while(now, 9, |&n| n < 2), [0, 1]);
    assert!(queue.take_while(now, 9, |_| false).is_empty());
    assert_eq!(queue.take(now, 9), [2, 3]);
}
