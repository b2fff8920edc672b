//! Moving traffic over, and back.

use ropewalk_balance::{
    AdvanceError, BuildError, Draw, Outcome, Rollout, RolloutCause, RolloutPhase, Side, Target,
};
use ropewalk_sync::Clock;
use std::time::Duration;

#[test]
fn keys_move_once_and_in_proportion() {
    let rollout = Rollout::new(0, 1);
    let sides = |r: &Rollout<i32>| (0..10_000).map(|k| r.route(&k).side()).collect::<Vec<_>>();
    let mut before = vec![Side::Old; 10_000];
    for percent in [10, 50, 100] {
        assert_eq!(rollout.percent(), percent);
        let now = sides(&rollout);
        assert_eq!(now, sides(&rollout), "a key stays where it is");
        let new = now.iter().filter(|s| **s == Side::New).count();
        assert!(new.abs_diff(percent as usize * 100) < 200, "{new} at {percent} %");
        assert!(before.iter().zip(&now).all(|(b, n)| *b == Side::Old || *n == Side::New), "and never back");
        before = now;
        let _ = rollout.advance();
    }
    let other = Rollout::builder(0, 1).seed(99).build().unwrap();
    assert_ne!(sides(&other), sides(&Rollout::new(0, 1)));
}

#[test]
fn draws_are_in_proportion_and_repeat() {
    let run = |seed| {
        let rollout = Rollout::builder((), ()).seed(seed).build().unwrap();
        (0..10_000).map(|_| rollout.draw().side()).collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    let new = run(1).iter().filter(|s| **s == Side::New).count();
    assert!(new.abs_diff(1_000) < 150, "{new}");
}

#[test]
fn steps_forward_and_back_are_on_record() {
    let clock = Clock::virtual_();
    let rollout = Rollout::builder("old", 2).clock(clock.clone()).build().unwrap();
    assert_eq!(rollout.advance(), Ok(50));
    clock.advance(Duration::from_secs(60));
    assert_eq!(rollout.advance(), Ok(100));
    assert_eq!(rollout.advance(), Err(AdvanceError::Complete));
    assert!(matches!(rollout.route("any").target(), Target::New(2)));
    rollout.rollback();
    rollout.rollback();
    assert_eq!((rollout.percent(), rollout.phase()), (0, RolloutPhase::RolledBack));
    assert!(matches!(rollout.draw().target(), Target::Old(&"old")));
    assert_eq!(rollout.advance(), Err(AdvanceError::RolledBack));
    rollout.restart();
    assert_eq!(rollout.percent(), 10);
    let history = rollout.history();
    let changes = history.iter().map(|e| (e.from, e.to, e.cause)).collect::<Vec<_>>();
    assert_eq!(
        changes,
        [
            (0, 10, RolloutCause::Started),
            (10, 50, RolloutCause::Advanced),
            (50, 100, RolloutCause::Advanced),
            (100, 0, RolloutCause::RolledBack),
            (0, 10, RolloutCause::Started),
        ]
    );
    assert_eq!(history[2].at - history[1].at, Duration::from_secs(60));
}

/// Sends `n` requests that fail with these probabilities; tells after how many it went back.
fn send(rollout: &Rollout<f64>, n: usize, draw: &mut Draw) -> Option<usize> {
    for i in 0..n {
        let route = rollout.draw();
        let failed = (draw.bits() as f64) < *route.get() * u64::MAX as f64;
        route.complete(if failed { Outcome::Failure } else { Outcome::Success });
        if rollout.phase() == RolloutPhase::RolledBack {
            return Some(i);
        }
    }
    None
}

#[test]
fn a_worse_one_goes_back_by_itself() {
    for (old, new, within) in [(0.01, 0.2, 1_500), (0.05, 0.5, 1_000), (0.0, 1.0, 200)] {
        for seed in 0..20 {
            let rollout = Rollout::builder(old, new).seed(seed).build().unwrap();
            let after = send(&rollout, within, &mut Draw::new(seed, 1));
            assert!(after.is_some(), "{old} -> {new}: not within {within}: {:?}", rollout.evidence());
            let last = rollout.history().pop().unwrap();
            assert_eq!((last.to, last.cause), (0, RolloutCause::WorseThanOld));
            assert!(last.evidence.worse >= 100.0 && last.evidence.new.failures > 0);
        }
    }
}

#[test]
fn an_equal_one_goes_back_as_rarely_as_promised() {
    // 600 rollouts of 3,000 requests at a significance of 5 %, looked at after each: 30 expected at most.
    let mut back = 0;
    for seed in 0..600 {
        let rollout = Rollout::builder(0.1, 0.1).significance(0.05).seed(seed).build().unwrap();
        let mut draw = Draw::new(seed, 7);
        back += usize::from(send(&rollout, 1_000, &mut draw).is_some());
        if rollout.advance().is_ok() {
            back += usize::from(send(&rollout, 2_000, &mut draw).is_some());
        }
    }
    assert!(back <= 40, "{back} of 600");
}

#[test]
fn a_better_one_never_looks_worse() {
    for seed in 0..50 {
        let rollout = Rollout::builder(0.3, 0.1).significance(0.05).seed(seed).build().unwrap();
        assert_eq!(send(&rollout, 2_000, &mut Draw::new(seed, 3)), None);
    }
}

#[test]
fn a_late_change_for_the_worse_is_seen() {
    let rollout = Rollout::builder(0.1, 0.1).steps([50, 100]).significance(0.001).build().unwrap();
    let mut draw = Draw::new(5, 5);
    assert_eq!(send(&rollout, 20_000, &mut draw), None);
    for i in 0..1_000 {
        let route = rollout.draw();
        let fails = route.side() == Side::New || draw.below(10) == 0;
        route.complete(if fails { Outcome::Failure } else { Outcome::Success });
        if rollout.percent() == 0 {
            assert!(i < 200, "{i}");
            return;
        }
    }
    panic!("a thousand good requests of the past outweigh the present: {:?}", rollout.evidence());
}

#[test]
fn a_ceiling_holds_where_there_is_no_old_side() {
    let rollout = Rollout::builder(0.0, 0.3).steps([100]).max_error_rate(0.05).build().unwrap();
    assert!(send(&rollout, 500, &mut Draw::new(1, 1)).is_some());
    assert_eq!(rollout.history().pop().unwrap().cause, RolloutCause::AboveCeiling);
    let fine = Rollout::builder(0.0, 0.03).steps([100]).max_error_rate(0.05).build().unwrap();
    assert_eq!(send(&fine, 5_000, &mut Draw::new(1, 1)), None);
    let blind = Rollout::builder(0.0, 0.9).steps([100]).build().unwrap();
    assert_eq!(send(&blind, 500, &mut Draw::new(1, 1)), None);
}

#[test]
fn enough_good_requests_take_the_next_step() {
    let rollout = Rollout::builder(0.0, 0.0).auto_advance(50).build().unwrap();
    let mut draw = Draw::new(1, 1);
    send(&rollout, 2_000, &mut draw);
    assert_eq!(rollout.percent(), 100);
    let steps = rollout.history().iter().map(|e| (e.to, e.cause)).collect::<Vec<_>>();
    assert_eq!(
        steps,
        [(10, RolloutCause::Started), (50, RolloutCause::AutoAdvanced), (100, RolloutCause::AutoAdvanced),]
    );
    let history = rollout.history();
    assert_eq!(history[1].evidence.new.requests, 50);
    assert_eq!(history[2].evidence.new.requests, 100);
}

#[test]
fn outcomes_of_an_earlier_test_do_not_count() {
    let rollout = Rollout::builder((), ()).steps([50, 100]).build().unwrap();
    let old_routes = (0..100).map(|_| rollout.draw()).collect::<Vec<_>>();
    rollout.rollback();
    rollout.restart();
    for route in old_routes {
        let outcome = if route.side() == Side::New { Outcome::Failure } else { Outcome::Success };
        route.complete(outcome);
    }
    let evidence = rollout.evidence();
    assert_eq!((evidence.new.requests, evidence.new.failures, evidence.old.requests), (0, 0, 0));
    assert_eq!(rollout.percent(), 50);
    // Dropped routes do not count either.
    drop(rollout.draw());
    assert_eq!(rollout.evidence().old.requests + rollout.evidence().new.requests, 0);
}

#[test]
fn settings_are_checked() {
    let steps = |s: &[u32]| Rollout::builder(0, 1).steps(s).build().err();
    for bad in [&[][..], &[10], &[50, 10, 100], &[50, 50, 100], &[10, 100, 101]] {
        assert_eq!(steps(bad), Some(BuildError::Steps { steps: bad.to_vec() }));
    }
    assert!(steps(&[0, 100]).is_none());
    for bad in [0.0, 1.0, -1.0, f64::NAN] {
        assert!(matches!(
            Rollout::builder(0, 1).significance(bad).build().err(),
            Some(BuildError::Probability { .. })
        ));
        assert!(Rollout::builder(0, 1).max_error_rate(bad).build().is_err());
    }
    assert!(Rollout::builder(0, 1).auto_advance(0).build().is_err());
}

#[test]
fn many_threads_take_each_step_once_and_go_back_once() {
    let rollout = Rollout::builder(1, 2).auto_advance(50).build().unwrap();
    let run = |failures: bool| {
        std::thread::scope(|s| {
            for t in 0..4_u64 {
                let rollout = &rollout;
                s.spawn(move || {
                    for i in 0..2_000_u64 {
                        let route = rollout.route(&(t, i));
                        assert_eq!(*route.get() == 2, route.side() == Side::New);
                        let fails = failures && route.side() == Side::New;
                        route.complete(if fails { Outcome::Failure } else { Outcome::Success });
                    }
                });
            }
        });
    };
    run(false);
    let causes =
        |rollout: &Rollout<i32>| rollout.history().iter().map(|event| event.cause).collect::<Vec<_>>();
    let steps = [RolloutCause::Started, RolloutCause::AutoAdvanced, RolloutCause::AutoAdvanced];
    assert_eq!(causes(&rollout), steps);
    assert_eq!((rollout.percent(), rollout.phase()), (100, RolloutPhase::Running { step: 2 }));
    let counted = rollout.evidence();
    assert_eq!(counted.old.requests + counted.new.requests, 8_000);
    // Nobody is left on the old side to compare with, so begin again.
    rollout.restart();
    run(true);
    assert_eq!((rollout.percent(), rollout.phase()), (0, RolloutPhase::RolledBack));
    assert_eq!(causes(&rollout).iter().filter(|cause| **cause == RolloutCause::WorseThanOld).count(), 1);
}
