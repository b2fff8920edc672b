//! Many callers, one handler: 200 rows arrive at once and are inserted in a few batches.

use ropewalk::batch::Batcher;
use std::{
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let batches = Arc::new(AtomicUsize::new(0));
    let seen = batches.clone();
    let rows = Batcher::builder(move |rows: Vec<u32>| -> Vec<Result<u32, String>> {
        seen.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(5)); // one round trip, whatever the number of rows
        rows.into_iter()
            .map(|row| if row % 50 == 13 { Err(format!("row {row} is refused")) } else { Ok(row * 2) })
            .collect()
    })
    .max_items(100)
    .in_flight(1)
    .build()?;

    let refused = AtomicUsize::new(0);
    thread::scope(|scope| {
        for row in 0..200 {
            let (rows, refused) = (&rows, &refused);
            scope.spawn(move || match rows.submit_blocking(row) {
                Ok(doubled) => assert_eq!(doubled, 2 * row),
                Err(_) => {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    rows.close_blocking();
    println!("200 callers were answered from {} batches", batches.load(Ordering::Relaxed));
    println!("{} bad rows failed alone", refused.load(Ordering::Relaxed));
    println!("{:?}", rows.stats());
    Ok(())
}
