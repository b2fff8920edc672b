//! A coordinator for teams of agents.

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
