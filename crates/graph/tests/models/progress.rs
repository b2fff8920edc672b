//! Steps and progress of a run's core.

use super::{DONE, Join};
use ropewalk_graph::raw::progress::Progress;
use ropewalk_prove::{Explorer, Witness, lock_free, model, operation, sync::Arc, thread, wait_free};

#[test]
fn progress_arrive_vs_arrive_is_lock_free() {
    lock_free(|| {
        let join = Join::new();
        let other = join.clone();
        let t = thread::spawn(move || {
            other.progress.set(1, DONE);
            other.progress.arrive(2)
        });
        join.progress.set(0, DONE);
        let last = join.progress.arrive(2);
        assert!(last ^ t.join().unwrap(), "one is the last");
    });
}

#[test]
fn progress_arrive_vs_arrive_is_wait_free() {
    wait_free("arrive", |n| {
        move || {
            let progress = Arc::new(Progress::new([n as u32 + 1].into_iter()));
            let other = progress.clone();
            let t = thread::spawn(move || (0..n).filter(|_| other.arrive(0)).count());
            let last = operation("arrive", || progress.arrive(0));
            assert_eq!(t.join().unwrap() + usize::from(last), 1);
        }
    });
}

#[test]
fn progress_claim_vs_claim_is_wait_free() {
    wait_free("claim", |n| {
        move || {
            let progress = Arc::new(Progress::new([1].into_iter()));
            let other = progress.clone();
            let t = thread::spawn(move || (0..n).filter(|_| other.claim(0)).count());
            let won = operation("claim", || progress.claim(0));
            assert_eq!(t.join().unwrap() + usize::from(won), 1);
        }
    });
}

#[test]
fn progress_outcome_vs_set_is_wait_free() {
    wait_free("outcome", |n| {
        move || {
            let progress = Arc::new(Progress::new([0].into_iter()));
            let other = progress.clone();
            let t = thread::spawn(move || (0..n).for_each(|_| other.set(0, DONE)));
            let seen = operation("outcome", || progress.outcome(0));
            assert!(seen == 0 || seen == DONE);
            t.join().unwrap();
        }
    });
}

/// A diamond: two in the middle wait for one, the last waits for both.
#[test]
fn progress_arrive_over_two_levels_publishes_the_first_body() {
    model(|| {
        let shared = Arc::new((Progress::new([0, 1, 1, 2].into_iter()), Witness::new()));
        let other = shared.clone();
        shared.1.write();
        shared.0.set(0, DONE);
        assert!(shared.0.arrive(1) && shared.0.arrive(2), "each waits for one");
        let finish = |shared: &(Progress, Witness), task: usize| {
            shared.1.read();
            shared.0.set(task, DONE);
            if !shared.0.arrive(3) {
                return false;
            }
            assert_eq!([shared.0.outcome(1), shared.0.outcome(2)], [DONE, DONE]);
            // Both have read it: the last may write.
            shared.1.write();
            true
        };
        let t = thread::spawn(move || finish(&other, 1));
        let last = finish(&shared, 2);
        assert!(last ^ t.join().unwrap());
    });
}

/// Three finish at once, and a rule that one success meets.
#[test]
fn progress_claim_vs_arrive_of_three_decides_once() {
    Explorer::new()
        .lock_free(|| {
            let progress = Arc::new(Progress::new([3].into_iter()));
            let finish = |progress: &Progress, succeeded: bool| {
                let early = succeeded && progress.claim(0);
                let late = progress.arrive(0) && progress.claim(0);
                usize::from(early) + usize::from(late)
            };
            let threads: Vec<_> = [true, false]
                .map(|succeeded| {
                    let progress = progress.clone();
                    thread::spawn(move || finish(&progress, succeeded))
                })
                .into();
            let mine = finish(&progress, false);
            let theirs: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
            assert_eq!(mine + theirs, 1, "decided exactly once");
        })
        .proved();
}

/// When nobody meets the rule, the last to arrive decides alone.
#[test]
fn progress_arrive_of_three_without_success_decides_once() {
    Explorer::new()
        .lock_free(|| {
            let progress = Arc::new(Progress::new([3].into_iter()));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let progress = progress.clone();
                    thread::spawn(move || progress.arrive(0) && progress.claim(0))
                })
                .collect();
            let mine = progress.arrive(0) && progress.claim(0);
            let decided = threads.into_iter().map(|t| t.join().unwrap()).filter(|&decided| decided).count();
            assert_eq!(decided + usize::from(mine), 1);
        })
        .proved();
}
