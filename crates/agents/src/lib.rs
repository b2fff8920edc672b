//! A coordinator for teams of agents: mailboxes, tasks with dependencies, resources, priorities,
//! retries and isolation.
//!
//! ```
//! use ropewalk_agents::{Coordinator, Message, Priority, Request};
//! use std::time::Duration;
//!
//! let team = Coordinator::builder().agents(50).tasks(200).build()?;
//! let parse = team.task("parse").priority(Priority::High).spawn(|_cx| async { Ok::<_, String>("ast") });
//! let review = team
//!     .task("review src/lib.rs")
//!     .agent("reviewer")
//!     .after([&parse])
//!     .needs(Request::new().exclusive("src/lib.rs"))
//!     .timeout(Duration::from_secs(60))
//!     .spawn(|cx| async move {
//!         cx.broadcast(Message::new("reviewing"));
//!         Ok::<_, String>(cx.attempt())
//!     });
//! assert_eq!(review.join_blocking()?, 1); // or `.await` it
//! team.shutdown_blocking(); // drains
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! * [`Coordinator`] is the team: it [takes tasks on](Coordinator::task), [adds
//!   agents](Coordinator::add_agent), [tells everything](Coordinator::snapshot), and
//!   [drains](Coordinator::shutdown).
//! * [`TaskBuilder`] describes a task: who, when, what it needs, how often, how long. Its body is an
//!   async function of a [`TaskCx`], or a [blocking](TaskBuilder::spawn_blocking) one. The
//!   [`TaskHandle`] is awaited, or joined by a thread.
//! * [`Agent`]s are passive: a name, roles, a [`Mailbox`], room for some tasks. Who is not there is
//!   hired when a task asks for a role that nobody was added for.
//! * Bodies run on threads of the coordinator's own ([`Executor`]), or on any
//!   [spawner](CoordinatorBuilder::spawner); `tokio` with the feature of that name. The core knows no
//!   runtime.
//!
//! # Guarantees
//!
//! | | |
//! |---|---|
//! | limits | never more tasks run, and agents are busy, than allowed, but for bodies that come back from [`TaskCx::acquire`] |
//! | a task's body | starts after its dependencies ended as its rule says, with its whole lease in hand; attempts never overlap, but for blocking bodies that were given up |
//! | a late attempt | changes nothing: reports carry a claim that the graph checks |
//! | isolation | a body that panics, fails, hangs (with a timeout) or is cancelled ends its own task; its slot, its agent's place and its lease come back, before its handle resolves (when it was cancelled in the pool's line: right after). The one exception is stated at [`TaskBuilder::spawn_blocking`] |
//! | no circle of waits | who waits for a lease holds no slot; who holds a slot has its lease; a body that wants more lends its slot out, and a circle of holders is refused by name |
//! | order | effective priority (ageing lifts), then critical path, then age; a task whose lease was granted goes before those without |
//! | no polling | each end, grant and message sets off what can follow, on the thread that caused it |
//! | handles | each resolves exactly once, whatever happens, even when the runtime goes away |
//! | locks | two short ones, never together; no user code and no wake-up under either |
//! | memory | finished tasks are forgotten beyond [`keep_finished`](CoordinatorBuilder::keep_finished), but for those with a handle or a dependent that needs them |
//!
//! Every waiting operation says what dropping its future does. A panic in a listener, in
//! [`retry_if`](TaskBuilder::retry_if), in another's waker, in what an error says of itself, or in the drop of
//! what a body captured, holds or returns is caught.
//!
//! # Features
//!
//! * `tokio`: `CoordinatorBuilder::tokio`.
//! * `serde`: `Serialize` for snapshots.

#![forbid(unsafe_code)]

mod agent;
mod backoff;
mod builder;
mod cancel;
mod coordinator;
mod cx;
mod engine;
mod error;
mod event;
mod executor;
mod guard;
mod mailbox;
mod message;
mod snapshot;
mod task;

pub use agent::{Agent, AgentHandle};
pub use backoff::Backoff;
pub use builder::CoordinatorBuilder;
pub use cancel::{CancelToken, StopReason};
pub use coordinator::Coordinator;
pub use cx::TaskCx;
pub use error::{
    BoxError, BuildError, JoinTimeoutError, RecvError, RemoveAgentError, SendError, ShutdownTimeout,
    SpawnError, TaskError,
};
pub use event::{Event, EventKind};
pub use executor::{Executor, Spawner};
pub use mailbox::{Mailbox, Overflow, Recv, Sent};
pub use message::Message;
pub use ropewalk_graph::{LookupError, Order};
pub use ropewalk_resources::{Request, ResourcePool};
pub use snapshot::{AgentInfo, Snapshot, Stats, TaskInfo};
pub use task::{FailurePolicy, Priority, Status, TaskBuilder, TaskHandle, TaskId, TriggerRule};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
