//! The cores under every interleaving, by loom:
//! `RUSTFLAGS="--cfg ropewalk_loom" cargo test -p ropewalk-measure --release --test models`.
#![cfg(ropewalk_loom)]

use ropewalk_measure::raw::cells::{Cells, Layout};
use ropewalk_measure::raw::float::Float;
use ropewalk_measure::raw::level::Level;
use ropewalk_measure::raw::stripes::Stripes;
use ropewalk_prove::sync::Arc;
use ropewalk_prove::{model, thread};

/// Cells for 0, 1, 2-3, and everything greater.
fn small_cells(stripes: usize) -> Cells {
    Cells::new(Layout::new(0).unwrap(), 4, stripes)
}

#[test]
fn counter_add_vs_add() {
    model(|| {
        let sum = Arc::new(Stripes::new(1));
        let other = sum.clone();
        let adder = thread::spawn(move || other.add(0, 1));
        let before = sum.add(5, 2);
        let theirs = adder.join().unwrap();
        assert_eq!(sum.sum(), 3);
        // The old values put the two adds into one order.
        assert!((before, theirs) == (0, 2) || (before, theirs) == (1, 0));
    });
}

#[test]
fn counter_value_vs_add() {
    model(|| {
        let sum = Arc::new(Stripes::new(2));
        let (left, right) = (sum.clone(), sum.clone());
        let left = thread::spawn(move || left.add(0, 1));
        let right = thread::spawn(move || right.add(1, 2));
        let first = sum.sum();
        let second = sum.sum();
        assert!(first <= second && second <= 3);
        left.join().unwrap();
        right.join().unwrap();
        assert_eq!(sum.sum(), 3);
    });
}

#[test]
fn gauge_add_vs_add() {
    model(|| {
        let level = Arc::new(Level::new(0));
        let other = level.clone();
        let thread = thread::spawn(move || {
            other.add(2);
            assert!(other.peak() >= 2, "the own add has returned");
            other.add(-2);
        });
        level.add(1);
        assert!(level.peak() >= 1);
        thread.join().unwrap();
        assert_eq!(level.now(), 1);
        assert!((2..=3).contains(&level.peak()), "no level above 3 was reached");
    });
}

#[test]
fn gauge_set_vs_add() {
    model(|| {
        let level = Arc::new(Level::new(0));
        let other = level.clone();
        let thread = thread::spawn(move || other.set(5));
        level.add(1);
        thread.join().unwrap();
        let (now, peak) = (level.now(), level.peak());
        assert!((now, peak) == (5, 5) || (now, peak) == (6, 6), "{now} {peak}");
    });
}

#[test]
fn float_gauge_add_vs_add() {
    model(|| {
        let level = Arc::new(Float::new(0.0));
        let other = level.clone();
        let thread = thread::spawn(move || other.add(0.5));
        level.add(0.25);
        thread.join().unwrap();
        assert_eq!(level.now(), 0.75);
    });
}

#[test]
fn float_gauge_set_vs_add() {
    model(|| {
        let level = Arc::new(Float::new(0.0));
        let other = level.clone();
        let thread = thread::spawn(move || other.set(5.0));
        level.add(1.0);
        thread.join().unwrap();
        assert!(level.now() == 5.0 || level.now() == 6.0, "{}", level.now());
    });
}

#[test]
fn histogram_record_vs_record() {
    model(|| {
        let cells = Arc::new(small_cells(1));
        let other = cells.clone();
        let thread = thread::spawn(move || other.record(0, 3, 1));
        cells.record(0, 2, 2);
        thread.join().unwrap();
        let seen = cells.read();
        assert_eq!(seen.counts, [0, 0, 3, 0]);
        assert_eq!((seen.sum, seen.least, seen.greatest), (7, 2, 3));
    });
}

#[test]
fn histogram_record_vs_record_over_the_carry() {
    model(|| {
        let cells = Arc::new(small_cells(1));
        let other = cells.clone();
        let thread = thread::spawn(move || other.record(0, u64::MAX, 1));
        cells.record(0, u64::MAX, 1);
        thread.join().unwrap();
        assert_eq!(cells.read().sum, 2 * u128::from(u64::MAX));
    });
}

#[test]
fn histogram_snapshot_vs_record() {
    model(|| {
        let cells = Arc::new(small_cells(2));
        let other = cells.clone();
        let thread = thread::spawn(move || {
            other.record(1, 1, 1);
            other.record(1, 9, 1);
        });
        let seen = cells.read();
        let counted: u128 = u128::from(seen.counts[1]) + 9 * u128::from(seen.counts[3]);
        assert!(seen.sum >= counted, "what is counted is in the sum");
        if seen.counts[1] == 1 {
            assert_eq!(seen.least, 1);
        }
        if seen.counts[3] == 1 {
            assert_eq!(seen.greatest, 9);
        }
        thread.join().unwrap();
        assert_eq!((cells.count(), cells.read().sum), (2, 10));
    });
}

#[path = "models/progress.rs"]
mod progress;
