//! One run, whoever executes it: which task may start, which is skipped, when all is done.

use super::{
    Plan,
    run::{Failure, Report},
};
use crate::{
    raw::progress::{FIRST_OUTCOME, Progress},
    task::{FailurePolicy, Outcome, Priority, TaskId, TriggerRule},
};
use parking_lot::Mutex;
use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

pub(super) const COMPLETED: u8 = FIRST_OUTCOME;
/// Failed, but its dependents run as if it had completed.
pub(super) const PARDONED: u8 = FIRST_OUTCOME + 1;
pub(super) const FAILED: u8 = FIRST_OUTCOME + 2;
pub(super) const CANCELLED: u8 = FIRST_OUTCOME + 3;
pub(super) const SKIPPED: u8 = FIRST_OUTCOME + 4;
/// Skipped because of something bad.
pub(super) const TAINTED: u8 = FIRST_OUTCOME + 5;

pub(super) struct State {
    pub(super) plan: Arc<Plan>,
    progress: Progress,
    /// Tasks that are not finished.
    left: AtomicUsize,
    /// Nothing more starts.
    cancelled: AtomicBool,
    failures: Mutex<Vec<Failure>>,
}

/// What a body is told about its task.
pub struct TaskRef<'a> {
    plan: &'a Plan,
    number: u32,
    cancelled: Option<&'a AtomicBool>,
}

/// How a body says that it ended: `()`, an [`Outcome`], or a `Result` whose error is a failure.
pub trait IntoOutcome {
    /// The outcome, and the reason of a failure.
    fn into_outcome(self) -> (Outcome, Option<String>);
}

impl IntoOutcome for () {
    fn into_outcome(self) -> (Outcome, Option<String>) {
        (Outcome::Completed, None)
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> (Outcome, Option<String>) {
        (self, None)
    }
}

impl<T: IntoOutcome, E: fmt::Display> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> (Outcome, Option<String>) {
        match self {
            Ok(done) => done.into_outcome(),
            Err(error) => (Outcome::Failed, Some(error.to_string())),
        }
    }
}

impl State {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        let n = plan.len();
        let waits = |v: u32| u32::try_from(plan.waits.row(v).len()).expect("under 2^32 dependencies");
        let progress = Progress::new((0u32..).take(n).map(waits));
        let left = AtomicUsize::new(n);
        Self { plan, progress, left, cancelled: AtomicBool::new(false), failures: Mutex::default() }
    }

    pub(super) fn roots(&self) -> impl Iterator<Item = u32> {
        (0u32..).take(self.plan.len()).take_while(|&v| self.plan.waits.row(v).is_empty())
    }

    /// Runs the body of a task that may start and hands those that may start by it to `release`;
    /// tells whether the whole run is done.
    pub(super) fn execute<B, R>(&self, v: u32, body: &B, release: &mut dyn FnMut(u32)) -> bool
    where
        B: Fn(TaskRef<'_>) -> R + ?Sized,
        R: IntoOutcome,
    {
        // Relaxed: a late look at the flag starts one task more, as if it had come earlier.
        let code = if self.cancelled.load(Ordering::Relaxed) {
            CANCELLED
        } else {
            let task = TaskRef::new(&self.plan, v, Some(&self.cancelled));
            let ended = catch_unwind(AssertUnwindSafe(|| body(task).into_outcome()));
            let (outcome, reason) = ended.unwrap_or_else(|panic| {
                (Outcome::Failed, Some(format!("panicked: {}", panic_message(panic))))
            });
            self.code(v, outcome, reason)
        };
        self.finish(v, code, release)
    }

    fn code(&self, v: u32, outcome: Outcome, reason: Option<String>) -> u8 {
        match outcome {
            Outcome::Completed => COMPLETED,
            Outcome::Cancelled => CANCELLED,
            Outcome::Skipped => SKIPPED,
            Outcome::Failed => {
                self.failures.lock().push(Failure {
                    task: self.plan.ids[v as usize],
                    name: self.plan.names[v as usize].clone(),
                    reason: reason.unwrap_or_else(|| "failed".to_owned()),
                });
                match self.plan.policies[v as usize] {
                    FailurePolicy::SkipDependents => FAILED,
                    FailurePolicy::FreeDependents => PARDONED,
                    FailurePolicy::FailFast => {
                        self.cancel();
                        FAILED
                    }
                }
            }
        }
    }

    /// Settles `v` in its dependents. No recursion, whatever the depth.
    fn finish(&self, v: u32, code: u8, release: &mut dyn FnMut(u32)) -> bool {
        let mut done = 0;
        let mut queue = vec![(v, code)];
        while let Some((v, code)) = queue.pop() {
            self.progress.set(v as usize, code);
            done += 1;
            let succeeded = matches!(code, COMPLETED | PARDONED);
            let bad = matches!(code, FAILED | CANCELLED | TAINTED);
            for &dependent in self.plan.dependents.row(v) {
                let at = dependent as usize;
                let early = match self.plan.rules[at] {
                    TriggerRule::OneSucceeded => Some(succeeded),
                    TriggerRule::OneFailed => Some(bad),
                    _ => None,
                };
                if early == Some(true) && self.progress.claim(at) {
                    release(dependent);
                }
                if self.progress.arrive(at) && (early.is_none() || self.progress.claim(at)) {
                    match self.verdict(dependent) {
                        None => release(dependent),
                        Some(skipped) => queue.push((dependent, skipped)),
                    }
                }
            }
        }
        // Release: pairs with the Acquire in `is_done`, and with the Acquire here in the last one, so
        // that it has seen all outcomes and failures.
        self.left.fetch_sub(done, Ordering::AcqRel) == done
    }

    /// Whether a task all of whose dependencies are finished is skipped, and as what.
    fn verdict(&self, v: u32) -> Option<u8> {
        let (mut all, mut any, mut bad) = (true, false, false);
        for &on in self.plan.waits.row(v) {
            match self.progress.outcome(on as usize) {
                COMPLETED | PARDONED => any = true,
                FAILED | CANCELLED | TAINTED => (all, bad) = (false, true),
                _ => all = false,
            }
        }
        let runs = match self.plan.rules[v as usize] {
            TriggerRule::AllSucceeded => all,
            TriggerRule::AllDone => true,
            TriggerRule::OneSucceeded => any,
            TriggerRule::NoneFailed => !bad,
            TriggerRule::OneFailed => bad,
        };
        (!runs).then_some(if bad { TAINTED } else { SKIPPED })
    }

    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(super) fn left(&self) -> usize {
        // Acquire: pairs with the Release in `finish`.
        self.left.load(Ordering::Acquire)
    }

    /// How it went; call it when nothing is left.
    pub(super) fn report(&self) -> Report {
        let outcomes = (0..self.plan.len()).map(|v| self.progress.outcome(v)).collect();
        Report::new(self.plan.clone(), outcomes, self.failures.lock().clone())
    }
}

impl<'a> TaskRef<'a> {
    pub(super) fn new(plan: &'a Plan, number: u32, cancelled: Option<&'a AtomicBool>) -> Self {
        Self { plan, number, cancelled }
    }

    /// Its id in the graph that was frozen.
    pub fn id(&self) -> TaskId {
        self.plan.ids[self.number as usize]
    }

    /// Its number in topological order, from 0: an index into tables of your own.
    pub fn number(&self) -> usize {
        self.number as usize
    }

    /// Its name.
    pub fn name(&self) -> &'a str {
        &self.plan.names[self.number as usize]
    }

    /// Its priority.
    pub fn priority(&self) -> Priority {
        self.plan.priorities[self.number as usize]
    }

    /// Its weight.
    pub fn weight(&self) -> u64 {
        self.plan.weights[self.number as usize]
    }

    /// The numbers of the tasks it waits for.
    pub fn waits_for(&self) -> impl Iterator<Item = usize> + 'a {
        self.plan.waits.row(self.number).iter().map(|&on| on as usize)
    }

    /// Whether the run was cancelled: a long body may want to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_some_and(|cancelled| cancelled.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for TaskRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskRef").field("id", &self.id()).field("name", &self.name()).finish_non_exhaustive()
    }
}

fn panic_message(panic: Box<dyn Any + Send>) -> String {
    let text = match panic.downcast_ref::<&str>() {
        Some(text) => (*text).to_owned(),
        None => {
            panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a value that is no text".to_owned())
        }
    };
    // The payload is the user's; its drop may panic in turn.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(panic)));
    text
}
