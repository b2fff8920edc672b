//! The coordinator's engine.
//!
//! # Who decides what
//!
//! The graph decides what may start and arbitrates every change of status: a task is started by the
//! one who gets `graph.start`'s claim, and ended by the one whose report the graph accepts. The
//! engine's own lock guards the lanes (what is ready, in order), the roster (who is busy) and the
//! slots. The two locks are never held together, and no user code runs under either.
//!
//! # From ready to running
//!
//! A task takes a slot (of the limit on tasks), a place at an agent, and its lease *together*, when all
//! are to be had at once. When the lease is not, the task gives slot and place back at once and stands
//! in the pool's own line, blocked, without either; when the lease comes, it is first in line for the
//! next slot and place that suit it. So:
//!
//! * who waits for a lease holds no slot, and who holds a slot has its lease: no circle of waits
//!   through slots, because holders of slots need nothing more to end;
//! * a body that asks for more on the way (`TaskCx::acquire`) lends its slot and place out while it
//!   waits, so that one that holds what it wants, and waits for a slot, gets one;
//! * nobody collects leases while all slots are taken.
//!
//! # What sets it off
//!
//! There is no loop and no thread: each change that may let something start (a task added, ended or
//! cancelled, a lease granted, a slot lent) calls [`Inner::dispatch`]. One caller at a time dispatches;
//! others leave word and go.
//!
//! # Races between adding and readiness
//!
//! A task is in the graph before it has a record here. Whoever makes it ready in between finds no
//! record and moves on; the adder looks at its status after it has filed the record. Filing and
//! looking up are under one lock, so one of the two sees the other.

mod attempt;
mod dispatch;
mod finish;
mod roster;
mod snapshot;

pub(crate) use roster::{Place, Roster, Usage};

use crate::{
    agent::Shared,
    backoff::Backoff,
    cancel::CancelToken,
    cx::TaskCx,
    error::{BoxError, SendError, SpawnError, TaskError},
    event::{EventKind, Hub},
    guard::caught,
    mailbox::Sent,
    message::Message,
    task::{Priority, TaskId},
};
use parking_lot::Mutex;
use ropewalk_graph::{FailurePolicy, Graph, ReadySet, Task, TriggerRule};
use ropewalk_measure::{Counter, Histogram, Rate};
use ropewalk_resources::{Lease, Request, ResourcePool};
use ropewalk_sync::{BoxFuture, Clock, Event, Spawn, Threads};
use std::{
    any::Any,
    collections::{BTreeMap, HashMap, VecDeque},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// What a task asks for: an agent's name, a role, or nobody in particular.
pub(crate) type Wanted = Option<Arc<str>>;
/// A value of a body, until its handle takes it.
pub(crate) type Value = Box<dyn Any + Send>;
/// Where the outcome of a task goes.
pub(crate) type Sink = Box<dyn FnOnce(Result<Value, TaskError>) + Send>;
pub(crate) type RetryIf = dyn Fn(&BoxError) -> bool + Send + Sync;
type AsyncBody =
    dyn Fn(TaskCx) -> Pin<Box<dyn Future<Output = Result<Value, BoxError>> + Send>> + Send + Sync;
type BlockingBody = dyn Fn(TaskCx) -> Result<Value, BoxError> + Send + Sync;

#[derive(Clone)]
pub(crate) enum Body {
    Async(Arc<AsyncBody>),
    Blocking(Arc<BlockingBody>),
}

pub(crate) struct Inner {
    pub(crate) graph: Graph,
    pub(crate) pool: ResourcePool,
    pub(crate) clock: Clock,
    pub(crate) spawner: Arc<dyn Spawn>,
    pub(crate) threads: Threads,
    pub(crate) settings: Settings,
    pub(crate) state: Mutex<State>,
    /// Set when the last unfinished task ends; who waits looks at the count itself.
    pub(crate) idle: Event,
    /// Calls of `dispatch` that nobody has answered yet.
    dispatching: AtomicUsize,
    pub(crate) hub: Hub,
    pub(crate) meters: Meters,
    pub(crate) born: Instant,
}

pub(crate) struct Settings {
    pub(crate) max_tasks: usize,
    pub(crate) retries: u32,
    pub(crate) backoff: Backoff,
    pub(crate) grace: Duration,
    pub(crate) blocking_grace: Duration,
    pub(crate) keep_finished: usize,
    pub(crate) ageing: Option<Duration>,
}

pub(crate) struct Meters {
    pub(crate) sent: Counter,
    pub(crate) received: Counter,
    pub(crate) dropped: Counter,
    pub(crate) recent: Rate,
    pub(crate) completed: Counter,
    pub(crate) failed: Counter,
    pub(crate) cancelled: Counter,
    pub(crate) skipped: Counter,
    pub(crate) retries: Counter,
    pub(crate) timeouts: Counter,
    pub(crate) panics: Counter,
    /// From ready to running, first attempts.
    pub(crate) queued: Histogram,
    /// One attempt.
    pub(crate) ran: Histogram,
    /// Blocking bodies that go on though their attempt is over.
    pub(crate) stuck: AtomicUsize,
}

pub(crate) struct State {
    pub(crate) tasks: HashMap<TaskId, Arc<Record>>,
    pub(crate) lanes: HashMap<Wanted, Lane>,
    /// Leases of those that wait for a slot.
    pub(crate) leases: HashMap<TaskId, Lease>,
    pub(crate) roster: Roster,
    /// Slots in use.
    pub(crate) running: Usage,
    pub(crate) accepting: bool,
    pub(crate) unfinished: usize,
    /// In the order in which they ended.
    pub(crate) finished: VecDeque<TaskId>,
    next_order: u64,
    /// Tasks with dependencies added since the ranks in the lanes were read.
    rank_debt: usize,
}

pub(crate) struct Lane {
    /// With their lease in hand, these go first.
    pub(crate) granted: ReadySet<TaskId>,
    pub(crate) ready: ReadySet<TaskId>,
}

/// All there is to know about one task.
pub(crate) struct Record {
    pub(crate) id: TaskId,
    pub(crate) name: Arc<str>,
    pub(crate) wanted: Wanted,
    pub(crate) priority: Priority,
    pub(crate) request: Option<Request>,
    pub(crate) estimated: Option<Duration>,
    pub(crate) metadata: BTreeMap<Arc<str>, Arc<str>>,
    pub(crate) retries: u32,
    pub(crate) backoff: Backoff,
    pub(crate) timeout: Option<Duration>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) created: Instant,
    /// Set when the task is finished and its handle has its outcome.
    pub(crate) done: Event,
    /// Changed under the state lock only.
    pub(crate) finished: AtomicBool,
    pub(crate) progress: Mutex<Progress>,
}

pub(crate) struct Progress {
    pub(crate) body: Option<Body>,
    pub(crate) retry_if: Option<Arc<RetryIf>>,
    pub(crate) sink: Option<Sink>,
    /// Stops the attempt under way.
    pub(crate) current: Option<CancelToken>,
    /// The agent that runs or last ran it.
    pub(crate) agent: Option<Arc<str>>,
    /// The resource it waits for.
    pub(crate) waits_for: Option<Arc<str>>,
    /// Its age in the lanes, once it has been ready.
    pub(crate) age: Option<(Instant, u64)>,
    pub(crate) started: Option<Instant>,
    pub(crate) ended: Option<Instant>,
    /// Why it will end as it will, when the status alone does not say.
    pub(crate) failure: Option<TaskError>,
    /// How it ended, for people.
    pub(crate) error: Option<Arc<str>>,
}

/// A task as its builder describes it.
pub(crate) struct Draft {
    pub(crate) name: Arc<str>,
    pub(crate) wanted: Wanted,
    pub(crate) priority: Priority,
    pub(crate) after: Vec<TaskId>,
    pub(crate) request: Option<Request>,
    pub(crate) estimated: Option<Duration>,
    pub(crate) metadata: BTreeMap<Arc<str>, Arc<str>>,
    pub(crate) retries: Option<u32>,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) retry_if: Option<Arc<RetryIf>>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) rule: TriggerRule,
    pub(crate) policy: Option<FailurePolicy>,
}

impl State {
    pub(crate) fn new(roster: Roster, now: Instant) -> Self {
        Self {
            tasks: HashMap::new(),
            lanes: HashMap::new(),
            leases: HashMap::new(),
            roster,
            running: Usage::new(now),
            accepting: true,
            unfinished: 0,
            finished: VecDeque::new(),
            next_order: 0,
            rank_debt: 0,
        }
    }

    /// The age of a task among the ready: that of the first time.
    fn age(&mut self, record: &Record, now: Instant) -> (Instant, u64) {
        let next = &mut self.next_order;
        *record.progress.lock().age.get_or_insert_with(|| {
            *next += 1;
            (now, *next)
        })
    }
}

impl Inner {
    #[allow(clippy::too_many_arguments)] // the parts of a coordinator, each once
    pub(crate) fn new(
        graph: Graph,
        pool: ResourcePool,
        clock: Clock,
        spawner: Arc<dyn Spawn>,
        settings: Settings,
        roster: Roster,
        hub: Hub,
    ) -> Self {
        let now = clock.now();
        Self {
            graph,
            pool,
            threads: Threads::new(&clock),
            spawner,
            settings,
            state: Mutex::new(State::new(roster, now)),
            idle: Event::new(),
            dispatching: AtomicUsize::new(0),
            hub,
            meters: Meters::new(&clock),
            born: now,
            clock,
        }
    }

    /// Takes a task on. When it is refused, it is filed all the same, as cancelled, so that it has an
    /// id and its dependents learn of it.
    pub(crate) fn submit(
        self: &Arc<Self>,
        draft: Draft,
        body: Body,
        sink: Sink,
    ) -> (Arc<Record>, Result<(), SpawnError>) {
        let now = self.clock.now();
        let refused = if self.state.lock().accepting { None } else { Some(SpawnError::ShuttingDown) };
        let mut task = Task::new(draft.name.clone()).priority(draft.priority).rule(draft.rule);
        if let Some(estimated) = draft.estimated {
            task = task.estimated(estimated);
        }
        if let Some(policy) = draft.policy {
            task = task.on_failure(policy);
        }
        let bare = task.clone();
        let dependent = !draft.after.is_empty();
        let (id, refused) = match refused {
            Some(refused) => (self.graph.add(bare), Some(refused)),
            None => match self.graph.try_add(task.after_all(draft.after)) {
                Ok(id) => (id, None),
                Err(ropewalk_graph::AddError::Dependency { source, .. }) => {
                    (self.graph.add(bare), Some(SpawnError::Dependency(source)))
                }
                Err(error) => panic!("{error}"),
            },
        };
        let record = Arc::new(Record {
            id,
            name: draft.name,
            wanted: draft.wanted,
            priority: draft.priority,
            request: draft.request.filter(|request| !request.is_empty()),
            estimated: draft.estimated,
            metadata: draft.metadata,
            retries: draft.retries.unwrap_or(self.settings.retries),
            backoff: draft.backoff.unwrap_or(self.settings.backoff),
            timeout: draft.timeout,
            deadline: draft.deadline.and_then(|deadline| now.checked_add(deadline)),
            created: now,
            done: Event::new(),
            finished: AtomicBool::new(false),
            progress: Mutex::new(Progress {
                body: Some(body),
                retry_if: draft.retry_if,
                sink: Some(sink),
                current: None,
                agent: None,
                waits_for: None,
                age: None,
                started: None,
                ended: None,
                failure: None,
                error: None,
            }),
        });
        let refused = {
            let mut state = self.state.lock();
            state.tasks.insert(id, record.clone());
            state.unfinished += 1;
            state.rank_debt += usize::from(dependent);
            // A shutdown that came meanwhile has counted the unfinished without this one.
            refused.or_else(|| (!state.accepting).then_some(SpawnError::ShuttingDown))
        };
        if let Some(refused) = refused {
            record.progress.lock().failure =
                Some(TaskError::Refused { task: record.name.clone(), source: refused.clone() });
            self.cancel(id, false);
            return (record, Err(refused));
        }
        if record.deadline.is_some() {
            self.watch_deadline(&record);
        }
        self.look_at(&record);
        (record, Ok(()))
    }

    /// Runs `job` on the spawner. Should the spawner drop it half-way, `record` ends as lost.
    pub(crate) fn spawn_for(
        self: &Arc<Self>,
        record: &Arc<Record>,
        job: impl Future<Output = ()> + Send + 'static,
    ) {
        struct Guard(Option<(Arc<Inner>, Arc<Record>)>);
        impl Drop for Guard {
            fn drop(&mut self) {
                if let Some((inner, record)) = self.0.take() {
                    inner.lost(&record);
                }
            }
        }
        impl Guard {
            fn disarm(mut self) {
                self.0 = None;
            }
        }
        let guard = Guard(Some((self.clone(), record.clone())));
        let job = Box::pin(async move {
            job.await;
            guard.disarm();
        });
        self.spawn_raw(&record.name, job);
    }

    /// The spawner is the user's: it may panic, and drop the job.
    pub(crate) fn spawn_raw(&self, name: &str, job: BoxFuture) {
        caught(|| self.spawner.spawn(name, job));
    }

    // ---- messages ----

    pub(crate) fn stamp(&self, mut message: Message) -> Message {
        message.sent = Some(self.clock.now());
        message
    }

    pub(crate) fn count_sent(&self, to: &Shared, result: Result<Sent, SendError>) -> Result<Sent, SendError> {
        if let Ok(sent) = &result {
            self.meters.sent.incr();
            self.meters.recent.incr();
            if *sent != Sent::Delivered {
                to.dropped.incr();
                self.meters.dropped.incr();
                self.hub.emit(self.clock.now(), EventKind::MessageDropped { to: to.name.clone() });
            }
        }
        result
    }

    /// Lends the slot and the place of a task of `agent` out until the returned value drops.
    pub(crate) fn lend(self: &Arc<Self>, agent: &Arc<Shared>) -> Lent {
        self.state.lock().roster.lend(&agent.name);
        self.dispatch();
        Lent(self.clone(), agent.clone())
    }
}

/// A slot and a place lent out by a body that waits. Coming back needs no waiting: for a while one
/// task more than the limits say may run.
pub(crate) struct Lent(Arc<Inner>, Arc<Shared>);

impl Drop for Lent {
    fn drop(&mut self) {
        // An agent that runs a task is not removed, so it is the one that lent.
        self.0.state.lock().roster.take_back(&self.1.name);
    }
}

impl Record {
    /// Exact under the state lock.
    pub(crate) fn is_finished(&self) -> bool {
        // Relaxed: ordered by the lock, or a hint.
        self.finished.load(Ordering::Relaxed)
    }
}

impl Meters {
    fn new(clock: &Clock) -> Self {
        let recent = Rate::builder(Duration::from_secs(60)).clock(clock.clone()).build();
        Self {
            sent: Counter::new(),
            received: Counter::new(),
            dropped: Counter::new(),
            recent: recent.expect("a minute is a valid window"),
            completed: Counter::new(),
            failed: Counter::new(),
            cancelled: Counter::new(),
            skipped: Counter::new(),
            retries: Counter::new(),
            timeouts: Counter::new(),
            panics: Counter::new(),
            queued: Histogram::new(),
            ran: Histogram::new(),
            stuck: AtomicUsize::new(0),
        }
    }
}
