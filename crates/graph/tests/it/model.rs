//! The graph against a model that recomputes everything from scratch after each step.

use proptest::prelude::*;
use ropewalk_graph::*;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
enum Op {
    Add { deps: Vec<usize>, rule: usize, policy: usize, priority: usize },
    Depend(usize, usize),
    RemoveDependency(usize, usize),
    Remove(usize),
    Pop,
    Start(usize),
    Finish(usize, u8),
    Retry(usize),
    Block(usize),
    Unblock(usize),
    Cancel(usize),
    CancelTree(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let t = 0usize..12;
    prop_oneof![
        4 => (proptest::collection::vec(t.clone(), 0..3), 0usize..5, 0usize..8, 0usize..4)
            .prop_map(|(deps, rule, policy, priority)| Op::Add { deps, rule, policy, priority }),
        6 => (t.clone(), t.clone()).prop_map(|(a, b)| Op::Depend(a, b)),
        1 => (t.clone(), t.clone()).prop_map(|(a, b)| Op::RemoveDependency(a, b)),
        1 => t.clone().prop_map(Op::Remove),
        4 => Just(Op::Pop),
        1 => t.clone().prop_map(Op::Start),
        6 => (t.clone(), 0u8..8).prop_map(|(a, o)| Op::Finish(a, o)),
        1 => t.clone().prop_map(Op::Retry),
        1 => t.clone().prop_map(Op::Block),
        1 => t.clone().prop_map(Op::Unblock),
        1 => t.clone().prop_map(Op::Cancel),
        1 => t.prop_map(Op::CancelTree),
    ]
}

#[derive(Clone)]
struct M {
    status: Status,
    deps: BTreeSet<usize>,
    rule: usize,
    policy: usize,
    priority: Priority,
    asked: bool,
    tainted: bool,
    pardoned: bool,
    gone: bool,
}

#[derive(Default)]
struct Model(Vec<M>);

impl Model {
    fn alive(&self, t: usize) -> bool {
        t < self.0.len() && !self.0[t].gone
    }
    fn started(&self, t: usize) -> bool {
        self.0[t].status == Status::Running || self.0[t].status.is_finished()
    }
    /// Whether `from` waits for `to` through unfinished tasks.
    fn reaches(&self, from: usize, to: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut stack = vec![from];
        while let Some(v) = stack.pop() {
            if v == to {
                return true;
            }
            if seen.insert(v) {
                stack.extend(self.0[v].deps.iter().copied().filter(|&d| !self.0[d].status.is_finished()));
            }
        }
        false
    }
    fn cancel(&mut self, tasks: impl IntoIterator<Item = usize>) {
        for t in tasks {
            if self.0[t].status == Status::Running {
                self.0[t].asked = true;
            } else if !self.0[t].status.is_finished() {
                self.0[t].status = Status::Cancelled;
            }
        }
    }
    /// Applies rules until nothing changes.
    fn settle(&mut self) {
        loop {
            let mut changed = false;
            for t in 0..self.0.len() {
                if !self.alive(t) || self.started(t) {
                    continue;
                }
                let deps: Vec<&M> = self.0[t].deps.iter().map(|&d| &self.0[d]).collect();
                let waiting = deps.iter().filter(|d| !d.status.is_finished()).count();
                let good = deps.iter().filter(|d| d.status == Status::Completed || d.pardoned).count();
                let bad = deps
                    .iter()
                    .filter(|d| match d.status {
                        Status::Failed | Status::Cancelled => !d.pardoned,
                        Status::Skipped => d.tainted,
                        _ => false,
                    })
                    .count();
                // Some(true): ready, Some(false): skip, None: wait.
                let verdict = if deps.is_empty() {
                    Some(true)
                } else {
                    match self.0[t].rule {
                        0 if bad > 0 => Some(false),
                        0 => (waiting == 0).then_some(good == deps.len()),
                        1 => (waiting == 0).then_some(true),
                        2 if good > 0 => Some(true),
                        2 => (waiting == 0).then_some(false),
                        3 if bad > 0 => Some(false),
                        3 => (waiting == 0).then_some(true),
                        _ if bad > 0 => Some(true),
                        _ => (waiting == 0).then_some(false),
                    }
                };
                let old = self.0[t].status;
                let new = match (verdict, old) {
                    (None, _) => Status::Pending,
                    (Some(true), Status::Pending) => Status::Ready,
                    (Some(true), old) => old,
                    (Some(false), _) => Status::Skipped,
                };
                if new != old {
                    self.0[t].status = new;
                    self.0[t].tainted = new == Status::Skipped && bad > 0;
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }
    fn remove(&mut self, t: usize) {
        self.0[t].gone = true;
        for m in &mut self.0 {
            m.deps.remove(&t);
        }
    }
}

const RULES: [TriggerRule; 5] = [
    TriggerRule::AllSucceeded,
    TriggerRule::AllDone,
    TriggerRule::OneSucceeded,
    TriggerRule::NoneFailed,
    TriggerRule::OneFailed,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn agrees_with_the_naive_model(ops in proptest::collection::vec(op(), 1..80)) {
        let graph = Graph::builder().ageing(std::time::Duration::MAX).build().unwrap();
        let mut model = Model::default();
        let mut ids: Vec<TaskId> = Vec::new();
        for op in ops {
            match op {
                Op::Add { deps, rule, policy, priority } => {
                    let deps: BTreeSet<usize> = deps.into_iter().filter(|&d| model.alive(d)).collect();
                    let task = Task::new("x")
                        .priority(Priority::ALL[priority])
                        .rule(RULES[rule])
                        .on_failure(match policy {
                            0 => FailurePolicy::FailFast,
                            1 | 2 => FailurePolicy::FreeDependents,
                            _ => FailurePolicy::SkipDependents,
                        })
                        .after_all(deps.iter().map(|&d| ids[d]));
                    ids.push(graph.add(task));
                    model.0.push(M {
                        status: Status::Pending, deps, rule, policy, priority: Priority::ALL[priority],
                        asked: false, tainted: false, pardoned: false, gone: false,
                    });
                }
                Op::Depend(a, b) if a < ids.len() && b < ids.len() => {
                    let expected = graph.depend(ids[a], ids[b]);
                    if !model.alive(a) || !model.alive(b) {
                        prop_assert!(matches!(expected, Err(DependError::Stale { .. })), "{expected:?}");
                    } else if a == b {
                        prop_assert!(matches!(expected, Err(DependError::SelfDependency { .. })), "{expected:?}");
                    } else if model.0[a].deps.contains(&b) {
                        prop_assert_eq!(expected, Ok(Depended::AlreadyPresent));
                    } else if model.started(a) {
                        prop_assert!(matches!(expected, Err(DependError::Started { .. })), "{expected:?}");
                    } else if !model.0[b].status.is_finished() && model.reaches(b, a) {
                        let Err(DependError::Cycle { path }) = expected else {
                            return Err(TestCaseError::fail(format!("no cycle: {expected:?}")));
                        };
                        let path: Vec<usize> = path
                            .tasks().iter().map(|id| ids.iter().position(|i| i == id).unwrap()).collect();
                        prop_assert_eq!(&path[..2], &[a, b]);
                        prop_assert_eq!(path.last(), Some(&a));
                        for pair in path[1..].windows(2) {
                            prop_assert!(model.0[pair[0]].deps.contains(&pair[1]), "{path:?}");
                        }
                    } else {
                        let b_is = &model.0[b];
                        let depended = if !b_is.status.is_finished() {
                            Depended::Added
                        } else if b_is.status == Status::Completed || b_is.pardoned {
                            Depended::AlreadySatisfied
                        } else {
                            Depended::AlreadyUnsatisfied
                        };
                        prop_assert_eq!(expected, Ok(depended));
                        model.0[a].deps.insert(b);
                    }
                }
                Op::RemoveDependency(a, b) if model.alive(a) && model.alive(b) => {
                    prop_assert_eq!(graph.remove_dependency(ids[a], ids[b]).is_ok(), model.0[a].deps.remove(&b));
                }
                Op::Remove(a) if model.alive(a) => {
                    let ok = model.0[a].status != Status::Running;
                    prop_assert_eq!(graph.remove(ids[a]).is_ok(), ok);
                    if ok {
                        model.remove(a);
                    }
                }
                Op::Pop => {
                    let best = (0..ids.len())
                        .filter(|&t| model.alive(t) && model.0[t].status == Status::Ready)
                        .map(|t| model.0[t].priority).max();
                    match graph.try_pop_ready() {
                        Ok(claim) => {
                            let t = ids.iter().position(|&id| id == claim.task()).unwrap();
                            prop_assert_eq!(Some(model.0[t].priority), best);
                            prop_assert_eq!(model.0[t].status, Status::Ready);
                            model.0[t].status = Status::Running;
                        }
                        Err(_) => prop_assert_eq!(best, None),
                    }
                }
                Op::Start(a) if model.alive(a) => {
                    let ok = matches!(model.0[a].status, Status::Ready | Status::Blocked);
                    prop_assert_eq!(graph.start(ids[a]).is_ok(), ok);
                    if ok {
                        model.0[a].status = Status::Running;
                    }
                }
                Op::Finish(a, outcome) if model.alive(a) => {
                    let outcome = match outcome {
                        0 | 1 => Outcome::Failed,
                        2 => Outcome::Skipped,
                        3 => Outcome::Cancelled,
                        _ => Outcome::Completed,
                    };
                    let status = model.0[a].status;
                    let ok = !status.is_finished() && status != Status::Pending;
                    prop_assert_eq!(graph.finish(ids[a], outcome).is_ok(), ok);
                    if ok {
                        let asked = std::mem::take(&mut model.0[a].asked);
                        let failed = outcome == Outcome::Failed && !asked;
                        model.0[a].status = match outcome {
                            Outcome::Failed if asked => Status::Cancelled,
                            Outcome::Failed => Status::Failed,
                            Outcome::Skipped => Status::Skipped,
                            Outcome::Cancelled => Status::Cancelled,
                            _ => Status::Completed,
                        };
                        model.0[a].pardoned = failed && matches!(model.0[a].policy, 1 | 2);
                        if failed && model.0[a].policy == 0 {
                            let others: Vec<usize> = (0..ids.len()).filter(|&t| model.alive(t)).collect();
                            model.cancel(others);
                        }
                    }
                }
                Op::Retry(a) if model.alive(a) => {
                    let ok = model.0[a].status == Status::Running && !model.0[a].asked;
                    prop_assert_eq!(graph.retry(ids[a]).is_ok(), ok);
                    if ok {
                        model.0[a].status = Status::Ready;
                    }
                }
                Op::Block(a) if model.alive(a) => {
                    let m = &model.0[a];
                    let ok = m.status == Status::Ready || m.status == Status::Running && !m.asked;
                    prop_assert_eq!(graph.block(ids[a]).is_ok(), ok);
                    if ok {
                        model.0[a].status = Status::Blocked;
                    }
                }
                Op::Unblock(a) if model.alive(a) => {
                    let ok = model.0[a].status == Status::Blocked;
                    prop_assert_eq!(graph.unblock(ids[a]).is_ok(), ok);
                    if ok {
                        model.0[a].status = Status::Ready;
                    }
                }
                Op::Cancel(a) if model.alive(a) => {
                    graph.cancel(ids[a]).unwrap();
                    model.cancel([a]);
                }
                Op::CancelTree(a) if model.alive(a) => {
                    graph.cancel_tree(ids[a]).unwrap();
                    let tree: Vec<usize> = (0..ids.len()).filter(|&t| {
                        // Along all edges, finished tasks included.
                        let mut seen = BTreeSet::new();
                        let mut stack = vec![t];
                        while let Some(v) = stack.pop() {
                            if model.alive(v) && seen.insert(v) {
                                stack.extend(&model.0[v].deps);
                            }
                        }
                        seen.contains(&a)
                    }).collect();
                    model.cancel(tree);
                }
                _ => continue,
            }
            model.settle();
            let mut counts = [0usize; 2];
            for (t, &id) in ids.iter().enumerate() {
                if !model.alive(t) {
                    prop_assert_eq!(graph.status(id), Err(LookupError::Stale { task: id }));
                    continue;
                }
                let info = graph.info(id).unwrap();
                prop_assert_eq!(info.status, model.0[t].status, "task {}", t);
                prop_assert_eq!(info.cancel_requested, model.0[t].asked);
                prop_assert_eq!(info.dependencies.len(), model.0[t].deps.len());
                counts[usize::from(info.status.is_finished())] += 1;
            }
            let stats = graph.stats();
            prop_assert_eq!([stats.unfinished(), stats.finished()], counts);
        }
    }
}
