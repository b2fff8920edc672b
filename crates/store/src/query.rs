//! Reading, and not reading again what is known.

use crate::{
    conn::{StoreConn, give_back},
    error::QueryError,
    params::{Key, Params, Statement},
    rows::{FromRow, Row, RowError, Rows},
    store::{Inner, Store},
    tables::Stamp,
};
use std::{sync::Arc, time::Duration};

/// A result and what its truth hangs on.
pub(crate) struct Cached {
    rows: Rows,
    stamp: Stamp,
}

impl Cached {
    pub(crate) fn weight(&self) -> usize {
        self.rows.weight() + 64
    }
}

impl Store {
    /// The first row of a query.
    ///
    /// The result is kept until a table that the query reads changes, and served from memory until
    /// then. Results that depend on more than tables (`random()`, the date, functions of your own)
    /// are never kept.
    ///
    /// # Errors
    ///
    /// [`QueryError`]; [`QueryError::NoRow`] if there is none.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost; a query under way runs to its end on the pool's thread.
    pub async fn query<T: FromRow>(&self, sql: &str, params: impl Params) -> Result<T, QueryError> {
        first(&self.query_rows(sql, params).await?)?.ok_or(QueryError::NoRow)
    }

    /// [`query`](Self::query) for a thread.
    ///
    /// # Errors
    ///
    /// See [`query`](Self::query).
    pub fn query_blocking<T: FromRow>(&self, sql: &str, params: impl Params) -> Result<T, QueryError> {
        first(&self.query_rows_blocking(sql, params)?)?.ok_or(QueryError::NoRow)
    }

    /// [`query`](Self::query) for at most `timeout`.
    ///
    /// # Errors
    ///
    /// See [`query`](Self::query), and [`QueryError::TimedOut`].
    pub async fn query_timeout<T: FromRow>(
        &self,
        sql: &str,
        params: impl Params,
        timeout: Duration,
    ) -> Result<T, QueryError> {
        let query = self.query(sql, params);
        self.0.clock.timeout(timeout, query).await.unwrap_or(Err(QueryError::TimedOut(timeout)))
    }

    /// The first row of a query, if there is one.
    ///
    /// # Errors
    ///
    /// See [`query`](Self::query).
    pub async fn query_opt<T: FromRow>(
        &self,
        sql: &str,
        params: impl Params,
    ) -> Result<Option<T>, QueryError> {
        first(&self.query_rows(sql, params).await?)
    }

    /// [`query_opt`](Self::query_opt) for a thread.
    ///
    /// # Errors
    ///
    /// See [`query`](Self::query).
    pub fn query_opt_blocking<T: FromRow>(
        &self,
        sql: &str,
        params: impl Params,
    ) -> Result<Option<T>, QueryError> {
        first(&self.query_rows_blocking(sql, params)?)
    }

    /// All rows of a query.
    ///
    /// # Errors
    ///
    /// See [`query`](Self::query).
    pub async fn query_all<T: FromRow>(&self, sql: &str, params: impl Params) -> Result<Vec<T>, QueryError> {
        all(&self.query_rows(sql, params).await?, |row| T::from_row(row))
    }

    /// [`query_all`](Self::query_all) for a thread.
    ///
    /// # Errors
    ///
    /// See [`query`](Self::query).
    pub fn query_all_blocking<T: FromRow>(
        &self,
        sql: &str,
        params: impl Params,
    ) -> Result<Vec<T>, QueryError> {
        all(&self.query_rows_blocking(sql, params)?, |row| T::from_row(row))
    }

    /// All rows of a query, each through `map`, which runs here and not on the pool's thread.
    ///
    /// # Errors
    ///
    /// See [`query`](Self::query), and what `map` says.
    pub async fn query_map<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnMut(&Row<'_>) -> Result<T, RowError>,
    ) -> Result<Vec<T>, QueryError> {
        all(&self.query_rows(sql, params).await?, map)
    }

    /// [`query_map`](Self::query_map) for a thread.
    ///
    /// # Errors
    ///
    /// See [`query_map`](Self::query_map).
    pub fn query_map_blocking<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnMut(&Row<'_>) -> Result<T, RowError>,
    ) -> Result<Vec<T>, QueryError> {
        all(&self.query_rows_blocking(sql, params)?, map)
    }

    /// All rows of a query as they are; shared with the cache, not copied.
    ///
    /// # Errors
    ///
    /// See [`query`](Self::query).
    pub async fn query_rows(&self, sql: &str, params: impl Params) -> Result<Rows, QueryError> {
        let inner = &self.0;
        let key = Key(Arc::new(Statement::new(sql, params)?));
        if inner.cache.is_some() {
            // Whether another process wrote is seen from the writer; it has its own thread for that.
            let mut sure = true;
            if inner.watch_is_due() {
                match inner.pool.try_get_writer() {
                    Ok(mut writer) => {
                        let inner = inner.clone();
                        let looked = writer.run(move |conn| inner.look_for_others(conn)).await;
                        give_back(writer);
                        looked?;
                    }
                    Err(_) => sure = inner.batch_looks(),
                }
            }
            if let (true, Some(rows)) = (sure, inner.known(&key)) {
                return Ok(rows);
            }
        }
        let inner = inner.clone();
        let mut conn = inner.pool.get().await?;
        let rows = conn.run(move |conn| inner.read(conn, key)).await;
        give_back(conn);
        rows
    }

    /// [`query_rows`](Self::query_rows) for a thread. A query that is not known runs on this thread.
    ///
    /// # Errors
    ///
    /// See [`query`](Self::query).
    pub fn query_rows_blocking(&self, sql: &str, params: impl Params) -> Result<Rows, QueryError> {
        let inner = &self.0;
        let key = Key(Arc::new(Statement::new(sql, params)?));
        if inner.cache.is_some() {
            let mut sure = true;
            if inner.watch_is_due() {
                match inner.pool.try_get_writer() {
                    Ok(mut writer) => {
                        let looked = inner.look_for_others(&mut writer);
                        give_back(writer);
                        looked?;
                    }
                    Err(_) => sure = inner.batch_looks(),
                }
            }
            if let (true, Some(rows)) = (sure, inner.known(&key)) {
                return Ok(rows);
            }
        }
        let mut conn = inner.pool.get_blocking()?;
        let rows = inner.read(&mut conn, key);
        give_back(conn);
        rows
    }
}

fn first<T: FromRow>(rows: &Rows) -> Result<Option<T>, QueryError> {
    Ok(rows.get(0).map(|row| T::from_row(&row)).transpose()?)
}

fn all<T>(rows: &Rows, mut map: impl FnMut(&Row<'_>) -> Result<T, RowError>) -> Result<Vec<T>, QueryError> {
    Ok(rows.iter().map(|row| map(&row)).collect::<Result<_, _>>()?)
}

impl Inner {
    /// A result that is known and still true.
    fn known(&self, key: &Key) -> Option<Rows> {
        let cached = self.cache.as_ref()?.get(key);
        match cached {
            Some(cached) if self.tables.is_true(&cached.stamp) => {
                self.meters.hits.incr();
                Some(cached.rows.clone())
            }
            Some(_) => {
                self.meters.invalidated.incr();
                None
            }
            None => None,
        }
    }

    /// Runs a query and keeps its result if it can be kept.
    fn read(&self, conn: &mut StoreConn, key: Key) -> Result<Rows, QueryError> {
        self.meters.misses.incr();
        let (mut prepared, facts) = conn.prepare(&key.0)?;
        if !prepared.readonly() {
            return Err(QueryError::Writes);
        }
        // Before the read transaction begins, which is at the first row.
        let stamp = if facts.volatile { None } else { self.tables.stamp(&facts.reads) };
        let rows = Rows::read(&mut prepared)?;
        drop(prepared);
        if facts.volatile {
            self.meters.volatile.incr();
        }
        // If the schema changed under the statement, its stamp may name the wrong tables.
        let changed = conn.recompiled(&key.0);
        if let (Some(cache), Some(stamp), false) = (&self.cache, stamp, changed) {
            cache.insert(key, Arc::new(Cached { rows: rows.clone(), stamp }));
        }
        Ok(rows)
    }

    fn watch_is_due(&self) -> bool {
        let now = self.clock.now();
        let mut next = self.next_watch.lock();
        if next.is_none_or(|at| now < at) {
            return false;
        }
        *next = now.checked_add(self.watch_every);
        true
    }

    /// The writer is out: a batch or transaction is about to look for others, or has done so and keeps
    /// them out. That is soon, but it is not before this query, so where no lag is allowed the cache is
    /// passed by.
    fn batch_looks(&self) -> bool {
        !self.watch_every.is_zero()
    }

    /// Whether other processes have written since the last look; then nothing that is cached counts.
    pub(crate) fn look_for_others(&self, conn: &mut StoreConn) -> rusqlite::Result<()> {
        if conn.others_wrote()? {
            self.tables.all_changed();
            self.meters.foreign.incr();
        }
        Ok(())
    }
}
