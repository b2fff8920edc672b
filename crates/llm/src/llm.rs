//! The processor as its users see it.

use crate::{Ask, AskError, AskStream, Backend, Chat, LlmBuilder, LlmStats, Reply, engine::Engine};
use ropewalk_sync::{Background, Canceled};
use std::{fmt, sync::Arc};

/// Asks models: from the cache, by a call that is on its way already, or by a call that goes out when
/// concurrency, budget and priority allow it.
///
/// It starts one thread, which drives all calls and ends with the last clone; with
/// [`spawner`](LlmBuilder::spawner) it starts none. Clones share everything. Dropping the last drops
/// calls that nobody waits for; [`close`](Self::close) waits for them.
#[derive(Clone)]
pub struct Llm(Arc<Handle>);

struct Handle {
    engine: Arc<Engine>,
    thread: Option<Background>,
}

impl Llm {
    /// A processor in front of `backend`.
    pub fn builder(backend: impl Backend) -> LlmBuilder {
        LlmBuilder::new(backend)
    }

    pub(crate) fn new(engine: Arc<Engine>, thread: Option<Background>) -> Self {
        Self(Arc::new(Handle { engine, thread }))
    }

    /// A question, to be awaited; see [`Ask`] for what can be said about it before.
    ///
    /// # Errors
    ///
    /// Its future ends with [`AskError`] when there is no answer.
    ///
    /// # Cancel safety
    ///
    /// See [`Ask`].
    pub fn ask(&self, chat: Chat) -> Ask<'_> {
        Ask::new(self, chat)
    }

    /// Asks, and parks this thread until there is an answer. With a priority or a deadline:
    /// `llm.ask(chat).priority(..).blocking()`.
    ///
    /// # Errors
    ///
    /// [`AskError`] says why there is no answer.
    pub fn ask_blocking(&self, chat: Chat) -> Result<Reply, AskError> {
        self.ask(chat).blocking()
    }

    /// Asks for the answer piece by piece.
    ///
    /// ```
    /// # use ropewalk_llm::{Backend, BackendError, Call, Chat, Completion, Llm};
    /// # struct Echo;
    /// # impl Backend for Echo {
    /// #     async fn complete(&self, call: Call) -> Result<Completion, BackendError> { Ok(Completion::new("hello")) }
    /// # }
    /// # ropewalk_sync::block_on(async {
    /// let llm = Llm::builder(Echo).build()?;
    /// let mut stream = llm.ask_stream(Chat::model("m").user("hello?"));
    /// while let Some(piece) = stream.next().await {
    ///     print!("{}", piece?);
    /// }
    /// assert_eq!(&*stream.reply().unwrap().text, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn ask_stream(&self, chat: Chat) -> AskStream<'_> {
        self.ask(chat).stream()
    }

    /// Fixes how many calls may be in flight, from now on; ends adaptive concurrency. Zero holds all
    /// questions back until it is raised again.
    pub fn resize(&self, calls: usize) {
        self.engine().set_limit(calls);
    }

    /// Takes no new questions, but those that the cache can answer, and waits until all that were asked
    /// have their answers. Closing again waits again.
    ///
    /// # Cancel safety
    ///
    /// It stays closed.
    pub async fn close(&self) {
        // The sender is dropped unsent only with the engine.
        let (Ok(()) | Err(Canceled)) = self.engine().close().await;
    }

    /// [`close`](Self::close) that parks this thread.
    pub fn close_blocking(&self) {
        self.engine().clock.block_on(self.close());
    }

    /// Counts so far and the present state.
    pub fn stats(&self) -> LlmStats {
        self.engine().stats()
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.0.engine
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.engine.stop();
        drop(self.thread.take());
    }
}

impl fmt::Debug for Llm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Llm").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
