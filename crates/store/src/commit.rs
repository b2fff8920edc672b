//! Group commit: many operations in one transaction, each with its own fate and its own answer.
//!
//! ```text
//! BEGIN IMMEDIATE
//!   look whether others have written            (then everything cached is suspect)
//!   for each operation:
//!     SAVEPOINT
//!     its statements                            fails: ROLLBACK TO, its answer is its error
//!     owes a deferred foreign key?              then it fails alone, here and not at COMMIT
//!     still inside the transaction?             no: the batch is broken
//!     RELEASE
//! mark the tables as changing; COMMIT           fails: the batch is broken
//! mark them as changed; answer everybody
//! ```
//!
//! A *broken* batch is rolled back whole and its operations are run again, each in a transaction of its
//! own, so that whoever broke it fails alone. Statements are plain data and can be run again; nobody
//! has been answered yet.

use crate::{
    conn::{StoreConn, Written, give_back},
    error::WriteError,
    facts::Facts,
    operation::Operation,
    raw,
    store::Inner,
    tables::Version,
};
use std::{sync::Arc, time::Instant};

pub(crate) const BEGIN: &str = "BEGIN IMMEDIATE /* the store's */";
pub(crate) const COMMIT: &str = "COMMIT /* the store's */";
pub(crate) const ROLLBACK: &str = "ROLLBACK /* the store's */";
const SAVEPOINT: &str = "SAVEPOINT ropewalk_operation";
const RELEASE: &str = "RELEASE ropewalk_operation";
const ROLLBACK_TO: &str = "ROLLBACK TO ropewalk_operation";

pub(crate) type Answer = Result<Vec<Written>, WriteError>;

/// The batch cannot be committed as one.
struct Broken;

/// Writes a batch; one answer for each operation, in order.
pub(crate) fn write_batch(inner: &Inner, operations: &[Operation]) -> Vec<Answer> {
    let mut writer = match inner.pool.get_writer_blocking() {
        Ok(writer) => writer,
        Err(error) => {
            let error = Arc::new(error);
            return operations.iter().map(|_| Err(WriteError::Writer(error.clone()))).collect();
        }
    };
    let answers = answer_all(inner, &mut writer, operations);
    give_back(writer);
    answers
}

fn answer_all(inner: &Inner, conn: &mut StoreConn, operations: &[Operation]) -> Vec<Answer> {
    inner.meters.batches.incr();
    if operations.len() > 1 {
        if let Ok(answers) = together(inner, conn, operations) {
            return answers;
        }
        inner.meters.rerun.incr();
    }
    operations.iter().map(|operation| alone(inner, conn, operation)).collect()
}

fn together(inner: &Inner, conn: &mut StoreConn, operations: &[Operation]) -> Result<Vec<Answer>, Broken> {
    let began = begin(inner, conn).map_err(|_error| Broken)?;
    let mut touched = Touched::default();
    let answers = operations.iter().map(|operation| guarded(conn, operation, &mut touched)).collect();
    let answers: Result<Vec<Answer>, Broken> = answers;
    match answers {
        Ok(answers) if answers.iter().all(Result::is_err) => {
            roll_back(conn);
            Ok(answers)
        }
        Ok(answers) => commit(inner, conn, touched, began).map(|()| answers).map_err(|_error| Broken),
        Err(Broken) => {
            roll_back(conn);
            Err(Broken)
        }
    }
}

/// Runs one operation of a batch inside a savepoint.
fn guarded(conn: &mut StoreConn, operation: &Operation, touched: &mut Touched) -> Result<Answer, Broken> {
    conn.own(SAVEPOINT).map_err(|_error| Broken)?;
    let answer = run(conn, operation, touched);
    if conn.conn.is_autocommit() {
        // The transaction is gone: what followed would commit alone.
        return Err(Broken);
    }
    let answer = match answer {
        Ok(_) if raw::owes_foreign_keys(&conn.conn) => Err(WriteError::ForeignKey),
        answer => answer,
    };
    if answer.is_err() {
        conn.own(ROLLBACK_TO).map_err(|_error| Broken)?;
    }
    conn.own(RELEASE).map_err(|_error| Broken)?;
    Ok(answer)
}

/// Runs one operation in a transaction of its own.
fn alone(inner: &Inner, conn: &mut StoreConn, operation: &Operation) -> Answer {
    let began = begin(inner, conn).map_err(|error| WriteError::Commit(Arc::new(error)))?;
    let mut touched = Touched::default();
    let answer = run(conn, operation, &mut touched);
    let answer = match answer {
        Ok(_) if conn.conn.is_autocommit() => Err(WriteError::Ended),
        Ok(_) if raw::owes_foreign_keys(&conn.conn) => Err(WriteError::ForeignKey),
        answer => answer,
    };
    match answer {
        Ok(written) => {
            commit(inner, conn, touched, began).map_err(|error| WriteError::Commit(Arc::new(error)))?;
            Ok(written)
        }
        Err(error) => {
            roll_back(conn);
            Err(error)
        }
    }
}

fn run(conn: &mut StoreConn, operation: &Operation, touched: &mut Touched) -> Answer {
    conn.forget_last_id();
    operation
        .statements()
        .iter()
        .map(|statement| {
            let (written, facts) = conn.write(statement)?;
            touched.add(&facts);
            Ok(written)
        })
        .collect()
}

/// Begins the writer's transaction. From here on nobody else can change the database, so this is the
/// moment to look whether somebody did.
pub(crate) fn begin(inner: &Inner, conn: &mut StoreConn) -> rusqlite::Result<Instant> {
    let began = inner.clock.now();
    conn.own(BEGIN)?;
    inner.look_for_others(conn).inspect_err(|_error| roll_back(conn))?;
    Ok(began)
}

/// Commits. On failure nothing is written and the transaction is over.
pub(crate) fn commit(
    inner: &Inner,
    conn: &mut StoreConn,
    touched: Touched,
    began: Instant,
) -> rusqlite::Result<()> {
    let changing = inner.tables.change(touched.tables, touched.schema);
    let done = conn.own(COMMIT);
    drop(changing);
    if done.is_err() {
        roll_back(conn);
    }
    inner.meters.commit.record_duration(inner.clock.now().saturating_duration_since(began));
    done
}

pub(crate) fn roll_back(conn: &mut StoreConn) {
    if !conn.conn.is_autocommit() {
        // It fails only if the transaction is gone already; if it is not, the pool resets or closes
        // the connection when it comes back.
        let _ = conn.own(ROLLBACK);
    }
}

/// The tables that a transaction changes.
#[derive(Default)]
pub(crate) struct Touched {
    tables: Vec<Version>,
    schema: bool,
}

impl Touched {
    pub(crate) fn add(&mut self, facts: &Facts) {
        self.tables.extend(facts.writes.iter().cloned());
        self.schema |= facts.schema;
    }

    pub(crate) fn everything(&mut self) {
        self.schema = true;
    }
}
