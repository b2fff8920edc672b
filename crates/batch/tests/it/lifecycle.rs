use crate::{Gate, gated, poll};
use ropewalk_batch::{Batcher, SubmitError, TrySubmitError};
use ropewalk_sync::{Clock, block_on};
use std::{convert::Infallible, sync::Arc, time::Duration};

fn patient(clock: &Clock) -> Batcher<u32, u32, Infallible> {
    Batcher::builder(|items: Vec<u32>| items.into_iter().map(|n| Ok(n + 1)).collect())
        .max_items(10)
        .max_wait(Duration::from_secs(60))
        .clock(clock.clone())
        .build()
        .unwrap()
}

#[test]
fn flush_hurries_what_is_queued_and_waits_for_it() {
    let clock = Clock::virtual_();
    let batcher = patient(&clock);
    let mut answers: Vec<_> = (0..3).map(|n| batcher.try_submit(n).unwrap()).collect();
    clock.settle();
    assert!(poll(&mut answers[0]).is_pending());
    batcher.flush_blocking();
    for (n, answer) in answers.iter_mut().enumerate() {
        assert_eq!(poll(answer), std::task::Poll::Ready(Ok(n as u32 + 1)));
    }
    assert_eq!(batcher.stats().batches, 1);
    // What comes later waits again.
    let mut later = batcher.try_submit(7).unwrap();
    clock.settle();
    assert!(poll(&mut later).is_pending());
    batcher.flush_blocking();
    assert_eq!(later.wait_blocking(), Ok(8));
    batcher.flush_blocking();
}

#[test]
fn a_flush_does_not_wait_for_what_comes_after_it() {
    let gate = Gate::new();
    let batcher = gated(&gate).max_items(1).build().unwrap();
    let first = batcher.try_submit(0).unwrap();
    gate.entered.wait_blocking();
    let mut flush = Box::pin(batcher.flush());
    assert!(poll(&mut flush).is_pending());
    let second = batcher.try_submit(1).unwrap();
    assert_eq!(second.withdraw(), Some(1));
    gate.open.set();
    block_on(flush);
    assert_eq!(first.wait_blocking(), Ok(1));
}

#[test]
fn a_withdrawn_item_ends_the_flush_that_waited_for_it() {
    let gate = Gate::new();
    let batcher = gated(&gate).max_items(1).build().unwrap();
    let running = batcher.try_submit(0).unwrap();
    gate.entered.wait_blocking();
    let queued = batcher.try_submit(1).unwrap();
    let mut flush = Box::pin(batcher.flush());
    assert!(poll(&mut flush).is_pending());
    drop(queued);
    gate.open.set();
    block_on(flush);
    assert_eq!(gate.seen(), [[0]]);
    running.wait_blocking().unwrap();
}

#[test]
fn close_drains_the_queue_and_refuses_the_rest() {
    let gate = Gate::new();
    let batcher = gated(&gate).max_items(2).queue(3).build().unwrap();
    let mut answers = vec![batcher.try_submit(0).unwrap()];
    gate.entered.wait_blocking();
    answers.extend((1..4).map(|n| batcher.try_submit(n).unwrap()));
    let mut at_the_door = Box::pin(batcher.submit(4));
    assert!(poll(&mut at_the_door).is_pending());
    let mut close = Box::pin(batcher.close());
    assert!(poll(&mut close).is_pending());
    assert_eq!(block_on(at_the_door), Err(SubmitError::Closed(4)));
    assert_eq!(batcher.submit_blocking(5), Err(SubmitError::Closed(5)));
    assert_eq!(batcher.try_submit(6).unwrap_err(), TrySubmitError::Closed(6));
    gate.open.set();
    block_on(close);
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.wait_blocking(), Ok(n as u32 + 1));
    }
    batcher.close_blocking();
}

#[test]
fn close_does_not_wait_for_a_batch_to_fill() {
    let clock = Clock::virtual_();
    let batcher = patient(&clock);
    let answer = batcher.try_submit(1).unwrap();
    batcher.close_blocking();
    assert_eq!(answer.wait_blocking(), Ok(2));
}

#[test]
fn dropping_gives_queued_items_back() {
    let clock = Clock::virtual_();
    let batcher = patient(&clock);
    let answer = batcher.try_submit(1).unwrap();
    drop(batcher);
    assert_eq!(answer.wait_blocking(), Err(SubmitError::Closed(1)));
}

#[test]
fn dropping_stops_an_async_batch_and_its_submitter_hears() {
    let clock = Clock::virtual_();
    let batcher =
        Batcher::builder_async(|_: Vec<u32>| std::future::pending::<Vec<Result<u32, Infallible>>>())
            .clock(clock.clone())
            .build()
            .unwrap();
    let answer = batcher.try_submit(1).unwrap();
    clock.settle();
    drop(batcher);
    assert_eq!(answer.wait_blocking(), Err(SubmitError::Stopped));
}

#[test]
fn the_last_handle_may_be_dropped_inside_the_handler() {
    let slot: Arc<std::sync::Mutex<Option<Batcher<u32, u32, Infallible>>>> = Arc::default();
    let batcher = Batcher::builder({
        let slot = slot.clone();
        move |items: Vec<u32>| {
            drop(slot.lock().unwrap().take());
            items.into_iter().map(Ok).collect()
        }
    })
    .build()
    .unwrap();
    let mut guard = slot.lock().unwrap();
    let answer = batcher.try_submit(1).unwrap();
    *guard = Some(batcher);
    drop(guard);
    assert_eq!(answer.wait_blocking(), Ok(1));
}
