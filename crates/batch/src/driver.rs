//! What runs the batches: up to `in_flight` drivers, each a loop that cuts a batch, calls the handler
//! and answers.
//!
//! A driver is on a thread of its own, where it parks when there is nothing to do, or on a spawner,
//! where it ends instead. `State` is only touched under its lock, in short sections that run no user
//! code: entries are moved out and dropped, answered or run after the lock is released.
//!
//! No item is forgotten: who pushes an item that is due wakes an idle driver or starts one, unless all
//! are busy, and then the first to finish looks again. One stored wake-up can stand for two pushes, so
//! a driver that took a batch and leaves another that is due passes the wake-up on.

use crate::{
    BatchQueue, GroupKey, Place, SubmitError,
    builder::Grouping,
    stats::{BatchStats, Meters},
};
use parking_lot::Mutex;
use ropewalk_sync::{Background, Clock, OwnedPermit, Receiver, Semaphore, Sender, Signal, Spawn, oneshot};
use std::{
    any::Any,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) type Answers<R, E> = Vec<Result<R, E>>;
type Answering<R, E> = Pin<Box<dyn Future<Output = Answers<R, E>> + Send>>;

pub(crate) enum Handler<T, R, E> {
    Blocking(Box<dyn Fn(Vec<T>) -> Answers<R, E> + Send + Sync>),
    Async(Box<dyn Fn(Vec<T>) -> Answering<R, E> + Send + Sync>),
}

pub(crate) struct Shared<T, R, E> {
    handler: Handler<T, R, E>,
    group: Option<Grouping<T>>,
    in_flight: usize,
    max_wait: Duration,
    pub(crate) room: Arc<Semaphore>,
    pub(crate) clock: Clock,
    spawner: Option<Arc<dyn Spawn>>,
    state: Mutex<State<T, R, E>>,
    wake: Signal,
    workers: Mutex<Vec<Background>>,
    pub(crate) meters: Meters,
}

struct State<T, R, E> {
    queue: BatchQueue<Entry<T, R, E>>,
    /// Drivers started and not ended.
    drivers: usize,
    /// Those of them that wait.
    idle: usize,
    /// Batches being run.
    running: usize,
    /// The earliest instant at which an idle driver will look again.
    watch: Option<Instant>,
    closed: bool,
    stopped: bool,
    epochs: Epochs,
}

struct Entry<T, R, E> {
    item: T,
    answer: Sender<Result<R, SubmitError<T, E>>>,
    room: OwnedPermit,
    since: Instant,
    epoch: u64,
}

/// A queued item: its place, who hears its answer, and whether a driver is to be [kicked](Shared::kick).
pub(crate) type Submitted<T, R, E> = (Place, Receiver<Result<R, SubmitError<T, E>>>, bool);

enum Next<T, R, E> {
    Run { batch: Vec<Entry<T, R, E>>, more: bool },
    Wait(Option<Instant>),
    End,
}

impl<T: Send + 'static, R: Send + 'static, E: Send + 'static> Shared<T, R, E> {
    pub(crate) fn new(
        handler: Handler<T, R, E>,
        group: Option<Grouping<T>>,
        (max_items, max_wait, in_flight): (usize, Duration, usize),
        room: Arc<Semaphore>,
        clock: Clock,
        spawner: Option<Arc<dyn Spawn>>,
    ) -> Arc<Self> {
        let state = State {
            queue: BatchQueue::new(max_items).max_wait(max_wait),
            drivers: 0,
            idle: 0,
            running: 0,
            watch: None,
            closed: false,
            stopped: false,
            epochs: Epochs::default(),
        };
        Arc::new(Self {
            handler,
            group,
            in_flight,
            max_wait,
            room,
            clock,
            spawner,
            state: Mutex::new(state),
            wake: Signal::new(),
            workers: Mutex::default(),
            meters: Meters::default(),
        })
    }

    /// Queues an item for which there is room; gives it back when the batcher is closed.
    pub(crate) fn enqueue(self: &Arc<Self>, item: T, room: OwnedPermit) -> Result<Submitted<T, R, E>, T> {
        let group = self.group.as_ref().map_or(GroupKey::ONE, |group| group(&item));
        let since = self.clock.now();
        let (answer, receiver) = oneshot();
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            return Err(item);
        }
        let epoch = state.epochs.enter();
        let place = state.queue.push(Entry { item, answer, room, since, epoch }, group, 0, since);
        let due = since.checked_add(self.max_wait);
        let sooner = due.is_some_and(|due| state.watch.is_none_or(|watch| due < watch));
        let needed = state.queue.is_due(since) || sooner;
        drop(state);
        self.meters.submitted.incr();
        Ok((place, receiver, needed))
    }

    /// Takes an item back if no batch has taken it.
    pub(crate) fn withdraw(&self, place: &Place) -> Option<T> {
        let mut state = self.state.lock();
        let entry = state.queue.remove(place)?;
        let done = state.epochs.leave(entry.epoch, 1);
        drop(state);
        self.meters.withdrawn.incr();
        finish(done);
        let Entry { item, answer, room, .. } = entry;
        // Both wake somebody, who is user code: that must not cost the item.
        let _told = caught(move || drop(room));
        let _gone = caught(move || drop(answer));
        Some(item)
    }

    /// Makes what is queued due; the receiver hears when all of it is answered or withdrawn.
    pub(crate) fn flush(self: &Arc<Self>, close: bool) -> Receiver<()> {
        let (done, receiver) = oneshot();
        let mut state = self.state.lock();
        state.closed |= close;
        state.queue.flush();
        let ready = state.epochs.watch(done);
        drop(state);
        finish(ready);
        self.kick();
        receiver
    }

    /// Ends all: queued items go back to their submitters, drivers end.
    pub(crate) fn stop(&self) {
        self.shut_the_door();
        let mut state = self.state.lock();
        state.closed = true;
        state.stopped = true;
        let entries = state.queue.drain();
        drop(state);
        for Entry { item, answer, .. } in entries {
            // The submitter's waker is user code, and so is the drop of the item if nobody is there.
            let _gone = caught(move || drop(answer.send(Err(SubmitError::Closed(item)))));
        }
        let workers = std::mem::take(&mut *self.workers.lock());
        workers.iter().for_each(Background::stop);
        drop(workers);
    }

    /// Sends those away who wait for room; their wakers are user code.
    pub(crate) fn shut_the_door(&self) {
        let _told = caught(|| self.room.close());
    }

    pub(crate) fn stats(&self) -> BatchStats {
        let state = self.state.lock();
        let (queued, running) = (state.queue.len(), state.running);
        drop(state);
        self.meters.stats(queued, running)
    }

    /// Wakes an idle driver, or starts one, or leaves it to the busy ones.
    pub(crate) fn kick(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.stopped || state.queue.is_empty() {
            return;
        }
        if state.idle > 0 {
            drop(state);
            return self.wake.notify();
        }
        if state.drivers == self.in_flight {
            return;
        }
        state.drivers += 1;
        drop(state);
        // Counted off again also when it cannot be started.
        let present = Present { shared: self.clone(), counted_off: false };
        let job = drive(present);
        let worker = match &self.spawner {
            Some(spawner) => Background::spawn("ropewalk-batch", &**spawner, job),
            None => Background::thread("ropewalk-batch", &self.clock, job),
        };
        let mut workers = self.workers.lock();
        let (ended, alive) = std::mem::take(&mut *workers).into_iter().partition(Background::is_finished);
        *workers = alive;
        workers.push(worker);
        drop(workers);
        let _ended: Vec<Background> = ended;
    }

    fn next(&self) -> Next<T, R, E> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        if state.stopped {
            state.drivers -= 1;
            return Next::End;
        }
        let batch = state.queue.take(now, usize::MAX);
        if !batch.is_empty() {
            state.running += 1;
            let more = state.queue.is_due(now);
            return Next::Run { batch, more };
        }
        let due = state.queue.next_due();
        if self.spawner.is_some() && (due.is_none() || state.idle > 0) {
            // Counted off in the look that found nothing, so that the next push starts another.
            state.drivers -= 1;
            return Next::End;
        }
        state.idle += 1;
        state.watch = due;
        Next::Wait(due)
    }

    async fn run(self: &Arc<Self>, batch: Vec<Entry<T, R, E>>) {
        let now = self.clock.now();
        self.meters.batches.incr();
        self.meters.batch_size.record(batch.len() as u64);
        let mut items = Vec::with_capacity(batch.len());
        let mut answers = Vec::with_capacity(batch.len());
        let epochs = Vec::with_capacity(batch.len());
        let mut running = Running { shared: self.clone(), handling: true, epochs };
        for entry in batch {
            self.meters.queue_wait.record_duration(now.saturating_duration_since(entry.since));
            items.push(entry.item);
            answers.push(entry.answer);
            running.epochs.push(entry.epoch);
            // The place in the queue is free; a submitter at the door takes it. Its waker is user code.
            let _told = caught(move || drop(entry.room));
        }
        let outcome = self.call(items).await;
        // Before the answers, so that who has one no longer sees its batch in flight.
        running.handled();
        self.answer(answers, outcome);
        drop(running);
    }

    async fn call(&self, items: Vec<T>) -> Result<Answers<R, E>, String> {
        let called = caught(|| match &self.handler {
            Handler::Blocking(handler) => Ok(handler(items)),
            Handler::Async(handler) => Err(handler(items)),
        });
        let mut future = match called? {
            Ok(answers) => return Ok(answers),
            Err(future) => future,
        };
        let answers = std::future::poll_fn(|cx| match caught(|| future.as_mut().poll(cx)) {
            Ok(poll) => poll.map(Ok),
            Err(message) => std::task::Poll::Ready(Err(message)),
        })
        .await;
        // The answers are here, so a panic in the drop of what is left of the future harms nobody.
        let _dropped = caught(move || drop(future));
        answers
    }

    fn answer(
        &self,
        senders: Vec<Sender<Result<R, SubmitError<T, E>>>>,
        outcome: Result<Answers<R, E>, String>,
    ) {
        let items = senders.len();
        let send = |sender: Sender<_>, answer| {
            // The submitter may be gone; then its answer drops here, and that drop is user code.
            let _gone = caught(move || drop(sender.send(answer)));
        };
        match outcome {
            Ok(answers) if answers.len() == items => {
                for (sender, answer) in senders.into_iter().zip(answers) {
                    match &answer {
                        Ok(_) => self.meters.succeeded.incr(),
                        Err(_) => self.meters.failed.incr(),
                    }
                    send(sender, answer.map_err(SubmitError::Handler));
                }
            }
            Ok(wrong) => {
                let answers = wrong.len();
                let _dropped = caught(move || drop(wrong));
                self.meters.unanswered.add(items as u64);
                for sender in senders {
                    send(sender, Err(SubmitError::Unanswered { items, answers }));
                }
            }
            Err(message) => {
                self.meters.panics.incr();
                self.meters.unanswered.add(items as u64);
                for sender in senders {
                    send(sender, Err(SubmitError::Panicked(message.clone())));
                }
            }
        }
    }
}

async fn drive<T, R, E>(mut present: Present<T, R, E>)
where
    T: Send + 'static,
    R: Send + 'static,
    E: Send + 'static,
{
    let shared = present.shared.clone();
    loop {
        match shared.next() {
            Next::Run { batch, more } => {
                if more {
                    // A thread or a spawner may be refused, which must not cost the batch in hand: this
                    // driver comes back to what is left.
                    let _started = caught(|| shared.kick());
                }
                shared.run(batch).await;
            }
            Next::Wait(due) => {
                let _idle = Idle(&shared);
                // Woken or late: either way it looks again.
                let _woken = shared.clock.timeout_at(due, shared.wake.notified()).await;
            }
            Next::End => {
                present.counted_off = true;
                return;
            }
        }
    }
}

/// A driver that exists; counts it off if it ends in any other way than by `Next::End`.
struct Present<T, R, E> {
    shared: Arc<Shared<T, R, E>>,
    counted_off: bool,
}

impl<T, R, E> Drop for Present<T, R, E> {
    fn drop(&mut self) {
        if !self.counted_off {
            self.shared.state.lock().drivers -= 1;
        }
    }
}

/// A driver that waits.
struct Idle<'a, T, R, E>(&'a Shared<T, R, E>);

impl<T, R, E> Drop for Idle<'_, T, R, E> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.idle -= 1;
        state.watch = None;
    }
}

/// A batch that runs; its items leave their epochs when it ends or is dropped.
struct Running<T, R, E> {
    shared: Arc<Shared<T, R, E>>,
    handling: bool,
    epochs: Vec<u64>,
}

impl<T, R, E> Running<T, R, E> {
    fn handled(&mut self) {
        if std::mem::take(&mut self.handling) {
            self.shared.state.lock().running -= 1;
        }
    }
}

impl<T, R, E> Drop for Running<T, R, E> {
    fn drop(&mut self) {
        self.handled();
        let mut state = self.shared.state.lock();
        let mut done = Vec::new();
        for epoch in self.epochs.drain(..) {
            done.append(&mut state.epochs.leave(epoch, 1));
        }
        drop(state);
        finish(done);
    }
}

fn finish(done: Vec<Sender<()>>) {
    for sender in done {
        // Who waits for a flush has a waker, which is user code.
        let _gone = caught(move || sender.send(()));
    }
}

fn caught<A>(f: impl FnOnce() -> A) -> Result<A, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(message)
}

fn message(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => match panic.downcast::<&'static str>() {
            Ok(message) => (*message).to_owned(),
            Err(panic) => {
                // A payload of the user's own type, whose drop may panic again.
                let _dropped = catch_unwind(AssertUnwindSafe(move || drop(panic)));
                "a value that is not text".to_owned()
            }
        },
    }
}

/// Counts the unfinished items of each stretch between two flushes, so that a flush can wait for
/// exactly those that came before it.
struct Epochs {
    first: u64,
    /// Unfinished items of `first` and its successors; the last is the present epoch.
    counts: VecDeque<usize>,
    waiting: Vec<(u64, Sender<()>)>,
}

impl Default for Epochs {
    fn default() -> Self {
        Self { first: 0, counts: VecDeque::from([0]), waiting: Vec::new() }
    }
}

impl Epochs {
    fn present(&self) -> u64 {
        self.first + self.counts.len() as u64 - 1
    }

    fn enter(&mut self) -> u64 {
        if let Some(count) = self.counts.back_mut() {
            *count += 1;
        }
        self.present()
    }

    /// `n` items of `epoch` are done; returns who has nothing left to wait for.
    fn leave(&mut self, epoch: u64, n: usize) -> Vec<Sender<()>> {
        if let Some(count) = self.counts.get_mut((epoch - self.first) as usize) {
            *count -= n;
        }
        self.settle()
    }

    /// Ends the present epoch; `done` is returned when it and all before are finished.
    fn watch(&mut self, done: Sender<()>) -> Vec<Sender<()>> {
        self.waiting.push((self.present(), done));
        self.counts.push_back(0);
        self.settle()
    }

    fn settle(&mut self) -> Vec<Sender<()>> {
        while self.counts.len() > 1 && self.counts.front() == Some(&0) {
            self.counts.pop_front();
            self.first += 1;
        }
        let first = self.first;
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let (ready, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition(|&(epoch, _)| epoch < first);
        self.waiting = waiting;
        let ready: Vec<(u64, Sender<()>)> = ready;
        ready.into_iter().map(|(_, done)| done).collect()
    }
}
