//! Active health checks.

use ropewalk_balance::{
    Balancer, Check, CheckFuture, Ejection, Need, Node, NodeId, NodeState, Outcome, PickError, Probe,
    ProbeError,
};
use ropewalk_sync::{Clock, Threads};
use std::{
    collections::HashMap,
    io::{Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq)]
enum Health {
    Well,
    Sick,
    Silent,
    Panics,
    PanicsLater,
}

/// Answers as it is told for each address; counts the questions.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Answers>>);

type Answers = (HashMap<String, Health>, HashMap<String, usize>);

impl Told {
    fn set(&self, address: &str, health: Health) {
        self.0.lock().unwrap().0.insert(address.to_owned(), health);
    }

    fn asked(&self, address: &str) -> usize {
        self.0.lock().unwrap().1.get(address).copied().unwrap_or(0)
    }
}

impl Check for Told {
    fn check<'a>(&'a self, node: &'a Node, _: Duration) -> CheckFuture<'a> {
        let health = {
            let mut told = self.0.lock().unwrap();
            *told.1.entry(node.address().to_owned()).or_default() += 1;
            told.0.get(node.address()).copied().unwrap_or(Health::Well)
        };
        assert!(health != Health::Panics, "a check of the user's");
        Box::pin(async move {
            match health {
                Health::Well => Ok(()),
                Health::Sick => Err(ProbeError::new("sick")),
                Health::Silent => std::future::pending().await,
                _ => panic!("a check of the user's"),
            }
        })
    }
}

fn balancer(told: &Told, clock: &Clock) -> Balancer {
    let probe = Probe::new(told.clone())
        .interval(5 * SECOND)
        .timeout(SECOND)
        .healthy_threshold(2)
        .unhealthy_threshold(3)
        .parallel(2);
    let nodes = Balancer::builder().health(probe).panic_threshold(0).clock(clock.clone()).build().unwrap();
    clock.settle();
    nodes
}

fn insert(nodes: &Balancer, clock: &Clock, address: &str) -> NodeId {
    let id = nodes.insert(Node::new(address)).unwrap();
    clock.settle();
    id
}

fn state(nodes: &Balancer, id: NodeId) -> NodeState {
    nodes.node(id).unwrap().state
}

#[test]
fn a_node_takes_requests_from_its_first_good_answer_on() {
    let (told, clock) = (Told::default(), Clock::virtual_());
    let nodes = balancer(&told, &clock);
    told.set("a", Health::Sick);
    let a = insert(&nodes, &clock, "a");
    assert_eq!(state(&nodes, a), NodeState::Unproven);
    assert!(matches!(nodes.pick(Need::any()), Err(PickError::AllUnhealthy { unproven: 1, .. })));
    told.set("a", Health::Well);
    clock.advance(5 * SECOND);
    assert_eq!(state(&nodes, a), NodeState::Unproven, "two in a row, as its first answer was bad");
    clock.advance(5 * SECOND);
    assert_eq!(state(&nodes, a), NodeState::Up);
    let b = insert(&nodes, &clock, "b");
    assert_eq!(state(&nodes, b), NodeState::Up, "one is enough for one that was never bad");
}

#[test]
fn bad_answers_in_a_row_take_it_down_and_good_ones_bring_it_up() {
    for sickness in [Health::Sick, Health::Silent, Health::Panics, Health::PanicsLater] {
        let (told, clock) = (Told::default(), Clock::virtual_());
        let nodes = balancer(&told, &clock);
        let (a, b) = (insert(&nodes, &clock, "a"), insert(&nodes, &clock, "b"));
        told.set("a", sickness);
        clock.advance(10 * SECOND + 2 * SECOND);
        assert_eq!(state(&nodes, a), NodeState::Up);
        clock.advance(6 * SECOND);
        assert_eq!(state(&nodes, a), NodeState::Down);
        assert_eq!(state(&nodes, b), NodeState::Up);
        assert_eq!(nodes.pick(Need::any()).unwrap().id(), b);
        told.set("a", Health::Well);
        clock.advance(6 * SECOND);
        assert_eq!(state(&nodes, a), NodeState::Down);
        clock.advance(6 * SECOND);
        assert_eq!(state(&nodes, a), NodeState::Up);
    }
}

#[test]
fn all_are_asked_at_their_interval_though_few_at_a_time() {
    let (told, clock) = (Told::default(), Clock::virtual_());
    let nodes = balancer(&told, &clock);
    let names = (0..20).map(|i| format!("n{i}")).collect::<Vec<_>>();
    for name in &names {
        insert(&nodes, &clock, name);
    }
    clock.advance(20 * SECOND);
    for name in &names {
        assert_eq!(told.asked(name), 5, "{name}");
    }
    let gone = nodes.find("n3").unwrap();
    nodes.remove(gone).unwrap();
    clock.settle();
    clock.advance(20 * SECOND);
    assert_eq!((told.asked("n3"), told.asked("n4")), (5, 9));
}

#[test]
fn silent_nodes_delay_others_by_their_timeout_only() {
    let (told, clock) = (Told::default(), Clock::virtual_());
    let nodes = balancer(&told, &clock);
    for name in ["a", "b"] {
        told.set(name, Health::Silent);
        insert(&nodes, &clock, name);
    }
    let c = insert(&nodes, &clock, "c");
    assert_eq!(state(&nodes, c), NodeState::Unproven, "both places are taken");
    clock.advance(SECOND);
    assert_eq!(state(&nodes, c), NodeState::Up);
}

#[test]
fn a_good_answer_ends_an_ejection_whose_time_is_over() {
    let (told, clock) = (Told::default(), Clock::virtual_());
    let probe = Probe::new(told.clone()).interval(5 * SECOND);
    let rule = Ejection::new().consecutive_failures(1).base_ejection_time(12 * SECOND);
    let nodes = Balancer::builder().health(probe).ejection(rule).clock(clock.clone()).build().unwrap();
    let a = insert(&nodes, &clock, "a");
    insert(&nodes, &clock, "b");
    loop {
        let pick = nodes.pick(Need::any()).unwrap();
        if pick.id() == a {
            pick.complete(Outcome::Failure);
            break;
        }
    }
    clock.advance(10 * SECOND);
    assert_eq!(state(&nodes, a), NodeState::Ejected, "a good answer does not outweigh failed requests");
    clock.advance(5 * SECOND);
    assert_eq!(state(&nodes, a), NodeState::Up);
}

#[test]
fn the_job_ends_with_the_last_handle() {
    let (told, clock) = (Told::default(), Clock::virtual_());
    let nodes = balancer(&told, &clock);
    insert(&nodes, &clock, "a");
    let (clone, pick) = (nodes.clone(), nodes.pick(Need::any()).unwrap());
    drop(nodes);
    clock.advance(5 * SECOND);
    assert_eq!(told.asked("a"), 2);
    drop(clone);
    // The thread has been joined: nothing asks any more, though a pick is still out.
    clock.advance(50 * SECOND);
    assert_eq!(told.asked("a"), 2);
    pick.complete(Outcome::Success);
}

#[test]
fn a_spawner_may_run_the_job() {
    let (told, clock) = (Told::default(), Clock::virtual_());
    let nodes = Balancer::builder()
        .health(Probe::new(told.clone()))
        .spawner(Arc::new(Threads::new(&clock)))
        .clock(clock.clone())
        .build()
        .unwrap();
    let a = insert(&nodes, &clock, "a");
    assert_eq!(state(&nodes, a), NodeState::Up);
}

/// The state that a probe of one node leads to, waiting for it in real time without sleeping.
fn settled(nodes: &Balancer, id: NodeId, expected: NodeState) {
    while state(nodes, id) != expected {
        std::thread::yield_now();
    }
}

#[test]
fn real_sockets() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let server = std::thread::spawn(move || {
        // 503 at first, then 204, then rubbish; each on a connection of its own and when told.
        for answer in ["HTTP/1.1 503 Busy\r\n\r\n", "HTTP/1.1 204 No\r\n\r\n", "SSH-2.0-OpenSSH_9\r\n"] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = [0; 512];
            let n = stream.read(&mut seen).unwrap();
            let request = std::str::from_utf8(&seen[..n]).unwrap();
            assert!(request.starts_with("GET /health HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
            gone.recv().unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let probe = Probe::http("/health")
        .interval(Duration::from_millis(1))
        .timeout(Duration::from_secs(30))
        .healthy_threshold(1)
        .unhealthy_threshold(1);
    let nodes = Balancer::builder().health(probe).panic_threshold(0).build().unwrap();
    let id = nodes.insert(Node::new(&*address)).unwrap();
    for state in [NodeState::Down, NodeState::Up, NodeState::Down] {
        go.send(()).unwrap();
        settled(&nodes, id, state);
    }
    server.join().unwrap();
    drop(nodes);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let probe = Probe::tcp().interval(Duration::from_millis(1)).unhealthy_threshold(1);
    let nodes = Balancer::builder().health(probe).panic_threshold(0).build().unwrap();
    let id = nodes.insert(Node::new(&*address)).unwrap();
    settled(&nodes, id, NodeState::Up);
    drop(listener);
    settled(&nodes, id, NodeState::Down);
    let nowhere = nodes.insert(Node::new("no port in here")).unwrap();
    settled(&nodes, nowhere, NodeState::Down);
}
