//! How a store is set up.

use crate::{
    commit::write_batch,
    conn::StoreManager,
    error::OpenError,
    operation::Operation,
    params::Key,
    query::Cached,
    stats::Meters,
    store::{Inner, Store, Writes},
    tables::Tables,
};
use parking_lot::Mutex;
use ropewalk_batch::Batcher;
use ropewalk_cache::Cache;
use ropewalk_connections::{OnConnectFailure, Pool, Sqlite};
use ropewalk_sync::Clock;
use std::{fmt, sync::Arc, time::Duration};

/// Sets up a [`Store`]. Each setting has a default, given beside it.
pub struct Builder {
    sqlite: Sqlite,
    readers: usize,
    max_batch: usize,
    queue: usize,
    cache: u64,
    watch_every: Duration,
    acquire_timeout: Duration,
    clock: Clock,
}

impl Builder {
    pub(crate) fn new(sqlite: Sqlite) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            sqlite,
            readers: cores.clamp(2, 16),
            max_batch: 1_000,
            queue: 10_000,
            cache: 64 << 20,
            watch_every: Duration::from_millis(10),
            acquire_timeout: Duration::from_secs(30),
            clock: Clock::system(),
        }
    }

    /// How many connections may read at once, beside the one that writes. Default: one for each core,
    /// 2 to 16. They are opened as they are needed.
    pub fn readers(mut self, readers: usize) -> Self {
        self.readers = readers;
        self
    }

    /// The most operations in one transaction. Default 1,000.
    pub fn max_batch(mut self, operations: usize) -> Self {
        self.max_batch = operations;
        self
    }

    /// How many operations may wait in the queue; those beyond wait at the door. Default 10,000.
    pub fn queue(mut self, operations: usize) -> Self {
        self.queue = operations;
        self
    }

    /// How many bytes the cache of query results may hold, about. Default 64 MiB; 0 for no cache.
    pub fn cache(mut self, bytes: u64) -> Self {
        self.cache = bytes;
        self
    }

    /// By how much a result from memory may lag behind what *another process* wrote. `ZERO` looks at
    /// each query, `Duration::MAX` only at each write. Default 10 ms. This process's own writes are
    /// always seen at once.
    pub fn watch_every(mut self, lag: Duration) -> Self {
        self.watch_every = lag;
        self
    }

    /// How long a query or a transaction waits for its connection. Default 30 s.
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// Where the store takes its time from. Default: the system clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Opens the store, and the database's writer to see that it can be opened.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(self) -> Result<Store, OpenError> {
        let tables = Arc::new(Tables::default());
        let manager = StoreManager { sqlite: self.sqlite, tables: tables.clone() };
        let pool = Pool::builder(manager)
            .name("store")
            .size(1..=self.readers.saturating_add(1).max(2))
            .acquire_timeout(self.acquire_timeout)
            .on_connect_failure(OnConnectFailure::Fail)
            .clock(self.clock.clone())
            .build()?;
        let cache = match self.cache {
            0 => None,
            bytes => Some(
                Cache::<Key, Arc<Cached>>::builder(bytes)
                    .weigher(|key, cached| u32::try_from(key.weight() + cached.weight()).unwrap_or(u32::MAX))
                    .time_to_live(None)
                    .clock(self.clock.clone())
                    .build()?,
            ),
        };
        let now = self.clock.now();
        let inner = Arc::new(Inner {
            pool,
            tables,
            cache,
            meters: Meters::default(),
            next_watch: Mutex::new(now.checked_add(self.watch_every)),
            watch_every: self.watch_every,
            clock: self.clock.clone(),
        });
        let handler = inner.clone();
        let writes: Writes =
            Batcher::builder(move |operations: Vec<Operation>| write_batch(&handler, &operations))
                .max_items(self.max_batch)
                .max_wait(Duration::ZERO)
                .in_flight(1)
                .queue(self.queue)
                .clock(self.clock)
                .build()?;
        let writer = inner.pool.get_writer_blocking().map_err(OpenError::Open)?;
        drop(writer);
        Ok(Store(inner, Arc::new(writes)))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("sqlite", &self.sqlite).finish_non_exhaustive()
    }
}
