//! PostgreSQL through tokio-postgres.

use crate::manager::AsyncManager;
use std::{
    fmt,
    ops::{Deref, DerefMut},
};
use tokio_postgres::{
    Client, Config, NoTls, Socket,
    error::SqlState,
    tls::{MakeTlsConnect, TlsConnect},
};

/// What is cleaned before the next caller gets a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cleaning {
    /// A transaction that is still open is rolled back; costs one round trip after each use, paid by
    /// the pool and not by a caller.
    #[default]
    Transaction,
    /// Everything: `DISCARD ALL`, prepared statements and session settings included.
    Session,
    /// Nothing: for callers who never leave a transaction open, not even when they are cancelled.
    Nothing,
}

/// Opens connections to a PostgreSQL server. Its futures need a tokio runtime, so the pool needs a
/// tokio [spawner](crate::Builder::spawner).
///
/// ```no_run
/// use ropewalk_connections::{Pool, Postgres, Tokio};
///
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// let config = "host=/run/postgresql user=app dbname=app".parse()?;
/// let pool = Pool::builder_async(Postgres::new(config)).spawner(Tokio::current()).build()?;
/// let conn = pool.get().await?;
/// let row = conn.query_one("select count(*) from task", &[]).await?;
/// println!("{} tasks", row.get::<_, i64>(0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Postgres<T = NoTls> {
    config: Config,
    tls: T,
    cleaning: Cleaning,
}

impl Postgres {
    /// Connects without TLS.
    pub fn new(config: Config) -> Self {
        Self::with_tls(config, NoTls)
    }
}

impl<T> Postgres<T> {
    /// Connects with `tls`.
    pub fn with_tls(config: Config, tls: T) -> Self {
        Self { config, tls, cleaning: Cleaning::default() }
    }

    /// What is cleaned before the next caller gets a connection. Default
    /// [`Cleaning::Transaction`].
    pub fn cleaning(mut self, cleaning: Cleaning) -> Self {
        self.cleaning = cleaning;
        self
    }
}

impl<T> fmt::Debug for Postgres<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the configuration: it holds the password.
        f.debug_struct("Postgres").field("cleaning", &self.cleaning).finish_non_exhaustive()
    }
}

/// A connection to PostgreSQL; derefs to tokio-postgres' client.
#[derive(Debug)]
pub struct PgConn(Client);

impl Deref for PgConn {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.0
    }
}

impl DerefMut for PgConn {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.0
    }
}

impl<T> AsyncManager for Postgres<T>
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    type Conn = PgConn;
    type Error = tokio_postgres::Error;

    async fn connect(&self) -> Result<PgConn, tokio_postgres::Error> {
        let (client, connection) = self.config.connect(self.tls.clone()).await?;
        // It ends with the client, or with the connection; the client learns of that by itself.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(PgConn(client))
    }

    async fn check(&self, conn: &mut PgConn) -> Result<(), tokio_postgres::Error> {
        conn.simple_query("").await.map(drop)
    }

    fn needs_reset(&self, _conn: &PgConn) -> bool {
        // The client does not know whether a transaction is open: a `BEGIN` may be under way whose
        // future was dropped. The server does.
        self.cleaning != Cleaning::Nothing
    }

    async fn reset(&self, conn: &mut PgConn) -> Result<(), tokio_postgres::Error> {
        match self.cleaning {
            Cleaning::Nothing => Ok(()),
            Cleaning::Transaction if outside_transaction(conn).await? => Ok(()),
            Cleaning::Transaction => conn.batch_execute("ROLLBACK").await,
            Cleaning::Session => {
                if !outside_transaction(conn).await? {
                    conn.batch_execute("ROLLBACK").await?;
                }
                conn.batch_execute("DISCARD ALL").await
            }
        }
    }

    fn is_broken(&self, conn: &PgConn) -> bool {
        conn.is_closed()
    }

    fn is_refusal(&self, error: &tokio_postgres::Error) -> bool {
        error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS)
    }
}

/// Asks without the warning that a `ROLLBACK` outside a transaction leaves in the server's log: in a
/// transaction of its own a statement begins when its transaction begins.
async fn outside_transaction(conn: &PgConn) -> Result<bool, tokio_postgres::Error> {
    match conn.simple_query("SELECT now() = statement_timestamp()").await {
        Ok(messages) => Ok(messages.iter().any(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0) == Some("t"),
            _ => false,
        })),
        Err(error) if error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION) => Ok(false),
        Err(error) => Err(error),
    }
}
