//! Answers piece by piece.

use crate::{
    AskError, Chat, Llm, Reply,
    ask::Options,
    engine::{Begun, Piece, Sink, Waiting},
};
use futures_core::Stream;
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// An answer that arrives piece by piece: [`next`](Self::next), or a `futures` stream.
///
/// Its call holds a permit until the answer is complete, however slowly the pieces are taken; they
/// wait here. A call that fails before its first piece is tried again, one that fails later is not,
/// because the pieces would come twice.
///
/// # Cancel safety
///
/// Dropping it gives the call up.
#[must_use = "nothing is asked until the first piece is asked for"]
pub struct AskStream<'a> {
    llm: &'a Llm,
    state: State,
    reply: Option<Reply>,
}

enum State {
    Asked(Chat, Options),
    Waiting(Waiting),
    Done,
}

impl<'a> AskStream<'a> {
    pub(crate) fn new(llm: &'a Llm, chat: Chat, options: Options) -> Self {
        Self { llm, state: State::Asked(chat, options), reply: None }
    }

    /// The next piece of the text; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`AskError`] when the answer breaks off or none comes; nothing follows it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no piece.
    pub async fn next(&mut self) -> Option<Result<String, AskError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// [`next`](Self::next) that parks this thread.
    pub fn next_blocking(&mut self) -> Option<Result<String, AskError>> {
        let clock = self.llm.engine().clock.clone();
        clock.block_on(self.next())
    }

    /// Takes what is left of the pieces and gives the whole answer.
    ///
    /// # Errors
    ///
    /// As for [`next`](Self::next); `AskError::Closed` also when an error was taken before.
    pub async fn finish(mut self) -> Result<Reply, AskError> {
        while let Some(piece) = self.next().await {
            piece?;
        }
        self.reply.ok_or(AskError::Closed)
    }

    /// The whole answer, once [`next`](Self::next) has given `None`.
    pub fn reply(&self) -> Option<&Reply> {
        self.reply.as_ref()
    }

    fn end(&mut self, rest: String, reply: Reply) -> Poll<Option<Result<String, AskError>>> {
        self.reply = Some(reply);
        Poll::Ready(if rest.is_empty() { None } else { Some(Ok(rest)) })
    }
}

impl Stream for AskStream<'_> {
    type Item = Result<String, AskError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::mem::replace(&mut self.state, State::Done) {
                State::Asked(chat, options) => {
                    let sink = Arc::new(Sink::default());
                    match self.llm.engine().begin(chat, &options, Some(sink)) {
                        Err(error) => return Poll::Ready(Some(Err(error))),
                        Ok(Begun::Hit(reply)) => {
                            let text = reply.text.to_string();
                            return self.end(text, reply);
                        }
                        Ok(Begun::Waiting(waiting)) => self.state = State::Waiting(waiting),
                    }
                }
                State::Waiting(mut waiting) => match waiting.poll_piece(cx) {
                    Poll::Pending => {
                        self.state = State::Waiting(waiting);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(Piece::Text(text))) => {
                        self.state = State::Waiting(waiting);
                        return Poll::Ready(Some(Ok(text)));
                    }
                    Poll::Ready(Ok(Piece::End { rest, reply })) => return self.end(rest, reply),
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                },
                State::Done => return Poll::Ready(None),
            }
        }
    }
}

impl fmt::Debug for AskStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AskStream").field("reply", &self.reply).finish_non_exhaustive()
    }
}
