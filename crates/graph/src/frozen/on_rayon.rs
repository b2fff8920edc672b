//! Bodies on rayon's threads.

use super::{
    Frozen, Report, RunFailed, TaskRef,
    state::{IntoOutcome, State},
};
use crossbeam_deque::{Injector, Steal};

struct Shared<B> {
    state: State,
    body: B,
    ready: [Injector<u32>; 4],
}

impl Frozen {
    /// Runs in the rayon pool that this is called in (wrap it in `ThreadPool::install` to choose)
    /// until it is done. The body may borrow. For each task that becomes ready one rayon job is
    /// spawned, and takes the most urgent ready task when it runs.
    ///
    /// # Errors
    ///
    /// [`RunFailed`] when a task failed or was cancelled; all are finished all the same.
    pub fn run_rayon<B, R>(&self, body: B) -> Result<Report, RunFailed>
    where
        B: Fn(TaskRef<'_>) -> R + Send + Sync,
        R: IntoOutcome,
    {
        let shared = Shared {
            state: State::new(self.plan.clone()),
            body,
            ready: std::array::from_fn(|_| Injector::new()),
        };
        rayon::scope(|scope| {
            for v in shared.state.roots() {
                release(&shared, scope, v);
            }
        });
        shared.state.report().into_result()
    }
}

fn release<'scope, B, R>(shared: &'scope Shared<B>, scope: &rayon::Scope<'scope>, v: u32)
where
    B: Fn(TaskRef<'_>) -> R + Send + Sync,
    R: IntoOutcome,
{
    shared.ready[shared.state.plan.level(v)].push(v);
    scope.spawn(move |scope| {
        // Each task is pushed before its job is spawned, so there is one for each job; a look that
        // misses it was overtaken by another job's push and looks again.
        let v = loop {
            match shared.ready.iter().map(Injector::steal).find(|steal| !steal.is_empty()) {
                Some(Steal::Success(v)) => break v,
                Some(Steal::Retry | Steal::Empty) | None => std::hint::spin_loop(),
            }
        };
        shared.state.execute(v, &shared.body, &mut |next| release(shared, scope, next));
    });
}
