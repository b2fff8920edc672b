//! Bringing the schema up to date.

use crate::{
    commit::{Touched, begin, commit, roll_back},
    conn::{StoreConn, give_back},
    error::{MigrateError, WriteError},
    raw,
    store::{Inner, Store},
};
use std::sync::Arc;

/// What a migration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migrated {
    /// The version before: how many steps had been made.
    pub from: usize,
    /// The version now.
    pub to: usize,
}

impl Store {
    /// Makes those of `steps` that this database has not made yet, each in a transaction of its own. How
    /// many it has made is kept in its `user_version`; so steps are only ever added at the end.
    ///
    /// ```
    /// # use ropewalk_store::*;
    /// # let store = Store::open(Sqlite::memory())?;
    /// let done = ropewalk_sync::block_on(store.migrate(&[
    ///     "create table task (id integer primary key, state text not null) strict",
    ///     "create index task_state on task (state); alter table task add column note text",
    /// ]))?;
    /// assert_eq!((done.from, done.to), (0, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MigrateError`]; steps before the one that failed are committed.
    ///
    /// # Cancel safety
    ///
    /// Once begun it runs on to its end.
    pub async fn migrate(&self, steps: &[&str]) -> Result<Migrated, MigrateError> {
        let steps: Vec<String> = steps.iter().map(|&step| step.to_owned()).collect();
        let inner = self.0.clone();
        let mut writer = self.0.pool.get_writer().await.map_err(no_writer)?;
        let done = writer.run(move |conn| inner.migrate(conn, steps.iter().map(String::as_str))).await;
        give_back(writer);
        done
    }

    /// [`migrate`](Self::migrate) for a thread.
    ///
    /// # Errors
    ///
    /// See [`migrate`](Self::migrate).
    pub fn migrate_blocking(&self, steps: &[&str]) -> Result<Migrated, MigrateError> {
        let mut writer = self.0.pool.get_writer_blocking().map_err(no_writer)?;
        let done = self.0.migrate(&mut writer, steps.iter().copied());
        give_back(writer);
        done
    }
}

fn no_writer(error: ropewalk_connections::GetError<rusqlite::Error>) -> MigrateError {
    MigrateError::Store(WriteError::Writer(Arc::new(error)))
}

impl Inner {
    fn migrate<'a>(
        &self,
        conn: &mut StoreConn,
        steps: impl ExactSizeIterator<Item = &'a str>,
    ) -> Result<Migrated, MigrateError> {
        let known = steps.len();
        let version = |conn: &StoreConn| {
            conn.own_with(|conn| conn.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)))
                .map_err(WriteError::from)
        };
        let found = version(conn)?;
        let from = usize::try_from(found).unwrap_or(usize::MAX);
        if from > known {
            return Err(MigrateError::Newer { found, known });
        }
        for (step, sql) in (1..).zip(steps).skip(from) {
            let failed = |source| MigrateError::Step { step, source };
            self.step(conn, step, sql, version).map_err(failed)?;
        }
        Ok(Migrated { from, to: known })
    }

    fn step(
        &self,
        conn: &mut StoreConn,
        step: usize,
        sql: &str,
        version: impl Fn(&StoreConn) -> Result<i64, WriteError>,
    ) -> Result<(), WriteError> {
        let failed = |error| WriteError::Commit(Arc::new(error));
        let began = begin(self, conn).map_err(failed)?;
        let mut touched = Touched::default();
        touched.everything();
        let made = (|| {
            // Another process may have made it meanwhile.
            if usize::try_from(version(conn)?).is_ok_and(|made| made >= step) {
                return Ok(());
            }
            conn.batch(sql)?;
            if conn.conn.is_autocommit() {
                return Err(WriteError::Ended);
            }
            if raw::owes_foreign_keys(&conn.conn) {
                return Err(WriteError::ForeignKey);
            }
            conn.own_with(|conn| conn.pragma_update(None, "user_version", step as i64))?;
            Ok(())
        })();
        match made {
            Ok(()) => commit(self, conn, touched, began).map_err(failed),
            Err(error) => {
                roll_back(conn);
                Err(error)
            }
        }
    }
}
