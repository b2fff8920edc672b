use proptest::prelude::*;
use ropewalk_measure::{BuildError, Ewma, Rate, Windowed};
use ropewalk_sync::Clock;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn rate(clock: &Clock) -> Rate {
    Rate::builder(6 * SECOND).parts(6).clock(clock.clone()).build().unwrap()
}

#[test]
fn events_leave_the_window() {
    let clock = Clock::virtual_();
    let rate = rate(&clock);
    rate.add(10);
    clock.advance(5 * SECOND);
    rate.add(2);
    assert_eq!(rate.count(), 12);
    clock.advance(SECOND);
    assert_eq!(rate.count(), 2);
    assert_eq!(rate.rate(), 2.0 / 5.0);
    clock.advance(5 * SECOND);
    assert_eq!((rate.count(), rate.total()), (0, 12));
}

#[test]
fn a_fresh_meter_divides_by_a_part_at_least() {
    let clock = Clock::virtual_();
    let rate = rate(&clock);
    rate.incr();
    assert_eq!(rate.rate(), 1.0);
}

proptest! {
    /// Against a list of events with their sub-window.
    #[test]
    fn the_window_is_the_last_parts(steps in prop::collection::vec((0..2_500_u64, 0..5_u64, any::<bool>()), 1..60)) {
        let clock = Clock::virtual_();
        let rate = Rate::builder(4 * SECOND).parts(4).clock(clock.clone()).build().unwrap();
        let wait = Windowed::builder(4 * SECOND).parts(4).precision(3).clock(clock.clone()).build().unwrap();
        let (mut now, mut events) = (0, Vec::new());
        for (ms, n, read) in steps {
            clock.advance(Duration::from_millis(ms));
            now += ms;
            rate.add(n);
            wait.record_n(now, n);
            events.push((now / 1_000, n));
            if read {
                let first = (now / 1_000 + 1).saturating_sub(4);
                let truth: u64 = events.iter().filter(|(at, _)| *at >= first).map(|(_, n)| n).sum();
                prop_assert_eq!(rate.count(), truth);
                prop_assert_eq!(wait.snapshot().count(), truth);
            }
        }
        prop_assert_eq!(wait.total().count(), rate.total());
    }
}

#[test]
fn quantiles_forget() {
    let clock = Clock::virtual_();
    let wait = Windowed::builder(60 * SECOND).clock(clock.clone()).build().unwrap();
    wait.record_n(1_000_000, 1_000);
    clock.advance(70 * SECOND);
    wait.record_duration(Duration::from_nanos(10));
    assert_eq!(wait.snapshot().quantile(1.0), Some(10));
    assert_eq!(wait.total().max(), Some(1_000_000));
    assert!((wait.rate() - 1.0 / 50.0).abs() < 0.003);
}

#[test]
fn years_of_silence_cost_nothing() {
    let clock = Clock::virtual_();
    let rate = Rate::builder(Duration::from_nanos(6)).clock(clock.clone()).build().unwrap();
    rate.incr();
    clock.advance(Duration::from_secs(3_600 * 24 * 365 * 100));
    assert_eq!(rate.count(), 0);
    rate.incr();
    assert_eq!((rate.count(), rate.total()), (1, 2));
}

#[test]
fn windows_without_time_are_refused() {
    assert_eq!(Rate::builder(Duration::ZERO).build().unwrap_err(), BuildError::Window);
    assert_eq!(Rate::builder(SECOND).parts(0).build().unwrap_err(), BuildError::Window);
    assert_eq!(Windowed::builder(Duration::from_nanos(3)).build().unwrap_err(), BuildError::Window);
    assert!(Windowed::builder(SECOND).precision(40).build().is_err());
    assert_eq!(Ewma::builder(Duration::ZERO).build().unwrap_err(), BuildError::Window);
    assert!(Rate::builder(Duration::MAX).build().is_ok());
}

#[test]
fn a_steady_rate_is_itself_however_often_it_is_read() {
    let clock = Clock::virtual_();
    let (often, rarely) = (
        Ewma::builder(10 * SECOND).clock(clock.clone()).build().unwrap(),
        Ewma::builder(10 * SECOND).clock(clock.clone()).build().unwrap(),
    );
    assert_eq!(often.rate(), 0.0);
    for _ in 0..50 {
        clock.advance(SECOND);
        often.mark(7);
        rarely.mark(7);
        assert!((often.rate() - 7.0).abs() < 1e-9);
    }
    assert!((rarely.rate() - 7.0).abs() < 1e-9);
}

#[test]
fn after_a_half_life_of_silence_half_is_left() {
    let clock = Clock::virtual_();
    let meter = Ewma::builder(10 * SECOND).clock(clock.clone()).build().unwrap();
    for _ in 0..500 {
        clock.advance(SECOND);
        meter.mark(100);
        meter.rate();
    }
    clock.advance(10 * SECOND);
    assert!((meter.rate() - 50.0).abs() < 1e-6);
    assert_eq!(meter.total(), 50_000);
}

#[test]
fn no_record_is_lost_over_turning_windows() {
    let clock = Clock::virtual_();
    let rate = Rate::builder(Duration::from_nanos(2)).parts(2).clock(clock.clone()).build().unwrap();
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| (0..3_000).for_each(|_| rate.incr()));
        }
        threads.spawn(|| {
            for _ in 0..3_000 {
                clock.advance(Duration::from_nanos(1));
                assert!(rate.count() <= 9_000);
            }
        });
    });
    assert_eq!(rate.total(), 9_000);
    clock.advance(SECOND);
    assert_eq!(rate.count(), 0);
}

#[test]
fn records_beside_a_mark_do_not_wait_and_are_not_lost() {
    let clock = Clock::virtual_();
    let wait = Windowed::builder(Duration::from_nanos(4))
        .parts(4)
        .precision(1)
        .clock(clock.clone())
        .build()
        .unwrap();
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| (0..2_000).for_each(|n| wait.record(n)));
        }
        threads.spawn(|| {
            for _ in 0..2_000 {
                clock.advance(Duration::from_nanos(1));
                let seen = wait.snapshot();
                assert!(seen.count() <= 6_000 && wait.rate() >= 0.0);
            }
        });
    });
    assert_eq!(wait.total().count(), 6_000);
    clock.advance(SECOND);
    assert!(wait.snapshot().is_empty());
}

#[test]
fn marks_and_readings_of_many_threads_lose_nothing() {
    let clock = Clock::virtual_();
    let meter = Ewma::builder(SECOND).clock(clock.clone()).build().unwrap();
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| (0..2_000).for_each(|_| meter.mark(1)));
            threads.spawn(|| {
                for _ in 0..200 {
                    clock.advance(Duration::from_millis(1));
                    let rate = meter.rate();
                    assert!(rate.is_finite() && rate >= 0.0, "{rate}");
                }
            });
        }
    });
    assert_eq!(meter.total(), 6_000);
    // What came after the last reading is folded in by the next.
    clock.advance(SECOND);
    assert!(meter.rate() > 0.0);
}
