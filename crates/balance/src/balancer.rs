//! The balancer as its users see it.

use crate::{
    BalancerBuilder, BalancerStats, Drain, InsertError, Need, Node, NodeId, NodeStats, Pick, PickError,
    PickTimeoutError, PickWait, Probe, UnknownNode, health::watch, inner::Inner, line::Later, shared::Shared,
};
use ropewalk_prove::sync::atomic::Ordering;
use ropewalk_sync::{Background, Elapsed, Spawn};
use std::{fmt, sync::Arc, time::Duration};

/// Distributes requests over nodes. Clones are handles to the same balancer.
///
/// With a [`Probe`] it runs a background job, on a thread of its own unless the builder is given a
/// spawner; the job ends when the last handle drops. Without one it starts nothing.
///
/// ```
/// use ropewalk_balance::{Balancer, Need, Node, Outcome, RoundRobin};
///
/// let nodes = Balancer::builder().strategy(RoundRobin::new()).build()?;
/// nodes.insert(Node::new("10.0.0.7:8000").offers("gpt-large"))?;
/// nodes.insert(Node::new("10.0.0.8:8000"))?;
///
/// let pick = nodes.pick(Need::of("gpt-large"))?;
/// assert_eq!(pick.node().address(), "10.0.0.7:8000");
/// pick.complete(Outcome::Success);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Balancer(Arc<Handle>);

struct Handle {
    inner: Arc<Inner>,
    _watch: Option<Background>,
}

impl Balancer {
    /// An empty balancer with default settings: [`PeakEwma`](crate::PeakEwma), passive health, no probes.
    pub fn new() -> Self {
        Self::builder().build().expect("the default settings are valid")
    }

    /// Starts setting one up.
    pub fn builder() -> BalancerBuilder {
        BalancerBuilder::new()
    }

    pub(crate) fn start(inner: Inner, probe: Option<Probe>, spawner: Option<Arc<dyn Spawn>>) -> Self {
        let inner = Arc::new(inner);
        let job = probe.map(|probe| watch(Arc::downgrade(&inner), probe));
        let watch = job.map(|job| match spawner {
            Some(spawner) => Background::spawn("ropewalk-balance", &*spawner, job),
            None => Background::thread("ropewalk-balance", inner.clock(), job),
        });
        Self(Arc::new(Handle { inner, _watch: watch }))
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.0.inner
    }

    /// Adds a node; picks see it from here on, after its first good probe if there are probes. Cost: a
    /// lock that only changes of the registry take, and a copy of 64 pointers.
    ///
    /// # Errors
    ///
    /// [`InsertError`] gives the node back.
    pub fn insert(&self, node: Node) -> Result<NodeId, InsertError> {
        let inner = self.inner();
        let id = {
            let mut registry = inner.registry.lock();
            if inner.is_closed() {
                return Err(InsertError::Closed { node });
            }
            if let Some(existing) = registry.find(node.address()) {
                return Err(InsertError::Duplicate { existing, node });
            }
            let limit = node.in_flight_limit().or(inner.settings.max_in_flight);
            let shared = Shared::new(limit, inner.settings.probed, inner.now());
            let id = registry.insert(node, shared);
            inner.table.store(registry.table());
            id
        };
        Later::all([&|| inner.changes.note(), &|| inner.serve()]);
        Ok(id)
    }

    /// Takes a node out at once. Requests in flight on it go on; their outcomes still count in the totals.
    ///
    /// # Errors
    ///
    /// [`UnknownNode`].
    pub fn remove(&self, id: NodeId) -> Result<Node, UnknownNode> {
        let inner = self.inner();
        let entry = {
            let mut registry = inner.registry.lock();
            let entry = registry.remove(id).ok_or(UnknownNode(id))?;
            entry.shared.go();
            inner.table.store(registry.table());
            entry
        };
        Later::all([&|| entry.shared.announce(), &|| inner.changes.note(), &|| inner.serve()]);
        Ok(entry.node.clone())
    }

    /// Gives a node nothing new from here on; the [`Drain`] says when it has finished what it has. It
    /// stays registered until it is [`remove`](Self::remove)d or [`resume`](Self::resume)d.
    ///
    /// # Errors
    ///
    /// [`UnknownNode`].
    pub fn drain(&self, id: NodeId) -> Result<Drain, UnknownNode> {
        let inner = self.inner();
        let entry = inner.entry(id).ok_or(UnknownNode(id))?;
        let drained = inner.change(id, Shared::drain).ok_or(UnknownNode(id))?;
        Later::all([&|| inner.serve(), &|| entry.shared.announce()]);
        Ok(Drain { drained, clock: inner.clock().clone() })
    }

    /// Ends a drain: the node takes requests again.
    ///
    /// # Errors
    ///
    /// [`UnknownNode`].
    pub fn resume(&self, id: NodeId) -> Result<(), UnknownNode> {
        let inner = self.inner();
        let now = inner.now();
        let drained = inner.change(id, |shared| shared.resume(now)).ok_or(UnknownNode(id))?;
        Later::all([&|| inner.serve(), &|| drained.iter().for_each(|drained| drained.set())]);
        Ok(())
    }

    /// Gives a node another weight. What is in flight and known of it stays.
    ///
    /// # Errors
    ///
    /// [`UnknownNode`].
    pub fn set_weight(&self, id: NodeId, weight: u32) -> Result<(), UnknownNode> {
        let inner = self.inner();
        let mut registry = inner.registry.lock();
        if !registry.reweigh(id, weight) {
            return Err(UnknownNode(id));
        }
        inner.table.store(registry.table());
        Ok(())
    }

    /// Gives a node another limit of requests in flight; `None` lifts it. What is above a lowered limit
    /// finishes.
    ///
    /// # Errors
    ///
    /// [`UnknownNode`].
    pub fn set_max_in_flight(&self, id: NodeId, max: Option<u32>) -> Result<(), UnknownNode> {
        let inner = self.inner();
        inner.entry(id).ok_or(UnknownNode(id))?.shared.limit_to(max);
        inner.serve();
        Ok(())
    }

    /// The node of an address.
    pub fn find(&self, address: &str) -> Option<NodeId> {
        self.inner().registry.lock().find(address)
    }

    /// How many nodes are registered.
    pub fn len(&self) -> usize {
        self.inner().table().all.roster.len()
    }

    /// Whether no node is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All nodes with what is known of them, in no particular order. The list of nodes is that of one
    /// instant; their numbers are read one after the other.
    pub fn nodes(&self) -> Vec<NodeStats> {
        self.inner().table().all.roster.iter().map(|entry| entry.stats()).collect()
    }

    /// One node with what is known of it.
    ///
    /// # Errors
    ///
    /// [`UnknownNode`].
    pub fn node(&self, id: NodeId) -> Result<NodeStats, UnknownNode> {
        Ok(self.inner().entry(id).ok_or(UnknownNode(id))?.stats())
    }

    /// Chooses a node and counts a request in flight on it, without waiting for anybody: neither for other
    /// picks (but see [`SmoothWeighted`](crate::SmoothWeighted)) nor for changes of the registry.
    ///
    /// It may take a slot that comes free at this instant before those who wait in line for one.
    ///
    /// # Errors
    ///
    /// [`PickError`] says why there is none.
    ///
    /// # Panics
    ///
    /// When the strategy panics; nothing is counted then.
    pub fn pick(&self, need: Need) -> Result<Pick, PickError> {
        self.inner().pick(&need).inspect_err(|_| self.inner().totals.refused.incr())
    }

    /// Chooses a node; when all that could serve are at their limit, waits in line for one. The line is
    /// first come, first served among those whom the same node could serve.
    ///
    /// # Errors
    ///
    /// [`PickError`], but not `Saturated`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line; a slot already handed to it passes on.
    pub fn pick_wait(&self, need: Need) -> PickWait {
        PickWait::new(self.inner().clone(), need)
    }

    /// [`pick_wait`](Self::pick_wait) that parks this thread, in the same line as the tasks.
    ///
    /// # Errors
    ///
    /// [`PickError`], but not `Saturated`.
    pub fn pick_blocking(&self, need: Need) -> Result<Pick, PickError> {
        self.inner().clock().block_on(self.pick_wait(need))
    }

    /// [`pick_wait`](Self::pick_wait) for at most `duration`.
    ///
    /// # Errors
    ///
    /// [`PickTimeoutError`].
    ///
    /// # Cancel safety
    ///
    /// As [`pick_wait`](Self::pick_wait).
    pub fn pick_timeout(
        &self,
        need: Need,
        duration: Duration,
    ) -> impl Future<Output = Result<Pick, PickTimeoutError>> + Send + use<> {
        let inner = self.inner().clone();
        let bounded = inner.clock().timeout(duration, self.pick_wait(need));
        async move {
            match bounded.await {
                Ok(picked) => Ok(picked?),
                Err(Elapsed) => Err(PickTimeoutError::Timeout { waiting: inner.line.len() }),
            }
        }
    }

    /// [`pick_blocking`](Self::pick_blocking) for at most `duration`.
    ///
    /// # Errors
    ///
    /// [`PickTimeoutError`].
    pub fn pick_blocking_timeout(&self, need: Need, duration: Duration) -> Result<Pick, PickTimeoutError> {
        self.inner().clock().block_on(self.pick_timeout(need, duration))
    }

    /// Refuses picks and inserts from here on, also those who wait. Requests in flight go on.
    pub fn close(&self) {
        let inner = self.inner();
        {
            let _registry = inner.registry.lock();
            // SeqCst: pairs with the load in `Inner::is_closed`; the line is served after it.
            inner.closed.store(true, Ordering::SeqCst);
        }
        Later::all([&|| inner.changes.note(), &|| inner.serve()]);
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.inner().is_closed()
    }

    /// Numbers of the whole, read one after the other.
    pub fn stats(&self) -> BalancerStats {
        self.inner().stats()
    }
}

impl Default for Balancer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balancer")
            .field("strategy", &self.inner().settings.strategy)
            .field("nodes", &self.len())
            .finish_non_exhaustive()
    }
}
