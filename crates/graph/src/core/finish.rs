//! Final statuses and what they set off.

use super::Core;
use crate::{
    error::ChangeError,
    observe::Change,
    task::{Effects, FailurePolicy, Outcome, Status, Target, TaskId, TriggerRule},
};
use std::{cmp::Reverse, collections::VecDeque, time::Instant};

/// A report of a runner.
#[derive(Clone, Copy)]
pub(crate) enum Report {
    Finished(Outcome),
    /// Try again at once.
    Retry,
    /// Set aside until `unblock`.
    Block,
}

enum Verdict {
    Wait,
    Ready,
    Skip { tainted: bool },
}

impl Core {
    /// Moves `on` from `waiting` to the count it belongs to, in `task`; tells whether it succeeded.
    pub(super) fn settle(&mut self, task: u32, on: u32) -> bool {
        let (succeeded, bad) = self.standing(on);
        let node = self.node_mut(task);
        node.waiting -= 1;
        node.succeeded += u32::from(succeeded);
        node.bad += u32::from(bad);
        succeeded
    }

    /// Takes the edge to `on` out of the counts of `task`.
    pub(super) fn uncount(&mut self, task: u32, on: u32) {
        let finished = self.node(on).status.is_finished();
        let (succeeded, bad) = self.standing(on);
        let node = self.node_mut(task);
        if finished {
            node.succeeded -= u32::from(succeeded);
            node.bad -= u32::from(bad);
        } else {
            node.waiting -= 1;
        }
    }

    /// Whether a dependency succeeded and whether it is bad; neither when it is not finished.
    fn standing(&self, on: u32) -> (bool, bool) {
        let node = self.node(on);
        let succeeded = node.status == Status::Completed || node.pardoned;
        let bad = match node.status {
            Status::Failed | Status::Cancelled => !node.pardoned,
            Status::Skipped => node.tainted,
            _ => false,
        };
        (succeeded, bad)
    }

    fn verdict(&self, at: u32) -> Verdict {
        let node = self.node(at);
        let all = node.waits.len();
        let (waiting, succeeded, bad) = (node.waiting as usize, node.succeeded as usize, node.bad as usize);
        let skip = Verdict::Skip { tainted: bad > 0 };
        if all == 0 {
            return Verdict::Ready;
        }
        match node.rule {
            // One that was skipped for no bad reason does not skip at once: another may yet be bad,
            // and what is told to dependents must not hang on who is faster.
            TriggerRule::AllSucceeded | TriggerRule::NoneFailed if bad > 0 => skip,
            TriggerRule::OneSucceeded if succeeded > 0 => Verdict::Ready,
            TriggerRule::OneFailed if bad > 0 => Verdict::Ready,
            _ if waiting > 0 => Verdict::Wait,
            TriggerRule::AllSucceeded if succeeded < all => skip,
            TriggerRule::AllSucceeded | TriggerRule::AllDone | TriggerRule::NoneFailed => Verdict::Ready,
            TriggerRule::OneSucceeded | TriggerRule::OneFailed => skip,
        }
    }

    /// Applies the trigger rule of a task that has not started to its counts, and whatever follows.
    pub(crate) fn reconsider(&mut self, at: u32, now: Instant, effects: &mut Effects) {
        let mut queue = VecDeque::from([at]);
        self.reconsider_all(&mut queue, now, effects);
    }

    /// Works the queue off: each skipped task puts its dependents in. No recursion, whatever the
    /// depth of the graph.
    fn reconsider_all(&mut self, queue: &mut VecDeque<u32>, now: Instant, effects: &mut Effects) {
        while let Some(at) = queue.pop_front() {
            let status = self.node(at).status;
            if status == Status::Running || status.is_finished() {
                continue;
            }
            match self.verdict(at) {
                Verdict::Wait if status != Status::Pending => {
                    self.ready.remove(&at);
                    self.set_status(at, Status::Pending, now);
                }
                Verdict::Ready if status == Status::Pending => {
                    self.make_ready(at, now);
                    effects.ready.push(self.id(at));
                }
                Verdict::Wait | Verdict::Ready => {}
                Verdict::Skip { tainted } => {
                    self.node_mut(at).tainted = tainted;
                    effects.skipped.push(self.id(at));
                    self.finish(at, Status::Skipped, now, queue);
                }
            }
        }
        // One may have become ready and been skipped or held back again within one report.
        let (slots, ready) = (&self.slots, &mut effects.ready);
        ready.retain(|id| {
            slots[id.index as usize].node.as_ref().is_some_and(|node| node.status == Status::Ready)
        });
    }

    /// Puts a task into a final status and settles it in its dependents, which go into the queue.
    fn finish(&mut self, at: u32, status: Status, now: Instant, queue: &mut VecDeque<u32>) {
        self.ready.remove(&at);
        self.set_status(at, status, now);
        let dependents = std::mem::take(&mut self.node_mut(at).dependents);
        for &dependent in &dependents {
            self.settle(dependent, at);
            queue.push_back(dependent);
        }
        self.node_mut(at).dependents = dependents;
    }

    /// Checks that `target` may report now.
    fn reportable(&self, target: Target, report: Report) -> Result<u32, ChangeError> {
        let at = self.find(target.task)?;
        let node = self.node(at);
        let (task, name, status) = (target.task, || node.name.clone(), node.status);
        if let Some(attempt) = target.attempt {
            if attempt != node.attempt || (status != Status::Running && !status.is_finished()) {
                return Err(ChangeError::Superseded { task, name: name(), attempt, latest: node.attempt });
            }
        }
        match (status, report) {
            (status, _) if status.is_finished() => {
                Err(ChangeError::AlreadyFinished { task, name: name(), status })
            }
            (Status::Pending, _) => {
                Err(ChangeError::NotReady { task, name: name(), waiting: node.waiting as usize })
            }
            (Status::Running, Report::Retry | Report::Block) if node.cancelled => {
                Err(ChangeError::CancelRequested { task, name: name() })
            }
            (Status::Ready | Status::Running, Report::Block) => Ok(at),
            (Status::Running, Report::Retry) => Ok(at),
            (status, Report::Retry | Report::Block) => {
                Err(ChangeError::WrongStatus { task, name: name(), status })
            }
            (_, Report::Finished(_)) => Ok(at),
        }
    }

    pub(crate) fn report(
        &mut self,
        target: Target,
        report: Report,
        now: Instant,
    ) -> Result<Effects, ChangeError> {
        let at = self.reportable(target, report)?;
        let mut effects = Effects::default();
        match report {
            Report::Retry => {
                self.stats.retried += 1;
                self.make_ready(at, now);
                effects.ready.push(self.id(at));
            }
            Report::Block => {
                self.ready.remove(&at);
                self.set_status(at, Status::Blocked, now);
            }
            Report::Finished(outcome) => {
                let asked = std::mem::take(&mut self.node_mut(at).cancelled);
                let outcome = if asked && outcome == Outcome::Failed { Outcome::Cancelled } else { outcome };
                let policy = self.node(at).policy.unwrap_or(self.policy);
                let failed = outcome == Outcome::Failed;
                self.node_mut(at).pardoned = failed && policy == FailurePolicy::FreeDependents;
                let mut queue = VecDeque::new();
                self.finish(at, outcome.status(), now, &mut queue);
                if failed && policy == FailurePolicy::FailFast {
                    let others = self.taken().map(|(at, _)| at).collect();
                    self.cancel_all(others, now, &mut effects);
                }
                self.reconsider_all(&mut queue, now, &mut effects);
            }
        }
        self.sort_by_urgency(&mut effects.ready);
        Ok(effects)
    }

    pub(crate) fn start_task(&mut self, task: TaskId, now: Instant) -> Result<u32, ChangeError> {
        let at = self.find(task)?;
        let node = self.node(at);
        let (name, status) = (node.name.clone(), node.status);
        match status {
            Status::Ready | Status::Blocked => Ok(self.start(at, now)),
            Status::Pending => Err(ChangeError::NotReady { task, name, waiting: node.waiting as usize }),
            status if status.is_finished() => Err(ChangeError::AlreadyFinished { task, name, status }),
            status => Err(ChangeError::WrongStatus { task, name, status }),
        }
    }

    pub(crate) fn unblock(&mut self, task: TaskId, now: Instant) -> Result<(), ChangeError> {
        let at = self.find(task)?;
        match self.node(at).status {
            Status::Blocked => {
                self.make_ready(at, now);
                Ok(())
            }
            status => Err(ChangeError::WrongStatus { task, name: self.node(at).name.clone(), status }),
        }
    }

    /// Calls off each of `slots` that is not finished, then lets their dependents follow their rules.
    pub(crate) fn cancel_all(&mut self, slots: Vec<u32>, now: Instant, effects: &mut Effects) {
        let mut queue = VecDeque::new();
        for at in slots {
            let status = self.node(at).status;
            if status == Status::Running {
                if !std::mem::replace(&mut self.node_mut(at).cancelled, true) {
                    self.emit(at, now, Change::CancelRequested);
                    effects.asked.push(self.id(at));
                }
            } else if !status.is_finished() {
                effects.cancelled.push(self.id(at));
                self.finish(at, Status::Cancelled, now, &mut queue);
            }
        }
        self.reconsider_all(&mut queue, now, effects);
        self.sort_by_urgency(&mut effects.ready);
    }

    /// By priority, rank and age. None of them has waited yet, so ageing has no say.
    pub(crate) fn sort_by_urgency(&self, ids: &mut [TaskId]) {
        ids.sort_by_cached_key(|id| {
            let node = self.node(id.index);
            (Reverse(node.priority), Reverse(self.rank_of(node)), node.order)
        });
    }
}
