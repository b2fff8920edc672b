//! Futures that are dropped, and waiting when nothing will come.

use crate::Rig;
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_wait_for_a_tick_dropped_after_any_poll_changes_nothing_for_others() {
    let rig = Rig::new(|b| b);
    let (gone, stays) = (Arc::new(Count(AtomicUsize::new(0))), Arc::new(Count(AtomicUsize::new(0))));
    let (first, second) = (Waker::from(gone.clone()), Waker::from(stays.clone()));
    for polls in 0..3 {
        let after = rig.monitor.tick();
        let mut waits = pin!(rig.monitor.ticked(after));
        assert!(waits.as_mut().poll(&mut Context::from_waker(&second)).is_pending());
        {
            let mut dropped = pin!(rig.monitor.ticked(after));
            for _ in 0..polls {
                assert!(dropped.as_mut().poll(&mut Context::from_waker(&first)).is_pending());
            }
        }
        rig.tick(0.0);
        assert_eq!(stays.0.swap(0, Ordering::SeqCst), 1, "woken by the tick");
        assert_eq!(waits.as_mut().poll(&mut Context::from_waker(&second)), Poll::Ready(after + 1));
    }
    assert_eq!(gone.0.load(Ordering::SeqCst), 0, "who is gone is not woken");
}

#[test]
fn the_end_of_the_monitor_is_told_to_who_waits_for_a_tick() {
    let Rig { clock, monitor, level: _level } = Rig::new(|b| b);
    let handle = monitor.handle();
    let woken = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(woken.clone());
    let mut waits = pin!(handle.ticked(1));
    assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(monitor);
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert_eq!(waits.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(1));
    assert!(handle.is_stopped());
    clock.settle();
}
