//! Models of the cores in `raw/`, and of the whole pool that stands on them.
#![cfg(ropewalk_loom)]

use ropewalk_prove::{Cancel, Witness, cancel_everywhere, future::block_on, model, sync::Arc, thread};
use ropewalk_resources::{
    Claim, Mode, Request, ResourcePool,
    raw::{
        set::{Asker, Given, Record, Set},
        word::{View, Word},
    },
};
use std::{
    sync::Arc as StdArc,
    task::{Context, Waker},
    time::Duration,
};

/// A word that is open to takers.
fn open() -> StdArc<Word> {
    let word = StdArc::new(Word::new());
    word.admit(word.view());
    word
}

fn counted(units: u64) -> StdArc<Word> {
    let word = StdArc::new(Word::new());
    word.admit(word.view().with_free(units));
    word
}

fn is_free(view: View) -> bool {
    (view.holder(), view.readers()) == (None, 0)
}

fn set(words: &[&StdArc<Word>], mode: Mode, holder: u32) -> (Set, StdArc<Record>) {
    let record = StdArc::new(Record::new(StdArc::new(Asker::default())));
    let words = words.iter().map(|word| (StdArc::clone(word), mode));
    (Set::new(words, record.clone(), holder), record)
}

#[test]
fn word_take_vs_take() {
    model(|| {
        let word = open();
        let theirs = word.clone();
        let t = thread::spawn(move || theirs.take(Mode::Exclusive, 1));
        let mine = word.take(Mode::Exclusive, 2);
        let other = t.join().unwrap();
        assert!(mine ^ other);
        assert_eq!(word.view().holder(), Some(if mine { 2 } else { 1 }));
        assert!(!word.looks_free(Mode::Exclusive) && !word.looks_free(Mode::Shared));
    });
}

#[test]
fn word_take_sees_what_the_giver_did() {
    for mode in [Mode::Exclusive, Mode::Units(1)] {
        model(move || {
            let word = if mode == Mode::Exclusive { open() } else { counted(1) };
            let (theirs, note) = (word.clone(), Arc::new(Witness::new()));
            let their_note = note.clone();
            let turn = move |word: &Word, note: &Witness, holder| {
                if word.take(mode, holder) {
                    note.write();
                    assert!(word.give(mode, holder), "nobody diverts");
                }
            };
            let t = thread::spawn(move || turn(&theirs, &their_note, 1));
            turn(&word, &note, 2);
            t.join().unwrap();
            assert!(word.looks_free(mode));
        });
    }
}

#[test]
fn word_take_shared_vs_take_exclusive() {
    model(|| {
        let (word, note) = (open(), Arc::new(Witness::new()));
        let (theirs, their_note) = (word.clone(), note.clone());
        let t = thread::spawn(move || {
            if theirs.take(Mode::Shared, 1) {
                their_note.read();
                assert!(theirs.give(Mode::Shared, 1));
            }
        });
        if word.take(Mode::Exclusive, 2) {
            note.write();
            assert!(word.give(Mode::Exclusive, 2));
        }
        t.join().unwrap();
        assert!(is_free(word.view()));
    });
}

#[test]
fn word_take_shared_vs_take_shared() {
    model(|| {
        let word = open();
        let theirs = word.clone();
        let t = thread::spawn(move || theirs.take(Mode::Shared, 1));
        assert!(word.take(Mode::Shared, 2));
        assert!(t.join().unwrap());
        assert_eq!(word.view().readers(), 2);
    });
}

#[test]
fn word_take_units_vs_take_units() {
    model(|| {
        let word = counted(3);
        let theirs = word.clone();
        let t = thread::spawn(move || theirs.take(Mode::Units(2), 1));
        let mine = word.take(Mode::Units(2), 2);
        assert!(mine ^ t.join().unwrap());
        assert_eq!(word.view().free(), 1);
    });
}

#[test]
fn word_give_vs_divert() {
    for mode in [Mode::Exclusive, Mode::Shared, Mode::Units(1)] {
        model(move || {
            let word = if let Mode::Units(units) = mode { counted(units) } else { open() };
            assert!(word.take(mode, 1));
            let (theirs, note) = (word.clone(), Arc::new(Witness::new()));
            note.write();
            let their_note = note.clone();
            let t = thread::spawn(move || {
                // Whoever has the latch sees it given back, or the giver is sent to it.
                let view = theirs.divert();
                let back = if matches!(mode, Mode::Units(_)) { view.free() == 1 } else { is_free(view) };
                if back {
                    their_note.write();
                }
                back
            });
            note.write();
            let given = word.give(mode, 1);
            assert_eq!(given, t.join().unwrap());
            if !given {
                word.keep(word.view().without(mode));
            }
            assert!(!word.take(mode, 1), "it is diverted");
        });
    }
}

#[test]
fn word_take_vs_divert_and_admit() {
    for mode in [Mode::Exclusive, Mode::Shared] {
        model(move || {
            let (word, note) = (open(), Arc::new(Witness::new()));
            let (theirs, their_note) = (word.clone(), note.clone());
            let t = thread::spawn(move || {
                let view = theirs.divert();
                let free = is_free(view);
                if free {
                    their_note.write();
                }
                theirs.admit(view);
            });
            if word.take(mode, 1) {
                note.read();
            }
            t.join().unwrap();
        });
    }
}

#[test]
fn word_take_vs_give_divert_and_admit() {
    // What a giver did is seen through the latch's owner, who had diverted in between.
    model(|| {
        let (word, note) = (open(), Arc::new(Witness::new()));
        assert!(word.take(Mode::Exclusive, 1));
        let (second, third) = (word.clone(), word.clone());
        let their_note = note.clone();
        let t = thread::spawn(move || {
            let view = second.divert();
            second.admit(view);
        });
        let u = thread::spawn(move || {
            if third.take(Mode::Exclusive, 2) {
                their_note.write();
            }
        });
        note.write();
        let _ = word.give(Mode::Exclusive, 1);
        t.join().unwrap();
        u.join().unwrap();
    });
}

#[test]
fn set_take_vs_take() {
    model(|| {
        let (a, b, note) = (open(), open(), Arc::new(Witness::new()));
        let (mut mine, _) = set(&[&a, &b], Mode::Exclusive, 1);
        let (mut theirs, _) = set(&[&a, &b], Mode::Exclusive, 2);
        let turn = |set: &mut Set, note: &Witness| {
            let mut late = Vec::new();
            if set.take(&mut late) {
                note.write();
                assert_eq!(set.give(&mut late), Given::Back);
            }
            assert!(late.is_empty(), "nobody diverts");
        };
        let their_note = note.clone();
        let t = thread::spawn(move || turn(&mut theirs, &their_note));
        turn(&mut mine, &note);
        t.join().unwrap();
        assert!(mine.looks_free() && is_free(a.view()) && is_free(b.view()));
    });
}

#[test]
fn set_take_vs_divert() {
    model(|| {
        let (a, b) = (open(), open());
        let (mut mine, record) = set(&[&a, &b], Mode::Exclusive, 1);
        let theirs = b.clone();
        let t = thread::spawn(move || theirs.divert().holder());
        let mut late = Vec::new();
        let taken = mine.take(&mut late);
        assert_eq!((taken, record.taken()), (t.join().unwrap().is_some(), u64::from(taken)));
        assert!(late.is_empty(), "the first is given back by itself");
        if taken {
            assert_eq!((mine.give(&mut late), late), (Given::Late, vec![1]), "the diverted one is left");
        }
        assert!(is_free(a.view()));
    });
}

#[test]
fn record_void_vs_give() {
    model(|| {
        let a = open();
        let (mut mine, record) = set(&[&a], Mode::Shared, 1);
        let mut late = Vec::new();
        assert!(mine.take(&mut late) && record.is_held());
        let t = thread::spawn(move || record.void().then_some(record));
        let given = mine.give(&mut late);
        // One of them gives it back.
        match t.join().unwrap() {
            None => assert_eq!((given, a.view().readers()), (Given::Back, 0)),
            Some(record) => {
                assert_eq!((given, a.view().readers()), (Given::Void, 1));
                record.reset();
                assert!(!record.is_held());
            }
        }
    });
}

fn pool(overtaking: u32) -> ResourcePool {
    ResourcePool::builder().overtaking(overtaking).regrant_after(Duration::MAX).build().unwrap()
}

fn all(names: &[&'static str]) -> Request {
    names.iter().fold(Request::new(), |request, &name| request.exclusive(name))
}

fn claim(pool: &ResourcePool, owner: &'static str, request: &Request) -> Claim {
    pool.prepare(request).unwrap().claim(owner)
}

/// Nobody holds and nobody waits.
fn is_idle(pool: &ResourcePool) -> bool {
    let stats = pool.stats();
    (stats.leases, stats.waiting) == (0, 0)
}

fn turn(claim: &mut Claim, note: &Witness) {
    let lease = block_on(claim.acquire()).unwrap();
    note.write();
    drop(lease);
}

#[test]
fn claim_acquire_vs_acquire() {
    model(|| {
        let (pool, note) = (pool(1), Arc::new(Witness::new()));
        let mut mine = claim(&pool, "me", &all(&["a", "b"]));
        let mut theirs = claim(&pool, "other", &all(&["b", "c"]));
        let their_note = note.clone();
        let t = thread::spawn(move || {
            turn(&mut theirs, &their_note);
            theirs
        });
        turn(&mut mine, &note);
        let theirs = t.join().unwrap();
        assert!(is_idle(&pool));
        drop((mine, theirs));
    });
}

#[test]
fn claim_acquire_vs_acquire_by_name() {
    model(|| {
        let (pool, note) = (pool(1), Arc::new(Witness::new()));
        let mut mine = claim(&pool, "me", &all(&["a", "b"]));
        let (other, their_note) = (pool.clone(), note.clone());
        let t = thread::spawn(move || {
            let lease = block_on(other.acquire("other", all(&["a"]))).unwrap();
            their_note.write();
            drop(lease);
        });
        turn(&mut mine, &note);
        t.join().unwrap();
        // Nobody is left before it: the next turn is the claim's own.
        turn(&mut mine, &note);
        assert!(is_idle(&pool));
        drop(mine);
    });
}

#[test]
fn claim_shared_vs_exclusive() {
    model(|| {
        let (pool, note) = (pool(1), Arc::new(Witness::new()));
        let mut mine = claim(&pool, "me", &Request::new().shared("a"));
        let mut theirs = claim(&pool, "other", &all(&["a"]));
        let their_note = note.clone();
        let t = thread::spawn(move || {
            turn(&mut theirs, &their_note);
            theirs
        });
        let lease = block_on(mine.acquire()).unwrap();
        note.read();
        drop(lease);
        let theirs = t.join().unwrap();
        assert!(is_idle(&pool));
        drop((mine, theirs));
    });
}

#[test]
fn claim_units_vs_resize() {
    model(|| {
        let pool = pool(1);
        pool.define("slot", 2).unwrap();
        let mut mine = claim(&pool, "me", &Request::new().units("slot", 2));
        let other = pool.clone();
        let t = thread::spawn(move || other.resize("slot", 1).unwrap());
        let taken = block_on(mine.acquire()).is_ok_and(|lease| {
            assert!(lease.is_valid());
            true
        });
        t.join().unwrap();
        let slot = pool.resource("slot").unwrap();
        assert_eq!((slot.in_use, slot.debt, slot.capacity), (0, 0, Some(1)), "taken before: {taken}");
        assert!(block_on(mine.acquire()).is_err(), "there are not so many any more");
        let mut one = claim(&pool, "me", &Request::new().units("slot", 1));
        assert!(block_on(one.acquire()).is_ok());
        drop((mine, one));
    });
}

#[test]
fn claim_release_vs_reclaim() {
    for request in [all(&["a", "b"]), Request::new().shared("a").exclusive("b")] {
        model(move || {
            let pool = pool(1);
            let mut mine = claim(&pool, "me", &request);
            let lease = block_on(mine.acquire()).unwrap();
            let other = pool.clone();
            let t = thread::spawn(move || {
                let reclaimed = other.reclaim("me");
                // What was taken away is free for others, and their numbers are higher.
                let lease = other.try_acquire("other", all(&["a", "b"])).ok();
                (reclaimed, lease.map(|lease| lease.fencing()))
            });
            let number = lease.fencing();
            drop(lease);
            let (reclaimed, theirs) = t.join().unwrap();
            assert!(reclaimed == 0 || theirs.is_some());
            assert!(theirs.is_none_or(|theirs| theirs > number), "{theirs:?} {number:?}");
            assert!(is_idle(&pool) && pool.stats().reclaimed == reclaimed as u64);
            // It is whole again.
            assert!(block_on(mine.acquire()).unwrap().is_valid());
            drop(mine);
        });
    }
}

#[test]
fn claim_acquire_vs_close() {
    model(|| {
        let pool = pool(1);
        let mut mine = claim(&pool, "me", &all(&["a"]));
        let other = pool.clone();
        let t = thread::spawn(move || other.close());
        drop(block_on(mine.acquire()));
        t.join().unwrap();
        assert!(block_on(mine.acquire()).is_err() && is_idle(&pool));
        drop(mine);
    });
}

#[test]
fn claim_leases_vs_acquire() {
    model(|| {
        let pool = pool(1);
        let request = Request::new().exclusive("a").shared("b");
        let mut mine = claim(&pool, "me", &request);
        let other = pool.clone();
        let t = thread::spawn(move || other.leases());
        let lease = block_on(mine.acquire()).unwrap();
        assert_eq!(pool.leases().len(), 1, "it is seen from here on");
        drop(lease);
        let seen = t.join().unwrap();
        assert!(seen.iter().all(|lease| lease.held.len() == 2), "all or nothing");
        drop(mine);
    });
}

/// A large set against a stream of small ones: `turns` of them, by whatever way.
fn stream(overtaking: u32, yields: bool, turns: usize) {
    let pool = pool(overtaking);
    let mut small = claim(&pool, "small", &all(&["a"]));
    let mut large = claim(&pool, "large", &all(&["a", "b"]));
    let held = pool.try_acquire("holder", all(&["b"])).unwrap();
    let t = thread::spawn(move || {
        let lease = if yields { block_on(large.acquire_yielding()) } else { block_on(large.acquire()) };
        drop(lease.unwrap());
        large
    });
    for _ in 0..turns {
        drop(small.try_acquire());
    }
    drop(held);
    for _ in 0..turns {
        drop(small.try_acquire());
    }
    let large = t.join().unwrap();
    let stats = pool.stats();
    assert!(stats.most_overtaken <= overtaking, "overtaken {} times", stats.most_overtaken);
    assert_eq!(stats.nested_overtakes, 0);
    assert!(is_idle(&pool));
    drop((small, large));
}

#[test]
fn claim_acquire_vs_stream_is_overtaken_so_often_and_no_more() {
    model(|| stream(1, false, 2));
    model(|| stream(0, false, 1));
}

#[test]
fn claim_acquire_yielding_vs_stream_is_overtaken_so_often_and_no_more() {
    model(|| stream(1, true, 2));
}

#[test]
fn acquire_cancelled_vs_claim_release() {
    cancel_everywhere(|cancel: &Cancel| {
        let pool = pool(0);
        let mut mine = claim(&pool, "me", &all(&["a", "b"]));
        let lease = block_on(mine.acquire()).unwrap();
        let other = pool.clone();
        let waits = cancel.clone();
        let t = thread::spawn(move || drop(waits.run(other.acquire("other", all(&["a"])))));
        drop(lease);
        t.join().unwrap();
        assert!(is_idle(&pool));
        // Nothing is withheld: the words are open again.
        assert!(mine.try_acquire().is_ok());
        drop(mine);
    });
}

#[test]
fn acquire_cancelled_vs_one_behind_it() {
    cancel_everywhere(|cancel: &Cancel| {
        let pool = pool(0);
        let held = pool.try_acquire("holder", all(&["a"])).unwrap();
        let other = pool.clone();
        let mut behind = claim(&pool, "behind", &all(&["b"]));
        let waits = cancel.clone();
        let t = thread::spawn(move || {
            // It stands before whoever wants b, until it goes.
            drop(waits.run(other.acquire("other", all(&["a", "b"]))));
        });
        let u = thread::spawn(move || {
            drop(block_on(behind.acquire()).unwrap());
            behind
        });
        drop(held);
        t.join().unwrap();
        let behind = u.join().unwrap();
        assert!(is_idle(&pool));
        drop(behind);
    });
}

#[test]
fn nested_claims_vs_each_other() {
    model(|| {
        let pool = pool(1);
        let mut first = claim(&pool, "me", &all(&["a"]));
        let mut other_first = claim(&pool, "other", &all(&["b"]));
        let theirs = pool.clone();
        let nested = |pool: &ResourcePool, outer: &mut Claim, owner: &'static str, wants: &'static str| {
            let outer = block_on(outer.acquire()).unwrap();
            let inner = block_on(pool.acquire(owner, all(&[wants])));
            let refused = inner.is_err();
            drop((inner, outer));
            refused
        };
        let t = thread::spawn(move || {
            let refused = nested(&theirs, &mut other_first, "other", "a");
            (refused, other_first)
        });
        let mine = nested(&pool, &mut first, "me", "b");
        let (theirs, other_first) = t.join().unwrap();
        assert!(!(mine && theirs), "one of them can finish");
        assert!(is_idle(&pool) && pool.deadlocks() == u64::from(mine || theirs));
        drop((first, other_first));
    });
}

#[test]
fn nested_shared_claims_vs_each_other() {
    // Readers have no names in the words: who holds is seen before anybody waits.
    model(|| {
        let pool = pool(1);
        let mut first = claim(&pool, "me", &Request::new().shared("a"));
        let mut other_first = claim(&pool, "other", &Request::new().shared("b"));
        let theirs = pool.clone();
        let t = thread::spawn(move || {
            let outer = block_on(other_first.acquire()).unwrap();
            let inner = block_on(theirs.acquire("other", all(&["a"])));
            let refused = inner.is_err();
            drop((inner, outer));
            (refused, other_first)
        });
        let outer = block_on(first.acquire()).unwrap();
        let inner = block_on(pool.acquire("me", all(&["b"])));
        let mine = inner.is_err();
        drop((inner, outer));
        let (theirs, other_first) = t.join().unwrap();
        assert!(!(mine && theirs) && is_idle(&pool));
        drop((first, other_first));
    });
}

#[test]
fn yielding_barrier_is_handed_its_lease() {
    model(|| {
        let pool = pool(0);
        let mut large = claim(&pool, "large", &all(&["a"]));
        let held = pool.try_acquire("holder", all(&["a"])).unwrap();
        let mut waiting = Box::pin(large.acquire_yielding());
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let other = pool.clone();
        let t = thread::spawn(move || drop(held));
        let before = other.try_acquire("other", all(&["a"])).is_ok();
        t.join().unwrap();
        assert!(!before, "nobody comes before it");
        assert_eq!(other.stats().leases, 1, "it is handed over");
        drop(block_on(waiting).unwrap());
        drop(large);
    });
}

#[path = "models/progress.rs"]
mod progress;
