//! A question, before and while it is asked.

use crate::{
    AskError, AskStream, Chat, Llm, Priority, Reply,
    engine::{Begun, Waiting},
};
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) priority: Priority,
    pub(crate) deadline: Option<Duration>,
    pub(crate) share: bool,
    pub(crate) cache: bool,
    pub(crate) idempotency_key: Option<Arc<str>>,
}

impl Default for Options {
    fn default() -> Self {
        Self { priority: Priority::Normal, deadline: None, share: true, cache: true, idempotency_key: None }
    }
}

/// A question that can still be given a priority, a deadline and the like. It is asked by `.await`,
/// [`blocking`](Self::blocking) or [`stream`](Self::stream).
///
/// # Cancel safety
///
/// Dropping the future leaves the question: it is taken out of the queue if nobody else waits for its
/// answer. A call that is on its way goes on, and its answer goes into the cache.
#[must_use = "nothing is asked until it is awaited, blocked on or streamed"]
#[derive(Debug)]
pub struct Ask<'a> {
    llm: &'a Llm,
    chat: Chat,
    options: Options,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(llm: &'a Llm, chat: Chat) -> Self {
        Self { llm, chat, options: Options::default() }
    }

    /// Who goes first; [`Priority::Normal`] by default. A call that several wait for goes at the most
    /// urgent of theirs.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.options.priority = priority;
        self
    }

    /// Gives up after so long, from the moment it is asked; never by default.
    pub fn deadline(mut self, after: Duration) -> Self {
        self.options.deadline = Some(after);
        self
    }

    /// Makes a call of its own even if the same question is on its way: for answers that are sampled and
    /// should differ. Nobody else shares the call either. The cache is still used.
    pub fn no_share(mut self) -> Self {
        self.options.share = false;
        self
    }

    /// Neither looks into the cache nor fills it, and shares no call: a fresh answer, for once.
    pub fn no_cache(mut self) -> Self {
        self.options.cache = false;
        self.options.share = false;
        self
    }

    /// The key by which a server can tell that it has done this work already, also after a restart of
    /// this process. By default each call has one of its own, the same for all its attempts. Who shares
    /// a call shares its key.
    pub fn idempotency_key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.options.idempotency_key = Some(key.into());
        self
    }

    /// Asks, and parks this thread until there is an answer.
    ///
    /// # Errors
    ///
    /// [`AskError`] says why there is none.
    pub fn blocking(self) -> Result<Reply, AskError> {
        let clock = &self.llm.engine().clock;
        clock.block_on(self.into_future())
    }

    /// Asks for the answer piece by piece. A stream makes a call of its own unless the answer is in the
    /// cache, and fills the cache at its end.
    pub fn stream(self) -> AskStream<'a> {
        AskStream::new(self.llm, self.chat, self.options)
    }
}

impl<'a> IntoFuture for Ask<'a> {
    type Output = Result<Reply, AskError>;
    type IntoFuture = Asking<'a>;

    fn into_future(self) -> Asking<'a> {
        Asking { llm: self.llm, state: State::Asked(self.chat, self.options) }
    }
}

/// The future of an [`Ask`].
#[must_use = "futures do nothing unless polled"]
pub struct Asking<'a> {
    llm: &'a Llm,
    state: State,
}

enum State {
    Asked(Chat, Options),
    Waiting(Waiting),
    Done,
}

impl Future for Asking<'_> {
    type Output = Result<Reply, AskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match std::mem::replace(&mut self.state, State::Done) {
                State::Asked(chat, options) => match self.llm.engine().begin(chat, &options, None)? {
                    Begun::Hit(reply) => return Poll::Ready(Ok(reply)),
                    Begun::Waiting(waiting) => self.state = State::Waiting(waiting),
                },
                State::Waiting(mut waiting) => {
                    let answer = waiting.poll_reply(cx);
                    if answer.is_pending() {
                        self.state = State::Waiting(waiting);
                    }
                    return answer;
                }
                State::Done => panic!("an answered question was polled again"),
            }
        }
    }
}

impl fmt::Debug for Asking<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Asked(..) => "Asking(not yet)",
            State::Waiting(_) => "Asking(waiting)",
            State::Done => "Asking(done)",
        })
    }
}
