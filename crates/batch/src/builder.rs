//! Building a [`Batcher`].

use crate::{
    Batcher, BuildError, GroupKey,
    driver::{Handler, Shared},
};
use ropewalk_sync::{Clock, Semaphore, Spawn};
use std::{fmt, sync::Arc, time::Duration};

/// Sets a [`Batcher`] up.
pub struct Builder<T, R, E> {
    handler: Handler<T, R, E>,
    group: Option<Grouping<T>>,
    max_items: usize,
    max_wait: Duration,
    in_flight: usize,
    queue: usize,
    clock: Clock,
    spawner: Option<Arc<dyn Spawn>>,
}

pub(crate) type Grouping<T> = Box<dyn Fn(&T) -> GroupKey + Send + Sync>;

impl<T: Send + 'static, R: Send + 'static, E: Send + 'static> Builder<T, R, E> {
    pub(crate) fn new(handler: Handler<T, R, E>) -> Self {
        Self {
            handler,
            group: None,
            max_items: 100,
            max_wait: Duration::ZERO,
            in_flight: 1,
            queue: 10_000,
            clock: Clock::system(),
            spawner: None,
        }
    }

    /// The most items in a batch; 100 by default.
    pub fn max_items(mut self, items: usize) -> Self {
        self.max_items = items;
        self
    }

    /// How long a batch that is not full may wait for more while a handler is free. Zero by default:
    /// a batch is what came while all handlers were busy. Worth more only where a call costs much more
    /// than an item and the load is low.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// How many batches may run at once; 1 by default.
    pub fn in_flight(mut self, batches: usize) -> Self {
        self.in_flight = batches;
        self
    }

    /// How many items may wait in the queue; those beyond wait at the door. 10,000 by default.
    pub fn queue(mut self, items: usize) -> Self {
        self.queue = items;
        self
    }

    /// Keeps items with different keys out of one batch. `key` runs in the submitter, under no lock.
    pub fn group_by<K: Into<GroupKey>>(mut self, key: impl Fn(&T) -> K + Send + Sync + 'static) -> Self {
        self.group = Some(Box::new(move |item| key(item).into()));
        self
    }

    /// The time that `max_wait` and timeouts go by; the system's by default.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Runs batches on `spawner` instead of threads of the batcher's own. A blocking handler blocks the
    /// spawner's thread while it runs, so give it one that is made for that.
    pub fn spawner(mut self, spawner: impl Spawn) -> Self {
        self.spawner = Some(Arc::new(spawner));
        self
    }

    /// Builds the batcher. Threads start when the first items come.
    ///
    /// # Errors
    ///
    /// [`BuildError`] for a limit of zero or a queue too long to be counted.
    pub fn build(self) -> Result<Batcher<T, R, E>, BuildError> {
        for (name, limit) in
            [("max_items", self.max_items), ("in_flight", self.in_flight), ("queue", self.queue)]
        {
            if limit == 0 {
                return Err(BuildError::Zero(name));
            }
        }
        let too_long = BuildError::QueueTooLong { queue: self.queue, max: Semaphore::MAX_PERMITS };
        let room = Semaphore::builder(self.queue).clock(self.clock.clone()).build().map_err(|_| too_long)?;
        Ok(Batcher::new(Shared::new(
            self.handler,
            self.group,
            (self.max_items, self.max_wait, self.in_flight),
            Arc::new(room),
            self.clock,
            self.spawner,
        )))
    }
}

impl<T, R, E> fmt::Debug for Builder<T, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("max_items", &self.max_items)
            .field("max_wait", &self.max_wait)
            .field("in_flight", &self.in_flight)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}
