//! Whom claims and those who stand in line wait for.

use super::{all, claim, is_idle, open, pool, set};
use ropewalk_prove::{
    Explorer, Holders, future::block_on, holding, lock_free, operation, thread, wait_free, waits_only_for,
};
use ropewalk_resources::{
    Claim, Mode, Request,
    raw::set::{Asker, Record, Set},
};
use std::sync::Arc;

fn take_and_give(set: &mut Set) {
    let mut late = Vec::new();
    if set.take(&mut late) {
        set.give(&mut late);
    }
    assert!(late.is_empty());
}

#[test]
fn set_take_and_give_vs_take_and_give_is_lock_free() {
    for mode in [Mode::Exclusive, Mode::Shared] {
        lock_free(move || {
            let (a, b, c) = (open(), open(), open());
            let (mut mine, _) = set(&[&a, &b], mode, 1);
            let (mut theirs, _) = set(&[&b, &c], mode, 2);
            let t = thread::spawn(move || take_and_give(&mut theirs));
            take_and_give(&mut mine);
            t.join().unwrap();
            assert!(mine.looks_free());
        });
    }
}

#[test]
fn set_take_and_give_vs_divert_is_lock_free() {
    lock_free(|| {
        let (a, b) = (open(), open());
        let (mut mine, record) = set(&[&a, &b], Mode::Shared, 1);
        let t = thread::spawn(move || {
            let view = a.divert();
            a.keep(view);
            assert!(!record.void() || !record.is_held());
            assert!(record.taken() <= 1);
            record.reset();
        });
        let mut late = Vec::new();
        if mine.take(&mut late) {
            mine.give(&mut late);
        }
        t.join().unwrap();
    });
}

#[test]
fn asker_divert_vs_take_is_lock_free() {
    lock_free(|| {
        let a = open();
        let asker = Arc::new(Asker::default());
        let mut mine = Set::new([(a, Mode::Exclusive)], Arc::new(Record::new(asker.clone())), 1);
        let t = thread::spawn(move || asker.divert(true));
        take_and_give(&mut mine);
        t.join().unwrap();
        assert!(!mine.take(&mut Vec::new()), "its user goes to the latch");
    });
}

#[test]
fn word_divert_and_admit_vs_take_is_wait_free() {
    wait_free("divert and admit", |n| {
        move || {
            let word = open();
            let theirs = word.clone();
            let t = thread::spawn(move || (0..n).filter(|_| theirs.take(Mode::Shared, 1)).count());
            operation("divert and admit", || {
                let view = word.divert();
                word.keep(view);
                word.admit(word.view());
                word.looks_free(Mode::Shared)
            });
            t.join().unwrap();
        }
    });
}

#[test]
fn word_take_vs_take_shared_is_wait_free_for_the_exclusive() {
    wait_free("take", |n| {
        move || {
            let word = open();
            let theirs = word.clone();
            let t = thread::spawn(move || (0..n).filter(|_| theirs.take(Mode::Shared, 1)).count());
            if operation("take", || word.take(Mode::Exclusive, 2)) {
                operation("take", || assert!(word.give(Mode::Exclusive, 2)));
            }
            t.join().unwrap();
        }
    });
}

fn hold(claim: &mut Claim) {
    let lease = block_on(claim.acquire()).unwrap();
    drop(lease);
}

#[test]
fn claim_shared_vs_shared_is_lock_free() {
    lock_free(|| {
        let pool = pool(1);
        pool.define("slot", 2).unwrap();
        let request = Request::new().shared("a").units("slot", 1);
        let mut mine = claim(&pool, "me", &request.clone().exclusive("b"));
        let mut theirs = claim(&pool, "other", &request.exclusive("c"));
        let t = thread::spawn(move || {
            hold(&mut theirs);
            theirs
        });
        hold(&mut mine);
        drop((t.join().unwrap(), mine));
    });
}

#[test]
fn claim_acquire_vs_release_waits_only_for_the_holder() {
    for yields in [false, true] {
        waits_only_for(Holders::OWNERS_AND_LATCHES, move || {
            let pool = pool(1);
            let mut mine = claim(&pool, "me", &all(&["a", "b"]));
            let mut theirs = claim(&pool, "other", &all(&["b", "c"]));
            let held = holding();
            let lease = block_on(mine.acquire()).unwrap();
            let t = thread::spawn(move || {
                let lease =
                    if yields { block_on(theirs.acquire_yielding()) } else { block_on(theirs.acquire()) };
                let held = holding();
                drop(lease.unwrap());
                drop(held);
                theirs
            });
            drop(lease);
            drop(held);
            let theirs = t.join().unwrap();
            assert!(is_idle(&pool));
            drop((mine, theirs));
        });
    }
}

#[test]
fn claim_cancel_vs_release_waits_only_for_latches() {
    waits_only_for(Holders::OWNERS_AND_LATCHES, || {
        let pool = pool(0);
        let mut mine = claim(&pool, "me", &all(&["a"]));
        let held = holding();
        let lease = block_on(mine.acquire()).unwrap();
        let other = pool.clone();
        let t = thread::spawn(move || {
            drop(ropewalk_prove::future::poll_at_most(1, other.acquire("other", all(&["a", "b"]))));
        });
        drop(lease);
        drop(held);
        t.join().unwrap();
        assert!(is_idle(&pool));
        drop(mine);
    });
}

#[test]
fn control_acquire_waits_for_the_holder() {
    let refuted = Explorer::new()
        .waits_only_for(Holders::LATCHES, || {
            let pool = pool(1);
            let mut mine = claim(&pool, "me", &all(&["a"]));
            let lease = block_on(mine.acquire()).unwrap();
            let other = pool.clone();
            let t = thread::spawn(move || drop(block_on(other.acquire("other", all(&["a"]))).unwrap()));
            drop(lease);
            t.join().unwrap();
            drop(mine);
        })
        .refuted();
    assert!(refuted.summary().contains("park"), "{refuted}");
}

#[test]
fn control_claims_that_exclude_each_other_go_to_the_latch() {
    Explorer::new()
        .lock_free(|| {
            let pool = pool(1);
            let mut mine = claim(&pool, "me", &all(&["a"]));
            let mut theirs = claim(&pool, "other", &all(&["a"]));
            let t = thread::spawn(move || {
                hold(&mut theirs);
                theirs
            });
            hold(&mut mine);
            drop((t.join().unwrap(), mine));
        })
        .refuted();
}
