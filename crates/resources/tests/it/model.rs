//! The pool against a plain list of leases and waiters.

use crate::support::poll;
use proptest::prelude::*;
use ropewalk_resources::{Acquire, AcquireError, ClaimLease, Lease, Request, ResourcePool};
use std::{collections::BTreeMap, task::Poll};

const LOCKS: usize = 3;
const OWNERS: usize = 4;
const UNITS: u64 = 3;

/// How much of each lock (0 none, 1 shared, 2 exclusive) and how many units.
type Wish = ([u8; LOCKS], u64);

#[derive(Clone, Debug)]
enum Op {
    Acquire { owner: usize, wish: Wish, priority: u8 },
    Try { owner: usize, wish: Wish },
    Claim { owner: usize, wish: Wish },
    Poll(usize),
    Cancel(usize),
    Release(usize),
    Resize(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let wish = || (prop::array::uniform3(0..3_u8), 0..=2_u64);
    let op = prop_oneof![
        6 => (0..OWNERS, wish(), 0..2_u8)
            .prop_map(|(owner, wish, priority)| Op::Acquire { owner, wish, priority }),
        3 => (0..OWNERS, wish()).prop_map(|(owner, wish)| Op::Claim { owner, wish }),
        1 => (0..OWNERS, wish()).prop_map(|(owner, wish)| Op::Try { owner, wish }),
        2 => (0..8_usize).prop_map(Op::Poll),
        1 => (0..8_usize).prop_map(Op::Cancel),
        4 => (0..8_usize).prop_map(Op::Release),
        1 => (1..=4_u64).prop_map(Op::Resize),
    ];
    prop::collection::vec(op, 1..60)
}

/// What is given back when it drops.
enum Held {
    Lease { _lease: Lease },
    Claim { _lease: ClaimLease<'static> },
}

#[derive(Clone, Debug)]
struct Waiter {
    ticket: usize,
    owner: usize,
    wish: Wish,
    priority: u8,
    passed: u32,
}

#[derive(Debug)]
struct Model {
    bound: u32,
    units: u64,
    next: usize,
    /// Each lease by the number of the operation that asked for it.
    leases: BTreeMap<usize, (usize, Wish)>,
    waiters: Vec<Waiter>,
    /// Requests that were ended while they waited.
    refused: Vec<usize>,
    deadlocks: u64,
    most_passed: u32,
}

impl Model {
    fn holds(&self, owner: usize) -> bool {
        self.leases
            .values()
            .any(|(o, (locks, units))| *o == owner && (locks.iter().any(|l| *l > 0) || *units > 0))
    }

    /// Whether `wish` fits beside the leases that `counts` counts.
    fn fits(&self, owner: usize, wish: &Wish, counts: impl Fn(usize) -> bool) -> bool {
        let others = || self.leases.values().filter(|(o, _)| counts(*o));
        let locks = (0..LOCKS).all(|l| match wish.0[l] {
            0 => true,
            1 => others().all(|(o, held)| *o == owner || held.0[l] < 2),
            _ => others().all(|(o, held)| *o == owner || held.0[l] == 0),
        });
        let used = others().map(|(_, held)| held.1).sum::<u64>();
        locks && (wish.1 == 0 || used + wish.1 <= self.units)
    }

    fn conflict(a: &Wish, b: &Wish) -> bool {
        (0..LOCKS).any(|l| a.0[l] > 0 && b.0[l] > 0 && a.0[l] + b.0[l] > 2) || (a.1 > 0 && b.1 > 0)
    }

    fn may_take(&self, owner: usize, wish: &Wish, ticket: usize) -> bool {
        let barred = || {
            self.waiters
                .iter()
                .any(|w| w.ticket < ticket && w.passed >= self.bound && Self::conflict(&w.wish, wish))
        };
        self.fits(owner, wish, |_| true) && (self.holds(owner) || !barred())
    }

    fn take(&mut self, owner: usize, wish: Wish, ticket: usize) {
        let nested = self.holds(owner);
        for w in self.waiters.iter_mut().filter(|w| w.ticket < ticket && Self::conflict(&w.wish, &wish)) {
            if !(nested && w.passed >= self.bound) {
                w.passed += 1;
                self.most_passed = self.most_passed.max(w.passed);
            }
        }
        self.leases.insert(ticket, (owner, wish));
    }

    /// Gives out all that can be given, then ends deadlocks, until nothing changes.
    fn settle(&mut self) {
        loop {
            self.waiters.sort_by_key(|w| (std::cmp::Reverse(w.priority), w.ticket));
            let next = self.waiters.iter().position(|w| self.may_take(w.owner, &w.wish, w.ticket));
            if let Some(at) = next {
                let w = self.waiters.remove(at);
                self.take(w.owner, w.wish, w.ticket);
                continue;
            }
            let stuck = self.stuck();
            let victim = self.waiters.iter().filter(|w| stuck.contains(&w.owner)).map(|w| w.ticket).max();
            let Some(victim) = victim else { return };
            self.waiters.retain(|w| w.ticket != victim);
            self.refused.push(victim);
            self.deadlocks += 1;
        }
    }

    fn stuck(&self) -> Vec<usize> {
        let waits = |o: usize| self.waiters.iter().filter(move |w| w.owner == o);
        let mut stuck = (0..OWNERS).filter(|&o| self.holds(o) && waits(o).count() > 0).collect::<Vec<_>>();
        while let Some(at) = stuck
            .iter()
            .position(|&o| waits(o).all(|w| self.fits(o, &w.wish, |other| stuck.contains(&other))))
        {
            stuck.remove(at);
        }
        stuck
    }

    /// What acquiring gives at once: a lease, a place in line, or a deadlock.
    fn acquire(&mut self, owner: usize, wish: Wish, priority: u8, wait: bool) -> Option<Result<bool, ()>> {
        let ticket = self.next;
        self.next += 1;
        if wish.1 > self.units {
            return None;
        }
        if self.may_take(owner, &wish, ticket) {
            self.take(owner, wish, ticket);
            self.settle();
            return Some(Ok(true));
        }
        if !wait {
            return Some(Ok(false));
        }
        self.waiters.push(Waiter { ticket, owner, wish, priority, passed: 0 });
        if self.holds(owner) && self.stuck().contains(&owner) {
            self.waiters.pop();
            self.deadlocks += 1;
            return Some(Err(()));
        }
        Some(Ok(false))
    }
}

fn request((locks, units): &Wish) -> Request {
    let mut request = Request::new().units("slot", *units);
    for (l, mode) in locks.iter().enumerate() {
        let name = ["x", "y", "z"][l];
        request = match mode {
            0 => request,
            1 => request.shared(name),
            _ => request.exclusive(name),
        };
    }
    request
}

fn run(bound: u32, ops: &[Op]) {
    let pool = ResourcePool::builder().overtaking(bound).build().unwrap();
    pool.define("slot", UNITS).unwrap();
    let mut model = Model {
        bound,
        units: UNITS,
        next: 0,
        leases: BTreeMap::new(),
        waiters: Vec::new(),
        refused: Vec::new(),
        deadlocks: 0,
        most_passed: 0,
    };
    let mut pending = BTreeMap::<usize, Acquire>::new();
    let mut leases = BTreeMap::<usize, Held>::new();
    let nth = |n: usize, len: usize| (len > 0).then(|| n % len.max(1));
    for op in ops {
        match op {
            Op::Acquire { owner, wish, priority } => {
                let ticket = model.next;
                let mut future = pool.acquire(format!("o{owner}"), request(wish).priority(*priority));
                let expected = model.acquire(*owner, *wish, *priority, true);
                match (poll(&mut future), expected) {
                    (Poll::Ready(Ok(lease)), Some(Ok(true))) => {
                        leases.insert(ticket, Held::Lease { _lease: lease });
                    }
                    (Poll::Pending, Some(Ok(false))) => {
                        pending.insert(ticket, future);
                    }
                    (Poll::Ready(Err(AcquireError::Deadlock { cycle })), Some(Err(()))) => {
                        check_cycle(&pool, &cycle);
                    }
                    (Poll::Ready(Err(AcquireError::TooMany { .. })), None) => {}
                    (got, expected) => panic!("{op:?}: got {got:?}, expected {expected:?}"),
                }
            }
            Op::Try { owner, wish } => {
                let ticket = model.next;
                let expected = model.acquire(*owner, *wish, 0, false);
                match (pool.try_acquire(format!("o{owner}"), request(wish)), expected) {
                    (Ok(lease), Some(Ok(true))) => {
                        leases.insert(ticket, Held::Lease { _lease: lease });
                    }
                    (Err(_), Some(Ok(false)) | None) => {}
                    (got, expected) => panic!("{op:?}: got {got:?}, expected {expected:?}"),
                }
            }
            Op::Claim { owner, wish } => {
                let ticket = model.next;
                let expected = model.acquire(*owner, *wish, 0, false);
                let Ok(prepared) = pool.prepare(request(wish)) else {
                    assert_eq!(expected, None);
                    continue;
                };
                // Leaked, so that its lease may lie among the others.
                let claim = Box::leak(Box::new(prepared.claim(format!("o{owner}"))));
                match (claim.try_acquire(), expected) {
                    (Ok(lease), Some(Ok(true))) => {
                        leases.insert(ticket, Held::Claim { _lease: lease });
                    }
                    (Err(_), Some(Ok(false)) | None) => {}
                    (got, expected) => panic!("{op:?}: got {got:?}, expected {expected:?}"),
                }
            }
            Op::Poll(n) => {
                let Some(n) = nth(*n, pending.len()) else { continue };
                let ticket = *pending.keys().nth(n).unwrap();
                match poll(pending.get_mut(&ticket).unwrap()) {
                    Poll::Pending => assert!(model.waiters.iter().any(|w| w.ticket == ticket)),
                    Poll::Ready(Ok(lease)) => {
                        assert!(model.leases.contains_key(&ticket), "{ticket} was served too early");
                        pending.remove(&ticket);
                        leases.insert(ticket, Held::Lease { _lease: lease });
                    }
                    Poll::Ready(Err(_)) => {
                        assert!(model.refused.contains(&ticket));
                        pending.remove(&ticket);
                    }
                }
            }
            Op::Cancel(n) => {
                let Some(n) = nth(*n, pending.len()) else { continue };
                let ticket = *pending.keys().nth(n).unwrap();
                drop(pending.remove(&ticket));
                model.waiters.retain(|w| w.ticket != ticket);
                model.leases.remove(&ticket);
                model.settle();
            }
            Op::Release(n) => {
                let Some(n) = nth(*n, leases.len()) else { continue };
                let ticket = *leases.keys().nth(n).unwrap();
                drop(leases.remove(&ticket));
                model.leases.remove(&ticket);
                model.settle();
            }
            Op::Resize(units) => {
                pool.resize("slot", *units).unwrap();
                model.units = *units;
                let (hopeless, rest) = model.waiters.drain(..).partition(|w: &Waiter| w.wish.1 > *units);
                model.waiters = rest;
                model.refused.extend(hopeless.iter().map(|w| w.ticket));
                model.settle();
            }
        }
        compare(&pool, &model, op);
    }
    // Nothing stays behind: all can be served to the end.
    leases.clear();
    for (_, future) in pending {
        drop(future);
    }
    let stats = pool.stats();
    assert_eq!((stats.leases, stats.waiting, stats.owners), (0, 0, 0));
    assert!(pool.resource("slot").unwrap().in_use == 0);
}

fn compare(pool: &ResourcePool, model: &Model, op: &Op) {
    let mut held = pool
        .leases()
        .into_iter()
        .map(|lease| {
            let mut items = lease.held.iter().map(|(n, m)| format!("{n}:{m:?}")).collect::<Vec<_>>();
            items.sort();
            (lease.owner.to_string(), items)
        })
        .collect::<Vec<_>>();
    held.sort();
    let mut expected = model
        .leases
        .values()
        .map(|(owner, wish)| {
            let mut items = request(wish).wants().map(|(n, m)| format!("{n}:{m:?}")).collect::<Vec<_>>();
            items.sort();
            (format!("o{owner}"), items)
        })
        .collect::<Vec<_>>();
    expected.sort();
    assert_eq!(held, expected, "after {op:?}: {model:#?}");
    let stats = pool.stats();
    assert_eq!(stats.waiting, model.waiters.len(), "after {op:?}");
    assert_eq!(stats.deadlocks, model.deadlocks, "after {op:?}");
    assert_eq!(stats.most_overtaken, model.most_passed, "after {op:?}");
    assert!(stats.most_overtaken <= model.bound);
}

/// Each owner of a reported cycle really holds what is said, and waits (but for the one that asked).
fn check_cycle(pool: &ResourcePool, cycle: &ropewalk_resources::Cycle) {
    let steps = cycle.steps();
    assert!(!steps.is_empty());
    for (i, step) in steps.iter().enumerate() {
        let holders = pool.resource(&step.holds).unwrap().holders;
        assert!(holders.contains(&step.owner), "{cycle}");
        assert_eq!(step.wants, steps[(i + 1) % steps.len()].holds, "{cycle}");
        if i > 0 {
            let waits = pool.wait_for_graph();
            assert!(
                waits.iter().any(|e| e.waiter == step.owner && e.resource == step.wants),
                "{cycle} {waits:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn does_what_the_model_does(bound in prop_oneof![Just(0), Just(1), Just(3), Just(u32::MAX)], ops in ops()) {
        run(bound, &ops);
    }
}
