//! Whom the permits and the queue wait for, and how many steps they take.

use super::{acquire, poll_place};
use ropewalk_prove::{
    Explorer, History, Holders, Latch, Sequential, future::block_on, holding, linearizable, lock_free, model,
    operation, sync::Arc, thread, wait_free, waits_only_for,
};
use ropewalk_sync::{
    Polled, oneshot,
    raw::{
        permits::Permits,
        queue::{Cancelled, WaitQueue},
    },
};
use std::{
    future::poll_fn,
    task::{Context, Waker},
};

fn try_take_and_give(permits: &Permits, n: usize) {
    if permits.try_take(n).is_ok() {
        permits.give(n);
    }
}

#[test]
fn permits_try_take_vs_give_is_lock_free() {
    lock_free(|| {
        let permits = Arc::new(Permits::new(1));
        let theirs = permits.clone();
        let t = thread::spawn(move || try_take_and_give(&theirs, 1));
        try_take_and_give(&permits, 1);
        t.join().unwrap();
        assert_eq!(permits.available(), 1);
    });
}

#[test]
fn permits_try_take_of_two_vs_try_take_of_one_is_lock_free() {
    lock_free(|| {
        let permits = Arc::new(Permits::new(2));
        let theirs = permits.clone();
        let t = thread::spawn(move || try_take_and_give(&theirs, 2));
        try_take_and_give(&permits, 1);
        t.join().unwrap();
        assert_eq!(permits.available(), 2);
    });
}

#[test]
fn permits_give_vs_try_take_is_wait_free() {
    wait_free("give", |n| {
        move || {
            let permits = Arc::new(Permits::new(1));
            permits.try_take(1).unwrap();
            let theirs = permits.clone();
            let t = thread::spawn(move || {
                for _ in 0..n {
                    let _ = theirs.try_take(1);
                }
            });
            operation("give", || permits.give(1));
            t.join().unwrap();
        }
    });
}

#[test]
fn control_try_take_is_not_wait_free() {
    let grows = Explorer::new()
        .spurious_failures(0)
        .wait_free("try_take", |n| {
            move || {
                let permits = Arc::new(Permits::new(n + 1));
                let theirs = permits.clone();
                let t = thread::spawn(move || (0..n).for_each(|_| theirs.try_take(1).unwrap()));
                operation("try_take", || permits.try_take(1)).unwrap();
                t.join().unwrap();
            }
        })
        .unwrap_err();
    assert_eq!(grows.steps, [3, 4, 5, 6], "a retry for each that came between");
}

#[test]
fn permits_acquire_vs_give_waits_only_for_the_holder() {
    waits_only_for(Holders::OWNERS_AND_LATCHES, || {
        let permits = Arc::new(Permits::new(1));
        permits.try_take(1).unwrap();
        let mine = holding();
        let theirs = permits.clone();
        let t = thread::spawn(move || {
            assert!(acquire(&theirs, 1));
            let _mine = holding();
            theirs.give(1);
        });
        permits.give(1);
        drop(mine);
        t.join().unwrap();
        assert_eq!((permits.available(), permits.waiting()), (1, 0));
    });
}

#[test]
fn control_acquire_waits_beyond_latches() {
    let refuted = Explorer::new()
        .waits_only_for(Holders::LATCHES, || {
            let permits = Arc::new(Permits::new(0));
            let theirs = permits.clone();
            let t = thread::spawn(move || theirs.give(1));
            assert!(acquire(&permits, 1));
            t.join().unwrap();
        })
        .refuted();
    assert!(refuted.summary().contains("park"), "{refuted}");
}

#[test]
fn permits_cancel_vs_join_waits_only_for_latches() {
    waits_only_for(Holders::LATCHES, || {
        let permits = Arc::new(Permits::new(0));
        let first = permits.take_or_join(1).unwrap().expect("nothing is free");
        let theirs = permits.clone();
        let t = thread::spawn(move || {
            let place = theirs.take_or_join(1).unwrap().expect("nothing is free");
            theirs.cancel(place, 1);
        });
        permits.cancel(first, 1);
        t.join().unwrap();
        assert_eq!((permits.available(), permits.waiting()), (0, 0));
    });
}

#[test]
fn permits_close_vs_give_waits_only_for_latches() {
    waits_only_for(Holders::LATCHES, || {
        let permits = Arc::new(Permits::new(0));
        let place = permits.take_or_join(1).unwrap().expect("nothing is free");
        let theirs = permits.clone();
        let t = thread::spawn(move || theirs.give(1));
        permits.close();
        t.join().unwrap();
        let granted = match permits.poll(&place, &Context::from_waker(Waker::noop())) {
            Polled::Ready(grant) => grant.is_ok(),
            other => panic!("closed or served, it is told: {other:?}"),
        };
        assert_eq!(permits.available(), usize::from(!granted), "the permit went to the waiter or stayed");
    });
}

#[test]
fn permits_forgive_vs_give() {
    model(|| {
        let permits = Arc::new(Permits::new(0));
        permits.owe(1);
        let theirs = permits.clone();
        let t = thread::spawn(move || theirs.give(1));
        let not_owed = permits.forgive(1);
        t.join().unwrap();
        // Either the debt was forgiven and the permit is free, or it had swallowed the permit.
        assert_eq!((permits.available(), permits.debt()), (1 - not_owed, 0));
    });
}

#[test]
fn permits_owe_vs_acquire() {
    model(|| {
        let permits = Arc::new(Permits::new(1));
        let theirs = permits.clone();
        let t = thread::spawn(move || {
            let took = theirs.try_take(1).is_ok();
            if took {
                theirs.give(1);
            }
            took
        });
        permits.owe(1);
        t.join().unwrap();
        assert_eq!(
            (permits.available(), permits.debt()),
            (0, 0),
            "the debt is paid first or by what comes back"
        );
    });
}

#[test]
fn permits_revoke_vs_cancel() {
    model(|| {
        let permits = Arc::new(Permits::new(0));
        let first = permits.take_or_join(1).unwrap().expect("nothing is free");
        permits.give(1);
        permits.revoke_stale();
        let theirs = permits.clone();
        let t = thread::spawn(move || theirs.revoke_stale());
        permits.cancel(first, 1);
        t.join().unwrap();
        assert_eq!((permits.available(), permits.waiting()), (1, 0), "taken back or handed back, once");
    });
}

#[test]
fn permits_revoke_vs_give_serves_the_next() {
    model(|| {
        let permits = Arc::new(Permits::new(0));
        let first = permits.take_or_join(1).unwrap().expect("nothing is free");
        let second = permits.take_or_join(1).unwrap().expect("nothing is free");
        permits.give(1);
        permits.revoke_stale();
        let theirs = permits.clone();
        let t = thread::spawn(move || theirs.give(1));
        permits.revoke_stale();
        t.join().unwrap();
        // The second has one of the two permits; the first finds the other when it returns.
        assert!(block_on(poll_fn(|cx| poll_place(&permits, &second, cx))));
        assert!(block_on(poll_fn(|cx| poll_place(&permits, &first, cx))));
        assert_eq!(permits.available(), 0);
    });
}

#[test]
fn permits_of_three_acquire_vs_acquire_vs_give() {
    Explorer::new()
        .safe(|| {
            let permits = Arc::new(Permits::new(0));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let permits = permits.clone();
                    thread::spawn(move || {
                        assert!(acquire(&permits, 1));
                        permits.give(1);
                    })
                })
                .collect();
            permits.give(1);
            threads.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!((permits.available(), permits.waiting()), (1, 0));
        })
        .proved();
}

#[derive(Clone, Debug)]
enum Op {
    TryTake,
    Give,
}

#[derive(Clone)]
struct Count(usize);

impl Sequential for Count {
    type Op = Op;
    type Return = bool;
    fn apply(&mut self, op: &Op) -> bool {
        match op {
            Op::TryTake => {
                let free = self.0 > 0;
                self.0 -= usize::from(free);
                free
            }
            Op::Give => {
                self.0 += 1;
                true
            }
        }
    }
}

#[test]
fn permits_try_take_vs_give_is_linearizable() {
    linearizable(Count(1), |history: &History<Count>| {
        let permits = Arc::new(Permits::new(1));
        let both = |permits: &Permits, history: &History<Count>| {
            if history.call(Op::TryTake, || permits.try_take(1).is_ok()) {
                history.call(Op::Give, || {
                    permits.give(1);
                    true
                });
            }
        };
        let (theirs, h) = (permits.clone(), history.clone());
        let t = thread::spawn(move || both(&theirs, &h));
        both(&permits, history);
        t.join().unwrap();
    });
}

#[test]
fn queue_join_vs_grant_all() {
    model(|| {
        let queue = Arc::new(WaitQueue::<u8, u32>::new());
        let first = queue.lock().join(1);
        let theirs = queue.clone();
        let t = thread::spawn(move || theirs.lock().grant_all(|| 7));
        let second = queue.lock().join(2);
        let granted = t.join().unwrap();
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(queue.poll(&first, &cx), Polled::Ready(7));
        assert_eq!(queue.poll(&second, &cx), if granted == 2 { Polled::Ready(7) } else { Polled::Pending });
    });
}

#[test]
fn queue_grant_first_vs_join_front() {
    model(|| {
        let queue = Arc::new(WaitQueue::<u8, u32>::new());
        let small = queue.lock().join(1);
        let theirs = queue.clone();
        let t = thread::spawn(move || theirs.lock().grant_first(|(), need| (*need < 2).then_some(7)));
        let large = queue.lock().join_front(2);
        assert!(t.join().unwrap(), "the one who can use it, wherever it stands");
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(queue.poll(&small, &cx), Polled::Ready(7));
        assert_eq!(queue.poll(&large, &cx), Polled::Pending);
    });
}

#[test]
fn queue_cancel_vs_cancel_waits_only_for_latches() {
    waits_only_for(Holders::LATCHES, || {
        let queue = Arc::new(WaitQueue::<(), u32>::new());
        let first = queue.lock().join(());
        let second = queue.lock().join(());
        let theirs = queue.clone();
        let t = thread::spawn(move || theirs.cancel(second));
        assert_eq!(queue.cancel(first), Cancelled::Removed);
        assert_eq!(t.join().unwrap(), Cancelled::Removed);
        assert!(queue.lock().is_empty());
    });
}

#[test]
fn queue_poll_vs_grant_waits_only_for_latches() {
    waits_only_for(Holders::LATCHES, || {
        let queue = Arc::new(WaitQueue::<(), u32>::new());
        let ticket = queue.lock().join(());
        let theirs = queue.clone();
        let t = thread::spawn(move || theirs.lock().grant_front(7));
        let polled = queue.poll(&ticket, &Context::from_waker(Waker::noop()));
        assert_eq!(t.join().unwrap(), Ok(()));
        if polled == Polled::Pending {
            assert_eq!(queue.cancel(ticket), Cancelled::Granted(7));
        }
    });
}

#[test]
fn oneshot_send_vs_try_recv_waits_only_for_latches() {
    waits_only_for(Holders::LATCHES, || {
        let (tx, mut rx) = oneshot();
        let t = thread::spawn(move || tx.send(7));
        let early = rx.try_recv().unwrap();
        let sent = t.join().unwrap();
        assert_eq!(sent, Ok(()));
        assert_eq!(early.or_else(|| rx.try_recv().unwrap()), Some(7));
    });
}

#[test]
fn oneshot_poll_canceled_vs_drop_of_the_receiver() {
    model(|| {
        let (mut tx, rx) = oneshot::<u32>();
        let t = thread::spawn(move || drop(rx));
        block_on(poll_fn(|cx| tx.poll_canceled(cx)));
        t.join().unwrap();
        assert!(tx.is_canceled());
    });
}

#[test]
fn latch_is_the_only_step_of_waiting() {
    // What `waits only for latches` rests on: a section that nobody is suspended in ends.
    waits_only_for(Holders::LATCHES, || {
        let latch = Arc::new(Latch::new(0));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let latch = latch.clone();
                thread::spawn(move || *latch.lock() += 1)
            })
            .collect();
        *latch.lock() += 1;
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(*latch.lock(), 3);
    });
}

#[test]
fn permits_available_vs_give_is_wait_free() {
    wait_free("available", |n| {
        move || {
            let permits = Arc::new(Permits::new(0));
            let theirs = permits.clone();
            let t = thread::spawn(move || (0..n).for_each(|_| theirs.give(1)));
            let (free, closed) = operation("available", || (permits.available(), permits.is_closed()));
            assert!(free <= n && !closed);
            t.join().unwrap();
        }
    });
}

#[test]
fn permits_owe_vs_forgive_waits_only_for_latches() {
    waits_only_for(Holders::LATCHES, || {
        let permits = Arc::new(Permits::new(1));
        let theirs = permits.clone();
        let t = thread::spawn(move || theirs.owe(1));
        let not_owed = permits.forgive(1);
        t.join().unwrap();
        assert_eq!(not_owed, 1, "a debt that free permits pay at once is never there to forgive");
        assert_eq!((permits.available(), permits.debt()), (0, 0));
    });
}

#[test]
fn permits_revoke_vs_waiting_waits_only_for_latches() {
    waits_only_for(Holders::LATCHES, || {
        let permits = Arc::new(Permits::new(0));
        let first = permits.take_or_join(1).unwrap().expect("nothing is free");
        permits.give(1);
        permits.revoke_stale();
        let theirs = permits.clone();
        let t = thread::spawn(move || theirs.waiting());
        assert_eq!(permits.revoke_stale(), 1);
        assert_eq!(t.join().unwrap(), 0, "who rests is not in line");
        permits.cancel(first, 1);
        assert_eq!(permits.available(), 1);
    });
}

#[test]
fn queue_revoke_vs_grant_waits_only_for_latches() {
    waits_only_for(Holders::LATCHES, || {
        let queue = Arc::new(WaitQueue::<u8, u32>::new());
        let first = queue.lock().join(1);
        assert_eq!(queue.lock().grant_front(7), Ok(()));
        queue.lock().revoke_stale();
        let theirs = queue.clone();
        let t = thread::spawn(move || {
            let mut line = theirs.lock();
            let second = line.join_front(2);
            assert_eq!((line.front(), line.len(), line.is_empty()), (Some(&2), 1, false));
            (second, line.grant_all(|| 8))
        });
        let revoked = queue.lock().revoke_stale();
        assert_eq!(revoked, [(1, 7)]);
        let (second, granted) = t.join().unwrap();
        assert_eq!(granted, 1, "who rests is not in line");
        assert_eq!(queue.cancel(second), Cancelled::Granted(8));
        assert_eq!(queue.cancel(first), Cancelled::Removed);
    });
}
