use crate::{Gate, gated, poll};
use ropewalk_sync::block_on;
use std::sync::Arc;

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
