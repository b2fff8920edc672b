//! The whole system, wired.
#![cfg(feature = "full")]

use ropewalk::{
    StartError, Status, System,
    agents::{Request, TaskError},
    llm::{AskError, Backend, BackendError, Call, Chat, Completion, Source},
    scale::{Health, NodeId, ProvisionError, Provisioner},
};
use std::{
    collections::HashSet,
    convert::Infallible,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

struct Echo;
impl Backend for Echo {
    async fn complete(&self, call: Call) -> Result<Completion, BackendError> {
        Ok(Completion::new(call.chat.body().messages[0].content.clone()))
    }
}

#[test]
fn public_types_are_send_and_sync() {
    fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<System>();
    assert_send_sync::<Status>();
    assert_send_sync::<StartError>();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_lease_ask_and_write_through_one_system() {
    let system = System::builder().backend(Echo).agents(4).start().await.unwrap();
    system.store().migrate(&["create table note (text text not null) strict"]).await.unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let parts = system.clone();
            system
                .team()
                .task(format!("task {n}"))
                .needs(Request::new().exclusive(format!("file {}", n % 3)))
                .spawn(move |_cx| {
                    let parts = parts.clone();
                    async move {
                        let reply =
                            parts.llm().ask(Chat::model("echo").user(format!("note {}", n % 5))).await?;
                        parts.store().write("insert into note (text) values (?1)", [&*reply.text]).await?;
                        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
                    }
                })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let notes: i64 = system.store().query("select count(*) from note", ()).await.unwrap();
    let status = system.status();
    assert_eq!((notes, status.team.completed, status.llm.calls), (20, 20, 5));
    assert_eq!(system.llm().ask(Chat::model("echo").user("note 1")).await.unwrap().source, Source::Cache);
    assert!(system.performance_summary().to_string().contains("20 completed"));
    system.shutdown().await.unwrap();
    let refused = system.team().task("late").spawn(|_cx| async { Ok::<_, Infallible>(()) });
    assert!(matches!(refused.await, Err(TaskError::Refused { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_model_questions_are_refused_with_the_way_out() {
    let system = System::builder().start().await.unwrap();
    let error = system.llm().ask(Chat::model("any").user("hello")).await.unwrap_err();
    assert!(matches!(error, AskError::Backend { .. }) && error.to_string().contains(".model(..)"), "{error}");
    system.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_occupied_port_and_a_bad_path_are_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = System::builder().dashboard(address.clone()).start().await.unwrap_err();
    assert!(matches!(&error, StartError::Dashboard { address: at, .. } if *at == address), "{error}");
    let error = System::builder().database("/nowhere/at/all/team.db").start().await.unwrap_err();
    assert!(matches!(error, StartError::Database { .. }), "{error}");
}

/// Nodes that exist by name only.
#[derive(Clone, Default)]
struct Nodes {
    next: Arc<AtomicUsize>,
    running: Arc<Mutex<HashSet<NodeId>>>,
    stuck: bool,
}

impl Nodes {
    fn running(&self) -> usize {
        self.running.lock().unwrap().len()
    }
}

impl Provisioner for Nodes {
    async fn start(&self) -> Result<NodeId, ProvisionError> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let node = NodeId::from(format!("http://127.0.0.1:1/{n}"));
        self.running.lock().unwrap().insert(node.clone());
        Ok(node)
    }
    async fn health(&self, _node: &NodeId) -> Health {
        Health::Ready
    }
    async fn stop(&self, node: &NodeId) -> Result<(), ProvisionError> {
        if self.stuck {
            return Err("will not go".into());
        }
        self.running.lock().unwrap().remove(node);
        Ok(())
    }
}

/// Keeps a failure from hanging.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it ends")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_the_provisioner_enter_and_leave_the_balancer() {
    let nodes = Nodes::default();
    let system = System::builder().provisioner(nodes.clone()).nodes(2..=4).start().await.unwrap();
    assert_eq!((system.nodes().len(), nodes.running()), (2, 2));
    system.shutdown().await.unwrap();
    assert_eq!((system.nodes().len(), nodes.running()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_had_started_is_stopped_when_a_later_part_fails() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let nodes = Nodes::default();
    let builder = System::builder().provisioner(nodes.clone()).nodes(2..=4).dashboard(address);
    assert!(matches!(builder.start().await, Err(StartError::Dashboard { .. })));
    assert_eq!((nodes.next.load(Ordering::Relaxed), nodes.running()), (2, 0));
    let nodes = Nodes::default();
    let builder = System::builder().provisioner(nodes.clone()).nodes(1..=4).agents(0);
    assert!(matches!(builder.start().await, Err(StartError::Team(_))));
    assert_eq!((nodes.next.load(Ordering::Relaxed), nodes.running()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_that_is_dropped_is_taken_up_again() {
    let system = System::builder().dashboard("0").start().await.unwrap();
    let address = system.dashboard().unwrap();
    drop(system.shutdown());
    let (open, gate) = tokio::sync::oneshot::channel::<()>();
    let gate = Arc::new(Mutex::new(Some(gate)));
    let task = system.team().task("waits").spawn(move |_cx| gate.lock().unwrap().take().unwrap());
    // It waits for the task, and after that may be dropped wherever it stands.
    let mut shutdown = Box::pin(system.shutdown());
    assert!(shutdown.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(shutdown);
    let refused = system.team().task("late").spawn(|_cx| async { Ok::<_, Infallible>(()) });
    assert!(matches!(refused.await, Err(TaskError::Refused { .. })));
    assert!(tokio::net::TcpStream::connect(address).await.is_ok(), "the dashboard stops last");
    open.send(()).unwrap();
    task.await.unwrap();
    for polls in 1..4 {
        let mut shutdown = Box::pin(system.shutdown());
        for _ in 0..polls {
            if shutdown.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                break;
            }
        }
    }
    soon(system.shutdown()).await.unwrap();
    assert!(system.store().write("select 1", ()).await.is_err());
    let gone = async { while tokio::net::TcpStream::connect(address).await.is_ok() {} };
    soon(gone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdowns_and_readers_beside_each_other() {
    let nodes = Nodes::default();
    let system =
        System::builder().backend(Echo).provisioner(nodes.clone()).nodes(1..=2).start().await.unwrap();
    let tasks: Vec<_> = (0..50)
        .map(|n| {
            system.team().task(format!("task {n}")).spawn(move |_cx| async move { Ok::<_, Infallible>(n) })
        })
        .collect();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let system = system.clone();
            tokio::task::spawn_blocking(move || {
                let mut last = 0;
                for _ in 0..50 {
                    let status = system.status();
                    assert!(status.team.completed >= last && status.team.completed <= 50);
                    last = status.team.completed;
                    assert!(system.performance_summary().tasks_completed >= last);
                    assert_eq!(system.alerts_raised(), 0);
                }
            })
        })
        .collect();
    let shutdowns: Vec<_> = (0..3)
        .map(|_| {
            let system = system.clone();
            tokio::spawn(async move { system.shutdown().await })
        })
        .collect();
    for shutdown in shutdowns {
        assert_eq!(soon(shutdown).await.unwrap(), Ok(()));
    }
    for reader in readers {
        reader.await.unwrap();
    }
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap(), n);
    }
    assert_eq!((system.status().team.completed, nodes.running()), (50, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_stop_is_named_and_the_rest_stops() {
    let nodes = Nodes { stuck: true, ..Nodes::default() };
    let system = System::builder()
        .provisioner(nodes.clone())
        .nodes(1..=2)
        .scaling(|scaler| scaler.retry(Duration::from_millis(1), Duration::from_millis(1)))
        .start()
        .await
        .unwrap();
    let error = soon(system.shutdown()).await.unwrap_err();
    assert_eq!(error.trouble().map(|(part, _)| part).collect::<Vec<_>>(), ["nodes"]);
    assert!(system.store().write("select 1", ()).await.is_err());
}

struct Panicking;
impl Backend for Panicking {
    async fn complete(&self, _call: Call) -> Result<Completion, BackendError> {
        panic!("in the model")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_panics_fails_alone_and_the_system_shuts_down() {
    struct Bomb;
    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            panic!("a waker")
        }
    }
    let system = System::builder().backend(Panicking).start().await.unwrap();
    let (open, gate) = tokio::sync::oneshot::channel::<()>();
    let gate = Arc::new(Mutex::new(Some(gate)));
    let bad = system.team().task("bad").spawn(move |_cx| {
        let gate = gate.lock().unwrap().take();
        async move {
            if let Some(gate) = gate {
                let _ = gate.await;
            }
            panic!("in a task");
            #[allow(unreachable_code)] // says what the task would give
            Ok::<(), Infallible>(())
        }
    });
    assert!(system.llm().ask(Chat::model("any").user("hello")).await.is_err());
    // Somebody who waits for the same shutdown has a waker that panics.
    let mut bomb = Box::pin(system.shutdown());
    assert!(bomb.as_mut().poll(&mut Context::from_waker(&Arc::new(Bomb).into())).is_pending());
    open.send(()).unwrap();
    assert!(bad.await.is_err());
    assert_eq!(soon(system.shutdown()).await, Ok(()));
    assert_eq!(soon(bomb).await, Ok(()));
    assert_eq!(system.status().team.failed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_task_is_cancelled_and_an_alert_raised() {
    let system = System::builder().stuck_after(Duration::from_millis(1)).start().await.unwrap();
    let stuck = system.team().task("stuck").spawn(|_cx| std::future::pending::<Result<(), Infallible>>());
    assert!(soon(stuck).await.is_err());
    assert!(system.alerts_raised() >= 1);
    soon(system.shutdown()).await.unwrap();
}
