//! Threads that execute runs.

use super::{deques::Deques, run::RunError};
use crate::error::BuildError;
use parking_lot::RwLock;
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// Threads that run the tasks of frozen graphs, any number of runs at once.
///
/// It starts its threads when it is made and ends them when it drops; the runs in hand are finished
/// first, and the dropping thread waits for that.
pub struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// Builds [`Workers`].
#[derive(Clone, Debug)]
#[must_use = "call build()"]
pub struct WorkersBuilder {
    threads: usize,
    name: String,
}

struct Shared {
    deques: Deques<Unit>,
    closing: AtomicBool,
    /// Held in common to start a run, alone to shut down: no run starts on workers that are gone.
    door: RwLock<()>,
}

/// One task of one run.
struct Unit {
    run: Arc<dyn Runnable>,
    task: u32,
}

pub(super) trait Runnable: Send + Sync {
    fn execute(&self, task: u32, release: &mut dyn FnMut(usize, u32));
}

/// `n` threads, or one per core for 0.
pub(super) fn count(n: usize) -> usize {
    if n > 0 { n } else { thread::available_parallelism().map_or(1, usize::from) }
}

impl Workers {
    /// Starts `threads` threads; 0 means one per core.
    ///
    /// # Panics
    ///
    /// When the operating system refuses a thread; see [`builder`](Self::builder).
    pub fn new(threads: usize) -> Self {
        match Self::builder(threads).build() {
            Ok(workers) => workers,
            Err(error) => panic!("{error}"),
        }
    }

    /// Starts building `threads` threads; 0 means one per core.
    pub fn builder(threads: usize) -> WorkersBuilder {
        WorkersBuilder { threads, name: "graph-worker".to_owned() }
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Takes no more runs; those in hand go on.
    pub fn shutdown(&self) {
        let _alone = self.shared.door.write();
        // Release: pairs with the Acquire in `start`.
        self.shared.closing.store(true, Ordering::Release);
        self.shared.deques.wake_all();
    }

    pub(super) fn start(&self, run: &Arc<dyn Runnable>, units: Vec<(usize, u32)>) -> Result<(), RunError> {
        let _open = self.shared.door.read();
        // Acquire: pairs with the Release in `shutdown`.
        if self.shared.closing.load(Ordering::Acquire) {
            return Err(RunError::ShutDown);
        }
        let units = units.into_iter().map(|(level, task)| (level, Unit { run: run.clone(), task }));
        self.shared.deques.inject(units);
        Ok(())
    }
}

impl WorkersBuilder {
    /// What the threads are called, before their number.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Starts them.
    ///
    /// # Errors
    ///
    /// [`BuildError::Thread`]; those that had been started end.
    pub fn build(self) -> Result<Workers, BuildError> {
        let (deques, locals) = Deques::new(count(self.threads));
        let shared = Arc::new(Shared { deques, closing: AtomicBool::new(false), door: RwLock::new(()) });
        let mut workers = Workers { shared: shared.clone(), threads: Vec::with_capacity(locals.len()) };
        for (index, local) in locals.into_iter().enumerate() {
            let shared = shared.clone();
            let thread = thread::Builder::new().name(format!("{}-{index}", self.name)).spawn(move || {
                let execute = |unit: Unit, release: &mut dyn FnMut(usize, Unit)| {
                    // Bodies are guarded where they run; this guards against the drop of the last
                    // handle to a body.
                    let _ = catch_unwind(AssertUnwindSafe(move || {
                        let Unit { run, task } = unit;
                        run.execute(task, &mut |level, task| release(level, Unit { run: run.clone(), task }));
                    }));
                };
                // Acquire: pairs with the Release in `shutdown`.
                shared.deques.work(index, &local, execute, || shared.closing.load(Ordering::Acquire));
            });
            match thread {
                Ok(thread) => workers.threads.push(thread),
                // Dropping the workers ends those that were started.
                Err(error) => return Err(BuildError::Thread { index, reason: error.to_string() }),
            }
        }
        Ok(workers)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shutdown();
        for thread in self.threads.drain(..) {
            // A body that owns the workers may be the last to let go of them.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}
