//! Driving a future from a thread: the thread is the task, its waker unparks it.

use std::{
    cell::{Cell, RefCell},
    pin::pin,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

const RUNNING: u8 = 0;
const PARKED: u8 = 1;
const NOTIFIED: u8 = 2;

/// A thread that polls a future and parks between polls.
///
/// `state` goes RUNNING -> PARKED when it has nothing to do, PARKED -> RUNNING by the waker, and
/// RUNNING -> NOTIFIED when a wake-up arrives while it runs. The waker moves PARKED -> RUNNING
/// itself and counts the worker busy *before* the thread resumes, so an observer that sees no busy
/// worker sees no wake-up under way either.
pub(crate) struct Parker {
    thread: Thread,
    state: AtomicU8,
    workers: Option<Arc<Workers>>,
}

impl Parker {
    fn new(workers: Option<Arc<Workers>>) -> Arc<Self> {
        Arc::new(Self { thread: thread::current(), state: AtomicU8::new(RUNNING), workers })
    }

    fn park(&self) {
        // Acquire on failure: pairs with the Release in `wake`, whose sender's writes the next poll must see.
        match self.state.compare_exchange(RUNNING, PARKED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                if let Some(workers) = &self.workers {
                    workers.idle();
                }
                // Acquire: pairs with the Release in `wake`.
                while self.state.load(Ordering::Acquire) == PARKED {
                    thread::park();
                }
            }
            Err(_) => self.state.store(RUNNING, Ordering::Relaxed),
        }
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(workers) = &self.workers {
            workers.busy();
        }
        // Release: pairs with the Acquire in `park`.
        if self.state.compare_exchange(PARKED, RUNNING, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            return self.thread.unpark();
        }
        // Release: pairs with the Acquire in `park`. A failed exchange means that it was PARKED again
        // (then try once more) or NOTIFIED already, by a wake-up that the thread has yet to see.
        if self.state.compare_exchange(RUNNING, NOTIFIED, Ordering::AcqRel, Ordering::Relaxed) == Err(PARKED)
            && self.state.compare_exchange(PARKED, RUNNING, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        {
            return self.thread.unpark();
        }
        if let Some(workers) = &self.workers {
            workers.idle();
        }
    }
}

thread_local! {
    /// The parker of this thread while no `block_on` uses it: a nested call must not swallow the
    /// wake-ups of the outer one, so it makes its own.
    static SPARE: Cell<Option<Arc<Parker>>> = const { Cell::new(None) };
}

/// Drives `future` to its end on this thread, which parks between polls.
///
/// This is how every `_blocking` form of the family waits. It needs no runtime; inside a task of an
/// async runtime it blocks that runtime's thread, so don't call it there.
///
/// ```
/// assert_eq!(ropewalk_sync::block_on(async { 6 * 7 }), 42);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    let parker = SPARE.try_with(Cell::take).ok().flatten().unwrap_or_else(|| Parker::new(None));
    let output = drive(&parker, future);
    // The thread may be ending, its locals gone: then the parker is simply dropped.
    let _ = SPARE.try_with(|spare| spare.set(Some(parker)));
    output
}

/// [`block_on`] on a thread that holds a token of `workers`.
pub(crate) fn drive_worker<F: Future>(workers: &Arc<Workers>, future: F) -> F::Output {
    let _counted = Counted::by(workers);
    block_on_observed(workers, future)
}

/// [`block_on`] for a thread whose idleness `workers` observe. One that they do not count yet is counted meanwhile.
pub(crate) fn block_on_observed<F: Future>(workers: &Arc<Workers>, future: F) -> F::Output {
    let _token = (!Counted::is_by(workers)).then(|| WorkerToken::new(Some(workers.clone())));
    let _counted = Counted::by(workers);
    drive(&Parker::new(Some(workers.clone())), future)
}

thread_local! {
    /// Who counts this thread, the innermost last. A thread counts once: a call inside of another parks for both.
    static COUNTED: RefCell<Vec<*const Workers>> = const { RefCell::new(Vec::new()) };
}

struct Counted;

impl Counted {
    fn by(workers: &Arc<Workers>) -> Self {
        // The thread may be ending, its locals gone: then nothing is nested in it any more.
        let _ = COUNTED.try_with(|counted| counted.borrow_mut().push(Arc::as_ptr(workers)));
        Self
    }

    fn is_by(workers: &Arc<Workers>) -> bool {
        COUNTED.try_with(|counted| counted.borrow().contains(&Arc::as_ptr(workers))).unwrap_or(false)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let _ = COUNTED.try_with(|counted| counted.borrow_mut().pop());
    }
}

fn drive<F: Future>(parker: &Arc<Parker>, future: F) -> F::Output {
    let waker = Waker::from(parker.clone());
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        parker.park();
    }
}

/// How many observed threads are busy: running, or about to resume.
#[derive(Default)]
pub(crate) struct Workers {
    count: Mutex<usize>,
    quiet: Condvar,
}

impl Workers {
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn busy(&self) {
        *self.lock() += 1;
    }

    pub(crate) fn idle(&self) {
        let mut count = self.lock();
        *count -= 1;
        if *count == 0 {
            self.quiet.notify_all();
        }
    }

    #[cfg(feature = "test-util")]
    pub(crate) fn wait_until_quiet(&self) {
        let mut count = self.lock();
        while *count > 0 {
            count = self.quiet.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Counts one thread busy from its creation to its end, between which it parks and resumes.
pub(crate) struct WorkerToken(Option<Arc<Workers>>);

impl WorkerToken {
    pub(crate) fn new(workers: Option<Arc<Workers>>) -> Self {
        if let Some(workers) = &workers {
            workers.busy();
        }
        Self(workers)
    }
}

impl Drop for WorkerToken {
    fn drop(&mut self) {
        if let Some(workers) = &self.0 {
            workers.idle();
        }
    }
}
