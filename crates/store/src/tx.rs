//! Transactions with code of your own between the statements.

use crate::{
    commit::{Touched, begin, commit, roll_back},
    conn::{StoreConn, Written, give_back},
    error::{QueryError, TransactionError, WriteError},
    params::{Params, Statement},
    rows::{FromRow, Rows},
    store::{Inner, Store},
};
use std::sync::Arc;

/// A transaction under way on the writer, alone. It commits when its closure returns `Ok`.
pub struct Tx<'a> {
    conn: &'a mut StoreConn,
    touched: Touched,
}

impl Tx<'_> {
    /// Writes.
    ///
    /// # Errors
    ///
    /// [`WriteError`]; statements before it stand, unless the closure gives up.
    pub fn write(&mut self, sql: &str, params: impl Params) -> Result<Written, WriteError> {
        self.inside()?;
        let (written, facts) = self.conn.write(&Statement::new(sql, params)?)?;
        self.touched.add(&facts);
        Ok(written)
    }

    /// Runs several statements without parameters.
    ///
    /// # Errors
    ///
    /// [`WriteError`]; those before the one that failed stand, unless the closure gives up.
    pub fn batch(&mut self, sql: &str) -> Result<(), WriteError> {
        self.inside()?;
        // Of a batch that fails half-way it is not known what it has changed.
        let facts = self.conn.batch(sql).inspect_err(|_error| self.touched.everything())?;
        self.touched.add(&facts);
        Ok(())
    }

    /// The first row of a query, which sees what this transaction has written.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub fn query<T: FromRow>(&mut self, sql: &str, params: impl Params) -> Result<T, QueryError> {
        let rows = self.query_rows(sql, params)?;
        let row = rows.get(0).ok_or(QueryError::NoRow)?;
        Ok(T::from_row(&row)?)
    }

    /// The first row of a query, if there is one.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub fn query_opt<T: FromRow>(&mut self, sql: &str, params: impl Params) -> Result<Option<T>, QueryError> {
        Ok(self.query_rows(sql, params)?.get(0).map(|row| T::from_row(&row)).transpose()?)
    }

    /// All rows of a query.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub fn query_all<T: FromRow>(&mut self, sql: &str, params: impl Params) -> Result<Vec<T>, QueryError> {
        Ok(self.query_rows(sql, params)?.iter().map(|row| T::from_row(&row)).collect::<Result<_, _>>()?)
    }

    /// All rows of a query as they are.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub fn query_rows(&mut self, sql: &str, params: impl Params) -> Result<Rows, QueryError> {
        let statement = Statement::new(sql, params)?;
        let (mut prepared, _facts) = self.conn.prepare(&statement)?;
        if !prepared.readonly() {
            return Err(QueryError::Writes);
        }
        Ok(Rows::read(&mut prepared)?)
    }

    /// A statement that ends the transaction leaves the next one to commit alone; it must not run.
    fn inside(&self) -> Result<(), WriteError> {
        if self.conn.conn.is_autocommit() { Err(WriteError::Ended) } else { Ok(()) }
    }
}

impl Store {
    /// Runs `work` in a transaction of its own on the writer, on one of the pool's threads, between two
    /// batches. It commits when `work` returns `Ok`, and the future ends when the commit is durable;
    /// on `Err` or a panic nothing is written.
    ///
    /// Inside, read with [`Tx::query`]: a query of the store itself does not see what is not committed.
    ///
    /// ```
    /// # use ropewalk_store::*;
    /// # let store = Store::open(Sqlite::memory())?;
    /// # ropewalk_sync::block_on(async {
    /// # store.write("create table account (id integer primary key, cents integer)", []).await?;
    /// # store.write("insert into account values (1, 700), (2, 0)", []).await?;
    /// let left = store.transaction(|tx| -> Result<i64, Box<dyn std::error::Error + Send + Sync>> {
    ///     let cents: i64 = tx.query("select cents from account where id = ?1", [1])?;
    ///     if cents < 500 { return Err("too little".into()) }
    ///     tx.write("update account set cents = cents - 500 where id = ?1", [1])?;
    ///     tx.write("update account set cents = cents + 500 where id = ?1", [2])?;
    ///     Ok(cents - 500)
    /// }).await?;
    /// assert_eq!(left, 200);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TransactionError`]; nothing was written.
    ///
    /// # Panics
    ///
    /// A panic in `work` goes on in the caller.
    ///
    /// # Cancel safety
    ///
    /// Before `work` has begun nothing happens; after, it runs on to its end and commits if it says so.
    pub async fn transaction<R, E>(
        &self,
        work: impl FnOnce(&mut Tx<'_>) -> Result<R, E> + Send + 'static,
    ) -> Result<R, TransactionError<E>>
    where
        R: Send + 'static,
        E: Send + 'static,
    {
        let inner = self.0.clone();
        let mut writer = self.0.pool.get_writer().await.map_err(no_writer)?;
        let done = writer.run(move |conn| inner.transact(conn, work)).await;
        give_back(writer);
        done
    }

    /// [`transaction`](Self::transaction) for a thread; `work` runs on this thread.
    ///
    /// # Errors
    ///
    /// [`TransactionError`]; nothing was written.
    pub fn transaction_blocking<R, E>(
        &self,
        work: impl FnOnce(&mut Tx<'_>) -> Result<R, E>,
    ) -> Result<R, TransactionError<E>> {
        let mut writer = self.0.pool.get_writer_blocking().map_err(no_writer)?;
        let done = self.0.transact(&mut writer, work);
        give_back(writer);
        done
    }
}

fn no_writer<E>(error: ropewalk_connections::GetError<rusqlite::Error>) -> TransactionError<E> {
    TransactionError::Store(WriteError::Writer(Arc::new(error)))
}

impl Inner {
    pub(crate) fn transact<R, E>(
        &self,
        conn: &mut StoreConn,
        work: impl FnOnce(&mut Tx<'_>) -> Result<R, E>,
    ) -> Result<R, TransactionError<E>> {
        let failed = |error| TransactionError::Store(WriteError::Commit(Arc::new(error)));
        let began = begin(self, conn).map_err(failed)?;
        self.meters.transactions.incr();
        conn.forget_last_id();
        // A panic leaves the transaction open; the pool rolls it back before anybody else writes.
        let mut tx = Tx { conn, touched: Touched::default() };
        let result = work(&mut tx);
        let Tx { conn, touched } = tx;
        match result {
            Err(error) => {
                roll_back(conn);
                Err(TransactionError::Own(error))
            }
            Ok(_) if conn.conn.is_autocommit() => Err(TransactionError::Store(WriteError::Ended)),
            Ok(_) if crate::raw::owes_foreign_keys(&conn.conn) => {
                roll_back(conn);
                Err(TransactionError::Store(WriteError::ForeignKey))
            }
            Ok(value) => commit(self, conn, touched, began).map(|()| value).map_err(failed),
        }
    }
}
