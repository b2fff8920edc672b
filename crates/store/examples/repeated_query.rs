//! What a repeated query costs: from the database, and from memory until its table changes.

use ropewalk_store::{Sqlite, Store, Synchronous};
use std::{error::Error, time::Instant};

const ROWS: i64 = 10_000;
const TURNS: u32 = 2_000;
const SQL: &str = "select state, count(*), avg(priority) from task where priority >= ?1 group by state";

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let open = |name: &str, cache| -> Result<Store, Box<dyn Error>> {
        let sqlite = Sqlite::file(dir.path().join(name)).synchronous(Synchronous::Normal);
        let store = Store::builder(sqlite).cache(cache).open()?;
        store.migrate_blocking(&[
            "create table task (id integer primary key, state text, priority integer)",
        ])?;
        store.transaction_blocking(|tx| {
            for id in 0..ROWS {
                tx.write(
                    "insert into task values (?1, ?2, ?3)",
                    (id, ["ready", "done"][id as usize % 2], id % 7),
                )?;
            }
            Ok::<_, ropewalk_store::WriteError>(())
        })?;
        Ok(store)
    };
    let (without, with) = (open("without.db", 0)?, open("with.db", 64 << 20)?);

    let aggregate = |store: &Store| store.query_rows_blocking(SQL, [1]).map(|rows| rows.len());
    let by_key = |store: &Store| {
        store.query_rows_blocking("select * from task where id = ?1", [4_711]).map(|rows| rows.len())
    };
    println!("{:<34}{:>14}{:>14}{:>10}", "a query, repeated", "database", "memory", "ratio");
    for (name, query) in
        [("an aggregate over 10,000 rows", &aggregate as &dyn Fn(&Store) -> _), ("a row by its key", &by_key)]
    {
        let time = |store: &Store| -> Result<f64, Box<dyn Error>> {
            query(store)?;
            let begun = Instant::now();
            for _ in 0..TURNS {
                query(store)?;
            }
            Ok(begun.elapsed().as_secs_f64() / f64::from(TURNS) * 1e9)
        };
        let (database, memory) = (time(&without)?, time(&with)?);
        println!("{name:<34}{database:>11.0} ns{memory:>11.0} ns{:>9.0}x", database / memory);
    }

    with.write_blocking("update task set state = 'done' where id = 0", [])?;
    let done: i64 = with.query_blocking("select count(*) from task where state = 'done'", [])?;
    let stats = with.stats();
    println!("after a write: {done} are done; {} hits, {} misses", stats.query_hits, stats.query_misses);
    Ok(())
}
