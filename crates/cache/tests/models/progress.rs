//! Steps and progress of the budget.

use ropewalk_cache::raw::budget::Budget;
use ropewalk_prove::{
    Explorer, History, Sequential, linearizable, lock_free, operation, sync::Arc, thread, wait_free,
};

fn take_and_release(budget: &Budget, weight: u64) -> bool {
    let took = budget.exchange(0, weight);
    assert!(budget.used() <= budget.capacity(), "never more than there is room for");
    if took {
        budget.release(weight);
    }
    took
}

#[test]
fn budget_exchange_vs_exchange_is_lock_free() {
    lock_free(|| {
        let budget = Arc::new(Budget::new(3));
        let theirs = budget.clone();
        let t = thread::spawn(move || take_and_release(&theirs, 2));
        let mine = take_and_release(&budget, 2);
        assert!(mine | t.join().unwrap(), "the first of the two fits");
        assert_eq!(budget.used(), 0);
    });
}

#[test]
fn budget_exchange_of_three_never_overfills() {
    Explorer::new()
        .lock_free(|| {
            let budget = Arc::new(Budget::new(3));
            let threads: Vec<_> = (1..3)
                .map(|weight| {
                    let budget = budget.clone();
                    thread::spawn(move || budget.exchange(0, weight))
                })
                .collect();
            let mut linked = u64::from(budget.exchange(0, 3)) * 3;
            assert!(budget.used() <= 3);
            for (weight, t) in (1..3).zip(threads) {
                linked += u64::from(t.join().unwrap()) * weight;
            }
            assert_eq!(budget.used(), linked);
        })
        .proved();
}

#[test]
fn budget_release_vs_exchange_is_wait_free() {
    wait_free("release", |n| {
        move || {
            let budget = Arc::new(Budget::new(10));
            budget.exchange(0, 1);
            let theirs = budget.clone();
            let t = thread::spawn(move || (0..n).for_each(|_| assert!(theirs.exchange(0, 1))));
            operation("release", || budget.release(1));
            t.join().unwrap();
        }
    });
}

#[test]
fn budget_used_vs_exchange_is_wait_free() {
    wait_free("used", |n| {
        move || {
            let budget = Arc::new(Budget::new(10));
            let theirs = budget.clone();
            let t = thread::spawn(move || (0..n).for_each(|_| assert!(theirs.exchange(0, 1))));
            operation("used", || assert!(budget.used() <= 4));
            t.join().unwrap();
        }
    });
}

#[test]
fn control_exchange_is_not_wait_free() {
    let grows = Explorer::new()
        .spurious_failures(0)
        .wait_free("exchange", |n| {
            move || {
                let budget = Arc::new(Budget::new(10));
                let theirs = budget.clone();
                let t = thread::spawn(move || (0..n).for_each(|_| assert!(theirs.exchange(0, 1))));
                operation("exchange", || budget.exchange(0, 1));
                t.join().unwrap();
            }
        })
        .unwrap_err();
    assert_eq!(grows.steps, [5, 7, 9, 11], "each retry reads the bound again");
}

#[test]
fn budget_set_capacity_vs_release_is_lock_free() {
    lock_free(|| {
        let budget = Arc::new(Budget::new(4));
        assert!(budget.exchange(0, 4));
        let theirs = budget.clone();
        let t = thread::spawn(move || theirs.release(3));
        budget.set_capacity(1);
        t.join().unwrap();
        assert!(!budget.is_over());
    });
}

#[derive(Clone, Debug)]
enum Op {
    Take(u64),
    Release(u64),
}

#[derive(Clone)]
struct Room(u64);

impl Sequential for Room {
    type Op = Op;
    type Return = bool;
    fn apply(&mut self, op: &Op) -> bool {
        match op {
            Op::Take(weight) => {
                let fits = self.0 >= *weight;
                self.0 -= if fits { *weight } else { 0 };
                fits
            }
            Op::Release(weight) => {
                self.0 += weight;
                true
            }
        }
    }
}

#[test]
fn budget_exchange_vs_release_is_linearizable() {
    linearizable(Room(2), |history: &History<Room>| {
        let budget = Arc::new(Budget::new(2));
        let both = |budget: &Budget, history: &History<Room>, weight| {
            if history.call(Op::Take(weight), || budget.exchange(0, weight)) {
                history.call(Op::Release(weight), || {
                    budget.release(weight);
                    true
                });
            }
        };
        let (theirs, h) = (budget.clone(), history.clone());
        let t = thread::spawn(move || both(&theirs, &h, 2));
        both(&budget, history, 1);
        t.join().unwrap();
    });
}
