//! How a pool is set up.

use crate::{
    driver::Exec,
    error::{BuildError, ResizeError},
    lane::Lane,
    manager::{Managed, Role},
    pool::{Handle, Pool},
    raw::shelf::MAX_PLACES,
    shared::Shared,
    state::State,
    tick::{Alarm, NEVER, Origin, Tick, span},
    waits::Held,
    workers::Workers,
};
use ropewalk_measure::Histogram;
use ropewalk_sync::{Background, Clock, Deadlines, Event, Signal, Spawn, Threads};
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    ops::RangeInclusive,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    time::Duration,
};

/// The most connections a pool can be asked to hold.
pub const MAX_SIZE: usize = 65_536;

/// The most steps that may be stuck; their connections keep their places, of which there are not more.
const MAX_STUCK: usize = MAX_PLACES - 2 * MAX_SIZE;

/// Which idle connection is handed out next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdleOrder {
    /// The one given back last: few connections stay warm, the others may end.
    #[default]
    Lifo,
    /// The one idle for longest: all are used evenly.
    Fifo,
}

/// What a failed attempt to open a connection means for those who wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnConnectFailure {
    /// They wait on, up to their own deadline, while the pool tries again with growing delays.
    #[default]
    Retry,
    /// If there is no connection at all, they get the error at once.
    Fail,
}

pub(crate) type OnLeak = Arc<dyn Fn(&Held) + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) name: String,
    pub(crate) acquire_timeout: Duration,
    pub(crate) idle_timeout: Tick,
    pub(crate) max_lifetime: Duration,
    pub(crate) jitter: f64,
    pub(crate) check_after: Tick,
    pub(crate) check_every: Tick,
    pub(crate) order: IdleOrder,
    pub(crate) max_waiters: usize,
    pub(crate) regrant_after: Tick,
    pub(crate) leak_after: Tick,
    pub(crate) on_leak: Option<OnLeak>,
    pub(crate) on_failure: OnConnectFailure,
    pub(crate) close_timeout: Duration,
    pub(crate) max_stuck: usize,
}

/// Sets up a [`Pool`]. Each setting has a default, given beside it.
pub struct Builder<M> {
    manager: M,
    min: usize,
    max: usize,
    check: Option<Option<Duration>>,
    connect_timeout: Duration,
    check_timeout: Duration,
    max_stuck: Option<usize>,
    clock: Clock,
    spawner: Option<Arc<dyn Spawn>>,
    seed: Option<u64>,
    config: Config,
}

impl<M: Managed> Builder<M> {
    pub(crate) fn new(manager: M) -> Self {
        Self {
            manager,
            min: 5,
            max: 50,
            check: None,
            connect_timeout: Duration::from_secs(30),
            check_timeout: Duration::from_secs(5),
            max_stuck: None,
            clock: Clock::system(),
            spawner: None,
            seed: None,
            config: Config {
                name: "pool".to_owned(),
                acquire_timeout: Duration::from_secs(30),
                idle_timeout: span(Duration::from_secs(600)),
                max_lifetime: Duration::from_secs(1_800),
                jitter: 0.1,
                check_after: NEVER,
                check_every: span(Duration::from_secs(30)),
                order: IdleOrder::default(),
                max_waiters: usize::MAX,
                regrant_after: span(Duration::from_millis(100)),
                leak_after: NEVER,
                on_leak: None,
                on_failure: OnConnectFailure::default(),
                close_timeout: Duration::from_secs(10),
                max_stuck: 0,
            },
        }
    }

    /// How many connections to hold: the least, kept warm, and the most, never exceeded. The writer
    /// of a manager that has one counts too; with a maximum of 1 it serves both roles. Default
    /// `5..=50`; the least may be 0.
    pub fn size(mut self, size: RangeInclusive<usize>) -> Self {
        (self.min, self.max) = (*size.start(), *size.end());
        self
    }

    /// The pool's name in reports. Default `"pool"`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// How long [`get`](Pool::get) waits. Default 30 s; `Duration::MAX` for ever.
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.config.acquire_timeout = timeout;
        self
    }

    /// How long opening a connection may take. Default 30 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long checking, resetting or closing a connection may take. Default 5 s.
    pub fn check_timeout(mut self, timeout: Duration) -> Self {
        self.check_timeout = timeout;
        self
    }

    /// How long a connection beyond the least may lie idle. Default 10 min; `Duration::MAX` for ever.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.config.idle_timeout = span(timeout);
        self
    }

    /// How old a connection may become, give or take a tenth that is drawn once for each, so that
    /// those opened together do not end together. Default 30 min; `Duration::MAX` for ever.
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.config.max_lifetime = lifetime;
        self
    }

    /// After how long without use a connection is checked before it is handed out. `ZERO` checks
    /// always (then `try_get` finds none, as it cannot wait for a check), `Duration::MAX` never. Default: what the manager says, usually 500 ms.
    pub fn check_after(mut self, idle: Duration) -> Self {
        self.check = Some(if idle == Duration::MAX { None } else { Some(idle) });
        self
    }

    /// How often the idle connections are checked in the background, one at a time and only while
    /// nobody waits. Default 30 s; `Duration::MAX` never.
    pub fn check_every(mut self, interval: Duration) -> Self {
        self.config.check_every = span(interval);
        self
    }

    /// Which idle connection is handed out next. Default [`IdleOrder::Lifo`].
    pub fn idle_order(mut self, order: IdleOrder) -> Self {
        self.config.order = order;
        self
    }

    /// How many may wait; more get [`GetError::TooManyWaiters`](crate::GetError::TooManyWaiters).
    /// Default: no limit.
    pub fn max_waiters(mut self, waiters: usize) -> Self {
        self.config.max_waiters = waiters;
        self
    }

    /// How long a connection that was handed to a waiter may lie unpolled before it passes on; it
    /// survives at least once and at most twice this long. The waiter keeps its place at the head.
    /// Default 100 ms; `Duration::MAX` never.
    pub fn regrant_after(mut self, interval: Duration) -> Self {
        self.config.regrant_after = span(interval);
        self
    }

    /// Reports a connection held for longer than this, once for each time it is taken. Default: never.
    pub fn leak_after(mut self, held: Duration) -> Self {
        self.config.leak_after = span(held);
        self
    }

    /// Called on the pool's keeper for each report of [`leak_after`](Self::leak_after). A panic in it
    /// is caught and changes nothing.
    pub fn on_leak(mut self, report: impl Fn(&Held) + Send + Sync + 'static) -> Self {
        self.config.on_leak = Some(Arc::new(report));
        self
    }

    /// What a failed attempt to open a connection means for those who wait. Default
    /// [`OnConnectFailure::Retry`].
    pub fn on_connect_failure(mut self, policy: OnConnectFailure) -> Self {
        self.config.on_failure = policy;
        self
    }

    /// How long [`close`](Pool::close) waits for connections in callers' hands. Default 10 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.config.close_timeout = timeout;
        self
    }

    /// How many blocking steps that outlive their bound may lose their thread while the pool opens a
    /// replacement for their connection. Beyond it a stuck connection keeps its slot, so that a
    /// server that hangs cannot pile up threads without end. Default: as many as the maximum size; never more
    /// than 131,071.
    pub fn max_stuck(mut self, stuck: usize) -> Self {
        self.max_stuck = Some(stuck);
        self
    }

    /// Where the pool takes its time from. Default: the system clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// What the pool's keeper, and the futures of an async manager, run on. Default: threads of the
    /// pool's own; an async manager needs a spawner whose reactor it can use.
    pub fn spawner(mut self, spawner: impl Spawn) -> Self {
        self.spawner = Some(Arc::new(spawner));
        self
    }

    /// Seeds the draw of lifetimes and delays, for tests that repeat. Default: a random seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Builds the pool and starts to open its least number of connections, without waiting for them.
    ///
    /// # Errors
    ///
    /// [`BuildError`] for a setting that contradicts itself.
    pub fn build(self) -> Result<Pool<M>, BuildError> {
        let (min, max) = (self.min, self.max);
        if max == 0 || min > max || max > MAX_SIZE {
            return Err(BuildError::Size { min, max });
        }
        let positive = [
            ("connect_timeout", span(self.connect_timeout)),
            ("check_timeout", span(self.check_timeout)),
            ("check_every", self.config.check_every),
            ("max_lifetime", span(self.config.max_lifetime)),
            ("regrant_after", self.config.regrant_after),
            ("leak_after", self.config.leak_after),
        ];
        if let Some((name, _)) = positive.iter().find(|&&(_, value)| value == 0) {
            return Err(BuildError::Zero(name));
        }
        if self.config.max_waiters == 0 {
            return Err(BuildError::Zero("max_waiters"));
        }
        if M::ASYNC && self.spawner.is_none() {
            return Err(BuildError::NoSpawner);
        }
        let config = Config {
            check_after: self.check.unwrap_or_else(|| self.manager.check_after()).map_or(NEVER, span),
            max_stuck: self.max_stuck.unwrap_or(max).min(MAX_STUCK),
            ..self.config
        };
        let seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one(0u8));
        let has_writer = self.manager.has_writer();
        // The least, the most and what differs in the seed, by role.
        let roles = match (has_writer, max) {
            (false, _) => vec![(Role::Any, min, max, seed)],
            (true, 1) => vec![(Role::Writer, min, max, seed)],
            (true, _) => vec![
                (Role::Any, min.saturating_sub(1), max - 1, seed),
                (Role::Writer, min.min(1), 1, seed ^ 1),
            ],
        };
        let spawner = self.spawner.unwrap_or_else(|| Arc::new(Threads::new(&self.clock)));
        let (clock, order) = (self.clock, config.order);
        let origin = Origin(clock.now());
        let shared = Arc::new_cyclic(|shared: &Weak<Shared<M>>| {
            let lane = |(at, (role, min, max, seed))| {
                let (alarm, shared) = (Alarm::new(), shared.clone());
                let expire = move |now| {
                    let shared = shared.upgrade()?;
                    origin.instant(shared.expire(at, origin.tick(now)))
                };
                let deadlines = Deadlines::new(&clock, expire);
                let state = |alarm, places| State::new(role, min, max, seed, alarm, places);
                Lane::new(order, alarm, deadlines, state)
            };
            Shared {
                manager: Arc::new(self.manager),
                lanes: roles.into_iter().enumerate().map(lane).collect(),
                exec: Exec {
                    clock: clock.clone(),
                    spawner: spawner.clone(),
                    workers: Workers::new(&clock, max),
                    connect_timeout: self.connect_timeout,
                    check_timeout: self.check_timeout,
                },
                config,
                origin,
                owners: Arc::default(),
                keeper: Signal::new(),
                drained: Event::new(),
                waits: Histogram::new(),
            }
        });
        let keeper = catch_unwind(AssertUnwindSafe(|| {
            Background::spawn("ropewalk-pool", &*spawner, crate::keeper::keep(shared.clone()))
        }))
        .map_err(|_panic| BuildError::Spawn)?;
        shared.restock_all();
        Ok(Pool { handle: Arc::new(Handle { shared, keeper }), owner: None })
    }
}

impl<M> fmt::Debug for Builder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.config.name)
            .field("size", &(self.min..=self.max))
            .finish_non_exhaustive()
    }
}

pub(crate) fn checked_size(size: &RangeInclusive<usize>) -> Result<(usize, usize), ResizeError> {
    let (min, max) = (*size.start(), *size.end());
    if max == 0 || min > max || max > MAX_SIZE {
        return Err(ResizeError::Size { min, max });
    }
    Ok((min, max))
}
