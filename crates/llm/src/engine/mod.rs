//! The pipeline behind the cache: sharing, admission, calls, retries.
//!
//! # Protocol
//!
//! A *flight* is one question on its way to an answer, with everybody who waits for it:
//!
//! ```text
//!        begin           enter            pump                finish
//! (none) -----> Entering -----> Queued ---------> Running --------------> (none), waiters answered
//!                  |               ^ |               | failed, may be tried again
//!                  | found in      | | nobody        v
//!                  | the cache     | | waits       Resting --> Queued, at its old level and age
//!                  v               | v
//!               (none)           pump (none)
//! ```
//!
//! All of it changes under one lock, `State`, in short sections that run no user code: backends are
//! called, answers sent and the cache asked outside.
//!
//! * *One call for one question.* A question joins the flight in `by_key`, or becomes one. The answer
//!   goes into the cache before its flight leaves `by_key`. Between a miss and the lock a flight may
//!   have landed, so who starts one (`Entering`) looks into the cache again before it is queued.
//! * *The flight owns the work.* Whoever started it may go; the call goes on while it runs, and its
//!   answer goes into the cache. A flight for which nobody waits leaves the queue and is not retried.
//! * *Permits* are counted by item: `running` goes up when `pump` takes a flight out of the queue, and
//!   down in `finish`, which the guard of a running call reaches also when the call is dropped.
//! * *No wake-up is lost*: everything that makes room or work (a push, an end, a larger limit, time for
//!   the budget) calls `pump` afterwards, and `pump` takes all it may under the lock.

mod finish;
mod flight;
mod pump;
mod run;

pub(crate) use flight::{Piece, Sink, Waiting};

use crate::{
    AskError, Reply, Source,
    adaptive::Controller,
    ask::Options,
    backend::{AnyBackend, CallLimits},
    budget::Purse,
    chat::{Chat, Key},
    error::Stage,
    jobs::Jobs,
    reply::Stored,
    retry::Retry,
    stats::{LlmStats, Meters},
};
use flight::{Flight, Phase, Waiter};
use parking_lot::Mutex;
use ropewalk_batch::BatchQueue;
use ropewalk_cache::Cache;
use ropewalk_sync::{Clock, Receiver, Sender, oneshot};
use run::caught;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub(crate) type Answer = Result<Landed, AskError>;

/// An answer as it reaches a waiter.
#[derive(Clone, Debug)]
pub(crate) struct Landed {
    pub(crate) stored: Arc<Stored>,
    pub(crate) source: Source,
    pub(crate) attempts: u32,
}

pub(crate) struct Engine {
    pub(crate) clock: Clock,
    pub(crate) backend: Arc<dyn AnyBackend>,
    pub(crate) cache: Option<Cache<Key, Arc<Stored>>>,
    pub(crate) hasher: foldhash::quality::RandomState,
    pub(crate) jobs: Jobs,
    pub(crate) retry: Retry,
    pub(crate) limits: CallLimits,
    pub(crate) queue_limit: usize,
    pub(crate) meters: Meters,
    /// Makes idempotency keys of this processor differ from those of all others.
    pub(crate) nonce: u64,
    next: AtomicU64,
    state: Mutex<State>,
}

pub(crate) struct State {
    flights: HashMap<u64, Flight>,
    by_key: HashMap<Key, u64>,
    queue: BatchQueue<u64>,
    /// Calls that may be in flight, and that are.
    limit: usize,
    running: usize,
    controller: Option<Controller>,
    purse: Purse,
    /// When the budget will have the queue looked at again.
    pacer: Option<Instant>,
    /// Somebody is in `pump`, and whether it is to look again. A call that is dropped as it is sent ends
    /// inside `pump`; without this a long queue would be as deep a recursion.
    pumping: bool,
    pump_again: bool,
    /// Mean tokens of answers so far, to guess the next.
    answer_tokens: f64,
    closed: bool,
    drained: Vec<Sender<()>>,
}

/// What the builder puts together.
pub(crate) struct Parts {
    pub(crate) clock: Clock,
    pub(crate) backend: Arc<dyn AnyBackend>,
    pub(crate) cache: Option<Cache<Key, Arc<Stored>>>,
    pub(crate) jobs: Jobs,
    pub(crate) retry: Retry,
    pub(crate) limits: CallLimits,
    pub(crate) queue_limit: usize,
    pub(crate) batch: usize,
    pub(crate) ageing: Duration,
    pub(crate) limit: usize,
    pub(crate) controller: Option<Controller>,
    pub(crate) purse: Purse,
}

/// A model's answers are guessed this long before any has been seen.
const FIRST_GUESS: f64 = 256.0;

/// How [`Engine::begin`] went.
pub(crate) enum Begun {
    /// From the cache.
    Hit(Reply),
    /// On its way.
    Waiting(Waiting),
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let state = State {
            flights: HashMap::new(),
            by_key: HashMap::new(),
            queue: BatchQueue::new(parts.batch).ageing(parts.ageing),
            limit: parts.limit,
            running: 0,
            controller: parts.controller,
            purse: parts.purse,
            pacer: None,
            pumping: false,
            pump_again: false,
            answer_tokens: FIRST_GUESS,
            closed: false,
            drained: Vec::new(),
        };
        let hasher = foldhash::quality::RandomState::default();
        let nonce = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id());
        Arc::new(Self {
            clock: parts.clock,
            backend: parts.backend,
            cache: parts.cache,
            hasher,
            jobs: parts.jobs,
            retry: parts.retry,
            limits: parts.limits,
            queue_limit: parts.queue_limit,
            meters: Meters::default(),
            nonce,
            next: AtomicU64::new(1),
            state: Mutex::new(state),
        })
    }

    /// Answers from the cache, joins a flight or starts one.
    pub(crate) fn begin(
        self: &Arc<Self>,
        chat: Chat,
        options: &Options,
        sink: Option<Arc<Sink>>,
    ) -> Result<Begun, AskError> {
        let asked = self.clock.now();
        self.meters.requests.incr();
        if let Some(flaw) = chat.flaw() {
            self.meters.invalid.incr();
            return Err(AskError::Invalid(flaw));
        }
        let key = Key::new(chat, &self.hasher);
        if options.cache {
            if let Some(reply) = self.hit(&key, asked) {
                return Ok(Begun::Hit(reply));
            }
        }
        let deadline = options.deadline.map(|after| (after, asked.checked_add(after)));
        let (answer, receiver) = oneshot();
        let waiter = Waiter {
            id: self.number(),
            answer,
            deadline: deadline.and_then(|(_, at)| at),
            leader: true,
            asked,
        };
        let (flight, leader, waiter) = self.join(&key, waiter, options, sink.clone())?;
        let waiting = Waiting::new(self.clone(), flight, waiter, receiver, deadline, asked, sink);
        if leader {
            self.enter(flight, &key, options.cache && options.share);
        }
        Ok(Begun::Waiting(waiting))
    }

    fn hit(&self, key: &Key, asked: Instant) -> Option<Reply> {
        let stored = self.cache.as_ref()?.get(key)?;
        self.meters.hits.incr();
        let latency = self.clock.now().saturating_duration_since(asked);
        self.meters.answered.record_duration(latency);
        Some(stored.reply(Source::Cache, latency, 0))
    }

    /// Adds a waiter to the flight for `key` if it may share one; starts one otherwise.
    fn join(
        &self,
        key: &Key,
        mut waiter: Waiter,
        options: &Options,
        sink: Option<Arc<Sink>>,
    ) -> Result<(u64, bool, u64), AskError> {
        // A stream is its consumer's own call: pieces that have gone by cannot be handed to a late one.
        let shared = options.share && sink.is_none();
        let level = options.priority.level();
        let id = self.number();
        let idempotency_key = match &options.idempotency_key {
            Some(key) => key.clone(),
            None => format!("{:016x}-{id}", self.nonce).into(),
        };
        let number = waiter.id;
        let mut state = self.state.lock();
        let State { flights, by_key, queue, closed, .. } = &mut *state;
        if shared {
            if let Some((&flight, entry)) =
                by_key.get(key).and_then(|id| flights.get_mut(id).map(|flight| (id, flight)))
            {
                waiter.leader = false;
                entry.waiters.push(waiter);
                entry.fill |= options.cache;
                if level < entry.level {
                    // The most urgent of those who wait sets the pace.
                    entry.level = level;
                    if let Phase::Queued(place) = &entry.phase {
                        if queue.remove(place).is_some() {
                            let place = queue.push(flight, entry.group.clone(), level, entry.since);
                            entry.phase = Phase::Queued(place);
                        }
                    }
                }
                return Ok((flight, false, number));
            }
        }
        if *closed {
            return Err(AskError::Closed);
        }
        let queued = queue.len();
        if queued >= self.queue_limit {
            drop(state);
            self.meters.overloaded.incr();
            return Err(AskError::Overloaded { queued, limit: self.queue_limit });
        }
        let flight =
            Flight::new(key, waiter, level, idempotency_key, self.retry.start(), options, sink, shared);
        if shared {
            by_key.insert(key.clone(), id);
        }
        flights.insert(id, flight);
        Ok((id, true, number))
    }

    /// Queues a flight that was just started, unless its answer has arrived in the cache meanwhile.
    fn enter(self: &Arc<Self>, id: u64, key: &Key, recheck: bool) {
        let found = if recheck { self.cache.as_ref().and_then(|cache| cache.get(key)) } else { None };
        let now = self.clock.now();
        let mut state = self.state.lock();
        if let Some(stored) = found {
            let landed = state.remove(id);
            let drained = state.drained();
            drop(state);
            if let Some(flight) = landed {
                let landed = Landed { stored, source: Source::Cache, attempts: 0 };
                self.deliver(flight.waiters, &Ok(landed));
            }
            notify(drained);
            return;
        }
        let State { flights, queue, .. } = &mut *state;
        if let Some(flight) = flights.get_mut(&id) {
            flight.since = now;
            flight.phase = Phase::Queued(queue.push(id, flight.group.clone(), flight.level, now));
        }
        drop(state);
        self.pump();
    }

    /// A waiter goes. Returns where its question was.
    pub(crate) fn leave(
        self: &Arc<Self>,
        flight: u64,
        waiter: u64,
    ) -> Option<(Stage, Option<crate::BackendError>)> {
        let mut state = self.state.lock();
        let State { flights, queue, .. } = &mut *state;
        let entry = flights.get_mut(&flight)?;
        let at = entry.waiters.iter().position(|w| w.id == waiter)?;
        let gone = entry.waiters.swap_remove(at);
        let stage = entry.phase.stage();
        let last = entry.last.clone();
        let mut landed = None;
        let mut sink = None;
        if entry.waiters.is_empty() {
            match &entry.phase {
                Phase::Queued(place) => {
                    queue.remove(place);
                    landed = state.remove(flight);
                }
                // It goes on for the cache; but a stream has no purpose without its consumer.
                Phase::Running { .. } => sink = entry.sink.clone(),
                // It sees that nobody waits when it goes on.
                Phase::Entering | Phase::Resting => {}
            }
        }
        let drained = state.drained();
        drop(state);
        // The waker of who goes is user code, and so are routes.
        let _left = caught(move || drop((gone, landed)));
        if let Some(sink) = sink {
            sink.cancel();
        }
        self.meters.left.incr();
        notify(drained);
        // The next in line may need less of the budget.
        self.pump();
        Some((stage, last))
    }

    /// Refuses new flights; the receiver hears when the last has landed.
    pub(crate) fn close(&self) -> Receiver<()> {
        let (sender, receiver) = oneshot();
        let mut state = self.state.lock();
        state.closed = true;
        state.drained.push(sender);
        let drained = state.drained();
        drop(state);
        notify(drained);
        receiver
    }

    /// Refuses new flights and lets go of all that have not left.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let waiting: Vec<u64> = state.queue.drain();
        let gone: Vec<Flight> = waiting.into_iter().filter_map(|id| state.remove(id)).collect();
        drop(state);
        for flight in gone {
            self.deliver(flight.waiters, &Err(AskError::Closed));
        }
    }

    pub(crate) fn set_limit(self: &Arc<Self>, calls: usize) {
        let mut state = self.state.lock();
        state.limit = calls;
        state.controller = None;
        drop(state);
        self.pump();
    }

    pub(crate) fn stats(&self) -> LlmStats {
        let state = self.state.lock();
        let (queued, in_flight, limit) = (state.queue.len(), state.running, state.limit);
        drop(state);
        self.meters.stats(queued, in_flight, limit)
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

impl State {
    /// Takes a flight out of the books. Nobody is told.
    fn remove(&mut self, id: u64) -> Option<Flight> {
        let flight = self.flights.remove(&id)?;
        if flight.shared && self.by_key.get(&flight.key) == Some(&id) {
            self.by_key.remove(&flight.key);
        }
        Some(flight)
    }

    /// Those who wait for the last flight, if it has landed.
    fn drained(&mut self) -> Vec<Sender<()>> {
        if self.flights.is_empty() { std::mem::take(&mut self.drained) } else { Vec::new() }
    }
}

fn notify(drained: Vec<Sender<()>>) {
    for sender in drained {
        // Who waits for the end has a waker, which is user code.
        let _gone = caught(|| sender.send(()));
    }
}

/// The group in which flights may leave together.
fn group(chat: &Chat) -> ropewalk_batch::GroupKey {
    chat.body().model.clone().into()
}
