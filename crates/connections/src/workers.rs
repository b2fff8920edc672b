//! The pool's own threads: started when there is work and none is idle, ended when idle for long.

use ropewalk_sync::{Cancelled, Clock, Polled, Spawn, Threads, Ticket, WaitQueue};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// How long a thread waits for work before it ends.
const KEEP: Duration = Duration::from_secs(10);

/// Threads that run blocking work. The youngest idle one is taken first, so that the others may end.
pub(crate) struct Workers {
    line: WaitQueue<(), Option<Job>, Crew>,
    clock: Clock,
}

#[derive(Default)]
struct Crew {
    backlog: VecDeque<Job>,
    threads: usize,
    cap: usize,
    stopped: bool,
}

impl Workers {
    /// At most `cap` threads, which must be as many as there can be jobs that block at once.
    pub(crate) fn new(clock: &Clock, cap: usize) -> Arc<Self> {
        Arc::new(Self { line: WaitQueue::with_state(Crew { cap, ..Crew::default() }), clock: clock.clone() })
    }

    /// Makes room for `cap` jobs that block at once; the cap never shrinks, as slots beyond a lowered
    /// maximum may still be at work.
    pub(crate) fn cap_at_least(&self, cap: usize) {
        let mut line = self.line.lock();
        line.cap = line.cap.max(cap);
    }

    /// A thread is stuck: it no longer counts.
    pub(crate) fn lost_one(&self) {
        self.line.lock().cap += 1;
    }

    /// A stuck thread is back.
    pub(crate) fn found_one(&self) {
        let mut line = self.line.lock();
        line.cap = line.cap.saturating_sub(1);
    }

    pub(crate) fn threads(&self) -> usize {
        self.line.lock().threads
    }

    pub(crate) fn submit(self: &Arc<Self>, job: Job) {
        let mut line = self.line.lock();
        let Err(Some(job)) = line.grant_front(Some(job)) else { return };
        line.backlog.push_back(job);
        if line.threads >= line.cap.max(1) {
            return;
        }
        line.threads += 1;
        drop(line);
        let this = self.clone();
        let started = catch_unwind(AssertUnwindSafe(|| {
            Threads::new(&self.clock)
                .spawn("ropewalk-connections", Box::pin(async move { this.work().await }));
        }));
        if started.is_err() {
            self.without_thread();
        }
    }

    /// The operating system refused a thread: another takes the work, or else the caller must.
    fn without_thread(&self) {
        let mut line = self.line.lock();
        line.threads -= 1;
        while line.threads == 0 {
            let Some(job) = line.backlog.pop_front() else { return };
            drop(line);
            run(job);
            line = self.line.lock();
        }
    }

    /// Ends idle threads now and busy ones after their work. Work submitted later still runs.
    pub(crate) fn stop(&self) {
        let mut line = self.line.lock();
        line.stopped = true;
        line.grant_all(|| None);
    }

    async fn work(&self) {
        loop {
            let ticket = match self.next() {
                Next::Run(job) => {
                    run(job);
                    continue;
                }
                Next::Leave => return,
                Next::Wait(ticket) => ticket,
            };
            let mut idle = Idle { workers: self, ticket: Some(ticket) };
            let job = match self.clock.timeout(KEEP, &mut idle).await {
                Ok(job) => job,
                Err(_elapsed) => match idle.leave() {
                    None if self.leave() => return,
                    job => job,
                },
            };
            if let Some(job) = job {
                run(job);
            }
        }
    }

    fn next(&self) -> Next {
        let mut line = self.line.lock();
        if let Some(job) = line.backlog.pop_front() {
            return Next::Run(job);
        }
        if line.stopped {
            line.threads -= 1;
            return Next::Leave;
        }
        Next::Wait(line.join_front(()))
    }

    /// Ends a thread that has been idle for long; false when work came up meanwhile.
    fn leave(&self) -> bool {
        let mut line = self.line.lock();
        let idle = line.backlog.is_empty();
        if idle {
            line.threads -= 1;
        }
        idle
    }
}

enum Next {
    Run(Job),
    Leave,
    Wait(Ticket<(), Option<Job>>),
}

fn run(job: Job) {
    // Jobs catch what user code throws; this is for what is left (a `Drop` of a result).
    let _ = catch_unwind(AssertUnwindSafe(job));
}

struct Idle<'a> {
    workers: &'a Workers,
    ticket: Option<Ticket<(), Option<Job>>>,
}

impl Idle<'_> {
    fn leave(&mut self) -> Option<Job> {
        match self.workers.line.cancel(self.ticket.take()?) {
            Cancelled::Removed => None,
            Cancelled::Granted(job) => job,
        }
    }
}

impl Future for Idle<'_> {
    type Output = Option<Job>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Job>> {
        let Some(ticket) = &self.ticket else { return Poll::Ready(None) };
        match self.workers.line.poll(ticket, cx) {
            Polled::Ready(job) => {
                self.ticket = None;
                Poll::Ready(job)
            }
            // Grants of this line are never taken back.
            Polled::Pending | Polled::Rejoined => Poll::Pending,
        }
    }
}
