//! A `tower` service over picks.

use crate::{Balancer, Need, Node, NodeId, Outcome, PickError};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// A service that sends each request to a node that a [`Balancer`] picks.
///
/// `make` gives the service of a node, once for each node; it is cloned for each request. When all nodes
/// are at their limit a request waits in line for one, inside of its future: the service itself is always
/// ready.
///
/// ```
/// use ropewalk_balance::{BalanceService, Balancer, Need, Node};
/// use std::{convert::Infallible, future::{Ready, ready}, task::{Context, Poll}};
/// use tower_service::Service;
///
/// #[derive(Clone)]
/// struct Echo(String); // for instance an HTTP client with a base address
/// impl Service<u32> for Echo {
///     type Response = String;
///     type Error = Infallible;
///     type Future = Ready<Result<String, Infallible>>;
///     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
///         Poll::Ready(Ok(()))
///     }
///     fn call(&mut self, n: u32) -> Self::Future {
///         ready(Ok(format!("{} says {n}", self.0)))
///     }
/// }
///
/// let nodes = Balancer::new();
/// nodes.insert(Node::new("10.0.0.7:8000"))?;
/// let mut service = BalanceService::new(nodes, Need::any(), |node: &Node| Echo(node.address().to_owned()));
/// let answer = ropewalk_sync::block_on(service.call(1))?;
/// assert_eq!(answer, "10.0.0.7:8000 says 1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BalanceService<M, S> {
    balancer: Balancer,
    need: Need,
    make: Arc<M>,
    services: Arc<Mutex<HashMap<NodeId, Arc<S>>>>,
}

/// A request through a [`BalanceService`] failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError<E> {
    /// No node was to be had.
    #[error(transparent)]
    Pick(#[from] PickError),
    /// The node's service failed.
    #[error("the node's service failed")]
    Service(#[source] E),
}

impl<M, S> BalanceService<M, S> {
    /// Requests ask for `need`; `make` connects to a node.
    pub fn new(balancer: Balancer, need: Need, make: M) -> Self {
        Self { balancer, need, make: Arc::new(make), services: Arc::default() }
    }

    /// The same service for requests that need something else.
    #[must_use]
    pub fn need(&self, need: Need) -> Self {
        Self { need, ..self.clone() }
    }

    /// Its balancer.
    pub fn balancer(&self) -> &Balancer {
        &self.balancer
    }
}

impl<M, S> Clone for BalanceService<M, S> {
    fn clone(&self) -> Self {
        Self {
            balancer: self.balancer.clone(),
            need: self.need.clone(),
            make: self.make.clone(),
            services: self.services.clone(),
        }
    }
}

impl<M, S> fmt::Debug for BalanceService<M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BalanceService")
            .field("balancer", &self.balancer)
            .field("need", &self.need)
            .finish_non_exhaustive()
    }
}

impl<M: Fn(&Node) -> S, S> BalanceService<M, S> {
    /// The service of a node. `make`, `clone` and `drop` are user code, so they run outside of the lock.
    fn service(&self, id: NodeId, node: &Node) -> Arc<S> {
        let known = self.services.lock().get(&id).cloned();
        if let Some(known) = known {
            return known;
        }
        let made = Arc::new((self.make)(node));
        let mut gone = Vec::new();
        let service = {
            let mut services = self.services.lock();
            if services.len() > 2 * self.balancer.len() {
                let left = services.keys().filter(|id| self.balancer.node(**id).is_err());
                for id in left.copied().collect::<Vec<_>>() {
                    gone.extend(services.remove(&id));
                }
            }
            services.entry(id).or_insert_with(|| made.clone()).clone()
        };
        drop((gone, made));
        service
    }
}

impl<M, S, Request> Service<Request> for BalanceService<M, S>
where
    M: Fn(&Node) -> S + Send + Sync + 'static,
    S: Service<Request> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Send,
    Request: Send + 'static,
{
    type Response = S::Response;
    type Error = ServiceError<S::Error>;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let pick = this.balancer.pick_wait(this.need.clone()).await?;
            let mut service = (*this.service(pick.id(), pick.node())).clone();
            let result = match poll_fn(|cx| service.poll_ready(cx)).await {
                Ok(()) => service.call(request).await,
                Err(error) => Err(error),
            };
            pick.complete(Outcome::from(&result));
            result.map_err(ServiceError::Service)
        })
    }
}
