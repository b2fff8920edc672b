//! Semaphores: ours against tokio's and async-lock's.

use std::{future::poll_fn, hint::black_box, pin::pin, process::ExitCode, sync::Barrier, task::Poll, thread};

use ropewalk_benches::contest::{self, Effort, Entry, OURS, Sample, per_operation};
use ropewalk_sync::block_on;

const TOKIO: &str = "tokio";
const ASYNC_LOCK: &str = "async-lock";

/// A permit is there and nobody else wants it.
const TRY: &str = "try-uncontended";
/// The same, awaited: what an async caller pays when it need not wait.
const ASYNC: &str = "async-uncontended";
/// Two tasks of one thread want the one permit; whoever holds it yields once, so that the other one has to wait: each
/// acquisition is a wait, a hand-off and a wake-up, whatever the machine does.
const HANDED_OFF: &str = "async-two-tasks-one-permit";
/// Two threads, each a task of its own, want the one permit all the time and hold it for [`HOLD`] turns. How often they
/// meet is up to the machine, which needs two free cores.
const CONTENDED: &str = "async-two-threads-one-permit";

/// Threads of the contended work.
const THREADS: u64 = 2;
/// Turns of an empty loop under the permit, about a microsecond.
const HOLD: u32 = 3_000;

fn try_acquire(effort: Effort, mut acquire_and_release: impl FnMut()) -> Vec<Sample> {
    per_operation(effort.operations(3_000_000), |operations| {
        for _ in 0..operations {
            acquire_and_release();
        }
    })
}

fn awaited(effort: Effort, acquire_and_release: impl AsyncFn()) -> Vec<Sample> {
    per_operation(effort.operations(2_000_000), |operations| {
        block_on(async {
            for _ in 0..operations {
                acquire_and_release().await;
            }
        });
    })
}

fn contended(effort: Effort, acquire_and_release: impl AsyncFn() + Sync) -> Vec<Sample> {
    per_operation(effort.operations(100_000), |operations| {
        let start = Barrier::new(THREADS as usize);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    start.wait();
                    block_on(async {
                        for _ in 0..operations / THREADS {
                            acquire_and_release().await;
                        }
                    });
                });
            }
        });
    })
}

fn hold<P>(permit: P) {
    for turn in 0..HOLD {
        black_box(turn);
    }
    drop(black_box(permit));
}

fn handed_off<P>(effort: Effort, acquire: impl AsyncFn() -> P) -> Vec<Sample> {
    let task = async |operations: u64| {
        for _ in 0..operations {
            let permit = acquire().await;
            yield_once().await;
            drop(black_box(permit));
        }
    };
    per_operation(effort.operations(300_000), |operations| {
        block_on(both(task(operations / 2), task(operations / 2)));
    })
}

async fn yield_once() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn both(first: impl Future<Output = ()>, second: impl Future<Output = ()>) {
    let (mut first, mut second) = (Some(pin!(first)), Some(pin!(second)));
    poll_fn(|context| {
        first.take_if(|future| future.as_mut().poll(context).is_ready());
        second.take_if(|future| future.as_mut().poll(context).is_ready());
        if first.is_none() && second.is_none() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

mod ours {
    use super::*;
    use ropewalk_sync::Semaphore;

    pub(crate) fn try_uncontended(effort: Effort) -> Vec<Sample> {
        let semaphore = Semaphore::new(1);
        try_acquire(effort, || drop(black_box(semaphore.try_acquire().expect("it is free"))))
    }

    pub(crate) fn async_uncontended(effort: Effort) -> Vec<Sample> {
        let semaphore = Semaphore::new(1);
        awaited(effort, async || drop(black_box(semaphore.acquire().await.expect("it is open"))))
    }

    pub(crate) fn async_contended(effort: Effort) -> Vec<Sample> {
        let semaphore = Semaphore::new(1);
        contended(effort, async || hold(semaphore.acquire().await.expect("it is open")))
    }

    pub(crate) fn async_handed_off(effort: Effort) -> Vec<Sample> {
        let semaphore = Semaphore::new(1);
        handed_off(effort, async || semaphore.acquire().await.expect("it is open"))
    }
}

mod tokio_sync {
    use super::*;
    use tokio::sync::Semaphore;

    pub(crate) fn try_uncontended(effort: Effort) -> Vec<Sample> {
        let semaphore = Semaphore::new(1);
        try_acquire(effort, || drop(black_box(semaphore.try_acquire().expect("it is free"))))
    }

    pub(crate) fn async_uncontended(effort: Effort) -> Vec<Sample> {
        let semaphore = Semaphore::new(1);
        awaited(effort, async || drop(black_box(semaphore.acquire().await.expect("it is open"))))
    }

    pub(crate) fn async_contended(effort: Effort) -> Vec<Sample> {
        let semaphore = Semaphore::new(1);
        contended(effort, async || hold(semaphore.acquire().await.expect("it is open")))
    }

    pub(crate) fn async_handed_off(effort: Effort) -> Vec<Sample> {
        let semaphore = Semaphore::new(1);
        handed_off(effort, async || semaphore.acquire().await.expect("it is open"))
    }
}

mod async_lock_sync {
    use super::*;
    use async_lock::Semaphore;

    pub(crate) fn try_uncontended(effort: Effort) -> Vec<Sample> {
        let semaphore = Semaphore::new(1);
        try_acquire(effort, || drop(black_box(semaphore.try_acquire().expect("it is free"))))
    }

    pub(crate) fn async_uncontended(effort: Effort) -> Vec<Sample> {
        let semaphore = Semaphore::new(1);
        awaited(effort, async || drop(black_box(semaphore.acquire().await)))
    }

    pub(crate) fn async_contended(effort: Effort) -> Vec<Sample> {
        let semaphore = Semaphore::new(1);
        contended(effort, async || hold(semaphore.acquire().await))
    }

    pub(crate) fn async_handed_off(effort: Effort) -> Vec<Sample> {
        let semaphore = Semaphore::new(1);
        handed_off(effort, async || semaphore.acquire().await)
    }
}

fn main() -> ExitCode {
    contest::main(&[
        Entry { work: TRY, contestant: OURS, run: ours::try_uncontended },
        Entry { work: TRY, contestant: TOKIO, run: tokio_sync::try_uncontended },
        Entry { work: TRY, contestant: ASYNC_LOCK, run: async_lock_sync::try_uncontended },
        Entry { work: ASYNC, contestant: OURS, run: ours::async_uncontended },
        Entry { work: ASYNC, contestant: TOKIO, run: tokio_sync::async_uncontended },
        Entry { work: ASYNC, contestant: ASYNC_LOCK, run: async_lock_sync::async_uncontended },
        Entry { work: HANDED_OFF, contestant: OURS, run: ours::async_handed_off },
        Entry { work: HANDED_OFF, contestant: TOKIO, run: tokio_sync::async_handed_off },
        Entry { work: HANDED_OFF, contestant: ASYNC_LOCK, run: async_lock_sync::async_handed_off },
        Entry { work: CONTENDED, contestant: OURS, run: ours::async_contended },
        Entry { work: CONTENDED, contestant: TOKIO, run: tokio_sync::async_contended },
        Entry { work: CONTENDED, contestant: ASYNC_LOCK, run: async_lock_sync::async_contended },
    ])
}
