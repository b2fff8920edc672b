//! Sets of named resources: 32 threads each want k of m at once, again and again.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use ropewalk_benches::contest::{Effort, Entry, Sample};

use crate::{
    random::Random,
    threads::spin,
    uncontended::filled,
    window::{self, crowd},
};

/// Whatever gives a thread several resources at once.
pub trait SetLocks: Sync {
    /// A set that will be asked for again and again.
    type Set;

    /// Makes it for so many resources.
    fn build(resources: usize) -> Self;

    /// Prepares to ask for `resources`, which are distinct and in ascending order, on behalf of a thread.
    fn prepare(&self, thread: usize, resources: &[usize]) -> Self::Set;

    /// Runs `hold` while it has all of them.
    fn with(&self, set: &Self::Set, hold: impl FnOnce());
}

const THREADS: usize = 32;
/// Sets that each thread draws beforehand and asks for by turns.
const SETS: usize = 64;

#[derive(Clone, Copy)]
enum Hold {
    Spin(u64),
    Sleep(u64),
}

const UNCONTENDED: &str = "sets-3-uncontended";

/// Name, resources of a set, resources in all, hold.
const CONTENDED: [(&str, usize, usize, Hold); 12] = [
    ("sets-3-of-20-500ns-spin", 3, 20, Hold::Spin(500)),
    ("sets-3-of-20-20us-sleep", 3, 20, Hold::Sleep(20)),
    ("sets-3-of-20-100us-sleep", 3, 20, Hold::Sleep(100)),
    ("sets-5-of-100-500ns-spin", 5, 100, Hold::Spin(500)),
    ("sets-5-of-100-20us-sleep", 5, 100, Hold::Sleep(20)),
    ("sets-5-of-100-100us-sleep", 5, 100, Hold::Sleep(100)),
    ("sets-2-of-5-500ns-spin", 2, 5, Hold::Spin(500)),
    ("sets-2-of-5-20us-sleep", 2, 5, Hold::Sleep(20)),
    ("sets-2-of-5-100us-sleep", 2, 5, Hold::Sleep(100)),
    ("sets-3-of-1000-500ns-spin", 3, 1000, Hold::Spin(500)),
    ("sets-3-of-1000-20us-sleep", 3, 1000, Hold::Sleep(20)),
    ("sets-3-of-1000-100us-sleep", 3, 1000, Hold::Sleep(100)),
];

/// The works in the order in which they are told.
pub(crate) fn works() -> impl Iterator<Item = &'static str> {
    [UNCONTENDED].into_iter().chain(CONTENDED.iter().map(|work| work.0))
}

/// What a contestant for sets enters.
pub fn entries<L: SetLocks>(contestant: &'static str) -> Vec<Entry> {
    let runs: [fn(Effort) -> Vec<Sample>; 12] = [
        contended::<L, 0>,
        contended::<L, 1>,
        contended::<L, 2>,
        contended::<L, 3>,
        contended::<L, 4>,
        contended::<L, 5>,
        contended::<L, 6>,
        contended::<L, 7>,
        contended::<L, 8>,
        contended::<L, 9>,
        contended::<L, 10>,
        contended::<L, 11>,
    ];
    let mut entries = vec![Entry { work: UNCONTENDED, contestant, run: uncontended::<L> }];
    entries.extend(CONTENDED.iter().zip(runs).map(|(work, run)| Entry { work: work.0, contestant, run }));
    entries
}

/// `of` distinct numbers below `resources`, in ascending order.
fn draw(random: &mut Random, of: usize, resources: usize) -> Vec<usize> {
    let mut set = Vec::with_capacity(of);
    while set.len() < of {
        let one = random.below(resources as u64) as usize;
        if !set.contains(&one) {
            set.push(one);
        }
    }
    set.sort_unstable();
    set
}

fn uncontended<L: SetLocks>(effort: Effort) -> Vec<Sample> {
    let locks = L::build(1000);
    let mut random = Random::new(1);
    let sets: Vec<_> = (0..SETS).map(|_| locks.prepare(0, &draw(&mut random, 3, 1000))).collect();
    filled(effort, |operations| {
        for set in sets.iter().cycle().take(operations as usize) {
            locks.with(set, || {});
        }
    })
}

fn contended<L: SetLocks, const WORK: usize>(effort: Effort) -> Vec<Sample> {
    let (_, of, resources, hold) = CONTENDED[WORK];
    let locks = L::build(resources);
    let taken: Vec<_> = (0..resources).map(|_| AtomicBool::new(false)).collect();
    // Its tails are tens of milliseconds long.
    let length = window::length(effort) * 4 / 3;
    crowd(THREADS, length, |thread| {
        let mut random = Random::new(thread as u64 + 1);
        let sets: Vec<_> = (0..SETS)
            .map(|_| {
                let set = draw(&mut random, of, resources);
                (locks.prepare(thread, &set), set)
            })
            .collect();
        let (locks, taken, mut turn) = (&locks, &taken[..], 0);
        move || {
            let (prepared, set) = &sets[turn % SETS];
            turn += 1;
            with(locks, prepared, set, taken, hold)
        }
    })
}

/// Holds a set once and says how long it waited for it.
fn with<L: SetLocks>(
    locks: &L,
    prepared: &L::Set,
    set: &[usize],
    taken: &[AtomicBool],
    hold: Hold,
) -> Duration {
    let asked = Instant::now();
    let mut wait = Duration::ZERO;
    locks.with(prepared, || {
        wait = asked.elapsed();
        for &one in set {
            assert!(!taken[one].load(Ordering::Relaxed), "two hold the same resource");
            taken[one].store(true, Ordering::Relaxed);
        }
        match hold {
            Hold::Spin(nanoseconds) => spin(Duration::from_nanos(nanoseconds)),
            Hold::Sleep(microseconds) => thread::sleep(Duration::from_micros(microseconds)),
        }
        for &one in set {
            taken[one].store(false, Ordering::Relaxed);
        }
    });
    wait
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_distinct_and_in_order() {
        let mut random = Random::new(7);
        for _ in 0..100 {
            let set = draw(&mut random, 3, 5);
            assert!(set.is_sorted_by(|a, b| a < b) && set.iter().all(|&one| one < 5), "{set:?}");
        }
    }

    #[test]
    fn every_work_of_the_table_is_entered() {
        struct Nobody;
        impl SetLocks for Nobody {
            type Set = ();
            fn build(_: usize) -> Self {
                Self
            }
            fn prepare(&self, _: usize, _: &[usize]) {}
            fn with(&self, (): &(), hold: impl FnOnce()) {
                hold();
            }
        }
        let entered: Vec<_> = entries::<Nobody>("nobody").iter().map(|entry| entry.work).collect();
        assert_eq!(entered, works().collect::<Vec<_>>());
    }
}
