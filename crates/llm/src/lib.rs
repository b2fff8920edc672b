//! Asks language models so that no question is paid for twice and no model gets more than it can take.
//!
//! ```
//! use ropewalk_llm::{Backend, BackendError, Budget, Call, Chat, Completion, Llm, Priority, Source};
//!
//! struct Shout; // or `OpenAi::from_env()?`
//! impl Backend for Shout {
//!     async fn complete(&self, call: Call) -> Result<Completion, BackendError> {
//!         Ok(Completion::new(call.chat.body().messages[0].content.to_uppercase()))
//!     }
//! }
//!
//! # ropewalk_sync::block_on(async {
//! let llm = Llm::builder(Shout).concurrency(10).budget(Budget::per_minute().requests(500)).cache(10_000).build()?;
//! let question = Chat::model("shout").user("hello");
//! let reply = llm.ask(question.clone()).priority(Priority::High).await?;
//! assert_eq!((&*reply.text, reply.source), ("HELLO", Source::Backend));
//! assert_eq!(llm.ask(question).await?.source, Source::Cache);
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! # Overview
//!
//! A question goes through these stages, and through none that it does not need:
//!
//! 1. **Cache**: an equal question was answered before.
//! 2. **Single flight**: an equal question is on its way; its answer is this one's too.
//! 3. **Batch**: up to 5 questions for one model leave together, under one choice of a node. Nothing
//!    waits for a batch to fill.
//! 4. **Limit**: a permit for each question, a number or [`Adaptive`]; a [`Budget`] of requests and
//!    tokens; [`Priority`] and age say who is next.
//! 5. **Balance**: [`Nodes`] picks a node by a balancer of `ropewalk-balance`.
//! 6. **Retry**: a call that failed in passing waits, then takes its turn again at its old priority and age.
//! 7. **Backend**: a [`Backend`] of yours, or `OpenAi` (feature `openai`, default) for any server of that
//!    wire format.
//!
//! [`Llm::ask`] is awaited, [`Llm::ask_blocking`] parks its thread, [`Llm::ask_stream`] gives the answer
//! piece by piece. [`Llm::stats`] says what came of it.
//!
//! # Guarantees
//!
//! * **One call for one question**: of equal questions that are asked while none is answered yet, one
//!   makes a call; also when the one who started it has gone. Errors are never cached.
//! * **Bounded**: never more calls in flight than permits, retries included; a queue of limited length,
//!   beyond which questions are refused at once.
//! * **Work-conserving**: a question waits only for a permit, for the budget, or for those before it.
//! * **No starvation**: a question is overtaken only by more urgent ones that come within the ageing time
//!   for each level between them.
//! * **Cancel safety**: dropping a question's future leaves the queue and loses nothing: a call that is
//!   on its way goes on and fills the cache.
//! * **Panic safety**: a backend that panics fails that call. No lock is held while a backend runs.
//! * **No caller's thread** ever makes a call: it is driven by the processor's thread or spawner.
//!
//! # Features
//!
//! * `openai` (default): the OpenAI wire format over HTTP, on tokio.
//! * `serde`: `Serialize` for [`LlmStats`].

#![forbid(unsafe_code)]

mod adaptive;
mod ask;
mod backend;
mod budget;
mod builder;
mod chat;
mod engine;
mod error;
mod jobs;
mod llm;
mod nodes;
#[cfg(feature = "openai")]
mod openai;
mod reply;
mod retry;
mod stats;
mod stream;

pub use adaptive::{Adaptive, Concurrency};
pub use ask::{Ask, Asking};
pub use backend::{Allowance, Backend, Batch, Call, Completion, Delta, Deltas, Route};
pub use budget::Budget;
pub use builder::LlmBuilder;
pub use chat::{Body, Chat, Message, Role};
pub use error::{AskError, BackendError, BuildError, ErrorKind, Stage};
pub use llm::Llm;
pub use nodes::Nodes;
#[cfg(feature = "openai")]
pub use openai::OpenAi;
pub use reply::{Priority, Reply, Source, Usage};
pub use retry::Retry;
pub use stats::LlmStats;
pub use stream::AskStream;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
