//! The coordinator.

use crate::{
    agent::{Agent, AgentHandle},
    builder::CoordinatorBuilder,
    engine::Inner,
    error::{BuildError, RemoveAgentError, SendError, ShutdownTimeout},
    event::EventKind,
    executor::Executor,
    mailbox::Sent,
    message::Message,
    snapshot::{Snapshot, Stats},
    task::{TaskBuilder, TaskId},
};
use ropewalk_graph::{Graph, LookupError};
use ropewalk_resources::ResourcePool;
use ropewalk_sync::{Clock, Elapsed};
use std::{fmt, sync::Arc, time::Duration};

/// A team of agents and their tasks. Clones are handles to one team.
///
/// Unless it was built with a spawner, it starts threads that poll the bodies of tasks, one per core,
/// and ends them when the last handle drops; blocking bodies get a thread each. When the last handle
/// drops, whatever is not finished is cancelled; use [`shutdown`](Self::shutdown) to let it finish.
///
/// ```
/// use ropewalk_agents::{Coordinator, Request};
///
/// let team = Coordinator::builder().agents(50).tasks(200).build()?;
/// let parse = team.task("parse").spawn(|_cx| async { Ok::<_, String>(7) });
/// let review = team
///     .task("review src/lib.rs")
///     .agent("reviewer")
///     .after([&parse])
///     .needs(Request::new().exclusive("src/lib.rs"))
///     .retries(3)
///     .spawn(|cx| async move { Ok::<_, String>(format!("{} by {}", cx.name(), cx.agent().name())) });
/// assert_eq!(review.join_blocking()?, "review src/lib.rs by reviewer-1");
/// assert_eq!(parse.join_blocking()?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Coordinator {
    owner: Arc<Owner>,
}

/// What ends with the last handle. Tasks hold the engine, not this.
struct Owner {
    inner: Arc<Inner>,
    /// Dropped after the tasks were told to stop: joins its threads.
    executor: Option<Executor>,
}

impl Coordinator {
    /// A team of at most 50 busy agents and 200 running tasks.
    ///
    /// # Panics
    ///
    /// When the operating system refuses a thread.
    pub fn new() -> Self {
        Self::builder().build().expect("the defaults are valid")
    }

    /// Starts setting one up.
    pub fn builder() -> CoordinatorBuilder {
        CoordinatorBuilder::new()
    }

    pub(crate) fn from_parts(inner: Arc<Inner>, executor: Option<Executor>) -> Self {
        Self { owner: Arc::new(Owner { inner, executor }) }
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.owner.inner
    }

    /// Starts describing a task. The name says what is to be done, for people.
    pub fn task(&self, name: impl Into<Arc<str>>) -> TaskBuilder {
        TaskBuilder::new(self.inner().clone(), name.into())
    }

    /// Calls a task off; see [`TaskHandle::cancel`](crate::TaskHandle::cancel).
    ///
    /// # Errors
    ///
    /// [`LookupError`] when it is not known, or not any more.
    pub fn cancel(&self, task: TaskId) -> Result<(), LookupError> {
        self.inner().cancel_task(task, false)
    }

    /// Calls a task and all that depend on it off.
    ///
    /// # Errors
    ///
    /// As [`cancel`](Self::cancel).
    pub fn cancel_tree(&self, task: TaskId) -> Result<(), LookupError> {
        self.inner().cancel_task(task, true)
    }

    // ---- agents ----

    /// Adds an agent.
    ///
    /// # Errors
    ///
    /// [`BuildError`].
    pub fn add_agent(&self, agent: Agent) -> Result<AgentHandle, BuildError> {
        let inner = self.inner();
        let name = agent.name.clone();
        let shared = {
            let mut state = inner.state.lock();
            if !state.accepting {
                return Err(BuildError::ShutDown);
            }
            state.roster.add(agent, false)?;
            state.roster.find(&name).cloned().expect("just added")
        };
        inner.hub.emit(inner.clock.now(), EventKind::AgentAdded { name });
        inner.dispatch();
        Ok(AgentHandle { shared, inner: inner.clone() })
    }

    /// Lets an idle agent go and closes its mailbox. Messages in it can still be received through
    /// handles.
    ///
    /// # Errors
    ///
    /// [`RemoveAgentError`].
    pub fn remove_agent(&self, name: &str) -> Result<(), RemoveAgentError> {
        let inner = self.inner();
        let shared = inner.state.lock().roster.remove(name)?;
        shared.mailbox.close();
        inner.hub.emit(inner.clock.now(), EventKind::AgentRemoved { name: shared.name.clone() });
        // Whoever asked for it may get somebody hired now.
        inner.dispatch();
        Ok(())
    }

    /// An agent by name.
    pub fn agent(&self, name: &str) -> Option<AgentHandle> {
        let shared = self.inner().state.lock().roster.find(name).cloned()?;
        Some(AgentHandle { shared, inner: self.inner().clone() })
    }

    /// All agents.
    pub fn agents(&self) -> Vec<AgentHandle> {
        let members = self.inner().state.lock().roster.members(None);
        members.into_iter().map(|shared| AgentHandle { shared, inner: self.inner().clone() }).collect()
    }

    /// Sends to an agent; waits for room in its mailbox.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message.
    pub async fn send(&self, to: &str, message: Message) -> Result<Sent, SendError> {
        match self.agent(to) {
            Some(agent) => agent.send(message).await,
            None => Err(SendError::UnknownAgent { name: Arc::from(to), message }),
        }
    }

    /// [`send`](Self::send) that does not wait.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message.
    pub fn try_send(&self, to: &str, message: Message) -> Result<Sent, SendError> {
        match self.agent(to) {
            Some(agent) => agent.try_send(message),
            None => Err(SendError::UnknownAgent { name: Arc::from(to), message }),
        }
    }

    /// [`send`](Self::send) on this thread.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message.
    pub fn send_blocking(&self, to: &str, message: Message) -> Result<Sent, SendError> {
        match self.agent(to) {
            Some(agent) => agent.send_blocking(message),
            None => Err(SendError::UnknownAgent { name: Arc::from(to), message }),
        }
    }

    /// Sends to all agents that have room; returns how many got it. Never waits. Under a dropping
    /// [overflow](crate::Overflow) a full mailbox drops as that says.
    pub fn broadcast(&self, message: &Message) -> usize {
        self.inner().broadcast(None, None, message)
    }

    /// [`broadcast`](Self::broadcast) to those with a role.
    pub fn broadcast_to(&self, role: &str, message: &Message) -> usize {
        self.inner().broadcast(Some(role), None, message)
    }

    // ---- looking ----

    /// Everything about the team.
    pub fn snapshot(&self) -> Snapshot {
        self.inner().snapshot()
    }

    /// Figures of the team.
    pub fn stats(&self) -> Stats {
        self.inner().stats()
    }

    /// The graph of its tasks: for levels, critical path, DOT. Change tasks through the coordinator,
    /// not through the graph.
    pub fn graph(&self) -> &Graph {
        &self.inner().graph
    }

    /// The pool that `needs` are taken from.
    pub fn resources(&self) -> &ResourcePool {
        &self.inner().pool
    }

    /// The clock that it follows.
    pub fn clock(&self) -> &Clock {
        &self.inner().clock
    }

    // ---- the end ----

    /// Waits until no task is unfinished. More may be added meanwhile and after.
    pub async fn idle(&self) {
        let inner = self.inner();
        loop {
            {
                let state = inner.state.lock();
                if state.unfinished == 0 {
                    return;
                }
                // Who ends the last task sets it after this lock is released.
                inner.idle.reset();
            }
            inner.idle.wait().await;
        }
    }

    /// Takes no more tasks and waits until all that were taken on are finished; then closes the
    /// mailboxes. Nothing is lost.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the team draining; call it again to wait for it.
    pub async fn shutdown(&self) {
        self.inner().state.lock().accepting = false;
        self.idle().await;
        self.close();
    }

    /// [`shutdown`](Self::shutdown) on this thread. Do not call it on a thread that runs tasks.
    pub fn shutdown_blocking(&self) {
        self.clock().block_on(self.shutdown());
    }

    /// [`shutdown`](Self::shutdown) that cancels what is not finished within `within`.
    ///
    /// # Errors
    ///
    /// [`ShutdownTimeout`] says how much was cancelled.
    pub async fn shutdown_timeout(&self, within: Duration) -> Result<(), ShutdownTimeout> {
        match self.clock().timeout(within, self.shutdown()).await {
            Ok(()) => Ok(()),
            Err(Elapsed) => {
                let cancelled = self.inner().abort();
                self.close();
                if cancelled == 0 { Ok(()) } else { Err(ShutdownTimeout { cancelled, within }) }
            }
        }
    }

    /// Takes no more tasks and cancels all that are not finished; returns how many.
    pub fn abort(&self) -> usize {
        let cancelled = self.inner().abort();
        self.close();
        cancelled
    }

    fn close(&self) {
        self.owner.close();
    }
}

impl Owner {
    fn close(&self) {
        let members = self.inner.state.lock().roster.members(None);
        for member in members {
            member.mailbox.close();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.inner.abort();
        self.close();
        self.executor = None;
    }
}

impl Inner {
    pub(crate) fn broadcast(
        self: &Arc<Self>,
        role: Option<&str>,
        but: Option<&str>,
        message: &Message,
    ) -> usize {
        let members = self.state.lock().roster.members(role);
        let reached = members.into_iter().filter(|member| but != Some(&*member.name)).filter(|member| {
            let agent = AgentHandle { shared: member.clone(), inner: self.clone() };
            matches!(agent.try_send(message.clone()), Ok(Sent::Delivered | Sent::DroppedOldest))
        });
        reached.count()
    }
}

impl Default for Coordinator {
    /// [`Coordinator::new`].
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coordinator").field("unfinished", &self.stats().unfinished()).finish_non_exhaustive()
    }
}
