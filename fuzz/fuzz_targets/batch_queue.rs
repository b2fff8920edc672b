//! The order and grouping of the batcher against a list of what is inside: nothing is lost, doubled or mixed.
#![no_main]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ropewalk_batch::{BatchQueue, GroupKey};

#[derive(Arbitrary, Debug)]
enum Op {
    Push { group: u8, level: u8 },
    Remove { item: u8 },
    Take { limit: u8 },
    Wait { milliseconds: u8 },
    Flush,
    Drain,
}

#[derive(Arbitrary, Debug)]
struct Input {
    max_items: u8,
    max_wait: u8,
    ageing: Option<u8>,
    ops: Vec<Op>,
}

fuzz_target!(|input: Input| {
    let max_items = usize::from(input.max_items % 8);
    let max_wait = Duration::from_millis(input.max_wait.into());
    let mut queue = BatchQueue::new(max_items).max_wait(max_wait);
    if let Some(step) = input.ageing {
        queue = queue.ageing(Duration::from_millis(step.into()));
    }
    let mut now = Instant::now();
    // Every item ever pushed with its group and place; those inside.
    let mut places = Vec::new();
    let mut inside = BTreeMap::new();
    for op in input.ops {
        match op {
            Op::Push { group, level } => {
                let (group, item) = (u64::from(group % 4), places.len());
                places.push(queue.push(item, GroupKey::from(group), level % 4, now));
                inside.insert(item, group);
            }
            Op::Remove { item } => {
                if let Some(place) = places.get(usize::from(item)) {
                    let removed = queue.remove(place);
                    assert_eq!(removed, inside.remove_entry(&item.into()).map(|(item, _)| item));
                }
            }
            Op::Take { limit } => {
                let (is_due, peeked) = (queue.is_due(now), queue.peek(now).copied());
                let batch = queue.take(now, limit.into());
                assert!(batch.len() <= max_items.max(1).min(limit.into()));
                assert_eq!(!batch.is_empty(), is_due && limit > 0);
                if let Some(first) = batch.first() {
                    assert_eq!(peeked, Some(*first));
                }
                let groups: Vec<_> =
                    batch.iter().map(|item| inside.remove(item).expect("it was inside")).collect();
                assert!(groups.windows(2).all(|pair| pair[0] == pair[1]), "one batch, one group");
            }
            Op::Wait { milliseconds } => now += Duration::from_millis(milliseconds.into()),
            Op::Flush => {
                queue.flush();
                assert!(inside.is_empty() || queue.is_due(now));
            }
            Op::Drain => {
                let mut drained = queue.drain();
                drained.sort_unstable();
                assert_eq!(drained, std::mem::take(&mut inside).into_keys().collect::<Vec<_>>());
            }
        }
        assert_eq!(queue.len(), inside.len());
        assert!(max_wait > Duration::ZERO || queue.is_due(now) == !inside.is_empty(), "work-conserving");
    }
});
