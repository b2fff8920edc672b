//! Twenty threads and twenty tasks ask for the same few pages; each page is loaded once. Then a scan
//! passes through, and the pages that matter stay.

use ropewalk::cache::{Cache, Policy};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pages: Arc<Cache<u32, Arc<str>>> =
        Arc::new(Cache::builder(1_000).time_to_live(Duration::from_secs(600)).build()?);
    let loads = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let tasks: Vec<_> = (0..20)
        .map(|i| {
            let (pages, loads) = (pages.clone(), loads.clone());
            runtime.spawn(async move {
                let loaded = pages
                    .get_or_load(i % 4, || async move {
                        loads.fetch_add(1, Ordering::Relaxed);
                        tokio::task::yield_now().await;
                        Ok::<Arc<str>, std::io::Error>("a page".into())
                    })
                    .await;
                loaded.is_ok()
            })
        })
        .collect();
    thread::scope(|scope| {
        for i in 0..20 {
            let (pages, loads) = (&pages, &loads);
            scope.spawn(move || {
                pages.get_or_load_blocking(i % 4, || {
                    loads.fetch_add(1, Ordering::Relaxed);
                    Ok::<Arc<str>, std::io::Error>("a page".into())
                })
            });
        }
    });
    for task in tasks {
        assert!(runtime.block_on(task)?);
    }
    println!("40 callers, 4 pages, {} loads", loads.load(Ordering::Relaxed));

    for (name, policy) in [("adaptive", Policy::Adaptive), ("LRU", Policy::Lru)] {
        let cache: Cache<u32, u32> = Cache::builder(1_000).policy(policy).build()?;
        let mut scan = 10_000;
        for round in 0..40 {
            for key in 0..600 {
                if cache.get(&key).is_none() {
                    cache.insert(key, round);
                }
                // Four cold keys between any two warm ones.
                for _ in 0..4 {
                    scan += 1;
                    if cache.get(&scan).is_none() {
                        cache.insert(scan, round);
                    }
                }
            }
        }
        println!("{name:<9} {:>5.1} % hits of at most 20 % under a scan", 100.0 * cache.stats().hit_ratio());
        println!("          {}", cache.advise());
    }
    Ok(())
}
