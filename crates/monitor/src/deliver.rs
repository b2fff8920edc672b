//! Callbacks and corrective actions: bounded queues, each with a worker of its own, so that neither can
//! stall the monitor or the other.

use crate::{
    Handle,
    alert::{ActionState, AlertEvent},
    manager::Job,
    rule::{Firing, Outcome},
};
use parking_lot::Mutex;
use ropewalk_measure::Counter;
use ropewalk_sync::Signal;
use std::{
    any::Any,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

type Callback = Arc<dyn Fn(&AlertEvent) -> Result<String, String> + Send + Sync>;

pub(crate) struct Queue<T> {
    items: Mutex<VecDeque<T>>,
    limit: usize,
    wake: Signal,
}

impl<T> Queue<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { items: Mutex::default(), limit, wake: Signal::new() }
    }

    /// Gives the item back when the queue is full. The worker is not told before `wake`.
    pub(crate) fn put(&self, item: T) -> Result<(), T> {
        let mut items = self.items.lock();
        if items.len() >= self.limit {
            return Err(item);
        }
        items.push_back(item);
        Ok(())
    }

    /// Tells the worker to look. Its waker may be a runtime's: not under a lock, and its panic is nobody's here.
    pub(crate) fn wake(&self) {
        let _told = caught(|| self.wake.notify());
    }

    pub(crate) async fn pop(&self) -> T {
        loop {
            let item = self.items.lock().pop_front();
            if let Some(item) = item {
                return item;
            }
            self.wake.notified().await;
        }
    }
}

pub(crate) struct Outbox {
    pub(crate) events: Queue<AlertEvent>,
    callbacks: Mutex<Vec<Callback>>,
    pub(crate) delivered: Counter,
    pub(crate) failed: Counter,
    pub(crate) dropped: Counter,
}

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            events: Queue::new(limit),
            callbacks: Mutex::default(),
            delivered: Counter::new(),
            failed: Counter::new(),
            dropped: Counter::new(),
        }
    }

    pub(crate) fn subscribe<R: Outcome>(&self, callback: impl Fn(&AlertEvent) -> R + Send + Sync + 'static) {
        self.callbacks.lock().push(Arc::new(move |event| callback(event).into_outcome()));
    }

    pub(crate) fn put(&self, events: Vec<AlertEvent>) {
        for event in events {
            if self.events.put(event).is_err() {
                self.dropped.incr();
            }
        }
    }

    pub(crate) async fn deliver(self: Arc<Self>) {
        loop {
            let event = self.events.pop().await;
            let callbacks = self.callbacks.lock().clone();
            for callback in callbacks {
                match caught(|| callback(&event)).and_then(|outcome| outcome) {
                    Ok(_) => self.delivered.incr(),
                    Err(_) => self.failed.incr(),
                }
            }
        }
    }
}

pub(crate) struct Actions {
    pub(crate) jobs: Queue<Job>,
    pub(crate) ran: Counter,
    pub(crate) failed: Counter,
    pub(crate) dropped: Counter,
}

impl Actions {
    pub(crate) fn new(limit: usize) -> Self {
        Self { jobs: Queue::new(limit), ran: Counter::new(), failed: Counter::new(), dropped: Counter::new() }
    }
}

/// Runs actions, one after the other.
pub(crate) async fn act(handle: Handle) {
    loop {
        let Job { alert, index, act } = handle.0.actions.jobs.pop().await;
        let id = alert.id;
        let firing = Firing { alert, handle: handle.clone() };
        let state = match caught(|| act(&firing)).and_then(|outcome| outcome) {
            Ok(done) => ActionState::Done(done),
            Err(why) => ActionState::Failed(why),
        };
        handle.0.actions.ran.incr();
        if matches!(state, ActionState::Failed(_)) {
            handle.0.actions.failed.incr();
        }
        handle.0.acted(id, index, state);
    }
}

/// Runs user code; a panic becomes an error that names it.
pub(crate) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| format!("panicked: {}", message(panic)))
}

fn message(panic: Box<dyn Any + Send>) -> String {
    if let Some(text) = panic.downcast_ref::<&'static str>() {
        return (*text).to_owned();
    }
    if let Some(text) = panic.downcast_ref::<String>() {
        return text.clone();
    }
    // A payload of the user's own type, whose drop may panic again.
    let _dropped = catch_unwind(AssertUnwindSafe(move || drop(panic)));
    "with a value that is not text".to_owned()
}
