//! Time that a test moves, and time that moves by itself.

use crate::{Woken, bomb, panics, poll, poll_with};
use ropewalk_sync::{Background, Clock, Elapsed, Event, block_on};
use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn virtual_time_stands_still_until_advanced() {
    let clock = Clock::virtual_();
    let start = clock.now();
    let mut sleep = clock.sleep(SECOND);
    assert!(poll(&mut sleep).is_pending());
    clock.advance(SECOND - Duration::from_nanos(1));
    assert!(poll(&mut sleep).is_pending());
    clock.advance(Duration::from_nanos(1));
    assert!(poll(&mut sleep).is_ready());
    assert_eq!(clock.now() - start, SECOND);
}

#[test]
fn a_worker_that_blocks_inside_of_its_job_is_idle_too() {
    let clock = Clock::virtual_();
    let inside = clock.clone();
    let job = Background::thread("nested", &clock, async move {
        // A batch that takes a pool's connection, say.
        inside.block_on(async { inside.block_on(inside.sleep(SECOND)) });
        inside.sleep(SECOND).await;
    });
    clock.settle();
    clock.advance(SECOND);
    assert!(!job.is_finished());
    clock.advance(SECOND);
    clock.settle();
    assert!(job.is_finished());
}

#[test]
fn timers_fire_in_the_order_of_their_deadlines() {
    let clock = Clock::virtual_();
    let fired = Arc::new(Mutex::new(Vec::new()));
    let jobs: Vec<_> = [3, 1, 2]
        .map(|n| {
            let (clock2, fired) = (clock.clone(), fired.clone());
            Background::thread("sleeper", &clock, async move {
                clock2.sleep(n * SECOND).await;
                fired.lock().unwrap().push(n);
            })
        })
        .into();
    clock.advance(3 * SECOND);
    assert_eq!(*fired.lock().unwrap(), [1, 2, 3]);
    assert!(jobs.iter().all(Background::is_finished));
}

#[test]
fn a_timer_armed_inside_the_stretch_fires_inside_it() {
    let clock = Clock::virtual_();
    let ticks = Arc::new(Mutex::new(0));
    let job = {
        let (clock2, ticks) = (clock.clone(), ticks.clone());
        Background::thread("ticker", &clock, async move {
            loop {
                clock2.sleep(SECOND).await;
                *ticks.lock().unwrap() += 1;
            }
        })
    };
    clock.advance(10 * SECOND);
    assert_eq!(*ticks.lock().unwrap(), 10);
    drop(job);
    assert_eq!(clock.next_deadline(), None, "a dropped sleep leaves no timer behind");
}

#[test]
fn huge_durations_mean_never() {
    let clock = Clock::virtual_();
    assert_eq!(clock.deadline(Duration::MAX), None);
    let mut sleep = clock.sleep(Duration::MAX);
    assert!(poll(&mut sleep).is_pending());
    assert_eq!(clock.next_deadline(), None);
}

#[test]
fn timeout_prefers_the_result_at_the_deadline() {
    let clock = Clock::virtual_();
    let event = Event::new();
    let mut bounded = Box::pin(clock.timeout(SECOND, event.wait()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(bounded.as_mut().poll(&mut cx).is_pending());
    event.set();
    clock.advance(SECOND);
    assert_eq!(bounded.as_mut().poll(&mut cx), std::task::Poll::Ready(Ok(())));

    event.reset();
    let mut late = Box::pin(clock.timeout(SECOND, event.wait()));
    assert!(late.as_mut().poll(&mut cx).is_pending());
    clock.advance(SECOND);
    assert_eq!(late.as_mut().poll(&mut cx), std::task::Poll::Ready(Err(Elapsed)));
}

#[test]
fn the_last_waker_of_a_sleep_is_the_one_woken() {
    let clock = Clock::virtual_();
    let (first, second) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    let mut sleep = clock.sleep(SECOND);
    for woken in [&first, &second] {
        let waker = Waker::from(woken.clone());
        assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    clock.advance(SECOND);
    assert_eq!((first.count(), second.count()), (0, 1));
}

#[test]
fn system_time_wakes_threads_by_its_own_timer_thread() {
    let clock = Clock::system();
    let before = clock.now();
    clock.block_on(clock.sleep(Duration::from_millis(2)));
    assert!(clock.now() - before >= Duration::from_millis(2));
    assert_eq!(clock.block_on_timeout(Duration::from_millis(1), std::future::pending::<()>()), Err(Elapsed));
}

#[test]
fn nested_block_on_does_not_swallow_the_outer_wake_up() {
    let event = Arc::new(Event::new());
    let outer = event.clone();
    block_on(async move {
        let setter = std::thread::spawn({
            let event = outer.clone();
            move || event.set()
        });
        block_on(async {});
        outer.wait().await;
        setter.join().unwrap();
    });
    assert!(event.is_set());
}

#[test]
#[should_panic(expected = "virtual clock")]
fn a_system_clock_is_not_moved_by_hand() {
    Clock::system().advance(SECOND);
}

#[test]
fn a_dropped_sleep_leaves_no_timer() {
    let clock = Clock::virtual_();
    let (mut early, mut late) = (clock.sleep(SECOND), clock.sleep(2 * SECOND));
    assert!(poll(&mut early).is_pending() && poll(&mut late).is_pending());
    assert_eq!(clock.next_deadline(), early.deadline());
    drop(early);
    assert_eq!(clock.next_deadline(), late.deadline());
    late.reset(clock.deadline(3 * SECOND));
    assert_eq!(clock.next_deadline(), None, "the next poll arms it");
    assert!(poll(&mut late).is_pending());
    assert_eq!(clock.next_deadline(), late.deadline());
    drop(late);
    assert_eq!(clock.next_deadline(), None);
}

#[test]
fn a_dropped_bound_drops_what_is_inside_and_its_timer() {
    let clock = Clock::virtual_();
    let inside = Arc::new(());
    let held = inside.clone();
    let mut bounded = Box::pin(clock.timeout(SECOND, async move {
        let _held = held;
        std::future::pending::<()>().await;
    }));
    assert!(poll(&mut bounded).is_pending());
    assert!(clock.next_deadline().is_some());
    drop(bounded);
    assert_eq!((clock.next_deadline(), Arc::strong_count(&inside)), (None, 1));
}

#[test]
fn a_panic_inside_a_bound_leaves_no_timer() {
    let clock = Clock::virtual_();
    let event = Event::new();
    let mut bounded = Box::pin(clock.timeout(SECOND, async {
        event.wait().await;
        std::panic::resume_unwind(Box::new("inside"));
    }));
    assert!(poll(&mut bounded).is_pending());
    event.set();
    assert!(panics(|| poll(&mut bounded)));
    drop(bounded);
    assert_eq!(clock.next_deadline(), None);
}

#[test]
fn a_panic_inside_block_on_leaves_no_busy_worker() {
    let clock = Clock::virtual_();
    assert!(panics(|| clock.block_on(async { std::panic::resume_unwind(Box::new("inside")) })));
    // Would wait for ever if this thread still counted.
    clock.settle();
    clock.advance(SECOND);
}

#[test]
fn a_thread_may_block_again_after_a_panic_inside() {
    assert!(panics(|| block_on(async { std::panic::resume_unwind(Box::new("inside")) })));
    let event = Arc::new(Event::new());
    let setter = std::thread::spawn({
        let event = event.clone();
        move || event.set()
    });
    block_on(event.wait());
    setter.join().unwrap();
}

#[test]
fn advances_of_many_threads_add_up() {
    let clock = Clock::virtual_();
    let start = clock.now();
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for _ in 0..100 {
                    let before = clock.now();
                    clock.advance(SECOND);
                    assert!(clock.now() >= before + SECOND);
                }
            });
        }
    });
    assert_eq!(clock.now() - start, 400 * SECOND);
}

#[test]
fn a_waker_that_panics_in_advance_leaves_the_clock_usable() {
    let clock = Clock::virtual_();
    let (mut rude, mut behind) = (clock.sleep(SECOND), clock.sleep(SECOND));
    assert!(poll_with(&mut rude, bomb()).is_pending() && poll(&mut behind).is_pending());
    assert!(panics(|| clock.advance(2 * SECOND)));
    // Woken or not, the time has come for both; and the clock goes on.
    assert!(poll(&mut rude).is_ready() && poll(&mut behind).is_ready());
    clock.advance(SECOND);
    assert_eq!(clock.next_deadline(), None);
}

#[test]
fn the_timer_thread_outlives_a_waker_that_panics() {
    let clock = Clock::system();
    let mut rude = clock.sleep(Duration::from_millis(1));
    assert!(poll_with(&mut rude, bomb()).is_pending());
    clock.block_on(clock.sleep(Duration::from_millis(3)));
    clock.block_on(clock.sleep(Duration::from_millis(1)));
}
