//! Where calls run: on one thread of the processor's own, or on a spawner.

use futures_util::{StreamExt, stream::FuturesUnordered};
use parking_lot::Mutex;
use ropewalk_sync::{Background, BoxFuture, Clock, Signal, Spawn};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
};

/// Takes jobs to run.
#[derive(Clone)]
pub(crate) enum Jobs {
    Thread(Arc<Inbox>),
    Spawner(Arc<dyn Spawn>),
}

/// New jobs for the thread.
#[derive(Default)]
pub(crate) struct Inbox {
    /// `None` when the thread has ended.
    jobs: Mutex<Option<Vec<BoxFuture>>>,
    wake: Signal,
}

impl Jobs {
    /// A thread that runs all jobs, for as long as the second value lives.
    pub(crate) fn thread(clock: &Clock) -> (Self, Background) {
        let inbox = Arc::new(Inbox { jobs: Mutex::new(Some(Vec::new())), wake: Signal::new() });
        let thread = Background::thread("ropewalk-llm", clock, run(Ending(inbox.clone())));
        (Self::Thread(inbox), thread)
    }

    pub(crate) fn push(&self, job: BoxFuture) {
        match self {
            Self::Thread(inbox) => {
                let refused = match &mut *inbox.jobs.lock() {
                    Some(jobs) => {
                        jobs.push(job);
                        None
                    }
                    None => Some(job),
                };
                // A job refused at the end is dropped here, outside of the lock: it answers for itself.
                drop(refused);
                inbox.wake.notify();
            }
            // The spawner is the user's. A job that it drops, panicking or not, answers for itself.
            Self::Spawner(spawner) => {
                let spawn = AssertUnwindSafe(|| spawner.spawn("ropewalk-llm", job));
                let _reported = catch_unwind(spawn);
            }
        }
    }
}

/// Drops what is left in the inbox when the thread ends.
struct Ending(Arc<Inbox>);

impl Drop for Ending {
    fn drop(&mut self) {
        let left = self.0.jobs.lock().take();
        drop(left);
    }
}

async fn run(ending: Ending) {
    let inbox = &ending.0;
    let mut running = FuturesUnordered::new();
    loop {
        let fresh = inbox.jobs.lock().as_mut().map(std::mem::take).unwrap_or_default();
        running.extend(fresh);
        let mut woken = pin!(inbox.wake.notified());
        std::future::poll_fn(|cx| {
            // Jobs catch the panics of user code themselves, and say so to whom it concerns.
            while let Poll::Ready(Some(())) = running.poll_next_unpin(cx) {}
            woken.as_mut().poll(cx)
        })
        .await;
    }
}
