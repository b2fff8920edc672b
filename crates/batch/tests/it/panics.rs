use crate::{Gate, gated, poll, poll_with_bomb};
use ropewalk_batch::{Batcher, SubmitError};
use ropewalk_sync::{BoxFuture, Clock, Spawn, block_on};
use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

#[test]
fn a_panicking_handler_fails_its_batch_only() {
    let batcher = Batcher::builder(|items: Vec<u32>| {
        assert!(!items.contains(&13), "unlucky");
        items.into_iter().map(Ok::<_, Infallible>).collect()
    })
    .max_items(1)
    .build()
    .unwrap();
    for _ in 0..3 {
        assert_eq!(batcher.submit_blocking(13), Err(SubmitError::Panicked("unlucky".to_owned())));
        assert_eq!(batcher.submit_blocking(1), Ok(1));
    }
    let stats = batcher.stats();
    assert_eq!((stats.panics, stats.unanswered, stats.succeeded, stats.in_flight), (3, 3, 3, 0));
}

#[test]
fn an_async_handler_may_panic_at_the_call_and_at_any_poll() {
    for at in 0..3 {
        let batcher = Batcher::builder_async(move |items: Vec<u32>| {
            assert!(at != 0 || items[0] != 13, "at the call");
            async move {
                assert!(at != 1 || items[0] != 13, "at the first poll");
                ropewalk_sync::Clock::system().sleep(std::time::Duration::from_nanos(1)).await;
                assert!(at != 2 || items[0] != 13, "later");
                items.into_iter().map(Ok::<_, Infallible>).collect()
            }
        })
        .build()
        .unwrap();
        assert!(matches!(batcher.submit_blocking(13), Err(SubmitError::Panicked(_))), "at {at}");
        assert_eq!(batcher.submit_blocking(1), Ok(1));
    }
}

#[test]
fn a_wrong_number_of_answers_fails_every_item_and_says_so() {
    for answers in [0, 2] {
        let batcher =
            Batcher::builder(move |_: Vec<u32>| vec![Ok::<u32, Infallible>(0); answers]).build().unwrap();
        let got = batcher.submit_blocking(1);
        assert_eq!(got, Err(SubmitError::Unanswered { items: 1, answers }));
        assert_eq!(batcher.stats().unanswered, 1);
    }
}

#[test]
fn a_panicking_group_key_is_its_submitters_alone() {
    let batcher = Batcher::builder(|items: Vec<u64>| items.into_iter().map(Ok::<_, Infallible>).collect())
        .group_by(|&n| {
            assert_ne!(n, 13);
            n
        })
        .queue(1)
        .build()
        .unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| batcher.submit_blocking(13))).is_err());
    // Its room was given back.
    assert_eq!(batcher.submit_blocking(1), Ok(1));
}

#[test]
fn an_answer_that_panics_when_dropped_harms_nobody() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let gate = ropewalk_sync::Event::new();
    let gate = std::sync::Arc::new(gate);
    let batcher = Batcher::builder({
        let gate = gate.clone();
        move |items: Vec<bool>| {
            gate.wait_blocking();
            items.into_iter().map(|bomb| Ok::<_, Infallible>(bomb.then(|| Bomb))).collect()
        }
    })
    .build()
    .unwrap();
    let bomb = batcher.try_submit(true).unwrap();
    while batcher.stats().in_flight == 0 {
        std::thread::yield_now();
    }
    drop(bomb);
    gate.set();
    batcher.flush_blocking();
    assert!(batcher.submit_blocking(false).unwrap().is_none());
}

#[test]
fn a_submitters_waker_that_panics_costs_nobody_an_answer() {
    let gate = Gate::new();
    let batcher = gated(&gate).queue(3).build().unwrap();
    let running = batcher.try_submit(0).unwrap();
    gate.entered.wait_blocking();
    let mut bomb = batcher.try_submit(1).unwrap();
    assert!(poll_with_bomb(&mut bomb).is_pending());
    let beside = [2, 3].map(|n| batcher.try_submit(n).unwrap());
    let mut door = Box::pin(batcher.submit(4));
    let mut next = Box::pin(batcher.submit(5));
    assert!(poll_with_bomb(&mut door).is_pending() && poll(&mut next).is_pending());
    gate.open.set();
    assert_eq!(running.wait_blocking(), Ok(1));
    assert_eq!(beside.map(|answer| answer.wait_blocking()), [Ok(3), Ok(4)]);
    assert_eq!(block_on(next), Ok(6));
    // The answer is there and the place was given, only nobody was told.
    assert_eq!(poll(&mut bomb), Poll::Ready(Ok(2)));
    assert_eq!(block_on(door), Ok(5));
    batcher.close_blocking();
    let stats = batcher.stats();
    assert_eq!((stats.queued, stats.in_flight, stats.succeeded), (0, 0, 6));
}

#[test]
fn an_item_is_withdrawn_whoever_panics_at_the_door() {
    let gate = Gate::new();
    let batcher = gated(&gate).queue(1).max_items(1).build().unwrap();
    let running = batcher.try_submit(0).unwrap();
    gate.entered.wait_blocking();
    let mut queued = batcher.try_submit(1).unwrap();
    assert!(poll_with_bomb(&mut queued).is_pending());
    let mut door = Box::pin(batcher.submit(2));
    assert!(poll_with_bomb(&mut door).is_pending());
    assert_eq!(queued.withdraw(), Some(1));
    gate.open.set();
    assert_eq!(block_on(door), Ok(3));
    running.wait_blocking().unwrap();
}

#[test]
fn wakers_that_panic_do_not_keep_it_from_closing() {
    let gate = Gate::new();
    let batcher = gated(&gate).queue(1).max_items(1).build().unwrap();
    let running = batcher.try_submit(0).unwrap();
    gate.entered.wait_blocking();
    let queued = batcher.try_submit(1).unwrap();
    let mut door = Box::pin(batcher.submit(2));
    let mut flush = Box::pin(batcher.flush());
    let mut other = Box::pin(batcher.flush());
    assert!(poll_with_bomb(&mut door).is_pending() && poll_with_bomb(&mut flush).is_pending());
    assert!(poll(&mut other).is_pending());
    let mut close = Box::pin(batcher.close());
    assert!(poll(&mut close).is_pending());
    assert_eq!(poll(&mut door), Poll::Ready(Err(SubmitError::Closed(2))));
    gate.open.set();
    block_on(other);
    block_on(close);
    assert_eq!([running, queued].map(|answer| answer.wait_blocking()), [Ok(1), Ok(2)]);
    assert!(poll(&mut flush).is_ready());
}

#[test]
fn dropping_it_gives_every_item_back_whoever_panics() {
    struct Touchy(Arc<AtomicUsize>);
    impl Drop for Touchy {
        fn drop(&mut self) {
            if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
                panic!("the first to go");
            }
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let clock = Clock::virtual_();
    let batcher = Batcher::builder(|items: Vec<Touchy>| items.into_iter().map(Ok::<_, Infallible>).collect())
        .max_wait(Duration::from_secs(60))
        .clock(clock.clone())
        .build()
        .unwrap();
    let mut bomb = batcher.try_submit(Touchy(dropped.clone())).ok().unwrap();
    let mut next = batcher.try_submit(Touchy(dropped.clone())).ok().unwrap();
    assert!(poll_with_bomb(&mut bomb).is_pending() && poll(&mut next).is_pending());
    drop(batcher);
    for answer in [&mut next, &mut bomb] {
        let Poll::Ready(Err(SubmitError::Closed(item))) = poll(answer) else { panic!("no item") };
        let _ = catch_unwind(AssertUnwindSafe(|| drop(item)));
    }
    assert_eq!(dropped.load(Ordering::Relaxed), 2);
}

/// Starts jobs on threads, but panics at the call whose number it holds.
struct Refusing {
    threads: ropewalk_sync::Threads,
    calls: AtomicUsize,
    at: usize,
}

impl Spawn for Refusing {
    fn spawn(&self, name: &str, job: BoxFuture) {
        assert_ne!(self.calls.fetch_add(1, Ordering::Relaxed), self.at, "no more jobs");
        self.threads.spawn(name, job);
    }
}

fn refusing(clock: &Clock, at: usize) -> ropewalk_batch::Builder<u64, u64, Infallible> {
    let sleeper = clock.clone();
    Batcher::builder_async(move |items: Vec<u64>| {
        let sleep = sleeper.sleep(Duration::from_secs(1));
        async move {
            sleep.await;
            items.into_iter().map(Ok).collect()
        }
    })
    .in_flight(2)
    .group_by(|&n| n)
    .spawner(Refusing { threads: ropewalk_sync::Threads::new(clock), calls: AtomicUsize::new(0), at })
    .clock(clock.clone())
}

#[test]
fn a_spawner_that_panics_leaves_no_item_behind() {
    let clock = Clock::virtual_();
    let batcher = refusing(&clock, 0).build().unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| batcher.try_submit(1))).is_err());
    let stats = batcher.stats();
    assert_eq!((stats.submitted, stats.queued, stats.withdrawn), (1, 0, 1));
    batcher.flush_blocking();
    let mut answer = batcher.try_submit(2).unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(poll(&mut answer), Poll::Ready(Ok(2)));
}

#[test]
fn a_driver_that_finds_no_helper_does_the_rest_itself() {
    let clock = Clock::virtual_();
    let batcher = refusing(&clock, 1).max_wait(Duration::from_secs(60)).build().unwrap();
    let mut answers = [1, 2].map(|n| {
        let answer = batcher.try_submit(n).unwrap();
        clock.settle();
        answer
    });
    // Both become due at once; the driver that is there asks for a second one and does not get it.
    let mut flush = Box::pin(batcher.flush());
    assert!(poll(&mut flush).is_pending());
    clock.settle();
    assert_eq!((batcher.stats().in_flight, batcher.stats().queued), (1, 1));
    clock.advance(Duration::from_secs(1));
    assert_eq!(poll(&mut answers[0]), Poll::Ready(Ok(1)));
    clock.advance(Duration::from_secs(1));
    assert_eq!(poll(&mut answers[1]), Poll::Ready(Ok(2)));
    assert!(poll(&mut flush).is_ready());
}
