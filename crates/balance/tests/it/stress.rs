//! Threads and tasks at once.

use ropewalk_balance::{
    Balancer, Draw, Ejection, InsertError, LeastLoaded, Need, Node, Outcome, PeakEwma, PickError, PowerOfTwo,
    RoundRobin, SmoothWeighted, Strategy,
};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

const THREADS: u64 = 4;
const ROUNDS: u64 = 500;

#[test]
fn round_robin_stays_exact_under_threads() {
    let nodes = Balancer::builder().strategy(RoundRobin::new()).build().unwrap();
    let ids = (0..4).map(|i| nodes.insert(Node::new(format!("{i}"))).unwrap()).collect::<Vec<_>>();
    std::thread::scope(|s| {
        for _ in 0..THREADS {
            s.spawn(|| {
                for _ in 0..ROUNDS {
                    nodes.pick(Need::any()).unwrap().complete(Outcome::Success);
                }
            });
        }
    });
    for id in ids {
        assert_eq!(nodes.node(id).unwrap().picks, THREADS * ROUNDS / 4);
    }
}

#[test]
fn smooth_weighted_stays_exact_under_threads() {
    let nodes = Balancer::builder().strategy(SmoothWeighted::new()).build().unwrap();
    let ids = (1..=4).map(|w| nodes.insert(Node::new(format!("{w}")).weight(w)).unwrap()).collect::<Vec<_>>();
    std::thread::scope(|s| {
        for _ in 0..THREADS {
            s.spawn(|| {
                for _ in 0..ROUNDS {
                    nodes.pick(Need::any()).unwrap().complete(Outcome::Success);
                }
            });
        }
    });
    for (weight, id) in (1..=4).zip(ids) {
        assert_eq!(nodes.node(id).unwrap().picks, THREADS * ROUNDS / 10 * weight);
    }
}

#[test]
fn limits_hold_and_no_slot_is_lost_while_nodes_come_and_go() {
    let strategies: [Box<dyn Strategy>; 3] =
        [Box::new(PeakEwma::new()), Box::new(PowerOfTwo::new()), Box::new(LeastLoaded::new())];
    for strategy in strategies {
        let nodes = Balancer::builder()
            .strategy(strategy)
            .max_in_flight(2)
            .ejection(
                Ejection::new()
                    .consecutive_failures(2)
                    .base_ejection_time(std::time::Duration::from_nanos(1)),
            )
            .build()
            .unwrap();
        let inside = (0..8).map(|_| AtomicU32::new(0)).collect::<Vec<_>>();
        for i in 0..4 {
            nodes.insert(Node::new(format!("{i}"))).unwrap();
        }
        let stop = AtomicBool::new(false);
        std::thread::scope(|s| {
            let churn = s.spawn(|| {
                let mut draw = Draw::new(1, 1);
                while !stop.load(Ordering::Relaxed) {
                    let name = format!("{}", 4 + draw.below(4));
                    match nodes.find(&name) {
                        Some(id) if draw.below(2) == 0 => {
                            // Drained first, so that what is inside of a node of that name is over.
                            if let Ok(drain) = nodes.drain(id) {
                                drain.done_blocking();
                            }
                            nodes.remove(id).unwrap();
                        }
                        Some(id) => nodes.set_weight(id, draw.below(5) as u32).unwrap(),
                        None => drop(nodes.insert(Node::new(name)).unwrap()),
                    }
                    std::thread::yield_now();
                }
            });
            let workers = (0..THREADS).map(|t| {
                let (nodes, inside) = (&nodes, &inside);
                s.spawn(move || {
                    let mut draw = Draw::new(2, t);
                    for _ in 0..ROUNDS {
                        let pick = if draw.below(2) == 0 {
                            nodes.pick_blocking(Need::any())
                        } else {
                            nodes.pick(Need::any())
                        };
                        let pick = match pick {
                            Ok(pick) => pick,
                            Err(PickError::Saturated { .. } | PickError::AllUnhealthy { .. }) => continue,
                            Err(other) => panic!("{other}"),
                        };
                        let at = pick.node().address().parse::<usize>().unwrap();
                        assert!(inside[at].fetch_add(1, Ordering::SeqCst) < 2, "over the limit");
                        std::thread::yield_now();
                        inside[at].fetch_sub(1, Ordering::SeqCst);
                        match draw.below(4) {
                            0 => pick.complete(Outcome::Failure),
                            1 => drop(pick),
                            _ => pick.complete(Outcome::Success),
                        }
                    }
                })
            });
            for worker in workers.collect::<Vec<_>>() {
                worker.join().unwrap();
            }
            stop.store(true, Ordering::Relaxed);
            churn.join().unwrap();
        });
        let stats = nodes.stats();
        assert_eq!((stats.in_flight, stats.waiting), (0, 0));
        assert_eq!(stats.picks, stats.successes + stats.failures + stats.rejected + stats.cancelled);
    }
}

#[test]
fn tasks_and_threads_share_the_line_and_lose_nothing_when_tasks_give_up() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let nodes = Balancer::builder().max_in_flight(1).build().unwrap();
    for name in ["a", "b"] {
        nodes.insert(Node::new(name).offers(name)).unwrap();
    }
    let need = |n: usize| match n {
        0 => Need::any(),
        1 => Need::of("a"),
        _ => Need::of("b"),
    };
    let tasks = (0..16).map(|t| {
        let nodes = nodes.clone();
        runtime.spawn(async move {
            let mut draw = Draw::new(3, t);
            for _ in 0..200 {
                let mut wait = nodes.pick_wait(need(draw.below(3)));
                let mut polls = if draw.below(2) == 0 { draw.below(3) } else { usize::MAX };
                let picked = std::future::poll_fn(|cx| {
                    if polls == 0 {
                        return std::task::Poll::Ready(None);
                    }
                    polls = polls.saturating_sub(1);
                    let polled = std::pin::Pin::new(&mut wait).poll(cx).map(Some);
                    if polled.is_pending() && polls < 3 {
                        cx.waker().wake_by_ref();
                    }
                    polled
                });
                if let Some(pick) = picked.await {
                    let pick = pick.unwrap();
                    tokio::task::yield_now().await;
                    pick.complete(Outcome::Success);
                }
            }
        })
    });
    let tasks = tasks.collect::<Vec<_>>();
    std::thread::scope(|s| {
        for t in 0..2 {
            let nodes = &nodes;
            s.spawn(move || {
                let mut draw = Draw::new(4, t);
                for _ in 0..200 {
                    drop(nodes.pick_blocking(need(draw.below(3))).unwrap());
                }
            });
        }
    });
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    let stats = nodes.stats();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0));
}

#[test]
fn a_node_that_drains_gets_nothing_new_once_the_call_has_returned() {
    let nodes = Balancer::builder().strategy(PowerOfTwo::new()).build().unwrap();
    let id = nodes.insert(Node::new("a")).unwrap();
    nodes.insert(Node::new("b")).unwrap();
    // Odd while it drains.
    let (phase, inside, stop) = (AtomicU32::new(0), AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|s| {
        for t in 0..3 {
            let (nodes, phase, inside, stop) = (&nodes, &phase, &inside, &stop);
            s.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let before = phase.load(Ordering::SeqCst);
                    let need = if t == 0 { Need::any().avoid(id) } else { Need::any() };
                    let pick = nodes.pick(need).unwrap();
                    if pick.id() != id {
                        continue;
                    }
                    inside.fetch_add(1, Ordering::SeqCst);
                    let same = before == phase.load(Ordering::SeqCst);
                    assert!(!(same && before % 2 == 1), "a pick of a node that drains");
                    inside.fetch_sub(1, Ordering::SeqCst);
                    pick.complete(Outcome::Success);
                }
            });
        }
        for round in 0..ROUNDS {
            let drain = nodes.drain(id).unwrap();
            phase.fetch_add(1, Ordering::SeqCst);
            if round % 2 == 0 {
                drain.done_blocking();
                assert_eq!(inside.load(Ordering::SeqCst), 0, "its last request has ended");
                assert_eq!(nodes.node(id).unwrap().in_flight, 0);
            }
            phase.fetch_add(1, Ordering::SeqCst);
            nodes.resume(id).unwrap();
            assert!(drain.is_done());
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(nodes.stats().in_flight, 0);
}

#[test]
fn lists_and_looks_are_of_one_instant() {
    let nodes = Balancer::new();
    let mut last = nodes.insert(Node::new("0").offers("x")).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let list = nodes.nodes();
                    assert!((1..=2).contains(&list.len()), "one comes before the other goes");
                    assert!((1..=2).contains(&nodes.len()) && (1..=2).contains(&nodes.stats().nodes));
                    assert!(list.windows(2).all(|pair| pair[0].id != pair[1].id));
                    assert!(list.iter().all(|node| node.weight >= 1));
                }
            });
        }
        for i in 1..=ROUNDS {
            let next = nodes.insert(Node::new(format!("{i}")).offers("x")).unwrap();
            nodes.set_weight(last, 2).unwrap();
            nodes.remove(last).unwrap();
            assert!(nodes.node(last).is_err() && nodes.find(&format!("{i}")) == Some(next));
            last = next;
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(nodes.stats().in_flight, 0);
}

#[test]
fn a_pick_beside_nodes_that_come_and_go_is_never_refused() {
    let nodes = Balancer::builder().max_in_flight(2).build().unwrap();
    let mut last = nodes.insert(Node::new("0").offers("x")).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        for waits in [false, true] {
            let (nodes, stop) = (&nodes, &stop);
            s.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // There is always one that is up and has room.
                    let need = Need::of("x");
                    let pick = if waits { nodes.pick_blocking(need) } else { nodes.pick(need) };
                    pick.unwrap().complete(Outcome::Success);
                }
            });
        }
        for i in 1..=4 * ROUNDS {
            let next = nodes.insert(Node::new(format!("{i}")).offers("x")).unwrap();
            nodes.remove(last).unwrap();
            last = next;
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(nodes.stats().in_flight, 0);
}

#[test]
fn those_in_line_are_all_told_of_the_end_under_threads() {
    for _ in 0..50 {
        let nodes = Balancer::builder().max_in_flight(1).build().unwrap();
        nodes.insert(Node::new("a")).unwrap();
        std::thread::scope(|s| {
            let pickers = [(); 4].map(|()| {
                s.spawn(|| {
                    let mut ends = 0;
                    while let Ok(pick) = nodes.pick_blocking(Need::any()) {
                        ends += 1;
                        pick.complete(Outcome::Success);
                    }
                    ends
                })
            });
            while nodes.stats().successes < 20 {
                std::thread::yield_now();
            }
            nodes.close();
            let ends: u64 = pickers.map(|one| one.join().unwrap()).iter().sum();
            assert_eq!(ends, nodes.stats().successes);
        });
        assert_eq!((nodes.stats().in_flight, nodes.stats().waiting), (0, 0));
        assert!(matches!(nodes.pick(Need::any()), Err(PickError::Closed)));
        assert!(matches!(nodes.insert(Node::new("b")), Err(InsertError::Closed { .. })));
    }
}
