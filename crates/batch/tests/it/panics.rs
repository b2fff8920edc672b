use ropewalk_batch::{Batcher, SubmitError};
use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
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
