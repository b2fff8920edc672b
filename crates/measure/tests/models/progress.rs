//! Steps and progress of the recorders.

use super::small_cells;
use ropewalk_measure::raw::{cells::Cells, float::Float, level::Level, stripes::Stripes};
use ropewalk_prove::{
    Explorer, History, Sequential, linearizable, lock_free, operation, sync::Arc, thread, wait_free,
};

/// One `mine` beside a thread that does `n` of `theirs`.
fn beside<T: Send + Sync + 'static>(
    make: fn() -> T,
    mine: fn(&T),
    theirs: fn(&T, usize),
) -> impl Fn(usize) -> Box<dyn Fn() + Send + Sync> {
    move |n| {
        Box::new(move || {
            let shared = Arc::new(make());
            let other = shared.clone();
            let t = thread::spawn(move || (0..n).for_each(|i| theirs(&other, i)));
            operation("one", || mine(&shared));
            t.join().unwrap();
        })
    }
}

#[test]
fn counter_add_vs_add_is_wait_free() {
    wait_free("one", beside(|| Stripes::new(1), |s| _ = s.add(0, 1), |s, _| _ = s.add(0, 1)));
}

#[test]
fn counter_value_vs_add_is_wait_free() {
    wait_free("one", beside(|| Stripes::new(2), |s| _ = s.sum(), |s, i| _ = s.add(i, 1)));
}

#[test]
fn gauge_now_vs_add_is_wait_free() {
    wait_free("one", beside(|| Level::new(0), |l| _ = l.now(), |l, _| l.add(1)));
}

#[test]
fn gauge_set_vs_add_is_lock_free() {
    // `fetch_max` is a loop of compare-exchanges on most machines, so no more is claimed.
    lock_free(|| {
        let level = Arc::new(Level::new(0));
        let other = level.clone();
        let t = thread::spawn(move || other.set(3));
        level.add(1);
        level.add(-1);
        t.join().unwrap();
        assert!(level.peak() >= 3);
    });
}

#[test]
fn gauge_add_vs_add_of_three_is_lock_free() {
    Explorer::new()
        .lock_free(|| {
            let level = Arc::new(Level::new(0));
            let threads: Vec<_> = [1, 2]
                .map(|by| {
                    let level = level.clone();
                    thread::spawn(move || level.add(by))
                })
                .into();
            level.add(4);
            threads.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!((level.now(), level.peak()), (7, 7));
        })
        .proved();
}

#[test]
fn float_gauge_add_vs_add_is_lock_free() {
    lock_free(|| {
        let level = Arc::new(Float::new(0.0));
        let other = level.clone();
        let t = thread::spawn(move || {
            other.add(0.5);
            other.add(0.5);
        });
        level.add(0.25);
        t.join().unwrap();
        assert_eq!(level.now(), 1.25);
    });
}

#[test]
fn control_float_gauge_add_is_not_wait_free() {
    let grows = Explorer::new()
        .spurious_failures(0)
        .wait_free("one", beside(|| Float::new(0.0), |f| f.add(1.0), |f, _| f.add(1.0)))
        .unwrap_err();
    assert_eq!(grows.steps, [3, 4, 5, 6]);
}

#[test]
fn float_gauge_set_vs_set_is_wait_free() {
    wait_free("one", beside(|| Float::new(0.0), |f| f.set(1.0), |f, i| f.set(i as f64)));
}

#[test]
fn histogram_record_vs_record_is_lock_free() {
    lock_free(|| {
        let cells = Arc::new(small_cells(1));
        let other = cells.clone();
        let t = thread::spawn(move || other.record(0, 3, 1));
        cells.record(0, 1, 1);
        t.join().unwrap();
        assert_eq!((cells.count(), cells.read().sum), (2, 4));
    });
}

#[test]
fn histogram_record_vs_record_takes_a_bounded_number_of_steps() {
    wait_free("one", beside(|| small_cells(1), |c| c.record(0, 2, 1), |c, i| c.record(0, i as u64, 1)));
}

#[test]
fn histogram_snapshot_vs_record_is_wait_free() {
    wait_free("one", beside(|| small_cells(1), |c| _ = c.read(), |c, i| c.record(0, i as u64, 1)));
}

#[test]
fn histogram_count_vs_record_is_wait_free() {
    wait_free("one", beside(|| small_cells(1), |c| _ = c.count(), |c, i| c.record(0, i as u64, 1)));
}

#[derive(Clone, Debug)]
enum Op {
    Add(i64),
    Set(i64),
    Now,
}

#[derive(Clone)]
struct Number(i64);

impl Sequential for Number {
    type Op = Op;
    type Return = i64;
    fn apply(&mut self, op: &Op) -> i64 {
        match op {
            Op::Add(by) => self.0 += by,
            Op::Set(to) => self.0 = *to,
            Op::Now => return self.0,
        }
        0
    }
}

#[test]
fn gauge_set_vs_add_vs_now_is_linearizable() {
    linearizable(Number(0), |history: &History<Number>| {
        let level = Arc::new(Level::new(0));
        let (theirs, h) = (level.clone(), history.clone());
        let t = thread::spawn(move || {
            h.call(Op::Add(2), || {
                theirs.add(2);
                0
            });
            h.call(Op::Now, || theirs.now());
        });
        history.call(Op::Set(5), || {
            level.set(5);
            0
        });
        history.call(Op::Now, || level.now());
        t.join().unwrap();
    });
}

#[test]
#[should_panic(expected = "not linearizable")]
fn control_a_striped_sum_is_not_linearizable() {
    // The reader passes the first stripe, one add lands there, another on the second, which it then reads.
    linearizable(Number(0), |history: &History<Number>| {
        let sum = Arc::new(Stripes::new(2));
        let (theirs, h) = (sum.clone(), history.clone());
        let t = thread::spawn(move || {
            for (stripe, by) in [(0, 1), (1, 2)] {
                h.call(Op::Add(by), || {
                    theirs.add(stripe, by as u64);
                    0
                });
            }
        });
        history.call(Op::Now, || sum.sum() as i64);
        t.join().unwrap();
    });
}

#[test]
fn counter_wide_sum_vs_add_is_wait_free() {
    let look = |s: &Stripes| {
        assert!(s.len() == 2 && !s.is_empty());
        s.wide_sum();
    };
    wait_free("one", beside(|| Stripes::new(2), look, |s, i| _ = s.add(i, u64::MAX)));
}

#[test]
fn gauge_peak_vs_add_is_wait_free() {
    wait_free("one", beside(|| Level::new(0), |l| assert!(l.peak() >= 0), |l, _| l.add(1)));
}

#[test]
fn float_gauge_now_vs_add_is_wait_free() {
    wait_free("one", beside(|| Float::new(0.0), |f| assert!(f.now() >= 0.0), |f, _| f.add(1.0)));
}

#[test]
fn histogram_read_by_layout_vs_record_is_wait_free() {
    // What a snapshot does: the cells are taken by their bounds, and none holds more than was summed.
    let look = |c: &Cells| {
        let (layout, seen) = (c.layout(), c.read());
        let least =
            seen.counts.iter().enumerate().map(|(i, n)| u128::from(layout.bounds(i).0 * n)).sum::<u128>();
        assert!(least <= seen.sum);
    };
    wait_free("one", beside(|| small_cells(1), look, |c, i| c.record(0, 1 + i as u64, 1)));
}
