//! sqlx's pool. It pools nothing but its own drivers' connections; the smallest is SQLite in memory, a thread each, which
//! it pings whenever one is given back.

use std::{process::ExitCode, time::Duration};

use frame::{SIZE, Setup, TaskPool, connections::count_one, task_entries};
use sqlx::{
    Sqlite, SqlitePool,
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use tokio::task::yield_now;

struct Sqlx(SqlitePool);

impl TaskPool for Sqlx {
    type Conn = PoolConnection<Sqlite>;

    async fn build(setup: Setup) -> Self {
        let options = SqlitePoolOptions::new().max_connections(SIZE as u32).after_connect(|_, _| {
            count_one();
            Box::pin(async { Ok(()) })
        });
        // A wait timeout cannot be left out.
        let bare = options.clone().acquire_timeout(Duration::from_secs(3600));
        let bare = bare.max_lifetime(None).idle_timeout(None).test_before_acquire(false);
        let options = match setup {
            Setup::Bare => bare,
            Setup::Checked => bare.before_acquire(|_, _| {
                Box::pin(async {
                    yield_now().await;
                    Ok(true)
                })
            }),
            Setup::Configured => options
                .acquire_timeout(Duration::from_secs(30))
                .max_lifetime(Duration::from_secs(1800))
                .idle_timeout(Duration::from_secs(600))
                .test_before_acquire(true)
                .before_acquire(|_, _| Box::pin(async { Ok(true) }))
                .after_release(|_, _| Box::pin(async { Ok(true) })),
        };
        Self(options.connect_lazy_with(SqliteConnectOptions::new().in_memory(true)))
    }

    async fn get(&'static self) -> Self::Conn {
        self.0.acquire().await.expect("the pool is open")
    }
}

fn main() -> ExitCode {
    frame::main(task_entries::<Sqlx>("sqlx-sqlite-memory"))
}
