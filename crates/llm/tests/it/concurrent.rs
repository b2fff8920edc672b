//! Many threads at one processor.

use crate::fake::{Fake, chat, poll, said};
use ropewalk_balance::{Balancer, Node};
use ropewalk_llm::{Backend, BackendError, Call, Completion, Llm, Nodes, Source};
use ropewalk_sync::Clock;
use std::{
    collections::HashMap,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    thread,
    time::Duration,
};

const THREADS: usize = 4;

#[test]
fn threads_that_ask_leave_and_resize_at_once_lose_nothing() {
    let fake = Fake::new(&Clock::system()).latency(Duration::ZERO);
    let llm = fake.llm().concurrency(3).build().unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|s| {
        let askers: Vec<_> = (0..THREADS)
            .map(|i| {
                let llm = &llm;
                s.spawn(move || {
                    for n in 0..300 {
                        let text = ((n * 7 + i * 31) % 90).to_string();
                        let mut ask = llm.ask(chat(&text)).into_future();
                        if n % 3 == 0 {
                            // Leaves at once, wherever the question is by then.
                            if let Poll::Ready(reply) = poll(&mut ask) {
                                assert_eq!(*reply.unwrap().text, *text);
                            }
                        } else {
                            assert_eq!(
                                *llm.ask_blocking(chat(&text)).unwrap().text,
                                *text,
                                "whose answer is it?"
                            );
                        }
                    }
                })
            })
            .collect();
        s.spawn(|| {
            for n in 0.. {
                llm.resize(1 + n % 4);
                let stats = llm.stats();
                assert!(stats.limit >= 1 && stats.in_flight <= 4, "{stats:?}");
                if over.load(Ordering::SeqCst) {
                    return;
                }
                thread::yield_now();
            }
        });
        askers.into_iter().for_each(|asker| asker.join().unwrap());
        over.store(true, Ordering::SeqCst);
    });
    llm.close_blocking();
    let mut calls = HashMap::<String, usize>::new();
    fake.asked().into_iter().for_each(|text| *calls.entry(text).or_default() += 1);
    assert!(calls.values().all(|&calls| calls == 1), "{calls:?}");
    assert!(fake.log(|log| log.peak) <= 4);
    let stats = llm.stats();
    assert_eq!((stats.in_flight, stats.queued, stats.failed), (0, 0, 0));
    assert_eq!(stats.requests, stats.hits + stats.shared + stats.answered + stats.left, "{stats:?}");
}

#[test]
fn of_many_who_ask_the_same_at_once_one_makes_the_call() {
    let fake = Fake::new(&Clock::system()).latency(Duration::ZERO);
    let llm = fake.llm().build().unwrap();
    for round in 0..100 {
        let start = Barrier::new(THREADS);
        let made: usize = thread::scope(|s| {
            let ask = || {
                start.wait();
                let reply = llm.ask_blocking(chat(round.to_string())).unwrap();
                usize::from(reply.source == Source::Backend)
            };
            let asks: Vec<_> = (0..THREADS).map(|_| s.spawn(ask)).collect();
            asks.into_iter().map(|ask| ask.join().unwrap()).sum()
        });
        assert_eq!(made, 1, "in round {round}");
    }
    assert_eq!(fake.calls(), 100);
}

#[test]
fn who_asks_while_others_close_is_answered_or_refused_and_close_waits_for_all() {
    for _ in 0..50 {
        let fake = Fake::new(&Clock::system()).latency(Duration::ZERO);
        let llm = fake.llm().concurrency(2).build().unwrap();
        let start = Barrier::new(THREADS + 2);
        thread::scope(|s| {
            let asks = (0..THREADS).map(|i| {
                let (llm, start) = (&llm, &start);
                s.spawn(move || {
                    start.wait();
                    (0..5).filter(|n| llm.ask_blocking(chat(format!("{i} {n}"))).is_ok()).count()
                })
            });
            let asks: Vec<_> = asks.collect();
            for _ in 0..2 {
                s.spawn(|| {
                    start.wait();
                    llm.close_blocking();
                    assert_eq!(llm.stats().in_flight, 0);
                });
            }
            let answered: usize = asks.into_iter().map(|ask| ask.join().unwrap()).sum();
            assert_eq!(answered, fake.calls());
        });
    }
}

/// Says from which node it answers, and counts how often it was made.
struct Named(String);

impl Backend for Named {
    async fn complete(&self, call: Call) -> Result<Completion, BackendError> {
        Ok(Completion::new(format!("{} {}", self.0, said(&call))))
    }
}

#[test]
fn nodes_that_many_calls_reach_at_once_answer_for_themselves() {
    let balancer = Balancer::new();
    for model in ["a", "b", "c"] {
        balancer.insert(Node::new(format!("on-{model}")).offers(model)).unwrap();
    }
    let made = Arc::new(AtomicUsize::new(0));
    let makes = made.clone();
    let nodes = Arc::new(Nodes::new(balancer.clone(), move |address| {
        makes.fetch_add(1, Ordering::SeqCst);
        Named(address.to_owned())
    }));
    let llm = Llm::builder(nodes.clone()).concurrency(8).build().unwrap();
    thread::scope(|s| {
        for i in 0..THREADS {
            let llm = &llm;
            s.spawn(move || {
                for n in 0..100 {
                    let model = ["a", "b", "c"][n % 3];
                    let ask = ropewalk_llm::Chat::model(model).user(format!("{i} {n}"));
                    assert_eq!(*llm.ask_blocking(ask).unwrap().text, *format!("on-{model} {i} {n}"));
                }
            });
        }
    });
    assert!((3..=3 * THREADS).contains(&made.load(Ordering::SeqCst)));
    let successes: u64 = nodes.balancer().nodes().iter().map(|node| node.successes).sum();
    assert!(successes > 0 && balancer.nodes().iter().all(|node| node.in_flight == 0));
}
