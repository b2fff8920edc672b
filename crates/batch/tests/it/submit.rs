use crate::{Gate, gated, poll};
use ropewalk_batch::{Batcher, BuildError, SubmitError, TrySubmitError};
use ropewalk_sync::{Background, Clock, block_on};
use std::{
    convert::Infallible,
    sync::{Arc, mpsc},
    time::Duration,
};

#[test]
fn each_caller_gets_its_own_answer_or_error() {
    let halve = Batcher::builder(|items: Vec<u32>| {
        items.into_iter().map(|n| if n % 2 == 0 { Ok(n / 2) } else { Err(format!("{n} is odd")) }).collect()
    })
    .build()
    .unwrap();
    assert_eq!(halve.submit_blocking(8), Ok(4));
    assert_eq!(halve.submit_blocking(7), Err(SubmitError::Handler("7 is odd".to_owned())));
    assert_eq!(block_on(halve.submit(2)), Ok(1));
    let stats = halve.stats();
    assert_eq!((stats.submitted, stats.succeeded, stats.failed, stats.batches), (3, 2, 1, 3));
    assert_eq!(stats.queue_wait.count(), 3);
}

#[test]
fn an_async_handler_answers_tasks_and_threads() {
    let double = Batcher::builder_async(|items: Vec<u32>| async move {
        items.into_iter().map(|n| Ok::<_, Infallible>(n * 2)).collect()
    })
    .in_flight(2)
    .build()
    .unwrap();
    assert_eq!(double.submit_blocking(1), Ok(2));
    assert_eq!(block_on(double.submit(2)), Ok(4));
}

#[test]
fn zero_limits_and_uncountable_queues_are_refused() {
    let build = || Batcher::builder(|items: Vec<u32>| items.into_iter().map(Ok::<_, Infallible>).collect());
    assert_eq!(build().max_items(0).build().unwrap_err(), BuildError::Zero("max_items"));
    assert_eq!(build().in_flight(0).build().unwrap_err(), BuildError::Zero("in_flight"));
    assert_eq!(build().queue(0).build().unwrap_err(), BuildError::Zero("queue"));
    assert!(matches!(build().queue(usize::MAX).build(), Err(BuildError::QueueTooLong { .. })));
    let forever = build().max_wait(Duration::MAX).max_items(1).build().unwrap();
    assert_eq!(forever.submit_blocking(1), Ok(1));
}

#[test]
fn a_full_queue_gives_the_item_back() {
    let gate = Gate::new();
    let batcher = gated(&gate).queue(2).max_items(1).build().unwrap();
    let first = batcher.try_submit(0).unwrap();
    gate.entered.wait_blocking();
    let second = batcher.try_submit(1).unwrap();
    let third = batcher.try_submit(2).unwrap();
    assert_eq!(batcher.try_submit(3).unwrap_err(), TrySubmitError::Full(3));
    assert_eq!(batcher.stats().queued, 2);
    assert_eq!(third.withdraw(), Some(2));
    let third = batcher.try_submit(4).unwrap();
    gate.open.set();
    assert_eq!(
        [first, second, third].map(|answer| answer.wait_blocking().unwrap()),
        [1, 2, 5],
        "the queue frees a place when an item is withdrawn or dispatched"
    );
    assert_eq!((batcher.stats().rejected, batcher.stats().withdrawn), (1, 1));
}

#[test]
fn those_who_wait_for_room_are_served_first_come_first_served() {
    let gate = Gate::new();
    let batcher = gated(&gate).queue(1).max_items(1).build().unwrap();
    let running = batcher.try_submit(0).unwrap();
    gate.entered.wait_blocking();
    let queued = batcher.try_submit(1).unwrap();
    let mut waiting: Vec<_> = (2..6).map(|n| Box::pin(batcher.submit(n))).collect();
    for future in &mut waiting {
        assert!(poll(future).is_pending());
    }
    assert!(matches!(batcher.try_submit(9), Err(TrySubmitError::Full(9))), "nobody overtakes the line");
    gate.open.set();
    running.wait_blocking().unwrap();
    queued.wait_blocking().unwrap();
    for future in waiting {
        block_on(future).unwrap();
    }
    assert_eq!(gate.seen(), [[0], [1], [2], [3], [4], [5]]);
}

#[test]
fn a_timeout_gives_back_what_did_not_run_and_says_what_does() {
    let clock = Clock::virtual_();
    let gate = Gate::new();
    let batcher = Arc::new(gated(&gate).queue(1).max_items(1).clock(clock.clone()).build().unwrap());
    let second = Duration::from_secs(1);
    let mut running = Box::pin(batcher.submit_timeout(0, second));
    assert!(poll(&mut running).is_pending());
    gate.entered.wait_blocking();
    let mut queued = Box::pin(batcher.submit_timeout(1, second));
    let mut at_the_door = Box::pin(batcher.submit_timeout(2, second));
    assert!(poll(&mut queued).is_pending() && poll(&mut at_the_door).is_pending());
    // The handler blocks outside of the clock's sight, so the time is moved beside it.
    let (told, tell) = mpsc::channel();
    std::thread::spawn({
        let clock = clock.clone();
        move || {
            clock.advance(second);
            told.send(()).unwrap();
        }
    });
    gate.open.set();
    tell.recv().unwrap();
    // Both outcomes are right for the first: it may have been answered before its second was over.
    assert!(matches!(block_on(running), Ok(1) | Err(SubmitError::TimedOutRunning)));
    drop((queued, at_the_door));
}

#[test]
fn an_item_that_times_out_in_the_queue_or_at_the_door_comes_back() {
    let clock = Clock::virtual_();
    let batcher = Batcher::builder_async({
        let clock = clock.clone();
        move |items: Vec<u32>| {
            let sleep = clock.sleep(Duration::from_secs(10));
            async move {
                sleep.await;
                items.into_iter().map(Ok::<_, Infallible>).collect()
            }
        }
    })
    .max_items(1)
    .queue(1)
    .clock(clock.clone())
    .build()
    .unwrap();
    let second = Duration::from_secs(1);
    let mut running = Box::pin(batcher.submit_timeout(0, second));
    assert!(poll(&mut running).is_pending());
    clock.settle();
    let mut queued = Box::pin(batcher.submit_timeout(1, second));
    let mut at_the_door = Box::pin(batcher.submit_timeout(2, second));
    assert!(poll(&mut queued).is_pending() && poll(&mut at_the_door).is_pending());
    clock.advance(second);
    assert_eq!(block_on(running), Err(SubmitError::TimedOutRunning));
    assert_eq!(block_on(at_the_door), Err(SubmitError::TimedOut(2)));
    assert_eq!(block_on(queued), Err(SubmitError::TimedOut(1)));
    assert_eq!(batcher.submit_blocking_timeout(3, Duration::ZERO), Err(SubmitError::TimedOut(3)));
    clock.advance(Duration::from_secs(9));
    assert_eq!(batcher.stats().succeeded, 1, "the running batch ran to its end");
}

#[test]
fn a_spawner_runs_the_batches() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let batcher = Batcher::builder_async(|items: Vec<u32>| async move {
        // Needs the runtime that it runs on.
        tokio::task::yield_now().await;
        assert!(tokio::runtime::Handle::try_current().is_ok());
        items.into_iter().map(|n| Ok::<_, Infallible>(n + 1)).collect()
    })
    .in_flight(3)
    .max_items(2)
    .spawner(ropewalk_sync::Tokio::new(runtime.handle().clone()))
    .build()
    .unwrap();
    std::thread::scope(|scope| {
        for n in 0..50 {
            let batcher = &batcher;
            scope.spawn(move || assert_eq!(batcher.submit_blocking(n), Ok(n + 1)));
        }
    });
    batcher.close_blocking();
    assert_eq!(batcher.stats().succeeded, 50);
}

#[test]
fn a_spawned_batcher_still_keeps_its_longest_wait() {
    let clock = Clock::virtual_();
    let batcher = Arc::new(
        Batcher::builder(|items: Vec<u32>| items.into_iter().map(Ok::<_, Infallible>).collect())
            .max_wait(Duration::from_secs(1))
            .in_flight(2)
            .spawner(ropewalk_sync::Threads::new(&clock))
            .clock(clock.clone())
            .build()
            .unwrap(),
    );
    for round in 0..3 {
        let (tx, rx) = mpsc::channel();
        let submitter = batcher.clone();
        let _job = Background::thread("submitter", &clock, async move {
            tx.send(submitter.submit(round).await).unwrap();
        });
        clock.advance(Duration::from_millis(999));
        assert!(rx.try_recv().is_err());
        clock.advance(Duration::from_millis(1));
        assert_eq!(rx.recv().unwrap(), Ok(round));
    }
}
