//! The store's connections: SQLite's, with a recorder on the authorizer.

use crate::{
    error::WriteError,
    facts::{Facts, Recorder},
    params::Statement,
    raw,
    rows::Rows,
    tables::Tables,
};
use ropewalk_connections::{Conn, Manager, Sqlite};
use rusqlite::{CachedStatement, Connection};
use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

pub(crate) struct StoreManager {
    pub(crate) sqlite: Sqlite,
    pub(crate) tables: Arc<Tables>,
}

pub(crate) struct StoreConn {
    pub(crate) conn: Connection,
    recorder: Recorder,
    /// Of statements prepared on this connection.
    facts: HashMap<Arc<str>, Arc<Facts>>,
    tables: Arc<Tables>,
    /// SQLite's count of changes by others, as last seen here.
    data_version: Option<i64>,
}

/// Statements whose facts a connection remembers. More than it keeps prepared.
const FACTS: usize = 1_024;

/// Gives a connection back. Whoever is next is woken by that, and a waker that panics (the panic hook has
/// reported it) must not cost anybody the answer of what has been done.
pub(crate) fn give_back(conn: Conn<StoreManager>) {
    let _ = catch_unwind(AssertUnwindSafe(move || drop(conn)));
}

/// What one statement of an operation did.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Written {
    /// Rows that it inserted, updated or deleted itself; those of triggers and cascades don't count.
    pub changes: u64,
    /// The row id of the last row that it inserted; `None` if it inserted none, into a table without
    /// row ids, or with row id 0.
    pub last_insert_id: Option<i64>,
    /// The rows of a `RETURNING` clause.
    pub rows: Rows,
}

impl Manager for StoreManager {
    type Conn = StoreConn;
    type Error = rusqlite::Error;

    fn connect(&self) -> rusqlite::Result<StoreConn> {
        StoreConn::new(self.sqlite.connect()?, &self.tables)
    }

    fn connect_writer(&self) -> rusqlite::Result<StoreConn> {
        StoreConn::new(self.sqlite.connect_writer()?, &self.tables)
    }

    fn check(&self, conn: &mut StoreConn) -> rusqlite::Result<()> {
        conn.recorder.own(true);
        let checked = self.sqlite.check(&mut conn.conn);
        conn.recorder.own(false);
        checked
    }

    fn reset(&self, conn: &mut StoreConn) -> rusqlite::Result<()> {
        conn.own("ROLLBACK /* the store's */")
    }

    fn needs_reset(&self, conn: &StoreConn) -> bool {
        self.sqlite.needs_reset(&conn.conn)
    }

    fn is_refusal(&self, error: &rusqlite::Error) -> bool {
        self.sqlite.is_refusal(error)
    }

    fn check_after(&self) -> Option<Duration> {
        self.sqlite.check_after()
    }

    fn has_writer(&self) -> bool {
        true
    }
}

impl StoreConn {
    fn new(conn: Connection, tables: &Arc<Tables>) -> rusqlite::Result<Self> {
        let recorder = Recorder::attach(&conn)?;
        Ok(Self { conn, recorder, facts: HashMap::new(), tables: tables.clone(), data_version: None })
    }

    /// Runs a statement of the store's own, which the authorizer lets pass. Its text must be one that
    /// no user would write, or a user's statement would find it prepared.
    pub(crate) fn own(&self, sql: &'static str) -> rusqlite::Result<()> {
        self.recorder.own(true);
        let done = self.conn.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        self.recorder.own(false);
        done.map(drop)
    }

    /// Runs code of the store's own.
    pub(crate) fn own_with<R>(
        &self,
        f: impl FnOnce(&Connection) -> rusqlite::Result<R>,
    ) -> rusqlite::Result<R> {
        self.recorder.own(true);
        let done = f(&self.conn);
        self.recorder.own(false);
        done
    }

    /// Whether other connections than this one have changed the database since the last call.
    pub(crate) fn others_wrote(&mut self) -> rusqlite::Result<bool> {
        let version = self.own_with(|conn| {
            conn.prepare_cached("PRAGMA data_version /* the store's */")?
                .query_row([], |row| row.get::<_, i64>(0))
        })?;
        // A connection that has never looked knows nothing of what went before.
        Ok(self.data_version.replace(version) != Some(version))
    }

    /// Prepares a user's statement, binds its parameters and tells what it does.
    pub(crate) fn prepare(
        &mut self,
        statement: &Statement,
    ) -> Result<(CachedStatement<'_>, Arc<Facts>), PrepareError> {
        let Self { conn, recorder, facts, tables, .. } = self;
        compile(conn, recorder, facts, tables, statement)
    }

    /// Whether SQLite has compiled the statement again since [`prepare`](Self::prepare), as it does by
    /// itself when the schema has changed under it; then what was known of it may be wrong.
    pub(crate) fn recompiled(&mut self, statement: &Statement) -> bool {
        let Self { recorder, facts, tables, .. } = self;
        corrected(recorder, facts, tables, statement).is_some()
    }

    /// Runs one statement of an operation inside a transaction of the store's.
    pub(crate) fn write(&mut self, statement: &Statement) -> Result<(Written, Arc<Facts>), WriteError> {
        let Self { conn, recorder, facts: known, tables, .. } = self;
        let last = conn.last_insert_rowid();
        let (mut prepared, facts) = compile(conn, recorder, known, tables, statement)?;
        // Set to 0 it tells whether the statement inserts; a statement that asks for it must find it.
        if !facts.asks_last_id {
            raw::set_last_insert_id(conn, 0);
        }
        let done = if prepared.column_count() > 0 {
            Rows::read(&mut prepared)
        } else {
            prepared.raw_execute().map(|_changes| Rows::default())
        };
        drop(prepared);
        let facts = corrected(recorder, known, tables, statement).unwrap_or(facts);
        let id = conn.last_insert_rowid();
        let changes = if facts.changes_rows { conn.changes() } else { 0 };
        let inserted = if facts.asks_last_id { changes > 0 } else { id != 0 };
        if id == 0 {
            raw::set_last_insert_id(conn, last);
        }
        let last_insert_id = if inserted && id != 0 { Some(id) } else { None };
        Ok((Written { changes, last_insert_id, rows: done? }, facts))
    }

    /// Lets the next operation know nothing of the rows of the one before.
    pub(crate) fn forget_last_id(&self) {
        raw::set_last_insert_id(&self.conn, 0);
    }

    /// Runs statements without parameters inside a transaction of the store's.
    pub(crate) fn batch(&mut self, sql: &str) -> Result<Facts, WriteError> {
        drop(self.recorder.take());
        let done = self.conn.execute_batch(sql);
        let recording = self.recorder.take();
        let facts = Facts::of(&recording, &self.tables);
        match (done, recording.refused) {
            (Err(_), Some(what)) => Err(WriteError::Refused { what }),
            (Err(error), None) => Err(error.into()),
            (Ok(()), _) => Ok(facts),
        }
    }
}

/// Prepares a user's statement, binds its parameters and tells what it does.
fn compile<'c>(
    conn: &'c Connection,
    recorder: &Recorder,
    facts: &mut HashMap<Arc<str>, Arc<Facts>>,
    tables: &Tables,
    statement: &Statement,
) -> Result<(CachedStatement<'c>, Arc<Facts>), PrepareError> {
    drop(recorder.take());
    let prepared = conn.prepare_cached(&statement.sql);
    let recording = recorder.take();
    if let Some(what) = recording.refused {
        return Err(PrepareError::Refused(what));
    }
    let mut prepared = prepared?;
    let known = if recording.heard { None } else { facts.get(&statement.sql).cloned() };
    let known = match known {
        Some(known) => known,
        None => {
            let recording = if recording.heard {
                recording
            } else {
                // Prepared before, but its facts are forgotten, or it is one of the store's own.
                let again = conn.prepare(&statement.sql);
                let recording = recorder.take();
                if let Some(what) = recording.refused {
                    return Err(PrepareError::Refused(what));
                }
                again?;
                recording
            };
            let new = Arc::new(Facts::of(&recording, tables));
            if facts.len() >= FACTS {
                facts.clear();
            }
            facts.insert(statement.sql.clone(), new.clone());
            new
        }
    };
    if prepared.parameter_count() != statement.params.len() {
        let (given, wanted) = (statement.params.len(), prepared.parameter_count());
        return Err(rusqlite::Error::InvalidParameterCount(given, wanted).into());
    }
    for (at, value) in statement.params.iter().enumerate() {
        prepared.raw_bind_parameter(at + 1, value)?;
    }
    Ok((prepared, known))
}

/// What a statement does by its latest compilation, if there was one since the last look.
fn corrected(
    recorder: &Recorder,
    facts: &mut HashMap<Arc<str>, Arc<Facts>>,
    tables: &Tables,
    statement: &Statement,
) -> Option<Arc<Facts>> {
    let recording = recorder.take();
    recording.heard.then(|| {
        let new = Arc::new(Facts::of(&recording, tables));
        facts.insert(statement.sql.clone(), new.clone());
        new
    })
}

/// A user's statement cannot be prepared.
pub(crate) enum PrepareError {
    Refused(String),
    /// More than one statement.
    Several,
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for PrepareError {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::MultipleStatement => Self::Several,
            error => Self::Sql(error),
        }
    }
}
