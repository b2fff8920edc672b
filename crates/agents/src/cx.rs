//! What a body is given.

use crate::{
    agent::{AgentHandle, Shared},
    cancel::{CancelToken, StopReason},
    engine::{Inner, Record},
    error::{RecvError, SendError, owner_name},
    mailbox::Sent,
    message::Message,
    task::{Priority, TaskBuilder, TaskId},
};
use ropewalk_graph::Claim;
use ropewalk_resources::{AcquireError, Lease, Request, TryAcquireError};
use ropewalk_sync::Clock;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// One attempt of one task, seen from its body. Clones are the same attempt.
#[derive(Clone)]
pub struct TaskCx(Arc<Cx>);

struct Cx {
    record: Arc<Record>,
    claim: Claim,
    agent: AgentHandle,
    token: CancelToken,
}

impl TaskCx {
    pub(crate) fn new(
        inner: Arc<Inner>,
        record: Arc<Record>,
        claim: Claim,
        agent: Arc<Shared>,
        token: CancelToken,
    ) -> Self {
        Self(Arc::new(Cx { record, claim, agent: AgentHandle { shared: agent, inner }, token }))
    }

    /// The task's id.
    pub fn id(&self) -> TaskId {
        self.0.record.id
    }

    /// The task's name.
    pub fn name(&self) -> &str {
        &self.0.record.name
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.0.claim.attempt()
    }

    /// The task's priority.
    pub fn priority(&self) -> Priority {
        self.0.record.priority
    }

    /// What was noted under `key` when the task was described.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.0.record.metadata.get(key).map(|value| &**value)
    }

    /// The agent that runs this: its name, its mailbox.
    pub fn agent(&self) -> &AgentHandle {
        &self.0.agent
    }

    /// The coordinator's clock.
    pub fn clock(&self) -> &Clock {
        &self.0.agent.inner.clock
    }

    /// Waits for `duration` of the coordinator's clock.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + use<> {
        self.clock().sleep(duration)
    }

    /// When the task has to be done, if it was given a deadline.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.record.deadline
    }

    /// Whether this attempt should stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.token.is_cancelled()
    }

    /// Why it should stop, if it should.
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.0.token.reason()
    }

    /// Completes when this attempt should stop. An async body is dropped when the grace is over, a
    /// blocking one is given up on.
    pub async fn cancelled(&self) {
        self.0.token.cancelled().await;
    }

    /// The token behind [`cancelled`](Self::cancelled), to hand on.
    pub fn token(&self) -> &CancelToken {
        &self.0.token
    }

    /// Sends to another agent from this one; waits for room.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message.
    pub async fn send(&self, to: &str, message: Message) -> Result<Sent, SendError> {
        let (agent, message) = self.addressed(to, message)?;
        agent.send(message).await
    }

    /// [`send`](Self::send) that does not wait.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message.
    pub fn try_send(&self, to: &str, message: Message) -> Result<Sent, SendError> {
        let (agent, message) = self.addressed(to, message)?;
        agent.try_send(message)
    }

    /// [`send`](Self::send) on this thread.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message.
    pub fn send_blocking(&self, to: &str, message: Message) -> Result<Sent, SendError> {
        let (agent, message) = self.addressed(to, message)?;
        agent.send_blocking(message)
    }

    /// Sends to all other agents that have room; returns how many got it. Never waits.
    pub fn broadcast(&self, message: Message) -> usize {
        let me = &self.0.agent.shared;
        let message = message.from(me.name.clone());
        let reached = self.0.agent.inner.broadcast(None, Some(&me.name), &message);
        me.sent.add(reached as u64);
        reached
    }

    /// Waits for the next message to this agent. Tasks of one agent share its mailbox.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn recv(&self) -> Result<Message, RecvError> {
        self.0.agent.recv().await
    }

    /// Takes a message to this agent, if there is one.
    ///
    /// # Errors
    ///
    /// [`RecvError`].
    pub fn try_recv(&self) -> Result<Message, RecvError> {
        self.0.agent.try_recv()
    }

    /// Takes more resources on the way, in the name of this task. While it waits, the task lends its
    /// slot and its agent's place out, so that whoever has to run for them to come back can. Waiting that would close a
    /// circle of holders is refused with the circle's name.
    ///
    /// Better is to ask for everything at the start with `needs`.
    ///
    /// # Errors
    ///
    /// [`AcquireError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line.
    pub async fn acquire(&self, request: Request) -> Result<Lease, AcquireError> {
        let inner = &self.0.agent.inner;
        let owner = owner_name(self.name(), self.id());
        match inner.pool.try_acquire(owner.as_str(), &request) {
            Ok(lease) => return Ok(lease),
            Err(TryAcquireError::Acquire(error)) => return Err(error),
            Err(_) => {}
        }
        let _lent = inner.lend(&self.0.agent.shared);
        inner.pool.acquire(owner, request).await
    }

    /// Starts describing another task of the team. It is not tied to this one.
    pub fn task(&self, name: impl Into<Arc<str>>) -> TaskBuilder {
        TaskBuilder::new(self.0.agent.inner.clone(), name.into())
    }

    fn addressed(&self, to: &str, message: Message) -> Result<(AgentHandle, Message), SendError> {
        let inner = &self.0.agent.inner;
        let message = message.from(self.0.agent.shared.name.clone());
        let found = inner.state.lock().roster.find(to).cloned();
        match found {
            Some(shared) => {
                self.0.agent.shared.sent.incr();
                Ok((AgentHandle { shared, inner: inner.clone() }, message))
            }
            None => Err(SendError::UnknownAgent { name: Arc::from(to), message }),
        }
    }
}

impl fmt::Debug for TaskCx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskCx")
            .field("task", &self.name())
            .field("attempt", &self.attempt())
            .field("agent", &self.0.agent.name())
            .finish_non_exhaustive()
    }
}
