use Status::*;
use ropewalk_graph::*;

/// Two dependencies that end as given, in this order; how the task stands in the end.
fn after_two(rule: TriggerRule, first: Outcome, second: Outcome) -> Status {
    let graph = Graph::new();
    let [a, b] = ["a", "b"].map(|name| graph.add(Task::new(name)));
    let task = graph.add(Task::new("task").after_all([a, b]).rule(rule));
    assert_eq!(graph.status(task), Ok(Pending));
    graph.finish(a, first).unwrap();
    graph.finish(b, second).unwrap();
    graph.status(task).unwrap()
}

#[test]
fn every_rule_for_every_pair_of_outcomes() {
    use Outcome::{Cancelled as X, Completed as C, Failed as F, Skipped as S};
    use TriggerRule::*;
    type Row = (Outcome, Outcome, Status);
    let table: [(TriggerRule, &[Row]); 5] = [
        (AllSucceeded, &[(C, C, Ready), (C, F, Skipped), (S, C, Skipped), (X, C, Skipped)]),
        (AllDone, &[(C, C, Ready), (F, F, Ready), (S, X, Ready)]),
        (OneSucceeded, &[(C, F, Ready), (F, C, Ready), (F, F, Skipped), (S, S, Skipped)]),
        (NoneFailed, &[(C, S, Ready), (S, S, Ready), (C, F, Skipped), (X, C, Skipped)]),
        (OneFailed, &[(C, F, Ready), (X, C, Ready), (C, C, Skipped), (S, C, Skipped)]),
    ];
    for (rule, rows) in table {
        for &(first, second, expected) in rows {
            assert_eq!(after_two(rule, first, second), expected, "{rule:?} {first:?} {second:?}");
            assert_eq!(after_two(rule, second, first), expected, "{rule:?} {second:?} {first:?}");
        }
    }
}

#[test]
fn early_rules_do_not_wait() {
    let graph = Graph::new();
    let [a, b] = ["a", "b"].map(|name| graph.add(Task::new(name)));
    let any = graph.add(Task::new("any").after_all([a, b]).rule(TriggerRule::OneSucceeded));
    let rescue = graph.add(Task::new("rescue").after_all([a, b]).rule(TriggerRule::OneFailed));
    assert_eq!(graph.complete(a).unwrap(), [any]);
    assert_eq!(graph.fail(b).unwrap().ready, [rescue]);
}

#[test]
fn failure_skips_down_the_line_and_spares_the_rest() {
    let graph = Graph::new();
    let a = graph.add(Task::new("a"));
    let b = graph.add(Task::new("b").after(a));
    let c = graph.add(Task::new("c").after(b));
    let clean = graph.add(Task::new("clean").after(c).rule(TriggerRule::AllDone));
    let picky = graph.add(Task::new("picky").after(c).rule(TriggerRule::NoneFailed));
    let other = graph.add(Task::new("other"));
    let effects = graph.fail(a).unwrap();
    assert_eq!(effects.ready, [clean]);
    assert_eq!(effects.skipped.len(), 3);
    assert_eq!(graph.status(picky), Ok(Skipped), "a skip for a bad reason is bad");
    assert_eq!(graph.status(other), Ok(Ready));
}

#[test]
fn a_skip_without_a_bad_reason_is_not_bad() {
    let graph = Graph::new();
    let a = graph.add(Task::new("a"));
    let b = graph.add(Task::new("b").after(a));
    let c = graph.add(Task::new("c").after(b).rule(TriggerRule::NoneFailed));
    let effects = graph.finish(a, Outcome::Skipped).unwrap();
    assert_eq!((effects.skipped, effects.ready), (vec![b], vec![c]));
}

#[test]
fn free_dependents_go_on_by_graph_or_task_policy() {
    let graph = Graph::builder().on_failure(FailurePolicy::FreeDependents).build().unwrap();
    let a = graph.add(Task::new("a"));
    let b = graph.add(Task::new("b").after(a).on_failure(FailurePolicy::SkipDependents));
    let c = graph.add(Task::new("c").after(b));
    assert_eq!(graph.fail(a).unwrap().ready, [b]);
    assert_eq!(graph.status(a), Ok(Failed));
    assert_eq!(graph.fail(b).unwrap().skipped, [c]);
}

#[test]
fn fail_fast_cancels_everything_else() {
    let graph = Graph::builder().on_failure(FailurePolicy::FailFast).build().unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| graph.add(Task::new(name)));
    let d = graph.add(Task::new("d").after(c));
    let running = graph.start(b).unwrap();
    let effects = graph.fail(a).unwrap();
    assert_eq!(effects.asked, [b]);
    assert_eq!(effects.cancelled.len(), 2);
    assert_eq!(graph.status(d), Ok(Cancelled));
    assert!(graph.is_cancel_requested(b).unwrap());
    // It decides how it ends; a failure after the request is a cancellation.
    graph.fail(running).unwrap();
    assert_eq!(graph.status(b), Ok(Cancelled));
    assert!(graph.is_finished());
}

#[test]
fn cancel_follows_rules_cancel_tree_does_not() {
    for tree in [false, true] {
        let graph = Graph::new();
        let a = graph.add(Task::new("a"));
        let b = graph.add(Task::new("b").after(a));
        let clean = graph.add(Task::new("clean").after(b).rule(TriggerRule::AllDone));
        let other = graph.add(Task::new("other"));
        if tree {
            graph.cancel_tree(a).unwrap()
        } else {
            graph.cancel(a).unwrap()
        };
        assert_eq!(graph.status(a), Ok(Cancelled));
        assert_eq!(graph.status(b), Ok(if tree { Cancelled } else { Skipped }));
        assert_eq!(graph.status(clean), Ok(if tree { Cancelled } else { Ready }));
        assert_eq!(graph.status(other), Ok(Ready));
    }
}

#[test]
fn a_cancelled_runner_may_still_complete_and_does_not_retry() {
    let graph = Graph::new();
    let a = graph.add(Task::new("a"));
    let b = graph.add(Task::new("b").after(a));
    let claim = graph.start(a).unwrap();
    assert_eq!(graph.cancel(a).unwrap().asked, [a]);
    assert_eq!(graph.cancel(a).unwrap(), Effects::default());
    assert!(matches!(graph.retry(claim), Err(ChangeError::CancelRequested { .. })));
    assert_eq!(graph.complete(claim).unwrap(), [b]);
}
