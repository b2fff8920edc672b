//! What a pool asks of the thing it pools.

use crate::driver::{Done, Exec, Op, Outcome, guarded};
use std::{error::Error, fmt, ops::Deref, sync::Arc, time::Duration};

/// Opens, checks and closes connections with calls that block.
///
/// Every method but [`is_broken`](Self::is_broken), [`needs_reset`](Self::needs_reset) and
/// [`is_refusal`](Self::is_refusal) runs on the pool's own threads, never in a caller's future. Any
/// of them may panic: the connection concerned is closed and nothing else happens.
///
/// ```
/// use ropewalk_connections::{Manager, Pool};
///
/// struct Sockets(std::net::SocketAddr);
///
/// impl Manager for Sockets {
///     type Conn = std::net::TcpStream;
///     type Error = std::io::Error;
///     fn connect(&self) -> Result<Self::Conn, Self::Error> {
///         std::net::TcpStream::connect(self.0)
///     }
///     fn check(&self, conn: &mut Self::Conn) -> Result<(), Self::Error> {
///         conn.take_error()?.map_or(Ok(()), Err)
///     }
/// }
///
/// let server = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let pool = Pool::builder(Sockets(server.local_addr()?)).size(1..=4).build()?;
/// assert!(pool.get_blocking()?.peer_addr().is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Manager: Send + Sync + 'static {
    /// A connection.
    type Conn: Send + 'static;
    /// Why connecting, checking or resetting failed.
    type Error: Error + Send + Sync + 'static;

    /// Opens a connection.
    fn connect(&self) -> Result<Self::Conn, Self::Error>;

    /// Opens the connection that may write, for managers with [`has_writer`](Self::has_writer).
    fn connect_writer(&self) -> Result<Self::Conn, Self::Error> {
        self.connect()
    }

    /// Finds out whether the connection still works.
    fn check(&self, conn: &mut Self::Conn) -> Result<(), Self::Error>;

    /// Cleans what the last holder left behind (an open transaction). Only called when
    /// [`needs_reset`](Self::needs_reset) said so; a connection that cannot be reset is closed.
    fn reset(&self, _conn: &mut Self::Conn) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Closes the connection; the default drops it.
    fn close(&self, conn: Self::Conn) {
        drop(conn);
    }

    /// Whether a returned connection needs [`reset`](Self::reset). Runs where it is given back, so
    /// it must be quick.
    fn needs_reset(&self, _conn: &Self::Conn) -> bool {
        false
    }

    /// Whether a returned connection is known to be dead. Runs where it is given back, so it must be
    /// quick and must not ask the server.
    fn is_broken(&self, _conn: &Self::Conn) -> bool {
        false
    }

    /// Whether a connect error means that the server takes no more connections. The pool then holds
    /// its size down and probes upwards later.
    fn is_refusal(&self, _error: &Self::Error) -> bool {
        false
    }

    /// How long a connection may lie idle before it is checked at checkout; `None` for never.
    fn check_after(&self) -> Option<Duration> {
        Some(Duration::from_millis(500))
    }

    /// Whether exactly one of the connections is the writer, to be had by `get_writer`.
    fn has_writer(&self) -> bool {
        false
    }
}

/// Opens, checks and closes connections with futures; its pool is a `Pool<Async<M>>`, made by
/// [`Pool::builder_async`](crate::Pool::builder_async).
///
/// The futures run on the pool's [spawner](crate::Builder::spawner), never in a caller's future. The
/// methods mean what those of [`Manager`] mean.
pub trait AsyncManager: Send + Sync + 'static {
    /// A connection.
    type Conn: Send + 'static;
    /// Why connecting, checking or resetting failed.
    type Error: Error + Send + Sync + 'static;

    /// Opens a connection.
    fn connect(&self) -> impl Future<Output = Result<Self::Conn, Self::Error>> + Send;

    /// Opens the connection that may write, for managers with [`has_writer`](Self::has_writer).
    fn connect_writer(&self) -> impl Future<Output = Result<Self::Conn, Self::Error>> + Send {
        self.connect()
    }

    /// Finds out whether the connection still works.
    fn check(&self, conn: &mut Self::Conn) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Cleans what the last holder left behind.
    fn reset(&self, _conn: &mut Self::Conn) -> impl Future<Output = Result<(), Self::Error>> + Send {
        std::future::ready(Ok(()))
    }

    /// Closes the connection; the default drops it.
    fn close(&self, conn: Self::Conn) -> impl Future<Output = ()> + Send {
        drop(conn);
        std::future::ready(())
    }

    /// Whether a returned connection needs [`reset`](Self::reset).
    fn needs_reset(&self, _conn: &Self::Conn) -> bool {
        false
    }

    /// Whether a returned connection is known to be dead.
    fn is_broken(&self, _conn: &Self::Conn) -> bool {
        false
    }

    /// Whether a connect error means that the server takes no more connections.
    fn is_refusal(&self, _error: &Self::Error) -> bool {
        false
    }

    /// How long a connection may lie idle before it is checked at checkout; `None` for never.
    fn check_after(&self) -> Option<Duration> {
        Some(Duration::from_millis(500))
    }

    /// Whether exactly one of the connections is the writer.
    fn has_writer(&self) -> bool {
        false
    }
}

/// What a pool manages: every [`Manager`], and every [`AsyncManager`] inside [`Async`]. Sealed.
pub trait Managed: Send + Sync + 'static {
    /// A connection.
    type Conn: Send + 'static;
    /// Why connecting, checking or resetting failed.
    type Error: Error + Send + Sync + 'static;

    #[doc(hidden)]
    const ASYNC: bool;
    #[doc(hidden)]
    fn needs_reset(&self, conn: &Self::Conn) -> bool;
    #[doc(hidden)]
    fn is_broken(&self, conn: &Self::Conn) -> bool;
    #[doc(hidden)]
    fn is_refusal(&self, error: &Self::Error) -> bool;
    #[doc(hidden)]
    fn check_after(&self) -> Option<Duration>;
    #[doc(hidden)]
    fn has_writer(&self) -> bool;
    /// Starts `op` on the pool's drivers; `done` is told how it ended, or dropped if it was lost.
    #[doc(hidden)]
    fn start(self: Arc<Self>, exec: &Exec, op: Op<Self::Conn>, done: Done<Self::Conn, Self::Error>);
}

impl<M: Manager> Managed for M {
    type Conn = M::Conn;
    type Error = M::Error;

    const ASYNC: bool = false;

    fn needs_reset(&self, conn: &Self::Conn) -> bool {
        Manager::needs_reset(self, conn)
    }

    fn is_broken(&self, conn: &Self::Conn) -> bool {
        Manager::is_broken(self, conn)
    }

    fn is_refusal(&self, error: &Self::Error) -> bool {
        Manager::is_refusal(self, error)
    }

    fn check_after(&self) -> Option<Duration> {
        Manager::check_after(self)
    }

    fn has_writer(&self) -> bool {
        Manager::has_writer(self)
    }

    fn start(self: Arc<Self>, exec: &Exec, op: Op<Self::Conn>, done: Done<Self::Conn, Self::Error>) {
        exec.workers.submit(Box::new(move || {
            let outcome = match op {
                Op::Open { writer } => {
                    Outcome::Opened(guarded(|| if writer { self.connect_writer() } else { self.connect() }))
                }
                Op::Check(mut conn) => {
                    let verdict = guarded(|| self.check(&mut conn));
                    Outcome::Judged(conn, verdict)
                }
                Op::Reset(mut conn) => {
                    let verdict = guarded(|| self.reset(&mut conn));
                    Outcome::Judged(conn, verdict)
                }
                Op::Close(conn) => {
                    // A panic has been reported by the panic hook; the connection is gone either way.
                    let _ = guarded(|| {
                        self.close(conn);
                        Ok::<(), M::Error>(())
                    });
                    Outcome::Closed
                }
            };
            done(outcome);
        }));
    }
}

/// Makes an [`AsyncManager`] something a [`Pool`](crate::Pool) can manage.
#[derive(Clone, Debug)]
pub struct Async<M>(pub M);

impl<M> Deref for Async<M> {
    type Target = M;
    fn deref(&self) -> &M {
        &self.0
    }
}

impl<M: AsyncManager> Managed for Async<M> {
    type Conn = M::Conn;
    type Error = M::Error;

    const ASYNC: bool = true;

    fn needs_reset(&self, conn: &Self::Conn) -> bool {
        self.0.needs_reset(conn)
    }

    fn is_broken(&self, conn: &Self::Conn) -> bool {
        self.0.is_broken(conn)
    }

    fn is_refusal(&self, error: &Self::Error) -> bool {
        self.0.is_refusal(error)
    }

    fn check_after(&self) -> Option<Duration> {
        self.0.check_after()
    }

    fn has_writer(&self) -> bool {
        self.0.has_writer()
    }

    fn start(self: Arc<Self>, exec: &Exec, op: Op<Self::Conn>, done: Done<Self::Conn, Self::Error>) {
        let (clock, open_bound, bound) = (exec.clock.clone(), exec.connect_timeout, exec.check_timeout);
        exec.spawn(async move {
            let manager = &self.0;
            let outcome = match op {
                Op::Open { writer: true } => Outcome::Opened(
                    crate::driver::bounded(&clock, open_bound, manager.connect_writer()).await,
                ),
                Op::Open { writer: false } => {
                    Outcome::Opened(crate::driver::bounded(&clock, open_bound, manager.connect()).await)
                }
                Op::Check(mut conn) => {
                    let verdict = crate::driver::bounded(&clock, bound, manager.check(&mut conn)).await;
                    Outcome::Judged(conn, verdict)
                }
                Op::Reset(mut conn) => {
                    let verdict = crate::driver::bounded(&clock, bound, manager.reset(&mut conn)).await;
                    Outcome::Judged(conn, verdict)
                }
                Op::Close(conn) => {
                    let close = async {
                        manager.close(conn).await;
                        Ok::<(), M::Error>(())
                    };
                    // It is gone either way: closed, dropped by a panic, or dropped at the bound.
                    let _ = crate::driver::bounded(&clock, bound, close).await;
                    Outcome::Closed
                }
            };
            done(outcome);
        });
    }
}

/// Which connection is meant, where a manager tells one writer from many readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Role {
    /// Any connection; with a writer, one that reads.
    Any,
    /// The writer.
    Writer,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "connection",
            Self::Writer => "writer",
        })
    }
}
