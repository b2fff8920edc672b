//! The coordinator's own executor: a few threads that poll many tasks.
//!
//! A job is in one of four states. `IDLE`: nobody will poll it until its waker runs. `QUEUED`: it
//! stands in the queue once. `RUNNING`: a worker polls it. `WOKEN`: a worker polls it and its waker
//! ran meanwhile, so that worker queues it again. Only the worker that moved it to `RUNNING` touches
//! its future.

use crate::guard::caught;
use parking_lot::Mutex;
use ropewalk_sync::{Background, BoxFuture, Cancelled, Clock, Polled, Spawn, Ticket, WaitQueue};
use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const WOKEN: u8 = 3;

/// Threads that run futures. It starts its threads when it is made; when it drops it ends them, waits
/// for the polls under way and drops the futures that are not done.
#[derive(Debug)]
pub struct Executor {
    spawner: Spawner,
    /// Dropped before the queue is emptied.
    threads: Vec<Background>,
}

/// A handle to spawn on an [`Executor`]. What is spawned after the executor is gone is dropped.
#[derive(Clone)]
pub struct Spawner(Arc<Queue>);

struct Queue {
    line: WaitQueue<(), Arc<Job>, Pending>,
    /// All jobs that are not done, so that they can be dropped with the executor.
    live: Mutex<Live>,
}

#[derive(Default)]
struct Pending {
    jobs: VecDeque<Arc<Job>>,
}

#[derive(Default)]
struct Live {
    jobs: Vec<Option<Arc<Job>>>,
    free: Vec<usize>,
    closed: bool,
}

struct Job {
    state: AtomicU8,
    /// Taken out while it is polled, so no lock is held meanwhile.
    future: Mutex<Option<BoxFuture>>,
    place: usize,
    queue: Arc<Queue>,
}

impl Executor {
    /// Starts `threads` threads, at least 1, that count as workers of `clock`.
    ///
    /// # Panics
    ///
    /// When the operating system refuses a thread.
    pub fn new(threads: usize, clock: &Clock) -> Self {
        let line = WaitQueue::with_state(Pending::default());
        let spawner = Spawner(Arc::new(Queue { line, live: Mutex::default() }));
        let threads = (0..threads.max(1))
            .map(|index| {
                let queue = spawner.0.clone();
                Background::thread(&format!("agents-{index}"), clock, async move {
                    loop {
                        let job = Next { queue: &queue, ticket: None }.await;
                        job.run();
                    }
                })
            })
            .collect();
        Self { spawner, threads }
    }

    /// A handle to spawn with.
    pub fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        // Ask all first, so that they end together.
        for thread in &self.threads {
            thread.stop();
        }
        self.threads.clear();
        let jobs = {
            let mut live = self.spawner.0.live.lock();
            live.closed = true;
            std::mem::take(&mut live.jobs)
        };
        let queued = std::mem::take(&mut self.spawner.0.line.lock().jobs);
        drop(queued);
        for job in jobs.into_iter().flatten() {
            job.drop_future();
        }
    }
}

impl Spawn for Spawner {
    fn spawn(&self, _name: &str, job: BoxFuture) {
        let mut live = self.0.live.lock();
        if live.closed {
            drop(live);
            drop(job);
            return;
        }
        let place = live.free.pop().unwrap_or_else(|| {
            live.jobs.push(None);
            live.jobs.len() - 1
        });
        let job = Arc::new(Job {
            state: AtomicU8::new(QUEUED),
            future: Mutex::new(Some(job)),
            place,
            queue: self.0.clone(),
        });
        live.jobs[place] = Some(job.clone());
        drop(live);
        self.0.push(job);
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner").finish_non_exhaustive()
    }
}

impl Queue {
    fn push(&self, job: Arc<Job>) {
        let mut line = self.line.lock();
        if let Err(job) = line.grant_front(job) {
            line.jobs.push_back(job);
        }
    }
}

impl Job {
    fn run(self: Arc<Self>) {
        // Acquire: pairs with the Release that ended the run before, on whichever thread.
        self.state.swap(RUNNING, Ordering::Acquire);
        let Some(mut future) = self.future.lock().take() else { return };
        let waker = Waker::from(self.clone());
        let polled = caught(|| future.as_mut().poll(&mut Context::from_waker(&waker)));
        *self.future.lock() = Some(future);
        // A job that panicked has been reported by the panic hook. When the executor was dropped
        // meanwhile, by this very job, the future has missed the sweep and is dropped here.
        if !matches!(polled, Some(Poll::Pending)) || self.queue.live.lock().closed {
            return self.finish();
        }
        // Release: pairs with the Acquire above.
        if self.state.compare_exchange(RUNNING, IDLE, Ordering::Release, Ordering::Relaxed).is_err() {
            self.state.store(QUEUED, Ordering::Release);
            self.queue.clone().push(self);
        }
    }

    fn finish(&self) {
        self.drop_future();
        let mut live = self.queue.live.lock();
        if !live.closed {
            // The queue holds an `Arc` of this job by the place; the caller holds another.
            let job = live.jobs[self.place].take();
            live.free.push(self.place);
            drop(live);
            drop(job);
        }
    }

    fn drop_future(&self) {
        let future = self.future.lock().take();
        // The future is the user's; a panic of its drop ends here.
        caught(|| drop(future));
    }
}

impl Wake for Job {
    fn wake(self: Arc<Self>) {
        loop {
            // Release and Acquire: pair with those of `run`, so that the poll that follows sees what
            // happened before the wake-up.
            match self.state.compare_exchange(IDLE, QUEUED, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    let queue = self.queue.clone();
                    return queue.push(self);
                }
                Err(RUNNING) => {
                    // AcqRel: pairs with those of `run`, as above.
                    if self
                        .state
                        .compare_exchange(RUNNING, WOKEN, Ordering::AcqRel, Ordering::Acquire)
                        .is_ok()
                    {
                        return;
                    }
                }
                // It will be polled anyway.
                Err(_) => return,
            }
        }
    }
}

/// Waits for a job.
struct Next<'a> {
    queue: &'a Queue,
    ticket: Option<Ticket<(), Arc<Job>>>,
}

impl Future for Next<'_> {
    type Output = Arc<Job>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Arc<Job>> {
        if self.ticket.is_none() {
            let mut line = self.queue.line.lock();
            if let Some(job) = line.jobs.pop_front() {
                return Poll::Ready(job);
            }
            let ticket = line.join(());
            drop(line);
            self.ticket = Some(ticket);
        }
        let Some(ticket) = &self.ticket else { unreachable!("just joined") };
        match self.queue.line.poll(ticket, cx) {
            Polled::Ready(job) => {
                self.ticket = None;
                Poll::Ready(job)
            }
            // Jobs that were handed over are never taken back.
            Polled::Pending | Polled::Rejoined => Poll::Pending,
        }
    }
}

impl Drop for Next<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            if let Cancelled::Granted(job) = self.queue.line.cancel(ticket) {
                self.queue.push(job);
            }
        }
    }
}
