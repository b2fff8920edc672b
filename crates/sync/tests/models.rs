//! Loom models of the cores in `raw/`.
#![cfg(ropewalk_loom)]

use ropewalk_prove::{
    Witness,
    future::block_on,
    model,
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};
use ropewalk_sync::{
    Polled, oneshot,
    raw::{
        permits::{Permits, Place},
        queue::{Cancelled, WaitQueue},
    },
};
use std::{
    future::poll_fn,
    task::{Context, Poll, Waker},
};

/// The waiting loop of the semaphore, without its clock.
fn acquire(permits: &Permits, n: usize) -> bool {
    if permits.try_take(n).is_ok() {
        return true;
    }
    let Ok(place) = permits.take_or_join(n) else { return false };
    let Some(place) = place else { return true };
    block_on(poll_fn(|cx| poll_place(permits, &place, cx)))
}

fn poll_place(permits: &Permits, place: &Place, cx: &mut Context<'_>) -> Poll<bool> {
    match permits.poll(place, cx) {
        Polled::Ready(grant) => Poll::Ready(grant.is_ok()),
        Polled::Pending => Poll::Pending,
        Polled::Rejoined => unreachable!("poll serves after rejoining"),
    }
}

fn poll_once(permits: &Permits, place: &Place) -> Polled<Result<(), ropewalk_sync::raw::permits::Closed>> {
    permits.poll(place, &Context::from_waker(Waker::noop()))
}

#[test]
fn permits_acquire_vs_acquire() {
    model(|| {
        let permits = Arc::new(Permits::new(1));
        let inside = Arc::new(AtomicUsize::new(0));
        let worker = |permits: Arc<Permits>, inside: Arc<AtomicUsize>| {
            move || {
                assert!(acquire(&permits, 1));
                assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0, "one permit, one holder");
                inside.fetch_sub(1, Ordering::Relaxed);
                permits.give(1);
            }
        };
        let t = thread::spawn(worker(permits.clone(), inside.clone()));
        worker(permits.clone(), inside)();
        t.join().unwrap();
        assert_eq!((permits.available(), permits.waiting()), (1, 0));
    });
}

#[test]
fn permits_acquire_vs_give_publishes_what_the_holder_wrote() {
    model(|| {
        let permits = Arc::new(Permits::new(0));
        let data = Arc::new(Witness::new());
        let (p, d) = (permits.clone(), data.clone());
        let t = thread::spawn(move || {
            // Loom itself checks that this write and the read below do not race.
            d.write();
            p.give(1);
        });
        assert!(acquire(&permits, 1));
        data.read();
        t.join().unwrap();
    });
}

#[test]
fn permits_try_take_vs_give_publishes_what_the_holder_wrote() {
    model(|| {
        let permits = Arc::new(Permits::new(0));
        let data = Arc::new(Witness::new());
        let (p, d) = (permits.clone(), data.clone());
        let t = thread::spawn(move || {
            d.write();
            p.give(1);
        });
        if permits.try_take(1).is_ok() {
            data.read();
        }
        t.join().unwrap();
    });
}

#[test]
fn permits_cancel_vs_give() {
    model(|| {
        let permits = Arc::new(Permits::new(0));
        let first = permits.take_or_join(1).unwrap().expect("nothing is free");
        let second = permits.take_or_join(1).unwrap().expect("nothing is free");
        let p = permits.clone();
        let t = thread::spawn(move || p.give(1));
        permits.cancel(first, 1);
        // Whether the permit reached the first before or after it left, it must reach the second.
        assert!(block_on(poll_fn(|cx| poll_place(&permits, &second, cx))));
        t.join().unwrap();
        assert_eq!((permits.available(), permits.waiting()), (0, 0));
    });
}

#[test]
fn permits_cancel_of_a_large_head_vs_join() {
    model(|| {
        let permits = Arc::new(Permits::new(1));
        let large = permits.take_or_join(2).unwrap().expect("only one is free");
        let p = permits.clone();
        let t = thread::spawn(move || assert!(acquire(&p, 1)));
        permits.cancel(large, 2);
        t.join().unwrap();
        assert_eq!((permits.available(), permits.waiting()), (0, 0));
    });
}

#[test]
fn permits_close_vs_acquire() {
    model(|| {
        let permits = Arc::new(Permits::new(0));
        let p = permits.clone();
        let t = thread::spawn(move || p.close());
        assert!(!acquire(&permits, 1));
        t.join().unwrap();
        assert_eq!(permits.waiting(), 0);
    });
}

#[test]
fn permits_owe_vs_give() {
    model(|| {
        let permits = Arc::new(Permits::new(0));
        let p = permits.clone();
        let t = thread::spawn(move || p.give(1));
        permits.owe(1);
        t.join().unwrap();
        assert_eq!((permits.available(), permits.debt()), (0, 0), "the debt swallows the permit");
    });
}

#[test]
fn permits_revoke_vs_poll() {
    model(|| {
        let permits = Arc::new(Permits::new(0));
        let first = permits.take_or_join(1).unwrap().expect("nothing is free");
        let second = permits.take_or_join(1).unwrap().expect("nothing is free");
        permits.give(1);
        permits.revoke_stale();
        let p = permits.clone();
        let t = thread::spawn(move || p.revoke_stale());
        let got = poll_once(&permits, &first);
        t.join().unwrap();
        match got {
            // The owner came first: the grant was its own and could not be taken.
            Polled::Ready(grant) => assert!(grant.is_ok() && poll_once(&permits, &second) == Polled::Pending),
            // It was taken back and passed on.
            Polled::Pending | Polled::Rejoined => {
                assert_eq!(poll_once(&permits, &second), Polled::Ready(Ok(())))
            }
        }
    });
}

#[test]
fn queue_grant_vs_cancel() {
    model(|| {
        let queue = Arc::new(WaitQueue::<(), u32>::new());
        let ticket = queue.lock().join(());
        let q = queue.clone();
        let t = thread::spawn(move || q.lock().grant_front(7));
        let cancelled = queue.cancel(ticket);
        let returned = t.join().unwrap();
        match cancelled {
            Cancelled::Granted(7) => assert_eq!(returned, Ok(())),
            Cancelled::Removed => assert_eq!(returned, Err(7)),
            Cancelled::Granted(_) => panic!("a grant nobody made"),
        }
    });
}

#[test]
fn queue_grant_vs_poll_wakes() {
    model(|| {
        let queue = Arc::new(WaitQueue::<(), u32>::new());
        let ticket = queue.lock().join(());
        let q = queue.clone();
        let t = thread::spawn(move || q.lock().grant_front(7).unwrap());
        let got = block_on(poll_fn(|cx| match queue.poll(&ticket, cx) {
            Polled::Ready(grant) => Poll::Ready(grant),
            Polled::Pending | Polled::Rejoined => Poll::Pending,
        }));
        assert_eq!(got, 7);
        t.join().unwrap();
    });
}

#[test]
fn queue_join_waking_vs_grant_wakes() {
    model(|| {
        let queue = Arc::new(WaitQueue::<(), u32, Option<u32>>::with_state(None));
        let q = queue.clone();
        let t = thread::spawn(move || {
            let mut line = q.lock();
            // For whoever comes later it is laid by.
            if let Err(grant) = line.grant_front(7) {
                *line = Some(grant);
            }
        });
        let mut ticket = None;
        let got = block_on(poll_fn(|cx| {
            let Some(ticket) = &ticket else {
                let waker = cx.waker().clone();
                let mut line = queue.lock();
                if let Some(grant) = line.take() {
                    return Poll::Ready(grant);
                }
                ticket = Some(line.join_waking((), waker));
                return Poll::Pending;
            };
            match queue.poll(ticket, cx) {
                Polled::Ready(grant) => Poll::Ready(grant),
                Polled::Pending | Polled::Rejoined => Poll::Pending,
            }
        }));
        assert_eq!(got, 7);
        t.join().unwrap();
    });
}

#[test]
fn oneshot_send_vs_recv() {
    model(|| {
        let (tx, rx) = oneshot();
        let t = thread::spawn(move || tx.send(7).unwrap());
        assert_eq!(block_on(rx), Ok(7));
        t.join().unwrap();
    });
}

#[test]
fn oneshot_send_vs_drop_of_the_receiver() {
    model(|| {
        let (tx, rx) = oneshot();
        let value = std::sync::Arc::new(());
        let sent = value.clone();
        let t = thread::spawn(move || drop(tx.send(sent)));
        drop(rx);
        t.join().unwrap();
        assert_eq!(std::sync::Arc::strong_count(&value), 1, "the value is dropped once, wherever it ended");
    });
}

#[test]
fn oneshot_drop_of_the_sender_vs_recv() {
    model(|| {
        let (tx, rx) = oneshot::<u32>();
        let t = thread::spawn(move || drop(tx));
        assert!(block_on(rx).is_err());
        t.join().unwrap();
    });
}

#[path = "models/cancelled.rs"]
mod cancelled;
#[path = "models/events.rs"]
mod events;
#[path = "models/progress.rs"]
mod progress;
