//! Threads and tasks at once.

use ropewalk_resources::{AcquireError, Request, ResourcePool};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Who is inside of each resource, as its users see it.
struct Inside {
    writers: Vec<AtomicUsize>,
    readers: Vec<AtomicUsize>,
}

impl Inside {
    fn new(n: usize) -> Self {
        let cells = || (0..n).map(|_| AtomicUsize::new(0)).collect();
        Self { writers: cells(), readers: cells() }
    }

    fn enter(&self, at: usize, exclusive: bool) {
        if exclusive {
            assert_eq!(self.writers[at].fetch_add(1, Ordering::SeqCst), 0, "two hold it exclusively");
            assert_eq!(self.readers[at].load(Ordering::SeqCst), 0, "held exclusively and shared");
        } else {
            self.readers[at].fetch_add(1, Ordering::SeqCst);
            assert_eq!(self.writers[at].load(Ordering::SeqCst), 0, "held exclusively and shared");
        }
    }

    fn leave(&self, at: usize, exclusive: bool) {
        let cells = if exclusive { &self.writers } else { &self.readers };
        cells[at].fetch_sub(1, Ordering::SeqCst);
    }
}

fn wish(rng: &mut Rng) -> (Request, Vec<(usize, bool)>) {
    let mut request = Request::new();
    let mut taken = Vec::new();
    for _ in 0..=rng.below(3) {
        let (at, exclusive) = (rng.below(6) as usize, rng.below(2) == 0);
        if taken.iter().all(|(t, _)| *t != at) {
            taken.push((at, exclusive));
            let name = format!("r{at}");
            request = if exclusive { request.exclusive(name) } else { request.shared(name) };
        }
    }
    (request, taken)
}

#[test]
fn threads_exclude_each_other_and_none_is_lost() {
    for overtaking in [0, 3] {
        let pool = ResourcePool::builder().overtaking(overtaking).build().unwrap();
        pool.define("slot", 3).unwrap();
        let (inside, slots) = (Inside::new(6), AtomicUsize::new(0));
        std::thread::scope(|s| {
            for t in 0..6_u64 {
                let (pool, inside, slots) = (&pool, &inside, &slots);
                s.spawn(move || {
                    let mut rng = Rng(t * 977 + 5);
                    for _ in 0..400 {
                        let (request, taken) = wish(&mut rng);
                        let lease = pool.acquire_blocking(format!("t{t}"), request.units("slot", 1)).unwrap();
                        assert!(slots.fetch_add(1, Ordering::SeqCst) < 3);
                        taken.iter().for_each(|&(at, exclusive)| inside.enter(at, exclusive));
                        std::thread::yield_now();
                        taken.iter().for_each(|&(at, exclusive)| inside.leave(at, exclusive));
                        slots.fetch_sub(1, Ordering::SeqCst);
                        drop(lease);
                    }
                });
            }
        });
        let stats = pool.stats();
        assert_eq!((stats.acquired, stats.leases, stats.waiting, stats.owners), (2400, 0, 0, 0));
        assert!(stats.most_overtaken <= overtaking, "{} > {overtaking}", stats.most_overtaken);
        assert_eq!(stats.nested_overtakes, 0);
    }
}

#[test]
fn tasks_that_give_up_and_threads_share_one_line() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let pool = ResourcePool::builder().overtaking(2).build().unwrap();
    let inside = Arc::new(Inside::new(6));
    std::thread::scope(|s| {
        for t in 0..2_u64 {
            let (pool, inside) = (&pool, &inside);
            s.spawn(move || {
                let mut rng = Rng(t + 99);
                for _ in 0..300 {
                    let (request, taken) = wish(&mut rng);
                    let _lease = pool.acquire_blocking(format!("thread-{t}"), request).unwrap();
                    taken.iter().for_each(|&(at, exclusive)| inside.enter(at, exclusive));
                    taken.iter().for_each(|&(at, exclusive)| inside.leave(at, exclusive));
                }
            });
        }
        let tasks = (0..16_u64).map(|t| {
            let (pool, inside) = (pool.clone(), inside.clone());
            runtime.spawn(async move {
                let mut rng = Rng(t * 31 + 7);
                for _ in 0..300 {
                    let (request, taken) = wish(&mut rng);
                    let mut acquire = pool.acquire(format!("task-{t}"), request);
                    // Half of them give up after a few polls.
                    let mut polls = if rng.below(2) == 0 { rng.below(3) } else { u64::MAX };
                    let lease = std::future::poll_fn(|cx| {
                        if polls == 0 {
                            return std::task::Poll::Ready(None);
                        }
                        polls = polls.saturating_sub(1);
                        let polled = std::pin::Pin::new(&mut acquire).poll(cx).map(Some);
                        if polled.is_pending() && polls < 3 {
                            cx.waker().wake_by_ref();
                        }
                        polled
                    });
                    if let Some(lease) = lease.await {
                        let _lease = lease.unwrap();
                        taken.iter().for_each(|&(at, exclusive)| inside.enter(at, exclusive));
                        tokio::task::yield_now().await;
                        taken.iter().for_each(|&(at, exclusive)| inside.leave(at, exclusive));
                    }
                }
            })
        });
        let tasks = tasks.collect::<Vec<_>>();
        runtime.block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
        });
    });
    let stats = pool.stats();
    assert_eq!((stats.leases, stats.waiting, stats.owners), (0, 0, 0));
    assert!(stats.most_overtaken <= 2);
}

#[test]
fn nested_rings_neither_hang_nor_starve() {
    let pool = ResourcePool::builder().overtaking(1).build().unwrap();
    let pairs = [("a", "b"), ("b", "c"), ("c", "a")];
    let refused = AtomicUsize::new(0);
    std::thread::scope(|s| {
        for (t, (first, second)) in pairs.into_iter().cycle().take(6).enumerate() {
            let (pool, refused) = (&pool, &refused);
            s.spawn(move || {
                let owner = format!("t{t}");
                let mut done = 0;
                while done < 300 {
                    if t >= 3 {
                        let both = Request::new().exclusive(first).exclusive(second);
                        drop(pool.acquire_blocking(&*owner, both).unwrap());
                        done += 1;
                        continue;
                    }
                    let outer = pool.acquire_blocking(&*owner, Request::new().exclusive(first)).unwrap();
                    match pool.acquire_blocking(&*owner, Request::new().exclusive(second)) {
                        Ok(inner) => {
                            drop(inner);
                            done += 1;
                        }
                        Err(AcquireError::Deadlock { cycle }) => {
                            let step = &cycle.steps()[0];
                            assert_eq!(step.owner.as_str(), owner);
                            assert_eq!((&*step.holds, &*step.wants), (first, second));
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(other) => panic!("{other}"),
                    }
                    drop(outer);
                }
            });
        }
    });
    let stats = pool.stats();
    assert_eq!((stats.leases, stats.waiting), (0, 0));
    assert_eq!(stats.deadlocks, refused.load(Ordering::Relaxed) as u64);
}

#[test]
fn a_snapshot_is_of_one_instant() {
    let pool = ResourcePool::new();
    let both = pool.prepare(Request::new().exclusive("x").exclusive("y").exclusive("z")).unwrap();
    let at_work = AtomicUsize::new(2);
    std::thread::scope(|s| {
        for t in 0..2 {
            let (pool, both, at_work) = (&pool, &both, &at_work);
            s.spawn(move || {
                for _ in 0..2_000 {
                    drop(pool.acquire_blocking(format!("t{t}"), both).unwrap());
                }
                at_work.fetch_sub(1, Ordering::SeqCst);
            });
        }
        while at_work.load(Ordering::SeqCst) > 0 {
            let stats = pool.stats();
            let in_use = stats.resources.iter().map(|r| r.in_use).collect::<Vec<_>>();
            assert!(in_use == [0, 0, 0] || in_use == [1, 1, 1], "{in_use:?}");
            assert_eq!(stats.leases as u64, in_use[0]);
            assert!(pool.leases().iter().all(|lease| lease.held.len() == 3));
            for edge in pool.wait_for_graph() {
                assert_ne!(edge.waiter, edge.blocker);
            }
            std::thread::yield_now();
        }
    });
    assert_eq!(pool.stats().acquired, 4_000);
}

#[test]
fn races_of_many_threads_are_all_counted() {
    let pool = ResourcePool::new();
    let held = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    std::thread::scope(|s| {
        for t in 0..4 {
            let pool = &pool;
            s.spawn(move || {
                for _ in 0..500 {
                    assert!(pool.access(format!("t{t}"), "x").is_err());
                }
            });
        }
    });
    assert_eq!((pool.stats().races, pool.races().len()), (2_000, 64));
    drop(held);
}

#[test]
fn names_come_and_go_under_many_threads() {
    let pool = ResourcePool::builder().idle_names(1).build().unwrap();
    std::thread::scope(|s| {
        for t in 0..4 {
            let pool = &pool;
            s.spawn(move || {
                for i in 0..300 {
                    let name = format!("file-{}", (t + i) % 5);
                    let prepared = pool.prepare(Request::new().exclusive(&*name)).unwrap();
                    drop(pool.acquire_blocking(format!("t{t}"), &prepared).unwrap());
                    assert!(pool.resource(&name).is_some(), "a prepared name is known");
                    assert_eq!(pool.resize(&name, 1).is_err(), pool.define(&*name, 1).is_err());
                }
            });
        }
    });
    let stats = pool.stats();
    assert_eq!((stats.leases, stats.waiting, stats.owners), (0, 0, 0));
    assert!(stats.resources.len() <= 1, "{} names are kept", stats.resources.len());
}
