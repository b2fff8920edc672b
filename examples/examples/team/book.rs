//! What is kept between runs: finished tasks, messages, and which calls to the model were under way.

use crate::{terminal::Kind, workspace::key};
use ropewalk::store::{Operation, Store};
use std::{
    collections::HashMap,
    error::Error,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const SCHEMA: &[&str] = &["
    create table run (
        id integer primary key, root text not null, started_ms integer not null, finished_ms integer, outcome text
    ) strict;
    create table task (
        key text primary key, run integer not null references run, kind text not null, name text not null,
        status text not null, attempts integer not null, agent text, answer text, error text, ended_ms integer not null
    ) strict;
    create index task_run on task (run, status);
    create table message (
        id integer primary key, run integer not null references run, sender text not null, recipient text not null,
        body text not null, sent_ms integer not null
    ) strict;
    create table call (
        key text not null, run integer not null references run, attempt integer not null, started_ms integer not null,
        ended_ms integer, primary key (key, run, attempt)
    ) strict"];

/// A task that ended.
pub(crate) struct Ended<'a> {
    pub(crate) kind: Kind,
    pub(crate) key: &'a str,
    pub(crate) name: &'a str,
    pub(crate) agent: &'a str,
    pub(crate) attempts: u32,
    pub(crate) answer: &'a str,
}

/// A message that a task sent.
pub(crate) struct Sent {
    pub(crate) sender: String,
    pub(crate) recipient: String,
    pub(crate) body: String,
}

/// The database of the team.
pub(crate) struct Book {
    store: Store,
    run: i64,
    repeated: AtomicU64,
}

impl Book {
    /// Opens the book for a new run.
    pub(crate) async fn open(store: Store, root: &str) -> Result<Self> {
        store.migrate(SCHEMA).await?;
        let run = store
            .write("insert into run (root, started_ms) values (?1, ?2)", (root, now_ms()))
            .await?
            .last_insert_id;
        let run = run.ok_or("the database gave the run no number")?;
        Ok(Self { store, run, repeated: AtomicU64::new(0) })
    }

    /// The answers of tasks that completed in earlier runs, by key.
    pub(crate) async fn answers(&self) -> Result<HashMap<String, String>> {
        let rows: Vec<(String, String)> =
            self.store.query_all("select key, answer from task where status = 'completed'", ()).await?;
        Ok(rows.into_iter().collect())
    }

    /// Calls that an earlier run started, never finished, and this run will make again, by key.
    pub(crate) async fn interrupted(&self) -> Result<Vec<String>> {
        Ok(self
            .store
            .query_all(
                "select distinct key from call where ended_ms is null and run < ?1
                 and key not in (select key from task where status = 'completed')",
                [self.run],
            )
            .await?)
    }

    /// A call to the model is about to be made.
    pub(crate) async fn calling(&self, key: &str, attempt: u32) -> Result<()> {
        self.store
            .write(
                "insert into call (key, run, attempt, started_ms) values (?1, ?2, ?3, ?4)",
                (key, self.run, i64::from(attempt), now_ms()),
            )
            .await?;
        Ok(())
    }

    /// A task completed: its answer, its messages and the end of its call, or nothing.
    pub(crate) async fn completed(&self, task: &Ended<'_>, messages: &[Sent]) -> Result<()> {
        let now = now_ms();
        let mut operation = Operation::new()
            .then(
                "insert into task (key, run, kind, name, status, attempts, agent, answer, ended_ms)
                 values (?1, ?2, ?3, ?4, 'completed', ?5, ?6, ?7, ?8)
                 on conflict (key) do update set run = excluded.run, status = excluded.status,
                 attempts = excluded.attempts, agent = excluded.agent, answer = excluded.answer, error = null,
                 ended_ms = excluded.ended_ms where status <> 'completed'",
                (
                    task.key,
                    self.run,
                    task.kind.name(),
                    task.name,
                    i64::from(task.attempts),
                    task.agent,
                    task.answer,
                    now,
                ),
            )?
            .then("update call set ended_ms = ?3 where key = ?1 and run = ?2", (task.key, self.run, now))?;
        for Sent { sender, recipient, body } in messages {
            operation = operation.then(
                "insert into message (run, sender, recipient, body, sent_ms) values (?1, ?2, ?3, ?4, ?5)",
                (self.run, sender.as_str(), recipient.as_str(), body.as_str(), now),
            )?;
        }
        let written = self.store.write_all(operation).await?;
        if written.first().is_some_and(|task| task.changes == 0) {
            self.repeated.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// A task ended otherwise.
    pub(crate) async fn not_completed(
        &self,
        kind: Kind,
        key: &str,
        name: &str,
        status: &str,
        error: &str,
    ) -> Result<()> {
        self.store
            .write(
                "insert into task (key, run, kind, name, status, attempts, error, ended_ms)
                 values (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7)
                 on conflict (key) do update set run = excluded.run, status = excluded.status, error = excluded.error,
                 ended_ms = excluded.ended_ms where status <> 'completed'",
                (key, self.run, kind.name(), name, status, error, now_ms()),
            )
            .await?;
        Ok(())
    }

    /// The run is over.
    pub(crate) async fn close(&self, outcome: &str) -> Result<Totals> {
        self.store
            .write(
                "update run set finished_ms = ?2, outcome = ?3 where id = ?1",
                (self.run, now_ms(), outcome),
            )
            .await?;
        let count = async |sql: &str| self.store.query::<i64>(sql, [self.run]).await;
        Ok(Totals {
            completed: count("select count(*) from task where run = ?1 and status = 'completed'").await?,
            not_completed: count("select count(*) from task where run = ?1 and status <> 'completed'")
                .await?,
            messages: count("select count(*) from message where run = ?1").await?,
            repeated: self.repeated.load(Ordering::Relaxed),
        })
    }
}

/// What the database says about a run.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Totals {
    pub(crate) completed: i64,
    pub(crate) not_completed: i64,
    pub(crate) messages: i64,
    /// Tasks that were completed already when they were committed: always 0.
    pub(crate) repeated: u64,
}

/// The key of a task that depends on others: its name and theirs.
pub(crate) fn key_of(kind: Kind, name: &str, on: &[&str]) -> String {
    let parts: Vec<&str> = [kind.name(), name].iter().chain(on).copied().collect();
    key(&parts)
}

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}
