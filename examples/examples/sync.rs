//! Threads and tasks in one line: eight of each share three permits, first come, first served.

use ropewalk::sync::{Clock, Semaphore};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clock = Clock::system();
    let slots = Arc::new(Semaphore::builder(3).clock(clock.clone()).build()?);
    let (inside, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let enter = |inside: &AtomicUsize, peak: &AtomicUsize| {
        peak.fetch_max(inside.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
    };

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (slots, inside, peak, clock) = (slots.clone(), inside.clone(), peak.clone(), clock.clone());
            runtime.spawn(async move {
                let permit = slots.acquire_owned().await?;
                enter(&inside, &peak);
                clock.sleep(Duration::from_millis(20)).await;
                inside.fetch_sub(1, Ordering::Relaxed);
                drop(permit);
                Ok::<_, ropewalk::sync::AcquireError>(())
            })
        })
        .collect();
    let started = clock.now();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                if let Ok(_permit) = slots.acquire_blocking_timeout(Duration::from_secs(5)) {
                    enter(&inside, &peak);
                    clock.block_on(clock.sleep(Duration::from_millis(20)));
                    inside.fetch_sub(1, Ordering::Relaxed);
                }
            });
        }
    });
    for task in tasks {
        runtime.block_on(task)??;
    }
    println!("8 threads and 8 tasks held a permit for 20 ms each");
    println!("at most {} were inside at once, of {} permits", peak.load(Ordering::Relaxed), slots.capacity());
    println!("all done after {:.0?}; the line is empty: {:?}", clock.now() - started, slots.stats());
    Ok(())
}
