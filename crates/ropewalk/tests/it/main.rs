//! The whole system, wired.
#![cfg(feature = "full")]

use ropewalk::{
    StartError, Status, System,
    agents::{Request, TaskError},
    llm::{AskError, Backend, BackendError, Call, Chat, Completion, Source},
    scale::{Health, NodeId, ProvisionError, Provisioner},
};
use std::convert::Infallible;

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

struct Nodes;
impl Provisioner for Nodes {
    async fn start(&self) -> Result<NodeId, ProvisionError> {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(format!("http://127.0.0.1:1/{n}").into())
    }
    async fn health(&self, _node: &NodeId) -> Health {
        Health::Ready
    }
    async fn stop(&self, _node: &NodeId) -> Result<(), ProvisionError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_the_provisioner_enter_and_leave_the_balancer() {
    let system = System::builder().provisioner(Nodes).nodes(2..=4).start().await.unwrap();
    assert_eq!(system.nodes().len(), 2);
    system.shutdown().await.unwrap();
    assert_eq!(system.nodes().len(), 0);
}
