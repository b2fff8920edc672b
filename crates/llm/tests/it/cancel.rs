use crate::fake::{Fake, SECOND, chat, poll, ready};
use proptest::prelude::*;
use ropewalk_balance::{Balancer, Node};
use ropewalk_llm::{AskError, Backend, Call, Nodes, Source};
use ropewalk_sync::Clock;
use std::{collections::HashMap, time::Duration};

#[test]
fn the_one_who_asked_first_may_go() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().concurrency(1).build().unwrap();
    let mut busy = llm.ask(chat("busy")).into_future();
    let mut leader = llm.ask(chat("q")).into_future();
    let mut waiter = llm.ask(chat("q")).into_future();
    assert!(poll(&mut busy).is_pending() && poll(&mut leader).is_pending() && poll(&mut waiter).is_pending());
    drop(leader);
    clock.advance(2 * SECOND);
    assert_eq!(*ready(poll(&mut waiter)).unwrap().text, *"q");
    assert_eq!(fake.asked(), ["busy", "q"]);
}

#[test]
fn a_question_that_nobody_waits_for_leaves_the_queue() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().concurrency(1).build().unwrap();
    let mut busy = llm.ask(chat("busy")).into_future();
    assert!(poll(&mut busy).is_pending());
    let mut both = [llm.ask(chat("q")).into_future(), llm.ask(chat("q")).into_future()];
    both.iter_mut().for_each(|ask| assert!(poll(ask).is_pending()));
    drop(both);
    assert_eq!(llm.stats().queued, 0);
    clock.advance(5 * SECOND);
    assert_eq!(fake.asked(), ["busy"]);
    assert_eq!(llm.stats().left, 2);
    // Asked again, it is asked anew.
    let mut again = llm.ask(chat("q")).into_future();
    assert!(poll(&mut again).is_pending());
    clock.advance(SECOND);
    assert_eq!(ready(poll(&mut again)).unwrap().source, Source::Backend);
}

#[test]
fn a_call_on_its_way_goes_on_without_anybody() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().build().unwrap();
    let mut ask = llm.ask(chat("q")).into_future();
    assert!(poll(&mut ask).is_pending());
    clock.settle();
    drop(ask);
    clock.advance(SECOND);
    assert_eq!(llm.stats().in_flight, 0);
    assert_eq!(ready(poll(&mut llm.ask(chat("q")).into_future())).unwrap().source, Source::Cache);
    assert_eq!(fake.calls(), 1);
}

#[test]
fn a_question_never_polled_asks_nothing() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().build().unwrap();
    drop(llm.ask(chat("q")).into_future());
    let _unused = llm.ask(chat("q"));
    clock.advance(SECOND);
    assert_eq!((fake.calls(), llm.stats().requests), (0, 0));
}

#[derive(Clone, Debug)]
enum Op {
    Ask(u8),
    Drop(usize),
    Poll(usize),
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..6_u8).prop_map(Op::Ask),
        2 => any::<usize>().prop_map(Op::Drop),
        2 => any::<usize>().prop_map(Op::Poll),
        2 => (1..1_500_u64).prop_map(Op::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A storm of questions and of callers who go: one call at most for each question, none lost, none stuck.
    #[test]
    fn a_cancel_storm_makes_one_call_for_each_question_and_leaves_nothing_behind(
        ops in prop::collection::vec(op(), 1..80),
    ) {
        let clock = Clock::virtual_();
        let fake = Fake::new(&clock);
        let llm = fake.llm().concurrency(2).build().unwrap();
        let mut asks = Vec::new();
        for op in ops {
            match op {
                Op::Ask(n) => {
                    let mut ask = llm.ask(chat(n.to_string())).into_future();
                    if poll(&mut ask).is_pending() {
                        asks.push((n, ask));
                    }
                }
                Op::Drop(at) if !asks.is_empty() => drop(asks.swap_remove(at % asks.len())),
                Op::Poll(at) if !asks.is_empty() => {
                    let at = at % asks.len();
                    if let std::task::Poll::Ready(reply) = poll(&mut asks[at].1) {
                        let (n, _) = asks.swap_remove(at);
                        prop_assert_eq!(reply.unwrap().text.to_string(), n.to_string());
                    }
                }
                Op::Drop(_) | Op::Poll(_) => {}
                Op::Wait(millis) => clock.advance(Duration::from_millis(millis)),
            }
        }
        clock.advance(Duration::from_secs(100));
        for (n, mut ask) in asks {
            prop_assert_eq!(ready(poll(&mut ask)).unwrap().text.to_string(), n.to_string());
        }
        let mut calls: HashMap<String, usize> = HashMap::new();
        for text in fake.asked() {
            *calls.entry(text).or_default() += 1;
        }
        prop_assert!(calls.values().all(|&calls| calls == 1), "{:?}", calls);
        prop_assert!(fake.log(|log| log.peak) <= 2);
        let stats = llm.stats();
        prop_assert_eq!((stats.queued, stats.in_flight), (0, 0));
    }
}

#[test]
fn a_close_that_is_dropped_stays_closed() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().build().unwrap();
    let mut ask = llm.ask(chat("q")).into_future();
    assert!(poll(&mut ask).is_pending());
    drop(llm.close());
    let mut more = llm.ask(chat("more")).into_future();
    assert!(poll(&mut more).is_pending(), "a close that was never polled closes nothing");
    let mut close = Box::pin(llm.close());
    assert!(poll(&mut close).is_pending());
    drop(close);
    assert_eq!(ready(poll(&mut llm.ask(chat("late")).into_future())), Err(AskError::Closed));
    clock.advance(SECOND);
    assert!(ready(poll(&mut ask)).is_ok() && ready(poll(&mut more)).is_ok());
    ready(poll(&mut Box::pin(llm.close())));
}

#[test]
fn a_call_on_a_node_that_is_given_up_after_any_poll_gives_its_place_back() {
    let clock = Clock::virtual_();
    let balancer = Balancer::builder().max_in_flight(1).clock(clock.clone()).build().unwrap();
    balancer.insert(Node::new("a").offers("m")).unwrap();
    let fake = Fake::new(&clock);
    let nodes = Nodes::new(balancer.clone(), move |_| fake.clone());
    let call = || Call::new(chat("q"));
    let mut first = Box::pin(nodes.complete(call()));
    assert!(poll(&mut first).is_pending());
    for polls in 0..3 {
        // Behind the one that has the node, in the balancer's line.
        let mut waits = Box::pin(nodes.complete(call()));
        (0..polls).for_each(|_| assert!(poll(&mut waits).is_pending()));
    }
    let mut next = Box::pin(nodes.complete(call()));
    assert!(poll(&mut next).is_pending());
    drop(first);
    for _ in 0..2 {
        assert!(poll(&mut next).is_pending(), "on the node now");
    }
    assert_eq!(balancer.nodes()[0].in_flight, 1);
    clock.advance(SECOND);
    assert!(ready(poll(&mut next)).is_ok());
    let node = &balancer.nodes()[0];
    assert_eq!(
        (node.in_flight, node.successes, node.failures),
        (0, 1, 1),
        "who gives a call up has waited too long"
    );
}
