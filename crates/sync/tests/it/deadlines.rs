//! One timer for a line of deadlines.

use ropewalk_sync::{Clock, Deadlines};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

const SECOND: Duration = Duration::from_secs(1);

/// Deadlines that wait, and those that were met with the instant at which they were.
#[derive(Default)]
struct Line {
    waiting: Mutex<BTreeSet<(Instant, usize)>>,
    met: Mutex<Vec<(usize, Instant)>>,
    calls: AtomicUsize,
}

impl Line {
    fn due(&self, now: Instant) -> Option<Instant> {
        self.calls.fetch_add(1, SeqCst);
        let mut waiting = self.waiting.lock().unwrap();
        while let Some(&(at, name)) = waiting.first().filter(|&&(at, _)| at <= now) {
            waiting.remove(&(at, name));
            self.met.lock().unwrap().push((name, now));
        }
        waiting.first().map(|&(at, _)| at)
    }

    fn names(&self) -> Vec<usize> {
        self.met.lock().unwrap().iter().map(|&(name, _)| name).collect()
    }
}

fn line(clock: &Clock) -> (Arc<Line>, Deadlines) {
    let line = Arc::new(Line::default());
    let theirs = line.clone();
    (line, Deadlines::new(clock, move |now| theirs.due(now)))
}

fn set(line: &Line, deadlines: &Deadlines, name: usize, at: Option<Instant>) {
    line.waiting.lock().unwrap().insert((at.unwrap(), name));
    deadlines.by(at);
}

#[test]
fn each_deadline_is_met_and_one_timer_serves_all() {
    let clock = Clock::virtual_();
    let start = clock.now();
    let (line, deadlines) = line(&clock);
    for name in 1..=100 {
        set(&line, &deadlines, name, clock.deadline(SECOND * name as u32));
    }
    assert_eq!(line.calls.load(SeqCst), 0);
    clock.advance(100 * SECOND);
    assert_eq!(line.names(), (1..=100).collect::<Vec<_>>());
    let met = line.met.lock().unwrap().clone();
    assert!(met.iter().all(|&(name, at)| at == start + SECOND * name as u32), "each at its time");
    assert_eq!((line.calls.load(SeqCst), clock.next_deadline()), (100, None), "and no timer is left");
}

#[test]
fn an_earlier_one_moves_the_timer_and_one_that_has_passed_is_met_at_once() {
    let clock = Clock::virtual_();
    let (line, deadlines) = line(&clock);
    set(&line, &deadlines, 3, clock.deadline(3 * SECOND));
    set(&line, &deadlines, 1, clock.deadline(SECOND));
    set(&line, &deadlines, 2, clock.deadline(2 * SECOND));
    set(&line, &deadlines, 0, Some(clock.now()));
    assert_eq!(line.names(), [0]);
    deadlines.by(None);
    clock.advance(3 * SECOND);
    assert_eq!(line.names(), [0, 1, 2, 3]);
}

#[test]
fn a_panic_in_due_is_caught_and_the_next_call_sets_the_timer_again() {
    let clock = Clock::virtual_();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let deadlines = Deadlines::new(&clock, move |_| {
        assert!(counted.fetch_add(1, SeqCst) > 0, "the first");
        None
    });
    deadlines.by(clock.deadline(SECOND));
    clock.advance(SECOND);
    assert_eq!((calls.load(SeqCst), clock.next_deadline()), (1, None));
    deadlines.by(clock.deadline(SECOND));
    clock.advance(SECOND);
    assert_eq!(calls.load(SeqCst), 2);
}

#[test]
fn dropped_it_calls_nothing_any_more() {
    let clock = Clock::virtual_();
    let (line, deadlines) = line(&clock);
    set(&line, &deadlines, 1, clock.deadline(SECOND));
    assert!(format!("{deadlines:?}").contains("1s"));
    drop(deadlines);
    assert_eq!((clock.next_deadline(), Arc::strong_count(&line)), (None, 1), "the timer keeps nothing");
    clock.advance(SECOND);
    assert!(line.names().is_empty());
}

#[test]
fn deadlines_set_by_many_threads_beside_a_moving_clock_are_all_met() {
    let clock = Clock::virtual_();
    let (line, deadlines) = line(&clock);
    let at_work = AtomicUsize::new(4);
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let (line, deadlines, clock, at_work) = (&line, &deadlines, &clock, &at_work);
            scope.spawn(move || {
                for n in 0..500_usize {
                    let after = Duration::from_millis((n * 7 + thread * 3) as u64 % 50);
                    set(line, deadlines, thread * 500 + n, clock.deadline(after));
                }
                at_work.fetch_sub(1, SeqCst);
            });
        }
        while at_work.load(SeqCst) > 0 {
            clock.advance(Duration::from_millis(1));
        }
    });
    clock.advance(Duration::from_millis(50));
    let mut names = line.names();
    names.sort_unstable();
    assert_eq!(names, (0..2_000).collect::<Vec<_>>());
    assert_eq!(clock.next_deadline(), None);
}
