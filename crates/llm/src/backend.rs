//! What answers: the port that models, servers and nodes plug into.

use crate::{BackendError, Chat, ErrorKind, Usage};
use futures_core::Stream;
use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// Something that answers chats.
///
/// [`complete`](Self::complete) is enough; the other methods are for backends that can do more. A
/// method may panic: that call fails, and nothing else does.
///
/// ```
/// use ropewalk_llm::{Backend, BackendError, Call, Chat, Completion, Llm};
///
/// struct Echo;
///
/// impl Backend for Echo {
///     async fn complete(&self, call: Call) -> Result<Completion, BackendError> {
///         let last = call.chat.body().messages.last().map(|m| m.content.clone()).unwrap_or_default();
///         Ok(Completion::new(last))
///     }
/// }
///
/// let llm = Llm::builder(Echo).build()?;
/// assert_eq!(&*llm.ask_blocking(Chat::model("echo").user("hello"))?.text, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Backend: Send + Sync + 'static {
    /// Answers one call. Dropping the future gives the call up.
    fn complete(&self, call: Call) -> impl Future<Output = Result<Completion, BackendError>> + Send;

    /// Answers one call piece by piece. Without one of your own it is one piece.
    fn stream(&self, call: Call) -> impl Future<Output = Result<Deltas, BackendError>> + Send {
        async move {
            let completion = self.complete(call).await?;
            let delta = Delta::new(completion.text.clone()).end(completion);
            Ok(Box::pin(Once(Some(Ok(delta)))) as Deltas)
        }
    }

    /// Whether a batch is to come as one call of [`complete_batch`](Self::complete_batch) instead of one
    /// call of [`complete`](Self::complete) for each.
    fn takes_batches(&self) -> bool {
        false
    }

    /// Answers calls for one model that go out together: one answer for each, in order. It is used
    /// where [`takes_batches`](Self::takes_batches) says so.
    fn complete_batch(
        &self,
        calls: Vec<Call>,
    ) -> impl Future<Output = Vec<Result<Completion, BackendError>>> + Send {
        async move {
            let mut answers = Vec::with_capacity(calls.len());
            for call in calls {
                answers.push(self.complete(call).await);
            }
            answers
        }
    }

    /// Chooses where a batch goes; the choice is handed to each of its calls. It must not wait.
    ///
    /// # Errors
    ///
    /// Fails every call of the batch.
    fn route(&self, batch: &Batch<'_>) -> Result<Route, BackendError> {
        let _ = batch;
        Ok(Route::default())
    }

    /// Looks whether it is set up in a way that can work, without asking anybody.
    ///
    /// # Errors
    ///
    /// What is wrong; the processor is not built then.
    fn validate(&self) -> Result<(), BackendError> {
        Ok(())
    }
}

/// One call to a backend.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Call {
    /// What is asked.
    pub chat: Chat,
    /// 1 at first, more for each retry.
    pub attempt: u32,
    /// The same for all attempts, so that a server that knows it does the work once.
    pub idempotency_key: Arc<str>,
    /// When nobody will want the answer any more.
    pub deadline: Option<Instant>,
    /// What [`Backend::route`] chose.
    pub route: Route,
}

impl Call {
    /// A first call that goes nowhere in particular.
    pub fn new(chat: Chat) -> Self {
        Self { chat, attempt: 1, idempotency_key: "".into(), deadline: None, route: Route::default() }
    }
}

/// A batch that wants to be routed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Batch<'a> {
    /// The model that all its calls are for.
    pub model: &'a Arc<str>,
    /// How many calls.
    pub calls: usize,
    /// Where earlier attempts of these calls failed.
    pub failed: &'a [Route],
}

impl<'a> Batch<'a> {
    /// A batch of `calls` for `model` of which none has failed before.
    pub fn new(model: &'a Arc<str>, calls: usize) -> Self {
        Self { model, calls, failed: &[] }
    }
}

/// Where a call goes: whatever its backend needs to know.
#[derive(Clone, Default)]
pub struct Route(Option<Arc<dyn Any + Send + Sync>>);

impl Route {
    /// A route that carries `value`.
    pub fn new<T: Send + Sync + 'static>(value: T) -> Self {
        Self(Some(Arc::new(value)))
    }

    /// What it carries, if it is a `T`.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.as_ref()?.downcast_ref()
    }
}

/// What it carries is the user's: a panic in its drop ends here.
impl Drop for Route {
    fn drop(&mut self) {
        let carried = self.0.take();
        let _dropped = catch_unwind(AssertUnwindSafe(move || drop(carried)));
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Route(chosen)" } else { "Route(none)" })
    }
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Completion {
    /// The text.
    pub text: String,
    /// The model that answered, if it is not simply the one asked.
    pub model: Option<String>,
    /// Tokens; zeros when unknown.
    pub usage: Usage,
    /// Why the model stopped.
    pub finish_reason: Option<String>,
    /// What the server says is left of the rate limits.
    pub allowance: Allowance,
}

/// What a server says is left of its rate limits. `None` where it says nothing, or nothing sensible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Allowance {
    /// Requests left.
    pub requests: Option<u64>,
    /// Tokens left.
    pub tokens: Option<u64>,
}

impl Allowance {
    /// Requests and tokens left.
    pub fn new(requests: Option<u64>, tokens: Option<u64>) -> Self {
        Self { requests, tokens }
    }
}

impl Completion {
    /// An answer of `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Names the model that answered.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Says how many tokens it cost.
    #[must_use]
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }

    /// Says why the model stopped.
    #[must_use]
    pub fn finish_reason(mut self, reason: impl Into<String>) -> Self {
        self.finish_reason = Some(reason.into());
        self
    }

    /// Says what is left of the rate limits.
    #[must_use]
    pub fn allowance(mut self, allowance: Allowance) -> Self {
        self.allowance = allowance;
        self
    }
}

/// The pieces of a streamed answer. It ends after the piece that carries the
/// [`end`](Delta::end); if it ends without one, the answer broke off.
pub type Deltas = Pin<Box<dyn Stream<Item = Result<Delta, BackendError>> + Send>>;

/// A piece of a streamed answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delta {
    /// More of the text.
    pub text: String,
    /// In the last piece: everything but the text, which is that of all pieces.
    pub end: Option<Completion>,
}

impl Delta {
    /// More of the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), end: None }
    }

    /// Makes this the last piece. The text of `completion` is ignored.
    #[must_use]
    pub fn end(mut self, completion: Completion) -> Self {
        self.end = Some(completion);
        self
    }
}

struct Once(Option<Result<Delta, BackendError>>);

impl Stream for Once {
    type Item = Result<Delta, BackendError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take())
    }
}

/// A future of a call whose backend type is forgotten.
pub(crate) type CallFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// [`Backend`] as an object. Futures own the backend, so that they can go to any executor.
pub(crate) trait AnyBackend: Send + Sync {
    fn complete(self: Arc<Self>, call: Call) -> CallFuture<Result<Completion, BackendError>>;
    fn stream(self: Arc<Self>, call: Call) -> CallFuture<Result<Deltas, BackendError>>;
    fn takes_batches(&self) -> bool;
    fn complete_batch(self: Arc<Self>, calls: Vec<Call>)
    -> CallFuture<Vec<Result<Completion, BackendError>>>;
    fn route(&self, batch: &Batch<'_>) -> Result<Route, BackendError>;
}

impl<B: Backend> AnyBackend for B {
    fn complete(self: Arc<Self>, call: Call) -> CallFuture<Result<Completion, BackendError>> {
        Box::pin(async move { Backend::complete(&*self, call).await })
    }

    fn stream(self: Arc<Self>, call: Call) -> CallFuture<Result<Deltas, BackendError>> {
        Box::pin(async move { Backend::stream(&*self, call).await })
    }

    fn takes_batches(&self) -> bool {
        Backend::takes_batches(self)
    }

    fn complete_batch(
        self: Arc<Self>,
        calls: Vec<Call>,
    ) -> CallFuture<Vec<Result<Completion, BackendError>>> {
        Box::pin(async move {
            let wanted = calls.len();
            let mut answers = Backend::complete_batch(&*self, calls).await;
            if answers.len() != wanted {
                let message = format!("{} answers came for a batch of {wanted}", answers.len());
                answers = vec![Err(BackendError::new(ErrorKind::Malformed, message)); wanted];
            }
            answers
        })
    }

    fn route(&self, batch: &Batch<'_>) -> Result<Route, BackendError> {
        Backend::route(self, batch)
    }
}

/// Forwards to the backend inside.
impl<B: Backend> Backend for Arc<B> {
    fn complete(&self, call: Call) -> impl Future<Output = Result<Completion, BackendError>> + Send {
        (**self).complete(call)
    }

    fn stream(&self, call: Call) -> impl Future<Output = Result<Deltas, BackendError>> + Send {
        (**self).stream(call)
    }

    fn takes_batches(&self) -> bool {
        (**self).takes_batches()
    }

    fn complete_batch(
        &self,
        calls: Vec<Call>,
    ) -> impl Future<Output = Vec<Result<Completion, BackendError>>> + Send {
        (**self).complete_batch(calls)
    }

    fn route(&self, batch: &Batch<'_>) -> Result<Route, BackendError> {
        (**self).route(batch)
    }

    fn validate(&self) -> Result<(), BackendError> {
        (**self).validate()
    }
}

/// How long parts of a call may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallLimits {
    pub(crate) whole: Duration,
    pub(crate) stall: Duration,
}
