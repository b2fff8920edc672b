use crate::{Gate, Seen, gated, poll};
use ropewalk_batch::{Batcher, GroupKey};
use ropewalk_sync::{Clock, block_on};
use std::{convert::Infallible, time::Duration};

#[test]
fn what_came_while_the_handler_was_busy_is_the_next_batch() {
    let gate = Gate::new();
    let batcher = gated(&gate).max_items(3).build().unwrap();
    let first = batcher.try_submit(0).unwrap();
    gate.entered.wait_blocking();
    let rest: Vec<_> = (1..6).map(|n| batcher.try_submit(n).unwrap()).collect();
    gate.open.set();
    first.wait_blocking().unwrap();
    for answer in rest {
        answer.wait_blocking().unwrap();
    }
    assert_eq!(gate.seen(), [vec![0], vec![1, 2, 3], vec![4, 5]]);
    assert_eq!(batcher.stats().batch_size.max(), Some(3));
}

#[test]
fn never_more_than_in_flight_batches_and_never_a_free_handler_beside_a_queue() {
    let clock = Clock::virtual_();
    let batcher = Batcher::builder_async({
        let clock = clock.clone();
        move |items: Vec<u32>| {
            let sleep = clock.sleep(Duration::from_secs(1));
            async move {
                sleep.await;
                items.into_iter().map(Ok::<_, Infallible>).collect()
            }
        }
    })
    .max_items(1)
    .in_flight(3)
    .clock(clock.clone())
    .build()
    .unwrap();
    let mut answers: Vec<_> = (0..9).map(|n| batcher.try_submit(n).unwrap()).collect();
    for round in 0..3 {
        clock.settle();
        assert_eq!(batcher.stats().in_flight, 3);
        assert_eq!(batcher.stats().queued, 6 - 3 * round);
        clock.advance(Duration::from_secs(1));
    }
    for (n, answer) in answers.iter_mut().enumerate() {
        assert!(matches!(poll(answer), std::task::Poll::Ready(Ok(got)) if got == n as u32));
    }
}

#[test]
fn a_batch_waits_for_more_only_as_long_as_asked_or_until_it_is_full() {
    let clock = Clock::virtual_();
    let seen = Seen::default();
    let batcher = Batcher::builder({
        let seen = seen.clone();
        move |items: Vec<u32>| {
            seen.lock().unwrap().push(items.clone());
            items.into_iter().map(Ok::<_, Infallible>).collect()
        }
    })
    .max_items(3)
    .max_wait(Duration::from_millis(10))
    .clock(clock.clone())
    .build()
    .unwrap();
    let a = batcher.try_submit(0).unwrap();
    clock.advance(Duration::from_millis(6));
    let b = batcher.try_submit(1).unwrap();
    clock.advance(Duration::from_millis(3));
    assert!(seen.lock().unwrap().is_empty());
    clock.advance(Duration::from_millis(1));
    assert_eq!(*seen.lock().unwrap(), [vec![0, 1]], "the oldest item sets the time");
    let full: Vec<_> = (2..5).map(|n| batcher.try_submit(n).unwrap()).collect();
    clock.settle();
    assert_eq!(*seen.lock().unwrap(), [vec![0, 1], vec![2, 3, 4]], "a full batch does not wait");
    for answer in full.into_iter().chain([a, b]) {
        answer.wait_blocking().unwrap();
    }
}

#[test]
fn a_batch_holds_one_group() {
    let gate = Gate::new();
    let batcher = gated(&gate).max_items(10).group_by(|n| u64::from(n % 2)).build().unwrap();
    let mut answers = vec![batcher.try_submit(100).unwrap()];
    gate.entered.wait_blocking();
    answers.extend((0..6).map(|n| batcher.try_submit(n).unwrap()));
    gate.open.set();
    for answer in answers {
        answer.wait_blocking().unwrap();
    }
    assert_eq!(gate.seen(), [vec![100], vec![0, 2, 4], vec![1, 3, 5]]);
}

#[test]
fn groups_can_be_named_by_text() {
    let batcher = Batcher::builder(|items: Vec<&'static str>| {
        assert!(items.windows(2).all(|pair| pair[0] == pair[1]));
        items.into_iter().map(|text| Ok::<_, Infallible>(text.len())).collect()
    })
    .group_by(|text| GroupKey::from(*text))
    .build()
    .unwrap();
    assert_eq!(block_on(batcher.submit("model-a")), Ok(7));
}

#[test]
fn what_becomes_due_at_once_runs_side_by_side() {
    let clock = Clock::virtual_();
    let batcher = Batcher::builder_async({
        let clock = clock.clone();
        move |items: Vec<u64>| {
            let sleep = clock.sleep(Duration::from_secs(1));
            async move {
                sleep.await;
                items.into_iter().map(Ok::<_, Infallible>).collect()
            }
        }
    })
    .in_flight(3)
    .group_by(|&n| n)
    .max_wait(Duration::from_secs(60))
    .clock(clock.clone())
    .build()
    .unwrap();
    let answers: Vec<_> = (0..3).map(|n| batcher.try_submit(n).unwrap()).collect();
    clock.settle();
    // One wake-up stands for three batches.
    let mut flush = Box::pin(batcher.flush());
    assert!(poll(&mut flush).is_pending());
    clock.settle();
    assert_eq!((batcher.stats().in_flight, batcher.stats().queued), (3, 0));
    drop(flush);
    drop(answers);
}
