use crate::fake::{Fake, SECOND, chat, poll, ready};
use ropewalk_balance::{Balancer, LeastLoaded, Node, RoundRobin};
use ropewalk_llm::{
    AskError, Backend, BackendError, Call, Chat, Completion, Delta, Deltas, ErrorKind, Llm, Nodes, Retry,
};
use ropewalk_sync::Clock;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

/// The fakes behind the addresses.
type Farm = Arc<Mutex<HashMap<String, Fake>>>;

fn farm(clock: &Clock, nodes: &[(&str, &str)], balancer: &Balancer) -> (Farm, Nodes<Fake>) {
    let farm = Farm::default();
    for &(address, model) in nodes {
        let name = address.to_owned();
        let fake = Fake::scripted(clock, move |_| match name.as_str() {
            "down" => Err(BackendError::new(ErrorKind::Connect, "refused")),
            "busy" => Err(BackendError::new(ErrorKind::RateLimited, "busy")),
            name => Ok(Completion::new(name)),
        });
        farm.lock().unwrap().insert(address.to_owned(), fake);
        balancer.insert(Node::new(address).offers(model)).unwrap();
    }
    let connect = farm.clone();
    let nodes = Nodes::new(balancer.clone(), move |address| connect.lock().unwrap()[address].clone());
    (farm, nodes)
}

fn llm(clock: &Clock, nodes: Nodes<Fake>) -> Llm {
    let retry = Retry::attempts(3).backoff(Duration::from_millis(10)..=Duration::from_millis(10));
    Llm::builder(nodes).clock(clock.clone()).retry(retry).build().unwrap()
}

fn calls(farm: &Farm, address: &str) -> usize {
    farm.lock().unwrap()[address].calls()
}

#[test]
fn a_batch_goes_to_one_node_and_the_next_to_another() {
    let clock = Clock::virtual_();
    let balancer = Balancer::builder().strategy(RoundRobin::default()).clock(clock.clone()).build().unwrap();
    let (farm, nodes) = farm(&clock, &[("a", "m"), ("b", "m")], &balancer);
    let llm = llm(&clock, nodes);
    llm.resize(0);
    let mut asks: Vec<_> = (0..10).map(|n| llm.ask(chat(n.to_string())).into_future()).collect();
    asks.iter_mut().for_each(|ask| assert!(poll(ask).is_pending()));
    llm.resize(10);
    clock.settle();
    assert_eq!((calls(&farm, "a"), calls(&farm, "b")), (5, 5));
    assert!(balancer.nodes().iter().all(|node| node.in_flight == 1), "one pick for a batch");
    clock.advance(SECOND);
    asks.iter_mut().for_each(|ask| drop(ready(poll(ask)).unwrap()));
    assert!(balancer.nodes().iter().all(|node| (node.in_flight, node.successes) == (0, 1)));
}

#[test]
fn a_model_is_asked_where_it_is_offered() {
    let clock = Clock::virtual_();
    let balancer = Balancer::builder().clock(clock.clone()).build().unwrap();
    let (_, nodes) = farm(&clock, &[("a", "small"), ("b", "large")], &balancer);
    let llm = llm(&clock, nodes);
    let mut asks = ["small", "large"].map(|model| llm.ask(Chat::model(model).user("q")).into_future());
    asks.iter_mut().for_each(|ask| assert!(poll(ask).is_pending()));
    let mut nobody = llm.ask(Chat::model("other").user("q")).into_future();
    assert!(poll(&mut nobody).is_pending());
    clock.advance(10 * SECOND);
    assert_eq!(asks.map(|mut ask| ready(poll(&mut ask)).unwrap().text.to_string()), ["a", "b"]);
    let AskError::Backend { error, attempts: 3 } = ready(poll(&mut nobody)).unwrap_err() else { panic!() };
    assert_eq!(error.kind, ErrorKind::NoNode);
    assert!(error.message.contains("other"), "{error}");
}

#[test]
fn every_model_takes_any_node() {
    let clock = Clock::virtual_();
    let balancer = Balancer::builder().clock(clock.clone()).build().unwrap();
    let (_, nodes) = farm(&clock, &[("a", "small")], &balancer);
    let llm = llm(&clock, nodes.every_model());
    let mut ask = llm.ask(Chat::model("whatever").user("q")).into_future();
    assert!(poll(&mut ask).is_pending());
    clock.advance(SECOND);
    ready(poll(&mut ask)).unwrap();
}

#[test]
fn what_failed_on_one_node_is_tried_on_another() {
    for dead in ["down", "busy"] {
        let clock = Clock::virtual_();
        let strategy = RoundRobin::default();
        let balancer = Balancer::builder().strategy(strategy).clock(clock.clone()).build().unwrap();
        let (farm, nodes) = farm(&clock, &[(dead, "m"), ("a", "m")], &balancer);
        let llm = llm(&clock, nodes);
        for n in 0..20 {
            let mut ask = llm.ask(chat(n.to_string())).into_future();
            assert!(poll(&mut ask).is_pending());
            clock.advance(5 * SECOND);
            let reply = ready(poll(&mut ask)).unwrap();
            assert_eq!(&*reply.text, "a");
            assert!(reply.attempts <= 2);
        }
        assert!(calls(&farm, dead) > 0);
        let stats = balancer.node(balancer.find(dead).unwrap()).unwrap();
        let (failures, rejected) = (stats.failures as usize, stats.rejected as usize);
        assert_eq!(if dead == "down" { failures } else { rejected }, calls(&farm, dead));
    }
}

#[test]
fn a_node_that_fails_is_left_alone_after_a_while() {
    let clock = Clock::virtual_();
    let balancer = Balancer::builder().strategy(RoundRobin::default()).clock(clock.clone()).build().unwrap();
    let (farm, nodes) = farm(&clock, &[("down", "m"), ("a", "m"), ("b", "m")], &balancer);
    let llm = llm(&clock, nodes);
    for n in 0..60 {
        let mut ask = llm.ask(chat(n.to_string())).into_future();
        assert!(poll(&mut ask).is_pending());
        clock.advance(Duration::from_millis(2_100));
        ready(poll(&mut ask)).unwrap();
    }
    assert!(calls(&farm, "down") < 20, "{}", calls(&farm, "down"));
    assert!(balancer.node(balancer.find("down").unwrap()).unwrap().ejections > 0);
}

#[test]
fn saturated_nodes_are_waited_for() {
    let clock = Clock::virtual_();
    let strategy = LeastLoaded::default();
    let balancer =
        Balancer::builder().strategy(strategy).max_in_flight(1).clock(clock.clone()).build().unwrap();
    let (farm, nodes) = farm(&clock, &[("a", "m")], &balancer);
    let llm = Llm::builder(nodes).clock(clock.clone()).batch(1).retry(Retry::never()).build().unwrap();
    let mut asks: Vec<_> = (0..5).map(|n| llm.ask(chat(n.to_string())).into_future()).collect();
    asks.iter_mut().for_each(|ask| assert!(poll(ask).is_pending()));
    clock.advance(6 * SECOND);
    asks.iter_mut().for_each(|ask| drop(ready(poll(ask)).unwrap()));
    assert_eq!(farm.lock().unwrap()["a"].log(|log| (log.calls.len(), log.peak)), (5, 1));
}

#[test]
fn a_stream_tells_how_it_ended() {
    struct Streams(String);
    impl Backend for Streams {
        async fn complete(&self, _: Call) -> Result<Completion, BackendError> {
            unreachable!("only streams are asked for")
        }
        async fn stream(&self, _: Call) -> Result<Deltas, BackendError> {
            let pieces: Vec<Result<Delta, BackendError>> = match self.0.as_str() {
                "good" => vec![Ok(Delta::new("x")), Ok(Delta::new("").end(Completion::default()))],
                "cut" => vec![Ok(Delta::new("x"))],
                _ => return Err(BackendError::new(ErrorKind::RateLimited, "no")),
            };
            Ok(Box::pin(futures_util::stream::iter(pieces)))
        }
    }
    let clock = Clock::virtual_();
    let balancer = Balancer::builder().clock(clock.clone()).build().unwrap();
    for name in ["good", "cut", "refuses"] {
        balancer.insert(Node::new(name).offers(name)).unwrap();
    }
    let nodes = Nodes::new(balancer.clone(), |address| Streams(address.to_owned()));
    let llm = Llm::builder(nodes).clock(clock.clone()).retry(Retry::never()).build().unwrap();
    for name in ["good", "cut", "refuses"] {
        let reply = clock.block_on(llm.ask_stream(Chat::model(name).user("q")).finish());
        assert_eq!(reply.is_ok(), name == "good");
    }
    let counts = |name| {
        let stats = balancer.node(balancer.find(name).unwrap()).unwrap();
        (stats.successes, stats.failures, stats.rejected, stats.in_flight)
    };
    clock.settle();
    assert_eq!(counts("good"), (1, 0, 0, 0));
    assert_eq!(counts("cut"), (0, 1, 0, 0));
    assert_eq!(counts("refuses"), (0, 0, 1, 0));
}
