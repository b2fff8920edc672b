use proptest::prelude::*;
use ropewalk_measure::{Counter, FloatGauge, Gauge};
use std::cell::RefCell;
use std::sync::Barrier;

#[test]
fn counts_of_many_threads_add_up() {
    let counter = Counter::new();
    let start = Barrier::new(8);
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                start.wait();
                for n in 0..10_000 {
                    counter.add(n % 3);
                    counter.incr();
                }
            });
        }
    });
    assert_eq!(counter.value(), 8 * (10_000 + 9_999));
}

#[test]
fn values_never_shrink_for_a_reader() {
    let counter = Counter::new();
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| (0..20_000).for_each(|_| counter.incr()));
        }
        let mut before = 0;
        while before < 60_000 {
            let now = counter.value();
            assert!(now >= before, "{now} after {before}");
            before = now;
        }
    });
}

#[test]
fn clones_count_together_and_wrap() {
    let counter = Counter::new();
    counter.clone().add(u64::MAX);
    counter.add(5);
    assert_eq!(counter.value(), 4);
    assert_eq!(format!("{counter:?}"), "Counter(4)");
}

#[test]
fn a_thread_counts_while_it_is_torn_down() {
    struct Last(Counter, Gauge);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.incr();
            self.1.add(7);
        }
    }
    thread_local! {
        static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
    }
    let (counter, gauge) = (Counter::new(), Gauge::new());
    for used_before in [true, false] {
        let (counter, gauge) = (counter.clone(), gauge.clone());
        let thread = std::thread::spawn(move || {
            LAST.with(|last| *last.borrow_mut() = Some(Last(counter.clone(), gauge)));
            if used_before {
                counter.incr();
            }
        });
        thread.join().unwrap();
    }
    assert_eq!((counter.value(), gauge.value()), (3, 14));
}

#[test]
fn the_peak_of_many_threads_is_reached() {
    let gauge = Gauge::new();
    let start = Barrier::new(4);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..1_000 {
                    gauge.add(1);
                    start.wait();
                    // All four are up now, and their adds have returned.
                    assert_eq!(gauge.peak(), 4);
                    start.wait();
                    gauge.sub(1);
                    start.wait();
                }
            });
        }
    });
    assert_eq!((gauge.value(), gauge.peak()), (0, 4));
}

#[test]
fn gauges_wrap_rather_than_panic() {
    let gauge = Gauge::new();
    gauge.set(i64::MAX);
    gauge.add(1);
    assert_eq!(gauge.value(), i64::MIN);
    gauge.set(0);
    gauge.sub(i64::MIN);
    assert_eq!(gauge.value(), i64::MIN);
    assert_eq!(gauge.peak(), i64::MAX);
}

#[test]
fn float_gauge_loses_no_add() {
    let gauge = FloatGauge::new();
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| (0..5_000).for_each(|_| gauge.add(0.5)));
        }
    });
    assert_eq!(gauge.value(), 10_000.0);
    gauge.set(f64::NAN);
    assert!(gauge.value().is_nan());
}

proptest! {
    #[test]
    fn a_gauge_is_a_number_with_a_maximum(moves in prop::collection::vec((0..3, -1_000_i64..1_000), 0..50)) {
        let gauge = Gauge::new();
        let (mut value, mut peak) = (0_i64, 0_i64);
        for (kind, n) in moves {
            match kind {
                0 => { gauge.set(n); value = n; }
                1 => { gauge.add(n); value += n; }
                _ => { gauge.sub(n); value -= n; }
            }
            peak = peak.max(value);
            prop_assert_eq!((gauge.value(), gauge.peak()), (value, peak));
        }
    }
}
