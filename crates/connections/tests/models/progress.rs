//! Whom the shelf waits for, alone and beside a line of waiters.

use super::{Numbers, Place, Whence, rest, sorted, stocked, take};
use ropewalk_prove::{
    Explorer, Holders, future::block_on, holding, lock_free, operation, sync::Arc, thread, wait_free,
    waits_only_for,
};
use ropewalk_sync::{Polled, Ticket, WaitQueue};
use std::{future::poll_fn, task::Poll};

fn take_and_put(shelf: &Numbers) {
    if let Some((place, thing)) = take(shelf) {
        shelf.put(place, thing).unwrap();
    }
}

#[test]
fn shelf_take_and_put_vs_take_and_put_is_lock_free() {
    lock_free(|| {
        let (shelf, _places) = stocked(2);
        let theirs = shelf.clone();
        let t = thread::spawn(move || take_and_put(&theirs));
        take_and_put(&shelf);
        t.join().unwrap();
        assert_eq!(sorted(rest(&shelf)), [1, 2]);
    });
}

#[test]
fn shelf_take_of_the_last_vs_take_is_lock_free() {
    lock_free(|| {
        let (shelf, _places) = stocked(1);
        let theirs = shelf.clone();
        let t = thread::spawn(move || take(&theirs).is_some());
        let mine = take(&shelf).is_some();
        assert!(mine ^ t.join().unwrap());
    });
}

#[test]
fn shelf_put_vs_lift_is_lock_free() {
    lock_free(|| {
        let (shelf, mut places) = stocked(1);
        let place = shelf.place(&mut places).unwrap();
        let theirs = shelf.clone();
        let t = thread::spawn(move || theirs.put(place, 2).unwrap());
        let lifted = rest(&shelf);
        t.join().unwrap();
        assert_eq!(sorted(lifted.into_iter().chain(rest(&shelf))), [1, 2]);
    });
}

#[test]
fn shelf_take_anyway_vs_put_anyway_is_lock_free() {
    lock_free(|| {
        let (shelf, mut places) = stocked(1);
        let place = shelf.place(&mut places).unwrap();
        shelf.divert();
        let theirs = shelf.clone();
        let t = thread::spawn(move || theirs.put_anyway(place, 2));
        let mine = shelf.take_anyway().map(|(_, thing)| thing);
        t.join().unwrap();
        assert_eq!(sorted(mine.into_iter().chain(rest(&shelf))), [1, 2]);
    });
}

#[test]
fn shelf_divert_and_admit_vs_take_is_wait_free() {
    wait_free("divert and admit", |n| {
        move || {
            let (shelf, _places) = stocked(4);
            let theirs = shelf.clone();
            let t = thread::spawn(move || (0..n).for_each(|_| drop(take(&theirs))));
            operation("divert and admit", || {
                shelf.divert();
                assert!(shelf.is_diverted() && shelf.len() <= 4);
                shelf.admit();
            });
            t.join().unwrap();
        }
    });
}

#[test]
fn control_shelf_take_is_not_wait_free() {
    let grows = Explorer::new()
        .spurious_failures(0)
        .wait_free("take", |n| {
            move || {
                let (shelf, _places) = stocked(5);
                let theirs = shelf.clone();
                let t = thread::spawn(move || (0..n).for_each(|_| drop(take(&theirs))));
                drop(operation("take", || take(&shelf)));
                t.join().unwrap();
            }
        })
        .unwrap_err();
    assert!(grows.steps.is_sorted_by(|a, b| a < b), "a retry for each that came between: {:?}", grows.steps);
}

#[test]
fn whence_set_vs_get_is_wait_free() {
    wait_free("get", |n| {
        move || {
            let whence = Arc::new(Whence::new());
            let theirs = whence.clone();
            let t = thread::spawn(move || (0..n).for_each(|_| theirs.set(&1)));
            assert!(operation("get", || whence.get()).is_none_or(|&one| one == 1));
            t.join().unwrap();
        }
    });
}

/// A shelf and the line of those who found nothing there, as a pool's lane has them.
struct Lane {
    shelf: Numbers,
    line: WaitQueue<(), (Place, u32)>,
    looks_before_it_diverts: bool,
}

impl Lane {
    fn new(looks_before_it_diverts: bool) -> (Arc<Self>, Place) {
        let (shelf, mut places) = Numbers::new();
        let place = shelf.place(&mut places).unwrap();
        (Arc::new(Self { shelf, line: WaitQueue::new(), looks_before_it_diverts }), place)
    }

    fn get(&self) -> (Place, u32) {
        if let Some(taken) = take(&self.shelf) {
            return taken;
        }
        let mut q = self.line.lock();
        if self.looks_before_it_diverts {
            if let Some(taken) = self.shelf.take_anyway() {
                return taken;
            }
            self.shelf.divert();
        } else {
            self.shelf.divert();
            if let Some(taken) = self.shelf.take_anyway() {
                if q.is_empty() {
                    self.shelf.admit();
                }
                return taken;
            }
        }
        let ticket: Ticket<_, _> = q.join(());
        drop(q);
        block_on(poll_fn(|cx| match self.line.poll(&ticket, cx) {
            Polled::Ready(grant) => Poll::Ready(grant),
            Polled::Pending | Polled::Rejoined => Poll::Pending,
        }))
    }

    fn give(&self, place: Place, thing: u32) {
        let Err(back) = self.shelf.put(place, thing) else { return };
        let mut q = self.line.lock();
        if let Err((place, thing)) = q.grant_front(back) {
            self.shelf.put_anyway(place, thing);
        }
        if q.is_empty() {
            self.shelf.admit();
        }
    }
}

fn hand_over(looks_before_it_diverts: bool) {
    let (lane, place) = Lane::new(looks_before_it_diverts);
    let mine = holding();
    let theirs = lane.clone();
    let t = thread::spawn(move || {
        let (place, thing) = theirs.get();
        let _mine = holding();
        theirs.give(place, thing);
    });
    lane.give(place, 1);
    drop(mine);
    t.join().unwrap();
    assert_eq!((rest(&lane.shelf), lane.shelf.is_diverted()), (vec![1], false));
}

#[test]
fn shelf_put_vs_join_waits_only_for_the_holder() {
    waits_only_for(Holders::OWNERS_AND_LATCHES, || hand_over(false));
}

#[test]
fn control_a_look_before_the_divert_strands_a_waiter() {
    let refuted = Explorer::new().waits_only_for(Holders::OWNERS_AND_LATCHES, || hand_over(true)).refuted();
    assert!(refuted.summary().contains("park"), "{refuted}");
}
