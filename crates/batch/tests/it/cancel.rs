use crate::{Gate, gated, poll};
use ropewalk_sync::block_on;
use std::{sync::Arc, time::Duration};

#[test]
fn a_submit_dropped_before_dispatch_removes_its_item() {
    let gate = Gate::new();
    let batcher = gated(&gate).max_items(10).build().unwrap();
    let running = batcher.try_submit(0).unwrap();
    gate.entered.wait_blocking();
    let mut kept = Box::pin(batcher.submit(1));
    let mut dropped = Box::pin(batcher.submit(2));
    assert!(poll(&mut kept).is_pending() && poll(&mut dropped).is_pending());
    drop(dropped);
    gate.open.set();
    assert_eq!(block_on(kept), Ok(2));
    running.wait_blocking().unwrap();
    assert_eq!(gate.seen(), [[0], [1]]);
    assert_eq!(batcher.stats().withdrawn, 1);
}

#[test]
fn a_submit_dropped_after_dispatch_lets_its_item_run() {
    let gate = Gate::new();
    let batcher = gated(&gate).build().unwrap();
    let answer = batcher.try_submit(0).unwrap();
    gate.entered.wait_blocking();
    drop(answer);
    gate.open.set();
    batcher.flush_blocking();
    assert_eq!(batcher.stats().succeeded, 1);
    assert_eq!(batcher.stats().withdrawn, 0);
}

#[test]
fn a_submit_dropped_at_the_door_leaves_the_line() {
    let gate = Gate::new();
    let batcher = gated(&gate).queue(1).max_items(1).build().unwrap();
    let running = batcher.try_submit(0).unwrap();
    gate.entered.wait_blocking();
    let queued = batcher.try_submit(1).unwrap();
    let mut dropped = Box::pin(batcher.submit(2));
    let mut kept = Box::pin(batcher.submit(3));
    assert!(poll(&mut dropped).is_pending() && poll(&mut kept).is_pending());
    drop(dropped);
    gate.open.set();
    assert_eq!(block_on(kept), Ok(4));
    drop((running, queued));
    batcher.close_blocking();
    assert!(!gate.seen().concat().contains(&2));
}

#[test]
fn dropped_items_are_dropped_exactly_once() {
    struct Counted(Arc<()>);
    let alive = Arc::new(());
    let gate = Gate::new();
    let batcher = ropewalk_batch::Batcher::builder({
        let gate = gate.clone();
        move |items: Vec<Counted>| {
            gate.entered.set();
            gate.open.wait_blocking();
            items.into_iter().map(Ok::<_, ()>).collect()
        }
    })
    .build()
    .unwrap();
    let answers: Vec<_> = (0..20)
        .map(|n| {
            let answer = batcher.try_submit(Counted(alive.clone())).ok().unwrap();
            if n == 0 {
                gate.entered.wait_blocking();
            }
            answer
        })
        .collect();
    for (n, answer) in answers.into_iter().enumerate() {
        if n % 3 == 1 {
            drop(answer);
        } else if n % 3 == 2 {
            assert!(Arc::ptr_eq(&answer.withdraw().unwrap().0, &alive));
        }
    }
    gate.open.set();
    batcher.close_blocking();
    drop(batcher);
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn a_submit_that_is_never_polled_submits_nothing() {
    let gate = Gate::new();
    gate.open.set();
    let batcher = gated(&gate).build().unwrap();
    drop(batcher.submit(1));
    drop(batcher.submit_timeout(2, Duration::from_secs(1)));
    batcher.flush_blocking();
    assert_eq!(batcher.stats().submitted, 0);
}

#[test]
fn a_bounded_submit_dropped_at_the_door_or_in_the_queue_leaves_it() {
    let gate = Gate::new();
    let batcher = gated(&gate).queue(1).max_items(1).build().unwrap();
    let running = batcher.try_submit(0).unwrap();
    gate.entered.wait_blocking();
    let hour = Duration::from_secs(3600);
    let mut queued = Box::pin(batcher.submit_timeout(1, hour));
    let mut at_the_door = Box::pin(batcher.submit_timeout(2, hour));
    let mut kept = Box::pin(batcher.submit_timeout(3, hour));
    for future in [&mut queued, &mut at_the_door, &mut kept] {
        assert!(poll(future).is_pending());
    }
    drop(at_the_door);
    drop(queued);
    // Its place is free for the one who is left at the door.
    assert!(poll(&mut kept).is_pending());
    assert_eq!((batcher.stats().queued, batcher.stats().withdrawn), (1, 1));
    gate.open.set();
    assert_eq!(block_on(kept), Ok(4));
    running.wait_blocking().unwrap();
    assert_eq!(gate.seen(), [[0], [3]]);
}

#[test]
fn a_flush_that_is_dropped_leaves_what_was_queued_due() {
    let clock = ropewalk_sync::Clock::virtual_();
    let gate = Gate::new();
    gate.open.set();
    let batcher = gated(&gate).max_wait(Duration::from_secs(60)).clock(clock.clone()).build().unwrap();
    let mut answer = batcher.try_submit(1).unwrap();
    clock.settle();
    drop(batcher.flush());
    clock.settle();
    assert!(poll(&mut answer).is_pending(), "one that is never polled asks for nothing");
    let mut flush = Box::pin(batcher.flush());
    let _ = poll(&mut flush);
    drop(flush);
    clock.settle();
    assert_eq!(poll(&mut answer), std::task::Poll::Ready(Ok(2)));
}

#[test]
fn a_close_that_is_dropped_stays_closed_and_drains() {
    let gate = Gate::new();
    let batcher = gated(&gate).max_items(1).build().unwrap();
    let running = batcher.try_submit(0).unwrap();
    gate.entered.wait_blocking();
    let queued = batcher.try_submit(1).unwrap();
    drop(batcher.close());
    let late = batcher.try_submit(2).unwrap();
    let mut close = Box::pin(batcher.close());
    assert!(poll(&mut close).is_pending());
    drop(close);
    assert!(batcher.try_submit(3).is_err());
    gate.open.set();
    let answers = [running, queued, late].map(|answer| answer.wait_blocking().unwrap());
    assert_eq!(answers, [1, 2, 3]);
}
