//! An adaptive connection pool for threads and tasks in one line.
//!
//! ```
//! use ropewalk_connections::{Manager, Pool};
//! use std::{io, net::{SocketAddr, TcpListener, TcpStream}, time::Duration};
//!
//! struct Sockets(SocketAddr);
//! impl Manager for Sockets {
//!     type Conn = TcpStream;
//!     type Error = io::Error;
//!     fn connect(&self) -> io::Result<TcpStream> { TcpStream::connect(self.0) }
//!     fn check(&self, conn: &mut TcpStream) -> io::Result<()> { conn.take_error()?.map_or(Ok(()), Err) }
//! }
//!
//! let server = TcpListener::bind("127.0.0.1:0")?;
//! let pool = Pool::builder(Sockets(server.local_addr()?)).size(1..=8).acquire_timeout(Duration::from_secs(2)).build()?;
//! let conn = pool.get_blocking()?;                     // a thread
//! let peer = ropewalk_sync::block_on(async {           // and a task, in the same line
//!     pool.get().await.map(|conn| conn.peer_addr())
//! })??;
//! assert_eq!(conn.peer_addr()?, peer);
//! drop(conn);                                          // gives itself back
//! pool.close_blocking()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! * **What is pooled** is said by a [`Manager`] whose calls block, or by an [`AsyncManager`]. With
//!   feature `sqlite` there is `Sqlite`, one writer and many
//!   readers; with feature `postgres` there is `Postgres`.
//! * **Taking**: [`Pool::get`], [`get_blocking`](Pool::get_blocking), [`try_get`](Pool::try_get), the
//!   same with `_timeout`, and the same for the [writer](Pool::get_writer). A [`Conn`] derefs to the
//!   connection and gives itself back. Work that blocks goes to the pool's threads by [`Conn::run`].
//! * **Keeping**: the pool grows when callers wait and shrinks when connections lie idle, keeps a least
//!   number warm, renews connections by age, checks those that have lain idle, holds its size down
//!   while the server refuses more. [`Builder`] has the settings.
//! * **Watching**: [`Pool::stats`], [`Pool::waits`] for the wait-for graph, reports of connections
//!   [held for too long](Builder::leak_after) with the place in the code, errors that say why.
//! * **Changing**: [`Pool::resize`], [`Pool::retain`], [`Pool::close`].
//!
//! # Guarantees
//!
//! | operation | waits for | order | on cancel |
//! |---|---|---|---|
//! | `try_get`, giving back | nobody while one lies idle and nobody waits (lock-free, modelled: `raw::shelf`); else a bounded section of another such operation | never overtakes the line | - |
//! | `get`, `get_blocking` and their kin | as `try_get`; when none is idle a connection, up to a timeout | strict FIFO, threads and tasks alike | leaves the line; a connection handed over passes on |
//! | `Conn::run` | the work | - | the work goes on with its connection |
//! | `close` | connections in callers' hands, up to a timeout | - | the pool closes all the same |
//!
//! * Opening, checking, resetting and closing run on the pool's drivers, so a caller that goes away
//!   costs no connection, and one that comes back while another is being opened serves the line.
//! * There are never more connections than the maximum, those being opened or closed included. The
//!   exception is one whose check does not end within its bound: its slot is freed, it is counted as
//!   [`stuck`](PoolStats::stuck), and there are never more of those than [`Builder::max_stuck`].
//! * A transaction left open is rolled back before the next caller (as far as the manager's `reset`
//!   does it).
//! * User code (managers, hooks, work) runs under no lock. A panic in it closes the connection
//!   concerned and nothing else; nothing is lost.
//! * Dropping anything needs no runtime.
//!
//! # Features
//!
//! * `sqlite`: `Sqlite` over rusqlite (bundled C library).
//! * `postgres`: `Postgres` over tokio-postgres.
//! * `serde`: `Serialize` for statistics and reports.

#![deny(unsafe_code)]

mod builder;
mod conn;
mod driver;
mod error;
mod get;
mod holder;
mod identity;
mod keeper;
mod lane;
mod manager;
mod pool;
#[cfg(feature = "postgres")]
mod postgres;
#[allow(unsafe_code)]
#[doc(hidden)]
pub mod raw;
mod shared;
mod sizing;
#[cfg(feature = "sqlite")]
mod sqlite;
mod state;
mod stats;
mod steps;
mod tick;
mod waits;
mod workers;

pub use builder::{Builder, IdleOrder, MAX_SIZE, OnConnectFailure};
pub use conn::Conn;
pub use error::{BuildError, CloseError, ConnectError, GetError, ResizeError, Standing, TryGetError};
pub use manager::{Async, AsyncManager, Managed, Manager, Role};
pub use pool::{ConnInfo, Pool};
#[cfg(feature = "postgres")]
pub use postgres::{Cleaning, PgConn, Postgres};
#[cfg(feature = "postgres")]
pub use ropewalk_sync::Tokio;
pub use sizing::{SizedBy, Sizer, Sizing, Window};
#[cfg(feature = "sqlite")]
pub use sqlite::{Sqlite, Synchronous};
pub use stats::{Closed, Limit, PoolStats};
pub use waits::{Held, Waits};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
