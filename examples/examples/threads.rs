//! No runtime anywhere: plain threads share a cache, leases, a connection pool and a batcher.

use ropewalk::{
    batch::Batcher,
    cache::Cache,
    connections::{Pool, Sqlite},
    measure::Histogram,
    resources::{Request, ResourcePool},
};
use std::{sync::Arc, thread, time::Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let pool = Pool::builder(Sqlite::file(dir.path().join("orders.db"))).size(1..=4).build()?;
    pool.get_writer_blocking()?.execute_batch(
        "create table orders (id integer primary key, item text not null, amount integer not null)",
    )?;

    // Rows from all threads go to the one writer, many to a transaction.
    let writer = pool.clone();
    let orders = Batcher::builder(move |rows: Vec<(String, u32)>| {
        let insert = || -> Result<Vec<i64>, Box<dyn std::error::Error>> {
            let mut connection = writer.get_writer_blocking()?;
            let transaction = connection.transaction()?;
            let mut ids = Vec::with_capacity(rows.len());
            for (item, amount) in &rows {
                transaction.execute("insert into orders (item, amount) values (?1, ?2)", (item, amount))?;
                ids.push(transaction.last_insert_rowid());
            }
            transaction.commit()?;
            Ok(ids)
        };
        match insert() {
            Ok(ids) => ids.into_iter().map(Ok).collect(),
            Err(error) => rows.iter().map(|_| Err(error.to_string())).collect::<Vec<_>>(),
        }
    })
    .max_items(50)
    .in_flight(1)
    .build()?;

    let stock = ResourcePool::new();
    let prices: Cache<String, u32> = Cache::builder(100).build()?;
    let latency = Histogram::new();
    thread::scope(|scope| {
        for worker in 0..8u32 {
            let (stock, prices, orders, latency) = (&stock, &prices, &orders, &latency);
            scope.spawn(move || {
                for n in 0..25u32 {
                    let started = Instant::now();
                    let item = format!("item-{}", (worker + n) % 5);
                    let price = prices.get_or_insert_with(item.clone(), || 10 + n % 5);
                    let Ok(_lease) = stock.acquire_blocking(
                        format!("worker-{worker}"),
                        Request::new().exclusive(item.as_str()),
                    ) else {
                        return;
                    };
                    if let Err(error) = orders.submit_blocking((item, price)) {
                        eprintln!("worker-{worker}: {error}");
                    }
                    latency.record_duration(started.elapsed());
                }
            });
        }
    });
    orders.close_blocking();

    let reader = pool.get_blocking()?;
    let (rows, total): (i64, i64) =
        reader.query_row("select count(*), sum(amount) from orders", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    drop(reader);
    let seen = latency.snapshot();
    println!("8 threads placed {rows} orders worth {total}, in {} transactions", orders.stats().batches);
    println!(
        "price cache: {:.0} % hits; p99 of an order {:.1} ms",
        100.0 * prices.stats().hit_ratio(),
        seen.quantile(0.99).unwrap_or(0) as f64 / 1e6
    );
    println!("waits for stock: {}", Arc::new(stock).stats().waited);
    pool.close_blocking()?;
    Ok(())
}
