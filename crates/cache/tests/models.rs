//! Loom models of the core in `raw/`.
#![cfg(ropewalk_loom)]

use ropewalk_cache::raw::budget::Budget;
use ropewalk_prove::{Latch, model, sync::Arc, thread};

#[test]
fn budget_exchange_vs_exchange() {
    model(|| {
        let budget = Arc::new(Budget::new(3));
        let b = budget.clone();
        let t = thread::spawn(move || {
            let took = b.exchange(0, 2);
            assert!(b.used() <= 3);
            took
        });
        let took = budget.exchange(0, 2);
        assert!(budget.used() <= 3);
        let other = t.join().unwrap();
        assert!(took ^ other, "one fits, two do not, and the second is refused only because of the first");
        assert_eq!(budget.used(), 2);
    });
}

#[test]
fn budget_exchange_for_more_vs_exchange() {
    model(|| {
        let budget = Arc::new(Budget::new(3));
        assert!(budget.exchange(0, 1));
        let b = budget.clone();
        let t = thread::spawn(move || b.exchange(0, 1));
        // A heavier value in the place of one of weight 1.
        let grown = budget.exchange(1, 3);
        let other = t.join().unwrap();
        assert!(grown ^ other);
        assert_eq!(budget.used(), if grown { 3 } else { 2 });
    });
}

#[test]
fn budget_exchange_vs_release() {
    model(|| {
        let budget = Arc::new(Budget::new(2));
        assert!(budget.exchange(0, 2));
        let b = budget.clone();
        let t = thread::spawn(move || {
            let took = b.exchange(0, 1);
            assert!(b.used() <= 2);
            took
        });
        budget.release(2);
        let took = t.join().unwrap();
        assert_eq!(budget.used(), u64::from(took));
        assert!(took || budget.exchange(0, 1), "what was given back can be taken");
    });
}

#[test]
fn budget_exchange_vs_set_capacity() {
    model(|| {
        let shard = Arc::new((Latch::new(()), Budget::new(2)));
        let s = shard.clone();
        let t = thread::spawn(move || {
            let latch = s.0.lock();
            s.1.exchange(0, 2);
            drop(latch);
        });
        shard.1.set_capacity(1);
        drop(shard.0.lock());
        // From here on: either the taker was before, and is seen, or it sees the new bound.
        let over = shard.1.is_over();
        t.join().unwrap();
        assert_eq!(over, shard.1.is_over(), "nobody takes beyond the new bound any more");
    });
}

#[path = "models/progress.rs"]
mod progress;

#[path = "models/reads.rs"]
mod reads;
#[path = "models/table.rs"]
mod table;
