//! Agents: passive slots with a name, roles and a mailbox.

use crate::{
    engine::Inner,
    error::{RecvError, SendError},
    mailbox::{Mailbox, Sent},
    message::Message,
};
use ropewalk_measure::Counter;
use std::{fmt, sync::Arc, time::Duration};

/// An agent to be added to a team.
///
/// An agent is a passive slot: a name, roles, a mailbox and room for some tasks at a time. It costs no
/// thread and no task of its own; the bodies of its tasks act for it.
#[derive(Clone, Debug)]
#[must_use = "an agent does nothing until it is added to a coordinator"]
pub struct Agent {
    pub(crate) name: Arc<str>,
    pub(crate) roles: Vec<Arc<str>>,
    pub(crate) capacity: Option<usize>,
    pub(crate) mailbox: Option<usize>,
}

impl Agent {
    /// An agent. A task may ask for it by this name, or by a role.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), roles: Vec::new(), capacity: None, mailbox: None }
    }

    /// Something it can do.
    pub fn role(mut self, role: impl Into<Arc<str>>) -> Self {
        self.roles.push(role.into());
        self
    }

    /// How many tasks it runs at once; the coordinator's number by default.
    pub fn capacity(mut self, tasks: usize) -> Self {
        self.capacity = Some(tasks);
        self
    }

    /// How many messages its mailbox holds; the coordinator's number by default.
    pub fn mailbox(mut self, messages: usize) -> Self {
        self.mailbox = Some(messages);
        self
    }
}

/// What all who deal with an agent share.
pub(crate) struct Shared {
    pub(crate) name: Arc<str>,
    pub(crate) mailbox: Mailbox<Message>,
    pub(crate) sent: Counter,
    pub(crate) received: Counter,
    pub(crate) dropped: Counter,
}

/// An agent of a team: sends to it, and receives for it.
#[derive(Clone)]
pub struct AgentHandle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) inner: Arc<Inner>,
}

impl AgentHandle {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// How many messages wait for it.
    pub fn queued(&self) -> usize {
        self.shared.mailbox.len()
    }

    /// Sends to it without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message.
    pub fn try_send(&self, message: Message) -> Result<Sent, SendError> {
        let sent = self.shared.mailbox.try_send(self.inner.stamp(message));
        self.inner.count_sent(&self.shared, sent)
    }

    /// Sends to it; waits for room in its mailbox.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the message.
    pub async fn send(&self, message: Message) -> Result<Sent, SendError> {
        let sent = self.shared.mailbox.send(self.inner.stamp(message)).await;
        self.inner.count_sent(&self.shared, sent)
    }

    /// [`send`](Self::send) on this thread.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_blocking(&self, message: Message) -> Result<Sent, SendError> {
        let sent = self.shared.mailbox.send_blocking(self.inner.stamp(message));
        self.inner.count_sent(&self.shared, sent)
    }

    /// [`send`](Self::send) that waits for at most `within`.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::Timeout`].
    pub async fn send_timeout(&self, message: Message, within: Duration) -> Result<Sent, SendError> {
        let sent = self.shared.mailbox.send_timeout(self.inner.stamp(message), within).await;
        self.inner.count_sent(&self.shared, sent)
    }

    /// Takes its oldest message without waiting.
    ///
    /// # Errors
    ///
    /// [`RecvError`].
    pub fn try_recv(&self) -> Result<Message, RecvError> {
        self.received(self.shared.mailbox.try_recv())
    }

    /// Waits for its next message. All who receive for one agent share its mailbox; each message goes
    /// to one of them.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] when the agent left or the team was shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn recv(&self) -> Result<Message, RecvError> {
        self.received(self.shared.mailbox.recv().await)
    }

    /// [`recv`](Self::recv) on this thread.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_blocking(&self) -> Result<Message, RecvError> {
        self.received(self.shared.mailbox.recv_blocking())
    }

    /// [`recv`](Self::recv) for at most `within`.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv), and [`RecvError::Timeout`].
    pub async fn recv_timeout(&self, within: Duration) -> Result<Message, RecvError> {
        self.received(self.shared.mailbox.recv_timeout(within).await)
    }

    fn received(&self, result: Result<Message, RecvError>) -> Result<Message, RecvError> {
        if result.is_ok() {
            self.shared.received.incr();
            self.inner.meters.received.incr();
        }
        result
    }
}

impl fmt::Debug for AgentHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentHandle")
            .field("name", &self.shared.name)
            .field("queued", &self.queued())
            .finish_non_exhaustive()
    }
}
