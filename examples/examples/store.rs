//! Two hundred writers share a few transactions, a bad one fails alone, and a query is answered from
//! memory until its table changes.

use ropewalk::store::{Sqlite, Store};
use std::{sync::Arc, time::Instant};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let store = Arc::new(Store::open(Sqlite::file(dir.path().join("app.db")))?);
    store
        .migrate(&[
            "create table task (id integer primary key, state text not null check (state <> 'bad')) strict",
        ])
        .await?;

    let writes: Vec<_> = (0..200)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let state = if n == 77 { "bad" } else { "ready" };
                store.write("insert into task (id, state) values (?1, ?2)", (n, state)).await
            })
        })
        .collect();
    let (mut written, mut refused) = (0, Vec::new());
    for write in writes {
        match write.await? {
            Ok(_) => written += 1,
            Err(error) => refused.push(error.to_string()),
        }
    }
    let stats = store.stats();
    println!("{written} rows committed in {} transactions", stats.batches);
    println!("refused alone: {}", refused.join("; "));

    let count =
        "select count(*) from task a join task b on a.state = b.state where a.id < b.id and a.state = ?1";
    for round in ["from the database", "from memory"] {
        let began = Instant::now();
        let pairs: i64 = store.query(count, ["ready"]).await?;
        println!("{pairs} pairs, {round}: {:.1?}", began.elapsed());
    }
    store.write("update task set state = ?1 where id = 5", ["done"]).await?;
    let pairs: i64 = store.query(count, ["ready"]).await?;
    println!("{pairs} pairs after a write: the result in memory was not true any more");
    store.close().await?;
    Ok(())
}
