//! SQLite with one writer and up to four readers, shared by threads and tasks in one line.

use ropewalk::connections::{Pool, Sqlite};
use std::{thread, time::Duration};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let pool = Pool::builder(Sqlite::file(dir.path().join("app.db")))
        .size(1..=4)
        .acquire_timeout(Duration::from_secs(5))
        .build()?;

    let writer = pool.get_writer_blocking()?;
    writer.execute_batch("create table visit (id integer primary key, place text not null)")?;
    for place in ["hall", "yard", "loft"] {
        writer.execute("insert into visit (place) values (?1)", [place])?;
    }
    drop(writer); // gives itself back

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let tasks: Vec<_> = (0..15)
        .map(|_| {
            let pool = pool.clone();
            runtime.spawn(async move {
                let mut reader = pool.get().await.map_err(|error| error.to_string())?;
                // The query runs on the pool's thread, not on the runtime's.
                reader
                    .run(|c| c.query_row("select count(*) from visit", [], |row| row.get::<_, i64>(0)))
                    .await
                    .map_err(|error| error.to_string())
            })
        })
        .collect();
    let counted: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..15)
            .map(|_| {
                scope.spawn(|| {
                    let reader = pool.get_blocking().map_err(|error| error.to_string())?;
                    reader
                        .query_row("select count(*) from visit", [], |row| row.get::<_, i64>(0))
                        .map_err(|error| error.to_string())
                })
            })
            .collect();
        threads.into_iter().filter_map(|t| t.join().ok()).filter(|count| *count == Ok(3)).count()
    });
    let mut served = counted;
    for task in tasks {
        served += usize::from(runtime.block_on(task)? == Ok(3));
    }
    let stats = pool.stats();
    println!("{served} of 30 requests served, by threads and tasks in one line");
    println!(
        "{} connections opened for {} requests, {} of which waited",
        stats.opened, stats.gets, stats.waits
    );
    println!("{} open now ({} idle), limited by {:?}", stats.size, stats.idle, stats.limited_by);
    pool.close_blocking()?;
    Ok(())
}
