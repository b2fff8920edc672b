//! A SQL store: writes grouped into one transaction with one answer each, reads kept until a table they
//! read changes.
//!
//! ```
//! use ropewalk_store::{Sqlite, Store};
//!
//! # ropewalk_sync::block_on(async {
//! let store = Store::open(Sqlite::memory())?;
//! store.migrate(&["create table task (id integer primary key, state text not null) strict"]).await?;
//!
//! // Each returns after its own durable commit; those in flight together share one.
//! let id = store.write("insert into task (state) values (?1)", ["ready"]).await?.last_insert_id;
//! store.write("update task set state = ?2 where id = ?1", (id, "done")).await?;
//!
//! let n: i64 = store.query("select count(*) from task where state = ?1", ["done"]).await?;
//! let again: i64 = store.query("select count(*) from task where state = ?1", ["done"]).await?; // from memory
//! assert_eq!((n, again, store.stats().query_hits), (1, 1, 1));
//! store.close().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! * **Writing**: [`Store::write`], [`write_all`](Store::write_all) for several statements together,
//!   [`transaction`](Store::transaction) for code between them, [`try_write`](Store::try_write),
//!   [`migrate`](Store::migrate) for the schema.
//! * **Reading**: [`Store::query`] for a row, [`query_opt`](Store::query_opt),
//!   [`query_all`](Store::query_all), [`query_map`](Store::query_map),
//!   [`query_rows`](Store::query_rows). Rows become yours by [`FromRow`].
//! * All of them exist for tasks and, with `_blocking`, for threads.
//! * [`Store::stats`], [`checkpoint`](Store::checkpoint), [`close`](Store::close).
//!
//! # Guarantees
//!
//! * **Durable**: an operation that was answered with `Ok` survives `kill -9`, and with
//!   [`Synchronous::Full`] (the default) a power cut. With `Normal` a power cut may lose those since the
//!   last checkpoint, never the database.
//! * **One bad operation fails alone**: each has a savepoint; deferred foreign keys are judged at the end
//!   of each operation; a batch that a statement ends (`OR ROLLBACK`, a full disk) is run again,
//!   operation by operation.
//! * **One answer each**: rows changed and the id inserted by that operation, and by no other.
//! * **In order**: operations commit in the order in which they were queued.
//! * **Never stale**: a result from memory is never older than the last write of this process that has
//!   been answered, and no result is served from memory while a commit that changes its tables is
//!   under way. Writes of other processes are seen after [`Builder::watch_every`] at the latest.
//! * **Transactions are the store's**: `BEGIN`, `COMMIT`, `SAVEPOINT`, `ATTACH`, temporary tables and
//!   pragmas that change something are refused in statements, with a clear error.
//!
//! | operation | waits for | order | on cancel |
//! |---|---|---|---|
//! | `write`, `write_all` | room in the queue, the batch under way, its own | first come, first served | taken back unless its batch has begun |
//! | `transaction`, `migrate` | the batch under way | first come, first served, batches included | runs on once begun |
//! | `query`, known | nobody; once in `watch_every` a look for writes of others, if the writer is idle | - | - |
//! | `query`, not known | a reader connection | first come, first served | runs on once begun |
//! | `close` | all of them | - | takes no more operations |
//!
//! # Features
//!
//! * `serde`: `Serialize` for [`StoreStats`].

#![deny(unsafe_code)]

mod builder;
mod commit;
mod conn;
mod error;
mod facts;
mod migrate;
mod operation;
mod params;
mod query;
#[allow(unsafe_code, reason = "two calls of SQLite that rusqlite does not wrap")]
mod raw;
mod rows;
mod stats;
mod store;
mod tables;
mod tx;

pub use builder::Builder;
pub use conn::Written;
pub use error::{
    CheckpointError, CloseError, MigrateError, OpenError, QueryError, TransactionError, TryWriteError,
    WriteError,
};
pub use migrate::Migrated;
pub use operation::Operation;
pub use params::{Params, Statement};
pub use ropewalk_connections::{Sqlite, Synchronous};
pub use rows::{ColumnIndex, FromRow, Row, RowError, Rows};
pub use rusqlite;
pub use stats::StoreStats;
pub use store::{Ack, Checkpoint, Store};
pub use tx::Tx;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
