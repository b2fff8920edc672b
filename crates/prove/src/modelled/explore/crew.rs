//! Coroutines that play the threads of a model, all on one OS thread.
//!
//! They are kept from one execution to the next: a fresh stack for each would cost more than most executions do.

use super::with;
use generator::{Generator, Gn};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Words of stack for each thread of a model; pages that are not used cost nothing.
const STACK: usize = 256 * 1024 / size_of::<usize>();

#[derive(Default)]
pub(super) struct Crew(Vec<Generator<'static, (), ()>>);

impl Crew {
    /// Runs the thread until it switches or ends.
    pub(super) fn resume(&mut self, thread: usize) {
        while self.0.len() <= thread {
            let index = self.0.len();
            self.0.push(Gn::<()>::new_opt(STACK, move || play(index)));
        }
        self.0[thread].resume();
    }

    /// Leaves threads where they stand: to unwind them would run the client's code in a state it never reaches. Their
    /// stacks stay allocated.
    pub(super) fn abandon(&mut self) {
        std::mem::take(&mut self.0).into_iter().for_each(std::mem::forget);
    }
}

/// Back to the search, until this thread is resumed.
#[expect(deprecated, reason = "a step is taken deep in the client's code, where no scope can be handed to")]
pub(super) fn switch() {
    generator::yield_with(());
}

fn play(index: usize) {
    loop {
        let job = with(|w| w.threads.get_mut(index).and_then(|thread| thread.job.take()));
        if let Some(job) = job {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                job();
                // Their destructors are the thread's last steps.
                drop(with(super::World::take_locals));
            }));
            with(|w| w.finish(outcome.err().map(|payload| message(&*payload))));
        }
        switch();
    }
}

/// What a panic says.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}
