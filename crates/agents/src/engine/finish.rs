//! From running, or from waiting, to the end.

use super::{Inner, Place, Record, attempt::Ended};
use crate::{
    cancel::StopReason,
    error::{Lookup, TaskError},
    guard::caught,
    task::{Status, TaskId},
};
use ropewalk_graph::{ChangeError, Claim, Effects, Outcome};
use ropewalk_resources::Lease;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

impl Inner {
    /// An attempt is over: its lease, slot and place come back, then its task is decided on, then
    /// others start.
    pub(super) fn attempt_ended(
        self: &Arc<Self>,
        record: &Arc<Record>,
        claim: Claim,
        place: &Place,
        lease: Option<Lease>,
        ended: Ended,
    ) {
        // Others wait for it, with wakers of theirs.
        caught(|| drop(lease));
        let attempts = claim.attempt();
        let task = || record.name.clone();
        let mut value = None;
        let (outcome, error) = match ended {
            Ended::Value(done) => {
                value = Some(done);
                (Outcome::Completed, None)
            }
            Ended::Error(source) => {
                let source = Arc::from(source);
                (Outcome::Failed, Some(TaskError::Failed { task: task(), attempts, source }))
            }
            Ended::Panic(message) => {
                self.meters.panics.incr();
                (Outcome::Failed, Some(TaskError::Panicked { task: task(), attempts, message }))
            }
            Ended::Stopped(StopReason::Cancelled) => (Outcome::Cancelled, None),
            Ended::Stopped(StopReason::TimedOut) => {
                self.meters.timeouts.incr();
                let after = record.timeout.unwrap_or_default();
                (Outcome::Failed, Some(TaskError::TimedOut { task: task(), attempts, after }))
            }
            Ended::Stopped(StopReason::DeadlinePassed) => {
                self.meters.timeouts.incr();
                (Outcome::Failed, Some(TaskError::DeadlinePassed { task: task() }))
            }
            Ended::Lost => (Outcome::Failed, Some(TaskError::Lost { task: task() })),
        };
        self.vacate(place, Some(outcome == Outcome::Completed));
        record.progress.lock().current = None;
        if outcome == Outcome::Failed {
            if let Some(pause) = error.as_ref().and_then(|error| self.pause(record, attempts, error)) {
                // Refused when it was asked to stop meanwhile.
                if self.graph.block(claim).is_ok() {
                    self.meters.retries.incr();
                    let said = error.and_then(said);
                    record.progress.lock().error = said;
                    self.requeue_after(record, pause);
                    return self.dispatch();
                }
            }
            record.progress.lock().failure = error;
        }
        match self.graph.finish(claim, outcome) {
            Ok(effects) => {
                let status = self.graph.status(record.id).unwrap_or(Status::Failed);
                self.apply(effects);
                self.end(record, status, value);
            }
            // An attempt that is void changes nothing.
            Err(ChangeError::Superseded { .. } | ChangeError::AlreadyFinished { .. }) => {
                caught(|| drop(value));
            }
            Err(_) => {
                caught(|| drop(value));
                self.lost(record);
            }
        }
        self.dispatch();
    }

    /// How long to wait before the next attempt; `None` when there is none.
    fn pause(&self, record: &Record, attempts: u32, error: &TaskError) -> Option<Duration> {
        if attempts > record.retries {
            return None;
        }
        match error {
            TaskError::Failed { source, .. } => {
                let retry_if = record.progress.lock().retry_if.clone();
                if let Some(retry_if) = retry_if {
                    // A borrowed error in a box of its own, because that is what the user sees.
                    let error: crate::BoxError = Box::new(Borrowed(source.clone()));
                    // A panic of the user's means that it will not be tried again.
                    if !caught(|| retry_if(&error)).unwrap_or(false) {
                        return None;
                    }
                }
            }
            TaskError::Panicked { .. } | TaskError::TimedOut { .. } => {}
            _ => return None,
        }
        let pause = record.backoff.pause(attempts);
        let in_time = match (record.deadline, self.clock.deadline(pause)) {
            (Some(deadline), Some(next)) => next < deadline,
            (Some(_), None) => false,
            (None, _) => true,
        };
        in_time.then_some(pause)
    }

    /// A task that holds no slot ends badly.
    pub(super) fn fail_unstarted(self: &Arc<Self>, record: &Arc<Record>, error: TaskError) {
        record.progress.lock().failure.get_or_insert(error);
        if let Ok(effects) = self.graph.fail(record.id) {
            let status = self.graph.status(record.id).unwrap_or(Status::Failed);
            self.apply(effects);
            self.end(record, status, None);
        }
        self.dispatch();
    }

    /// Whoever was to carry a task on has gone away.
    pub(super) fn lost(self: &Arc<Self>, record: &Arc<Record>) {
        if !record.is_finished() {
            let task = record.name.clone();
            self.fail_unstarted(record, TaskError::Lost { task });
        }
    }

    /// The deadline of a task passed. One that runs is stopped by its attempt.
    pub(super) fn expire(self: &Arc<Self>, record: &Arc<Record>) {
        match self.graph.status(record.id) {
            Ok(Status::Running) | Err(_) => {}
            Ok(status) if status.is_finished() => {}
            Ok(_) => {
                let task = record.name.clone();
                record.progress.lock().failure.get_or_insert(TaskError::DeadlinePassed { task });
                // Unknown only when it is finished and forgotten.
                let _ = self.cancel_task(record.id, false);
            }
        }
    }

    /// Calls a task off, with all that depend on it if `tree`.
    pub(crate) fn cancel_task(self: &Arc<Self>, id: TaskId, tree: bool) -> Lookup<()> {
        let effects = if tree { self.graph.cancel_tree(id) } else { self.graph.cancel(id) }?;
        self.apply(effects);
        self.dispatch();
        Ok(())
    }

    pub(super) fn cancel(self: &Arc<Self>, id: TaskId, tree: bool) {
        // Only finished tasks are forgotten, and for them there is nothing to do.
        let _ = self.cancel_task(id, tree);
    }

    /// Stops everything that is not finished; tells how many tasks that were.
    pub(crate) fn abort(self: &Arc<Self>) -> usize {
        let unfinished = {
            let mut state = self.state.lock();
            state.accepting = false;
            state.unfinished
        };
        let effects = self.graph.cancel_all();
        self.apply(effects);
        self.dispatch();
        unfinished
    }

    /// Carries out what a report to the graph set off.
    fn apply(self: &Arc<Self>, effects: Effects) {
        let find = |id: &TaskId| self.state.lock().tasks.get(id).cloned();
        for id in &effects.asked {
            let Some(record) = find(id) else { continue };
            let token = record.progress.lock().current.clone();
            if let Some(token) = token {
                token.stop(StopReason::Cancelled);
            }
        }
        for (ids, status) in [(&effects.cancelled, Status::Cancelled), (&effects.skipped, Status::Skipped)] {
            for id in ids {
                if let Some(record) = find(id) {
                    self.end(&record, status, None);
                }
            }
        }
        self.make_ready(effects.ready);
    }

    /// For a task that the graph ended before its record was filed.
    pub(super) fn conclude(self: &Arc<Self>, record: &Arc<Record>, status: Status) {
        self.end(record, status, None);
    }

    /// Ends a task, once: takes it out of every queue, hands its outcome over, and tells those who
    /// wait for it.
    fn end(self: &Arc<Self>, record: &Arc<Record>, status: Status, value: Option<super::Value>) {
        let now = self.clock.now();
        let (lease, idle) = {
            let mut state = self.state.lock();
            if record.finished.swap(true, Ordering::Relaxed) {
                return;
            }
            if let Some(lane) = state.lanes.get_mut(&record.wanted) {
                lane.ready.remove(&record.id);
                lane.granted.remove(&record.id);
                if lane.ready.is_empty() && lane.granted.is_empty() {
                    state.lanes.remove(&record.wanted);
                }
            }
            state.unfinished -= 1;
            state.finished.push_back(record.id);
            (state.leases.remove(&record.id), state.unfinished == 0)
        };
        caught(|| drop(lease));
        let counter = match status {
            Status::Completed => &self.meters.completed,
            Status::Cancelled => &self.meters.cancelled,
            Status::Skipped => &self.meters.skipped,
            _ => &self.meters.failed,
        };
        counter.incr();
        let result = match value {
            Some(value) if status == Status::Completed => Ok(value),
            _ => Err(self.why(record, status)),
        };
        let error = result.as_ref().err().cloned().and_then(said);
        let (sink, body, retry_if) = {
            let mut progress = record.progress.lock();
            progress.ended = Some(now);
            progress.waits_for = None;
            progress.error = error;
            (progress.sink.take(), progress.body.take(), progress.retry_if.take())
        };
        // What the body captured, and the value when nobody wants it, are the user's: their drops
        // may panic.
        caught(|| drop((body, retry_if)));
        if let Some(sink) = sink {
            caught(|| sink(result));
        }
        caught(|| record.done.set());
        self.forget_old();
        if idle {
            caught(|| self.idle.set());
        }
    }

    fn why(&self, record: &Record, status: Status) -> TaskError {
        let task = record.name.clone();
        if let Some(error) = record.progress.lock().failure.clone() {
            if status == Status::Failed
                || matches!(error, TaskError::DeadlinePassed { .. } | TaskError::Refused { .. })
            {
                return error;
            }
        }
        match status {
            Status::Skipped => TaskError::Skipped { task, because: self.culprit(record.id) },
            Status::Cancelled => TaskError::Cancelled { task },
            _ => TaskError::Lost { task },
        }
    }

    /// The first dependency that did not complete.
    fn culprit(&self, id: TaskId) -> Arc<str> {
        let dependencies = self.graph.dependencies(id).unwrap_or_default();
        let infos = dependencies.into_iter().filter_map(|id| self.graph.info(id).ok());
        let mut bad = infos.filter(|info| info.status.is_finished() && info.status != Status::Completed);
        bad.next().map_or_else(|| Arc::from(""), |info| info.name)
    }

    /// Lets go of the oldest finished tasks beyond the number kept, but for those that somebody has a
    /// handle to or that an unfinished task depends on.
    fn forget_old(&self) {
        for _ in 0..2 {
            let (id, record) = {
                let mut state = self.state.lock();
                if state.finished.len() <= self.settings.keep_finished {
                    return;
                }
                let Some(id) = state.finished.pop_front() else { return };
                let Some(record) = state.tasks.get(&id).cloned() else { continue };
                (id, record)
            };
            // One in the table, one here.
            let held = Arc::strong_count(&record) > 2;
            let mut gone = None;
            if held || self.graph.forget(id) == Ok(false) {
                self.state.lock().finished.push_back(id);
            } else {
                gone = self.state.lock().tasks.remove(&id);
            }
            // The last word of a task may be an error of the user's.
            caught(|| drop((gone, record)));
        }
    }
}

/// What an error says of itself, and then it drops: both are the user's code, to be run under no lock.
fn said(error: TaskError) -> Option<Arc<str>> {
    caught(move || Arc::from(error.to_string()))
}

/// An error that is kept elsewhere too.
#[derive(Debug)]
struct Borrowed(Arc<dyn std::error::Error + Send + Sync>);

impl std::fmt::Display for Borrowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Borrowed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
