//! What agents tell each other.

use std::{any::Any, fmt, sync::Arc, time::Instant};

/// A message between agents: any value, with who sent it.
///
/// ```
/// use ropewalk_agents::Message;
///
/// let message = Message::new("the parser is done").topic("progress");
/// assert_eq!(message.text(), Some("the parser is done"));
/// assert_eq!(Message::new(42_u32).body::<u32>(), Some(&42));
/// ```
#[derive(Clone)]
pub struct Message {
    pub(crate) from: Arc<str>,
    topic: Option<Arc<str>>,
    body: Arc<dyn Any + Send + Sync>,
    pub(crate) sent: Option<Instant>,
}

impl Message {
    /// A message with any value in it; clones share the value.
    pub fn new(body: impl Any + Send + Sync) -> Self {
        Self { from: Arc::from(""), topic: None, body: Arc::new(body), sent: None }
    }

    /// What it is about.
    pub fn topic(mut self, topic: impl Into<Arc<str>>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Who it is from. The coordinator fills it in for messages sent by a task.
    pub fn from(mut self, sender: impl Into<Arc<str>>) -> Self {
        self.from = sender.into();
        self
    }

    /// Who sent it: an agent's name, or whatever [`from`](Self::from) said; may be empty.
    pub fn sender(&self) -> &str {
        &self.from
    }

    /// What it is about, if that was said.
    pub fn subject(&self) -> Option<&str> {
        self.topic.as_deref()
    }

    /// The value, if it is a `T`.
    pub fn body<T: Any>(&self) -> Option<&T> {
        (*self.body).downcast_ref()
    }

    /// The value, if it is text.
    pub fn text(&self) -> Option<&str> {
        self.body::<&'static str>().copied().or_else(|| self.body::<String>().map(String::as_str))
    }

    /// When it was sent, by the coordinator's clock; `None` before.
    pub fn sent_at(&self) -> Option<Instant> {
        self.sent
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("from", &self.from)
            .field("topic", &self.topic)
            .field("text", &self.text())
            .finish_non_exhaustive()
    }
}
