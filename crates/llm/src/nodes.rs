//! Many nodes as one backend, picked by a balancer.

use crate::{Backend, BackendError, Batch, Call, Completion, Delta, Deltas, ErrorKind, Route};
use futures_core::Stream;
use parking_lot::Mutex;
use ropewalk_balance::{Balancer, Need, NodeId, Outcome, Pick, PickError};
use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// A backend for every node of a [`Balancer`], one of which is picked for each batch.
///
/// A node is asked for the model by name: insert it with `.offers("model")`, or say
/// [`every_model`](Self::every_model). The balancer learns how calls end: failures count towards
/// ejection, refusals for overload steer away from the node. An attempt that failed on one node is made
/// on another one if there is any.
///
/// ```
/// use ropewalk_balance::{Balancer, Node};
/// use ropewalk_llm::{Backend, BackendError, Call, Chat, Completion, Llm, Nodes};
///
/// struct Named(String);
/// impl Backend for Named {
///     async fn complete(&self, _: Call) -> Result<Completion, BackendError> {
///         Ok(Completion::new(self.0.clone()))
///     }
/// }
///
/// let balancer = Balancer::new();
/// balancer.insert(Node::new("a:1").offers("small"))?;
/// balancer.insert(Node::new("b:1").offers("large"))?;
/// let llm = Llm::builder(Nodes::new(balancer, |address| Named(address.to_owned()))).build()?;
/// assert_eq!(&*llm.ask_blocking(Chat::model("large").user("where?"))?.text, "b:1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Nodes<B> {
    balancer: Balancer,
    connect: Box<dyn Fn(&str) -> B + Send + Sync>,
    known: Mutex<HashMap<Arc<str>, Arc<B>>>,
    every_model: bool,
}

impl<B: Backend> Nodes<B> {
    /// A backend for each node, made by `connect` from its address when it is picked for the first time.
    pub fn new(balancer: Balancer, connect: impl Fn(&str) -> B + Send + Sync + 'static) -> Self {
        Self { balancer, connect: Box::new(connect), known: Mutex::default(), every_model: false }
    }

    /// Takes any node for any model, whatever the nodes say that they offer.
    #[must_use]
    pub fn every_model(mut self) -> Self {
        self.every_model = true;
        self
    }

    /// The balancer that picks.
    pub fn balancer(&self) -> &Balancer {
        &self.balancer
    }

    fn need(&self, model: &Arc<str>, failed: &[Route]) -> Need {
        let need = if self.every_model { Need::any() } else { Need::of(model.to_string()) };
        failed.iter().filter_map(|route| route.get::<OnNode<B>>()).fold(need, |need, on| need.avoid(on.id))
    }

    fn on(&self, pick: Pick, calls: usize) -> OnNode<B> {
        let address = pick.node().address();
        let known = self.known.lock().get(address).cloned();
        let backend = known.unwrap_or_else(|| {
            let fresh = Arc::new((self.connect)(address));
            self.forget_old();
            let mut known = self.known.lock();
            if let Some(other) = known.get(address) {
                // Somebody else was faster. `fresh` is the user's: it drops after the lock is released.
                return other.clone();
            }
            known.insert(address.into(), fresh.clone());
            fresh
        });
        let id = pick.id();
        OnNode { id, backend, load: Mutex::new(Load { pick: Some(pick), calls, worst: None }) }
    }

    /// Drops backends of nodes that are gone, when there are many.
    fn forget_old(&self) {
        let addresses: Vec<Arc<str>> = {
            let known = self.known.lock();
            if known.len() < 2 * self.balancer.len() + 16 {
                return;
            }
            known.keys().cloned().collect()
        };
        for address in addresses {
            if self.balancer.find(&address).is_none() {
                let old = self.known.lock().remove(&address);
                drop(old);
            }
        }
    }

    /// Where `call` was routed, or, when all nodes were busy then, the node that comes free next.
    async fn place(&self, call: &Call) -> Result<Route, BackendError> {
        if call.route.get::<OnNode<B>>().is_some() {
            return Ok(call.route.clone());
        }
        let need = self.need(&call.chat.body().model, &[]);
        let pick = self.balancer.pick_wait(need).await.map_err(no_node)?;
        Ok(Route::new(self.on(pick, 1)))
    }
}

impl<B: Backend> Backend for Nodes<B> {
    async fn complete(&self, mut call: Call) -> Result<Completion, BackendError> {
        let route = self.place(&call).await?;
        let Some(on) = route.get::<OnNode<B>>() else { return Err(misrouted()) };
        call.route = Route::default();
        // Who drops a call has waited for too long.
        let mut ending = Ending { on: Some(on), outcome: Outcome::Failure };
        let answer = on.backend.complete(call).await;
        ending.outcome = outcome(&answer);
        answer
    }

    async fn stream(&self, mut call: Call) -> Result<Deltas, BackendError> {
        let route = self.place(&call).await?;
        let Some(on) = route.get::<OnNode<B>>() else { return Err(misrouted()) };
        call.route = Route::default();
        let mut ending = Ending { on: Some(on), outcome: Outcome::Failure };
        let opened = on.backend.stream(call).await;
        let inner = match opened {
            Ok(inner) => inner,
            Err(error) => {
                let failed: Result<(), _> = Err(error.clone());
                ending.outcome = outcome(&failed);
                return Err(error);
            }
        };
        // From here on the stream says how the call ended.
        ending.disarm();
        Ok(Box::pin(Watched::<B> { inner, route: Some(route.clone()), kind: std::marker::PhantomData }))
    }

    fn route(&self, batch: &Batch<'_>) -> Result<Route, BackendError> {
        match self.balancer.pick(self.need(batch.model, batch.failed)) {
            Ok(pick) => Ok(Route::new(self.on(pick, batch.calls))),
            // Each call waits in the balancer's line then.
            Err(PickError::Saturated { .. }) => Ok(Route::default()),
            Err(error) => Err(no_node(error)),
        }
    }
}

impl<B> fmt::Debug for Nodes<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nodes").field("nodes", &self.balancer.len()).finish_non_exhaustive()
    }
}

/// A node that was picked for a batch. The pick is completed when the last of its calls ends, with the
/// worst of their outcomes.
struct OnNode<B> {
    id: NodeId,
    backend: Arc<B>,
    load: Mutex<Load>,
}

struct Load {
    pick: Option<Pick>,
    calls: usize,
    worst: Option<Outcome>,
}

impl<B> OnNode<B> {
    fn ended(&self, outcome: Option<Outcome>) {
        let mut load = self.load.lock();
        load.worst = worse(load.worst, outcome);
        load.calls = load.calls.saturating_sub(1);
        let done = if load.calls == 0 { load.pick.take().map(|pick| (pick, load.worst)) } else { None };
        drop(load);
        match done {
            Some((pick, Some(outcome))) => pick.complete(outcome),
            // Nothing was learned about the node.
            Some((pick, None)) => drop(pick),
            None => {}
        }
    }
}

fn worse(a: Option<Outcome>, b: Option<Outcome>) -> Option<Outcome> {
    let rank = |outcome: &Option<Outcome>| match outcome {
        Some(Outcome::Failure) => 3,
        Some(Outcome::Rejected) => 2,
        Some(_) => 1,
        None => 0,
    };
    if rank(&a) >= rank(&b) { a } else { b }
}

fn outcome<T>(answer: &Result<T, BackendError>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Success,
        Err(error) => match error.kind {
            ErrorKind::RateLimited => Outcome::Rejected,
            // The node is well; the question was not.
            ErrorKind::Rejected => Outcome::Success,
            ErrorKind::Unavailable
            | ErrorKind::Timeout
            | ErrorKind::Connect
            | ErrorKind::Cut
            | ErrorKind::NoNode
            | ErrorKind::Unauthorized
            | ErrorKind::NotFound
            | ErrorKind::Malformed
            | ErrorKind::Setup
            | ErrorKind::Panicked
            | ErrorKind::Stopped => Outcome::Failure,
        },
    }
}

fn no_node(error: PickError) -> BackendError {
    BackendError::new(ErrorKind::NoNode, error.to_string())
}

fn misrouted() -> BackendError {
    BackendError::new(ErrorKind::Setup, "the call carries the route of another backend")
}

/// A call on a node, until it ends.
struct Ending<'a, B> {
    on: Option<&'a OnNode<B>>,
    outcome: Outcome,
}

impl<B> Ending<'_, B> {
    fn disarm(&mut self) {
        self.on = None;
    }
}

impl<B> Drop for Ending<'_, B> {
    fn drop(&mut self) {
        if let Some(on) = self.on {
            on.ended(Some(self.outcome));
        }
    }
}

/// A stream that tells its node's balancer how it ended; dropped by its consumer, it says nothing.
struct Watched<B: Backend> {
    inner: Deltas,
    route: Option<Route>,
    kind: std::marker::PhantomData<fn() -> B>,
}

impl<B: Backend> Watched<B> {
    fn ended(&mut self, outcome: Option<Outcome>) {
        if let Some(route) = self.route.take() {
            if let Some(on) = route.get::<OnNode<B>>() {
                on.ended(outcome);
            }
        }
    }
}

impl<B: Backend> Stream for Watched<B> {
    type Item = Result<Delta, BackendError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let piece = ready!(self.inner.as_mut().poll_next(cx));
        match &piece {
            Some(Ok(delta)) if delta.end.is_none() => {}
            Some(answer) => self.ended(Some(outcome(answer))),
            None => self.ended(Some(Outcome::Failure)),
        }
        Poll::Ready(piece)
    }
}

impl<B: Backend> Drop for Watched<B> {
    fn drop(&mut self) {
        self.ended(None);
    }
}
