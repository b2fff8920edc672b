//! Futures dropped after every poll, in every schedule.

use super::{acquire, poll_place};
use ropewalk_prove::{Cancel, Panics, cancel_everywhere, panic_everywhere, sync::Arc, thread};
use ropewalk_sync::{
    oneshot,
    raw::{
        permits::{Permits, Place},
        queue::WaitQueue,
    },
};
use std::{
    future::poll_fn,
    sync::Arc as StdArc,
    task::{Context, Wake, Waker},
};

/// A waiter that leaves the line when it is dropped.
struct Waiting<'a>(&'a Permits, Option<Place>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.1.take() {
            self.0.cancel(place, 1);
        }
    }
}

async fn take(permits: &Permits) -> bool {
    if permits.try_take(1).is_ok() {
        return true;
    }
    let Ok(place) = permits.take_or_join(1) else { return false };
    if place.is_none() {
        return true;
    }
    let mut waiting = Waiting(permits, place);
    let served = poll_fn(|cx| {
        let Some(place) = &waiting.1 else { unreachable!("taken out below") };
        poll_place(permits, place, cx)
    })
    .await;
    // Spent: nothing is left to cancel.
    if let Some(place) = waiting.1.take() {
        drop(place);
    }
    served
}

#[test]
fn permits_acquire_vs_give_cancelled_everywhere() {
    cancel_everywhere(|cancel: &Cancel| {
        let permits = Arc::new(Permits::new(0));
        let theirs = permits.clone();
        let t = thread::spawn(move || theirs.give(1));
        let mine = usize::from(cancel.run(take(&permits)) == Some(true));
        t.join().unwrap();
        assert_eq!((permits.available() + mine, permits.waiting()), (1, 0), "no permit is lost");
    });
}

#[test]
fn permits_acquire_before_another_cancelled_everywhere() {
    cancel_everywhere(|cancel: &Cancel| {
        let permits = Arc::new(Permits::new(0));
        let behind = permits.clone();
        let t = thread::spawn(move || {
            assert!(acquire(&behind, 1), "served, whoever left before");
            behind.give(1);
        });
        let giver = permits.clone();
        let g = thread::spawn(move || giver.give(1));
        if cancel.run(take(&permits)) == Some(true) {
            permits.give(1);
        }
        t.join().unwrap();
        g.join().unwrap();
        assert_eq!((permits.available(), permits.waiting()), (1, 0));
    });
}

#[test]
fn permits_acquire_vs_close_cancelled_everywhere() {
    cancel_everywhere(|cancel: &Cancel| {
        let permits = Arc::new(Permits::new(0));
        let theirs = permits.clone();
        let t = thread::spawn(move || theirs.close());
        assert_ne!(cancel.run(take(&permits)), Some(true));
        t.join().unwrap();
        assert_eq!((permits.available(), permits.waiting()), (0, 0));
    });
}

#[test]
fn oneshot_recv_vs_send_cancelled_everywhere() {
    cancel_everywhere(|cancel: &Cancel| {
        let (tx, rx) = oneshot();
        let value = StdArc::new(());
        let sent = value.clone();
        let t = thread::spawn(move || drop(tx.send(sent)));
        let got = cancel.run(rx);
        t.join().unwrap();
        let held = usize::from(got.is_some());
        assert_eq!(StdArc::strong_count(&value), 1 + held, "kept by the receiver or dropped, once");
    });
}

/// A waker that is user code: it counts, and may panic.
struct Rude(Panics);

impl Wake for Rude {
    fn wake(self: StdArc<Self>) {
        self.0.here();
    }
}

#[test]
fn queue_grant_all_with_wakers_that_panic_everywhere() {
    panic_everywhere(|panics: &Panics| {
        let queue = Arc::new(WaitQueue::<(), u32>::new());
        let tickets: Vec<_> = (0..2).map(|_| queue.lock().join(())).collect();
        let waker = Waker::from(StdArc::new(Rude(panics.clone())));
        for ticket in &tickets {
            let _ = queue.poll(ticket, &Context::from_waker(&waker));
        }
        let theirs = queue.clone();
        let t = thread::spawn(move || theirs.lock().len());
        panics.catch(|| queue.lock().grant_all(|| 7));
        t.join().unwrap();
        assert_eq!(panics.calls(), 2, "the second is woken although the first panics");
        for ticket in tickets {
            assert_eq!(queue.cancel(ticket), ropewalk_sync::raw::queue::Cancelled::Granted(7));
        }
    });
}
