//! What a durable write costs: one commit each, and one for all that wait together.

use ropewalk_store::{Sqlite, Store};
use std::{error::Error, time::Instant};

const CLIENTS: usize = 64;
const EACH: usize = 40;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let run = |name: &str, max_batch: usize| -> Result<f64, Box<dyn Error>> {
        let store = Store::builder(Sqlite::file(dir.path().join(name))).max_batch(max_batch).open()?;
        store.migrate_blocking(&["create table task (id integer primary key, state text)"])?;
        let begun = Instant::now();
        std::thread::scope(|threads| {
            for _ in 0..CLIENTS {
                threads.spawn(|| {
                    for _ in 0..EACH {
                        store
                            .write_blocking("insert into task (state) values (?1)", ["ready"])
                            .expect("written");
                    }
                });
            }
        });
        let rate = (CLIENTS * EACH) as f64 / begun.elapsed().as_secs_f64();
        let stats = store.stats();
        println!(
            "at most {max_batch:>5} a commit: {rate:>9.0} writes/s in {} commits, each answered after its own",
            stats.batches
        );
        store.close_blocking()?;
        Ok(rate)
    };
    println!("{CLIENTS} threads, {EACH} durable inserts each, synchronous = FULL");
    let (single, grouped) = (run("single.db", 1)?, run("grouped.db", 1_000)?);
    println!("grouping gives {:.1}x", grouped / single);
    Ok(())
}
