//! SQLite: one writer, many readers.

use crate::manager::Manager;
use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, ffi};
use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// What a commit has waited for when it returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Synchronous {
    /// Until the operating system has flushed the write-ahead log: a committed transaction survives a
    /// power cut.
    #[default]
    Full,
    /// Until the log is written: a committed transaction survives the end of the process, but those
    /// since the last checkpoint may be lost in a power cut. The database stays consistent.
    Normal,
    /// Nothing: a power cut may damage the database.
    Off,
}

/// Opens connections to a SQLite database: one that writes, the others `query_only`.
///
/// The database is in WAL mode, so readers and the writer don't wait for one another. The writer
/// begins its transactions `IMMEDIATE`; writers queue in the pool, first come, first served, and not
/// in SQLite's unfair busy loop. A transaction left open by its holder is rolled back before anybody
/// else gets the connection.
///
/// Defaults: `synchronous = FULL`, foreign keys enforced, 5 s of busy timeout (for other processes),
/// 64 cached statements per connection.
///
/// ```
/// use ropewalk_connections::{Pool, Sqlite};
///
/// let pool = Pool::builder(Sqlite::memory()).size(1..=4).build()?;
/// let mut writer = pool.get_writer_blocking()?;
/// writer.execute_batch("create table task (id integer primary key, state text) strict")?;
/// let tx = writer.transaction()?;
/// tx.execute("insert into task (state) values (?1)", ["ready"])?;
/// tx.commit()?;
///
/// let reader = pool.get_blocking()?;
/// let n: i64 = reader.query_row("select count(*) from task", [], |row| row.get(0))?;
/// assert_eq!(n, 1);
/// assert!(reader.execute("delete from task", []).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Sqlite {
    target: Target,
    busy_timeout: Duration,
    synchronous: Synchronous,
    foreign_keys: bool,
    statements: usize,
    on_connect: Option<OnConnect>,
    prepared: Arc<Mutex<Prepared>>,
}

type OnConnect = Arc<dyn Fn(&Connection) -> rusqlite::Result<()> + Send + Sync>;

#[derive(Clone, Debug)]
enum Target {
    File(PathBuf),
    Memory(String),
}

/// What has to happen once before the first connection.
#[derive(Default)]
enum Prepared {
    #[default]
    No,
    /// A file that is in WAL mode.
    File,
    /// A database in memory lives as long as a connection to it does; this one keeps it.
    Memory { _anchor: Connection },
}

impl Sqlite {
    /// A database in a file, which is created if it is missing.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::new(Target::File(path.into()))
    }

    /// A database in memory, shared by the connections of this manager and its clones and gone with
    /// them. It has no write-ahead log: readers wait while a transaction writes, up to the busy
    /// timeout.
    pub fn memory() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // A name that no other manager of this process has; SQLite shares such databases by name.
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self::new(Target::Memory(format!("file:/ropewalk-{id}?vfs=memdb")))
    }

    fn new(target: Target) -> Self {
        Self {
            target,
            busy_timeout: Duration::from_secs(5),
            synchronous: Synchronous::default(),
            foreign_keys: true,
            statements: 64,
            on_connect: None,
            prepared: Arc::default(),
        }
    }

    /// How long a statement waits for a lock that another process holds. Default 5 s.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// What a commit waits for. Default [`Synchronous::Full`].
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// Leaves foreign keys unenforced.
    pub fn without_foreign_keys(mut self) -> Self {
        self.foreign_keys = false;
        self
    }

    /// How many prepared statements a connection keeps. Default 64.
    pub fn statements(mut self, statements: usize) -> Self {
        self.statements = statements;
        self
    }

    /// Runs on each new connection, after the settings above: functions, collations, pragmas.
    pub fn on_connect(
        mut self,
        setup: impl Fn(&Connection) -> rusqlite::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.on_connect = Some(Arc::new(setup));
        self
    }

    fn open(&self, writer: bool) -> rusqlite::Result<Connection> {
        self.prepare()?;
        let mut conn = self.open_plain()?;
        conn.pragma_update(
            None,
            "synchronous",
            match self.synchronous {
                Synchronous::Full => "FULL",
                Synchronous::Normal => "NORMAL",
                Synchronous::Off => "OFF",
            },
        )?;
        conn.pragma_update(None, "foreign_keys", self.foreign_keys)?;
        conn.set_prepared_statement_cache_capacity(self.statements);
        conn.set_transaction_behavior(if writer {
            TransactionBehavior::Immediate
        } else {
            TransactionBehavior::Deferred
        });
        if let Some(setup) = &self.on_connect {
            setup(&conn)?;
        }
        if !writer {
            conn.pragma_update(None, "query_only", true)?;
        }
        Ok(conn)
    }

    fn open_plain(&self) -> rusqlite::Result<Connection> {
        // A connection is used by one thread at a time: SQLite's own mutex would only cost.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = match &self.target {
            Target::File(path) => Connection::open_with_flags(path, flags)?,
            Target::Memory(uri) => Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?,
        };
        conn.busy_timeout(self.busy_timeout)?;
        Ok(conn)
    }

    /// Switches a file to WAL before anybody reads it (the switch needs it alone), or creates the
    /// database in memory.
    fn prepare(&self) -> rusqlite::Result<()> {
        let mut prepared = self.prepared.lock();
        if matches!(*prepared, Prepared::No) {
            let conn = self.open_plain()?;
            *prepared = match &self.target {
                Target::File(_) => {
                    conn.pragma_update(None, "journal_mode", "WAL")?;
                    Prepared::File
                }
                Target::Memory(_) => Prepared::Memory { _anchor: conn },
            };
        }
        Ok(())
    }
}

impl Manager for Sqlite {
    type Conn = Connection;
    type Error = rusqlite::Error;

    fn connect(&self) -> rusqlite::Result<Connection> {
        self.open(false)
    }

    fn connect_writer(&self) -> rusqlite::Result<Connection> {
        self.open(true)
    }

    fn check(&self, conn: &mut Connection) -> rusqlite::Result<()> {
        conn.prepare_cached("select 1")?.query_row([], |_row| Ok(()))
    }

    fn needs_reset(&self, conn: &Connection) -> bool {
        !conn.is_autocommit()
    }

    fn reset(&self, conn: &mut Connection) -> rusqlite::Result<()> {
        conn.execute_batch("rollback")
    }

    fn is_refusal(&self, error: &rusqlite::Error) -> bool {
        // Opening fails so when the process is out of file descriptors.
        error.sqlite_error().is_some_and(|error| {
            error.code == ErrorCode::CannotOpen && error.extended_code == ffi::SQLITE_CANTOPEN
        }) && !matches!(*self.prepared.lock(), Prepared::No)
    }

    /// Never: there is no peer that could have gone away.
    fn check_after(&self) -> Option<Duration> {
        None
    }

    fn has_writer(&self) -> bool {
        true
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite")
            .field("target", &self.target)
            .field("synchronous", &self.synchronous)
            .finish_non_exhaustive()
    }
}
