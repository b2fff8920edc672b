//! The store as its users see it.

use crate::{
    builder::Builder,
    conn::{StoreManager, Written, give_back},
    error::{CheckpointError, CloseError, OpenError, TryWriteError, WriteError},
    operation::Operation,
    params::{Key, Params, Statement},
    query::Cached,
    stats::{Meters, StoreStats},
    tables::Tables,
};
use parking_lot::Mutex;
use ropewalk_batch::{Answer, Batcher, SubmitError, TrySubmitError};
use ropewalk_cache::Cache;
use ropewalk_connections::{Pool, Sqlite, Waits};
use ropewalk_sync::Clock;
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

pub(crate) type Writes = Batcher<Operation, Vec<Written>, WriteError>;

/// A SQLite database behind one writer that commits for many callers at once, and readers whose results
/// are kept until a table they read changes.
///
/// Clones share it. It starts threads, as its parts need them: the connections' keeper and workers, and
/// the writer's; they end when the last clone drops.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>, pub(crate) Arc<Writes>);

pub(crate) struct Inner {
    pub(crate) pool: Pool<StoreManager>,
    pub(crate) tables: Arc<Tables>,
    pub(crate) cache: Option<Cache<Key, Arc<Cached>>>,
    pub(crate) meters: Meters,
    /// When to look next whether others have written; `None` for never.
    pub(crate) next_watch: Mutex<Option<Instant>>,
    pub(crate) watch_every: Duration,
    pub(crate) clock: Clock,
}

impl Store {
    /// Opens a database with the default settings.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when it cannot be opened.
    pub fn open(sqlite: Sqlite) -> Result<Self, OpenError> {
        Self::builder(sqlite).open()
    }

    /// Starts to set up a store.
    pub fn builder(sqlite: Sqlite) -> Builder {
        Builder::new(sqlite)
    }

    /// Writes one statement. Returns after the commit that made it durable, which it shares with
    /// whatever else was waiting to be written; if it fails, it fails alone.
    ///
    /// # Errors
    ///
    /// [`WriteError`]; nothing was written, unless it [is unknown](WriteError::is_unknown).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes the operation back unless a batch has begun with it; then it is
    /// written and its answer dropped.
    pub async fn write(&self, sql: &str, params: impl Params) -> Result<Written, WriteError> {
        let answer = self.write_all(Statement::new(sql, params)?).await;
        answer.map(only)
    }

    /// [`write`](Self::write) for a thread.
    ///
    /// # Errors
    ///
    /// See [`write`](Self::write).
    pub fn write_blocking(&self, sql: &str, params: impl Params) -> Result<Written, WriteError> {
        self.0.clock.block_on(self.write(sql, params))
    }

    /// [`write`](Self::write) for at most `timeout`.
    ///
    /// # Errors
    ///
    /// See [`write`](Self::write); [`WriteError::TimedOut`] if the operation was not begun in time,
    /// [`WriteError::Unknown`] if it was.
    pub async fn write_timeout(
        &self,
        sql: &str,
        params: impl Params,
        timeout: Duration,
    ) -> Result<Written, WriteError> {
        let operation = Statement::new(sql, params)?.into();
        self.1.submit_timeout(operation, timeout).await.map(only).map_err(refused)
    }

    /// [`write_timeout`](Self::write_timeout) for a thread.
    ///
    /// # Errors
    ///
    /// See [`write_timeout`](Self::write_timeout).
    pub fn write_blocking_timeout(
        &self,
        sql: &str,
        params: impl Params,
        timeout: Duration,
    ) -> Result<Written, WriteError> {
        self.0.clock.block_on(self.write_timeout(sql, params, timeout))
    }

    /// Queues one statement if there is room; its answer comes later.
    ///
    /// # Errors
    ///
    /// [`TryWriteError`], which gives the operation back.
    pub fn try_write(&self, sql: &str, params: impl Params) -> Result<Ack, TryWriteError> {
        let statement =
            Statement::new(sql, params).map_err(|error| TryWriteError::Params(Arc::new(error)))?;
        match self.1.try_submit(statement.into()) {
            Ok(answer) => Ok(Ack(answer)),
            Err(TrySubmitError::Closed(operation)) => Err(TryWriteError::Closed(operation)),
            Err(TrySubmitError::Full(operation)) => Err(TryWriteError::Full(operation)),
            Err(other) => unreachable!("a batcher refuses for want of room or because it is closed: {other}"),
        }
    }

    /// Writes several statements together or not at all; one answer for each.
    ///
    /// # Errors
    ///
    /// See [`write`](Self::write).
    ///
    /// # Cancel safety
    ///
    /// As of [`write`](Self::write).
    pub async fn write_all(&self, operation: impl Into<Operation>) -> Result<Vec<Written>, WriteError> {
        self.1.submit(operation.into()).await.map_err(refused)
    }

    /// [`write_all`](Self::write_all) for a thread.
    ///
    /// # Errors
    ///
    /// See [`write`](Self::write).
    pub fn write_all_blocking(&self, operation: impl Into<Operation>) -> Result<Vec<Written>, WriteError> {
        self.0.clock.block_on(self.write_all(operation))
    }

    /// Waits until everything that is queued now is answered.
    pub async fn flush(&self) {
        self.1.flush().await;
    }

    /// [`flush`](Self::flush) for a thread.
    pub fn flush_blocking(&self) {
        self.1.flush_blocking();
    }

    /// Writes the log back into the database file and empties it. SQLite does so by itself from time to
    /// time, at the cost of the commit that it falls on; this is for a quiet moment.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`].
    pub async fn checkpoint(&self) -> Result<Checkpoint, CheckpointError> {
        let mut writer = self.0.pool.get_writer().await?;
        let done = writer.run(|conn| conn.own_with(checkpoint)).await;
        give_back(writer);
        Ok(done?)
    }

    /// [`checkpoint`](Self::checkpoint) for a thread.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`].
    pub fn checkpoint_blocking(&self) -> Result<Checkpoint, CheckpointError> {
        let writer = self.0.pool.get_writer_blocking()?;
        let done = writer.own_with(checkpoint);
        give_back(writer);
        Ok(done?)
    }

    /// Takes no more operations, writes those that are queued, empties the log and closes the
    /// connections, waiting for queries and transactions under way.
    ///
    /// # Errors
    ///
    /// [`CloseError`] when some are still under way after 10 s. All that was queued is written then
    /// too.
    ///
    /// # Cancel safety
    ///
    /// The store takes no more operations; call it again to wait for the rest.
    pub async fn close(&self) -> Result<(), CloseError> {
        self.1.close().await;
        if !self.0.pool.is_closed() {
            // A log that cannot be emptied now (a reader holds it) is used by the next to open.
            let _ = self.checkpoint().await;
        }
        Ok(self.0.pool.close().await?)
    }

    /// [`close`](Self::close) for a thread.
    ///
    /// # Errors
    ///
    /// See [`close`](Self::close).
    pub fn close_blocking(&self) -> Result<(), CloseError> {
        self.0.clock.block_on(self.close())
    }

    /// What the store has done and how it stands.
    pub fn stats(&self) -> StoreStats {
        let (meters, writes) = (&self.0.meters, self.1.stats());
        StoreStats {
            writes: writes.succeeded,
            failed: writes.failed,
            batches: meters.batches.value(),
            rerun_batches: meters.rerun.value(),
            batch_size: writes.batch_size,
            commit: meters.commit.snapshot(),
            queue_wait: writes.queue_wait,
            queued: writes.queued,
            transactions: meters.transactions.value(),
            query_hits: meters.hits.value(),
            query_misses: meters.misses.value(),
            query_invalidated: meters.invalidated.value(),
            query_volatile: meters.volatile.value(),
            foreign_changes: meters.foreign.value(),
            cache: self.0.cache.as_ref().map(Cache::stats),
            connections: self.0.pool.stats(),
        }
    }

    /// Who waits for a connection and who holds one.
    pub fn waits(&self) -> Waits {
        self.0.pool.waits()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("connections", &self.0.pool).finish_non_exhaustive()
    }
}

/// The answer to come of a [`try_write`](Store::try_write): a future, and
/// [`wait_blocking`](Self::wait_blocking). Dropping it takes the operation back, unless it has begun.
#[derive(Debug)]
#[must_use = "dropping it takes the operation back"]
pub struct Ack(Answer<Operation, Vec<Written>, WriteError>);

impl Ack {
    /// Waits on this thread.
    ///
    /// # Errors
    ///
    /// See [`Store::write`].
    pub fn wait_blocking(self) -> Result<Written, WriteError> {
        self.0.wait_blocking().map(only).map_err(refused)
    }
}

impl Future for Ack {
    type Output = Result<Written, WriteError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(Pin::new(&mut self.0).poll(cx)).map(only).map_err(refused))
    }
}

/// What a checkpoint did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// Whether a reader or writer kept it from being complete.
    pub busy: bool,
    /// Pages in the log.
    pub log: i64,
    /// Pages written back.
    pub written_back: i64,
}

fn checkpoint(conn: &rusqlite::Connection) -> rusqlite::Result<Checkpoint> {
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        Ok(Checkpoint { busy: row.get::<_, i64>(0)? != 0, log: row.get(1)?, written_back: row.get(2)? })
    })
}

fn only(mut written: Vec<Written>) -> Written {
    written.pop().unwrap_or_default()
}

fn refused(error: SubmitError<Operation, WriteError>) -> WriteError {
    match error {
        SubmitError::Handler(error) => error,
        SubmitError::Closed(operation) => WriteError::Closed(operation),
        SubmitError::TimedOut(operation) => WriteError::TimedOut(operation),
        SubmitError::TimedOutRunning | SubmitError::Stopped => WriteError::Unknown,
        SubmitError::Panicked(message) => WriteError::Panicked(message),
        other => WriteError::Panicked(other.to_string()),
    }
}
