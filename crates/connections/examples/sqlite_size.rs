//! Which size serves 30 threads on one SQLite database best, and does the pool find it?
//!
//! Each fixed size and the pool that seeks its own are run in turn, over and over, on the same file; the medians are
//! printed as shares of the best. Before the turns the seeking pool has 30 seconds.
//!
//! `cargo run --release -p ropewalk-connections --features sqlite --example sqlite_size -- [rounds] [seconds to seek]`

use ropewalk_connections::{Pool, PoolStats, Sizing, Sqlite, Synchronous};
use std::{
    error::Error,
    ops::RangeInclusive,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

const CLIENTS: u32 = 30;
const ROWS: u32 = 20_000;
const READ: &str = "select sum(value) from item where id between ?1 and ?1 + 199";
const WRITE: &str = "update item set value = value + 1 where id = ?1";

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let rounds: usize = args.next().map_or(Ok(21), |arg| arg.parse())?;
    let seeking = Duration::from_secs(args.next().map_or(Ok(30), |arg| arg.parse())?);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("items.db");
    fill(&file)?;

    let sizes = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32];
    let mut pools = Vec::new();
    for size in sizes {
        pools.push(pool(&file, size..=size, Sizing::Fixed)?);
    }
    let seeker = pool(&file, 1..=32, Sizing::Adaptive)?;
    let (_, found) = load(&seeker, seeking);
    println!("after {seeking:?}: {} of {}, {}", found.target, found.max, found.sized_by);
    println!("{:.1} % of its callers had to wait\n", found.waits as f64 / found.gets as f64 * 100.0);

    pools.push(seeker);
    let mut rates = vec![Vec::new(); pools.len()];
    let mut sought = found;
    for _ in 0..rounds {
        for (pool, rates) in pools.iter().zip(&mut rates) {
            let (rate, stats) = load(pool, Duration::from_millis(300));
            rates.push(rate);
            sought = stats;
        }
    }
    let medians: Vec<f64> = rates.iter_mut().map(|rates| median(rates)).collect();
    let best = medians[..sizes.len()].iter().copied().fold(0.0, f64::max);
    println!("| size | uses/s | of the best fixed size |\n|---|---|---|");
    for (at, rate) in medians.iter().enumerate() {
        let name = sizes
            .get(at)
            .map_or_else(|| format!("sought: {}, {}", sought.target, sought.sized_by), ToString::to_string);
        println!("| {name} | {rate:.0} | {:.1} % |", rate / best * 100.0);
    }
    Ok(())
}

fn pool(file: &Path, size: RangeInclusive<usize>, sizing: Sizing) -> Result<Pool<Sqlite>, Box<dyn Error>> {
    let manager = Sqlite::file(file).synchronous(Synchronous::Normal);
    Ok(Pool::builder(manager).size(size).sizing(sizing).build()?)
}

fn fill(file: &Path) -> Result<(), Box<dyn Error>> {
    let pool = pool(file, 1..=1, Sizing::Fixed)?;
    let mut writer = pool.get_writer_blocking()?;
    writer.execute_batch("create table item (id integer primary key, value integer not null) strict")?;
    let tx = writer.transaction()?;
    for id in 0..ROWS {
        tx.execute("insert into item values (?1, ?1)", [id])?;
    }
    tx.commit()?;
    Ok(())
}

/// Uses per second of clients that ask again as soon as they are served, and how the pool stood at the end; every tenth
/// use writes.
fn load(pool: &Pool<Sqlite>, time: Duration) -> (f64, PoolStats) {
    let (done, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let started = Instant::now();
    let stats = thread::scope(|threads| {
        for client in 0..CLIENTS {
            let (done, over) = (&done, &over);
            threads.spawn(move || {
                let mut draw = u64::from(client) * 7_919 + 1;
                while !over.load(Relaxed) {
                    draw =
                        draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let row = (draw >> 33) as u32 % (ROWS - 200);
                    if (draw >> 20) % 10 == 0 {
                        let writer = pool.get_writer_blocking().expect("a connection within 30 s");
                        writer
                            .prepare_cached(WRITE)
                            .and_then(|mut write| write.execute([row]))
                            .expect("a write");
                    } else {
                        let reader = pool.get_blocking().expect("a connection within 30 s");
                        let sum = reader
                            .prepare_cached(READ)
                            .and_then(|mut read| read.query_row([row], |row| row.get::<_, i64>(0)));
                        sum.expect("a read");
                    }
                    done.fetch_add(1, Relaxed);
                }
            });
        }
        thread::sleep(time);
        let stats = pool.stats();
        over.store(true, Relaxed);
        stats
    });
    (done.load(Relaxed) as f64 / started.elapsed().as_secs_f64(), stats)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
