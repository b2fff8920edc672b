//! What can go wrong, and what it means for the data.

use crate::{operation::Operation, rows::RowError};
use ropewalk_connections::GetError;
use std::{sync::Arc, time::Duration};

/// A store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting contradicts itself.
    #[error(transparent)]
    Connections(#[from] ropewalk_connections::BuildError),
    /// A setting contradicts itself.
    #[error(transparent)]
    Batch(#[from] ropewalk_batch::BuildError),
    /// A setting contradicts itself.
    #[error(transparent)]
    Cache(#[from] ropewalk_cache::BuildError),
    /// The database cannot be opened.
    #[error("the database cannot be opened: {0}")]
    Open(#[source] GetError<rusqlite::Error>),
}

/// An operation was not written, or its outcome is unknown. Errors are told apart by what they mean for
/// the data: [`is_unknown`](Self::is_unknown).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// SQLite refused a statement of the operation. Nothing of the operation was written, others of
    /// its batch are unharmed.
    #[error("the statement failed, nothing of its operation was written: {0}")]
    Sql(#[source] Arc<rusqlite::Error>),
    /// The statement would break the transaction that the store keeps.
    #[error(
        "{what} is not allowed in a statement: the store keeps the transaction; use transaction() or write_all() for several statements"
    )]
    Refused {
        /// What it was.
        what: String,
    },
    /// The text has more than one statement.
    #[error("the text has more than one statement; use write_all() or a transaction's batch()")]
    Several,
    /// A foreign key that may be satisfied as late as at the end of the operation is not. Nothing of the
    /// operation was written.
    #[error("a foreign key is not satisfied at the end of the operation, nothing of it was written")]
    ForeignKey,
    /// The transaction could not be begun or committed. Nothing was written.
    #[error("the transaction was not committed, nothing was written: {0}")]
    Commit(#[source] Arc<rusqlite::Error>),
    /// A statement before this one ended the transaction (`OR ROLLBACK`, `RAISE(ROLLBACK)`, a full
    /// disk). Nothing was written.
    #[error("an earlier statement ended the transaction, nothing was written")]
    Ended,
    /// The writer could not be had.
    #[error("the writer could not be had, nothing was written: {0}")]
    Writer(#[source] Arc<GetError<rusqlite::Error>>),
    /// The time was over before the operation was begun; it comes back.
    #[error("no batch took the operation in time; nothing was written, it may be tried again")]
    TimedOut(Operation),
    /// The store was closed before the operation was begun; it comes back.
    #[error("the store is closed; nothing was written")]
    Closed(Operation),
    /// The time was over while the operation was being written.
    #[error("the operation was being written when the time was over; whether it was committed is unknown")]
    Unknown,
    /// The writer panicked: a function or hook of the user's own did.
    #[error("the writer panicked, whether the operation was committed is unknown: {0}")]
    Panicked(String),
}

impl WriteError {
    /// Whether the operation may have been committed all the same. With all other errors nothing of it
    /// was written.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown | Self::Panicked(_))
    }

    /// SQLite's own error, if it was that.
    pub fn sqlite(&self) -> Option<&rusqlite::Error> {
        match self {
            Self::Sql(error) | Self::Commit(error) => Some(error),
            _ => None,
        }
    }
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(Arc::new(error))
    }
}

impl From<crate::conn::PrepareError> for WriteError {
    fn from(error: crate::conn::PrepareError) -> Self {
        match error {
            crate::conn::PrepareError::Refused(what) => Self::Refused { what },
            crate::conn::PrepareError::Several => Self::Several,
            crate::conn::PrepareError::Sql(error) => error.into(),
        }
    }
}

/// An operation was refused at once; it comes back.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TryWriteError {
    /// A parameter cannot be converted.
    #[error("a parameter cannot be converted: {0}")]
    Params(#[source] Arc<rusqlite::Error>),
    /// The queue is full, or others wait for room in it.
    #[error("the write queue is full; wait with write(), or shed load")]
    Full(Operation),
    /// The store is closed.
    #[error("the store is closed")]
    Closed(Operation),
}

/// A query has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// SQLite refused the query.
    #[error("the query failed: {0}")]
    Sql(#[from] rusqlite::Error),
    /// The statement writes.
    #[error("the statement writes, a query only reads; use write()")]
    Writes,
    /// The statement would break the store's transactions.
    #[error("{what} is not allowed in a query")]
    Refused {
        /// What it was.
        what: String,
    },
    /// The text has more than one statement.
    #[error("the text has more than one statement")]
    Several,
    /// There is no row.
    #[error("the query has no row; use query_opt() where that may be")]
    NoRow,
    /// A row is not what was asked for.
    #[error(transparent)]
    Row(#[from] RowError),
    /// No connection could be had.
    #[error(transparent)]
    Connection(GetError<rusqlite::Error>),
    /// The time was over first.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

impl From<GetError<rusqlite::Error>> for QueryError {
    fn from(error: GetError<rusqlite::Error>) -> Self {
        Self::Connection(error)
    }
}

impl From<crate::conn::PrepareError> for QueryError {
    fn from(error: crate::conn::PrepareError) -> Self {
        match error {
            crate::conn::PrepareError::Refused(what) => Self::Refused { what },
            crate::conn::PrepareError::Several => Self::Several,
            crate::conn::PrepareError::Sql(error) => Self::Sql(error),
        }
    }
}

/// A transaction was not committed; nothing of it was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError<E> {
    /// The closure said so.
    #[error("the transaction was rolled back by its own error")]
    Own(E),
    /// The store did.
    #[error(transparent)]
    Store(WriteError),
}

/// The schema could not be brought up to date. The steps before the one that failed are committed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// A step failed; nothing of it was written.
    #[error("step {step} of the migration failed: {source}")]
    Step {
        /// Which, counting from 1.
        step: usize,
        /// Why.
        source: WriteError,
    },
    /// The database is newer than the steps.
    #[error("the database is at version {found} and the program knows only {known}; use a newer program")]
    Newer {
        /// The database's version.
        found: i64,
        /// How many steps there are.
        known: usize,
    },
    /// The version could not be read, or the writer could not be had.
    #[error(transparent)]
    Store(#[from] WriteError),
}

/// The log could not be written back into the database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// SQLite refused.
    #[error("the checkpoint failed: {0}")]
    Sql(#[from] rusqlite::Error),
    /// The writer could not be had.
    #[error(transparent)]
    Connection(#[from] GetError<rusqlite::Error>),
}

/// The store is closed, but not everything ended in time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// Queries or transactions are still under way; their connections are closed when they return.
    #[error(transparent)]
    Connections(#[from] ropewalk_connections::CloseError),
}
