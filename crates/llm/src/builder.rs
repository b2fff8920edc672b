//! Building an [`Llm`].

use crate::{
    Backend, Budget, BuildError, Concurrency, Llm, Retry,
    backend::{AnyBackend, CallLimits},
    budget::Purse,
    engine::{Engine, Parts},
    jobs::Jobs,
};
use ropewalk_cache::Cache;
use ropewalk_sync::{Clock, Spawn};
use std::{fmt, sync::Arc, time::Duration};

/// Sets an [`Llm`] up.
pub struct LlmBuilder {
    backend: Result<Arc<dyn AnyBackend>, crate::BackendError>,
    concurrency: Concurrency,
    budget: Option<Budget>,
    cache: usize,
    time_to_live: Duration,
    batch: usize,
    queue: usize,
    ageing: Duration,
    retry: Retry,
    limits: CallLimits,
    clock: Clock,
    spawner: Option<Arc<dyn Spawn>>,
}

impl LlmBuilder {
    pub(crate) fn new(backend: impl Backend) -> Self {
        Self {
            backend: backend.validate().map(|()| Arc::new(backend) as Arc<dyn AnyBackend>),
            concurrency: Concurrency::Fixed(10),
            budget: None,
            cache: 10_000,
            time_to_live: Duration::from_secs(3_600),
            batch: 5,
            queue: 10_000,
            ageing: Duration::from_secs(10),
            retry: Retry::default(),
            limits: CallLimits { whole: Duration::from_secs(120), stall: Duration::from_secs(30) },
            clock: Clock::system(),
            spawner: None,
        }
    }

    /// How many calls may be in flight: a number, or [`Adaptive`](crate::Adaptive). 10 by default.
    pub fn concurrency(mut self, calls: impl Into<Concurrency>) -> Self {
        self.concurrency = calls.into();
        self
    }

    /// How many requests and tokens may go out in a period; unlimited by default.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// How many answers are kept; 10,000 by default, 0 for none. Calls in flight are shared either way.
    pub fn cache(mut self, answers: usize) -> Self {
        self.cache = answers;
        self
    }

    /// How long an answer is kept; an hour by default.
    pub fn time_to_live(mut self, age: Duration) -> Self {
        self.time_to_live = age;
        self
    }

    /// The most questions for one model that leave together, under one choice of a node; 5 by default.
    /// Nothing ever waits for a batch to fill.
    pub fn batch(mut self, questions: usize) -> Self {
        self.batch = questions;
        self
    }

    /// How many questions may wait for their turn; more are refused. 10,000 by default.
    pub fn queue(mut self, questions: usize) -> Self {
        self.queue = questions;
        self
    }

    /// How much later than a question of one priority one of the next higher may be asked and still go
    /// first; 10 seconds by default. `Duration::MAX` lets urgent questions starve the others.
    pub fn ageing(mut self, step: Duration) -> Self {
        self.ageing = step;
        self
    }

    /// How often and how soon failed calls are tried again.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// How long a call may take, and a stream until its first piece; two minutes by default.
    pub fn call_timeout(mut self, duration: Duration) -> Self {
        self.limits.whole = duration;
        self
    }

    /// How long a stream may be silent between two pieces; half a minute by default.
    pub fn stall_timeout(mut self, duration: Duration) -> Self {
        self.limits.stall = duration;
        self
    }

    /// The time that all of it goes by; the system's by default.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Runs calls on `spawner` instead of a thread of the processor's own.
    pub fn spawner(mut self, spawner: impl Spawn) -> Self {
        self.spawner = Some(Arc::new(spawner));
        self
    }

    /// Builds the processor and starts its thread, unless it has a spawner.
    ///
    /// # Errors
    ///
    /// [`BuildError`] for a limit of zero, bounds that contradict one another, or a backend that
    /// [finds itself](Backend::validate) unusable.
    ///
    /// # Panics
    ///
    /// When the operating system refuses the thread.
    pub fn build(self) -> Result<Llm, BuildError> {
        let backend = self.backend.map_err(BuildError::Backend)?;
        for (name, limit) in [("batch", self.batch), ("queue", self.queue)] {
            if limit == 0 {
                return Err(BuildError::Zero(name));
            }
        }
        for (name, limit) in [("call_timeout", self.limits.whole), ("stall_timeout", self.limits.stall)] {
            if limit.is_zero() {
                return Err(BuildError::Zero(name));
            }
        }
        let now = self.clock.now();
        let (limit, controller) = self.concurrency.build(now)?;
        let purse = self.budget.map(|budget| Purse::new(&budget, now)).transpose()?.unwrap_or_default();
        let cache = if self.cache == 0 {
            None
        } else {
            let cache =
                Cache::builder(self.cache as u64).time_to_live(self.time_to_live).clock(self.clock.clone());
            Some(cache.build().map_err(|error| BuildError::Cache(error.to_string()))?)
        };
        let (jobs, thread) = match self.spawner {
            Some(spawner) => (Jobs::Spawner(spawner), None),
            None => {
                let (jobs, thread) = Jobs::thread(&self.clock);
                (jobs, Some(thread))
            }
        };
        let engine = Engine::new(Parts {
            clock: self.clock,
            backend,
            cache,
            jobs,
            retry: self.retry,
            limits: self.limits,
            queue_limit: self.queue,
            batch: self.batch,
            ageing: self.ageing,
            limit,
            controller,
            purse,
        });
        Ok(Llm::new(engine, thread))
    }
}

impl fmt::Debug for LlmBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LlmBuilder")
            .field("concurrency", &self.concurrency)
            .field("budget", &self.budget)
            .field("cache", &self.cache)
            .field("batch", &self.batch)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}
