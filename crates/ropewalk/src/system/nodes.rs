//! Nodes that the scaler starts become nodes that the balancer picks.

use ropewalk_balance::{Balancer, Node};
use ropewalk_scale::{Health, NodeId, ProvisionError, Provisioner};

/// A provisioner whose nodes enter the balancer when they are ready, are drained there before they
/// stop, and leave it when they are gone. The name of a node is its address.
pub(super) struct Registering<P> {
    pub(super) inner: P,
    pub(super) balancer: Balancer,
    /// Calls that a node takes at once before it is considered full.
    pub(super) calls_per_node: u32,
}

impl<P> Registering<P> {
    fn enter(&self, node: &NodeId) {
        if self.balancer.find(node.as_str()).is_none() {
            // Twice as many as it answers at full speed: a short queue at the node hides the way there.
            let limit = self.calls_per_node.saturating_mul(2);
            // A node that came in between is in, which is all that is wanted.
            let _ = self.balancer.insert(Node::new(node.as_str()).max_in_flight(limit));
        }
    }

    fn leave(&self, node: &NodeId) {
        if let Some(id) = self.balancer.find(node.as_str()) {
            // One that left in between is out, which is all that is wanted.
            let _ = self.balancer.remove(id);
        }
    }
}

impl<P: Provisioner> Provisioner for Registering<P> {
    async fn start(&self) -> Result<NodeId, ProvisionError> {
        self.inner.start().await
    }

    async fn health(&self, node: &NodeId) -> Health {
        let health = self.inner.health(node).await;
        match &health {
            Health::Ready => self.enter(node),
            Health::Gone => self.leave(node),
            // Not every unwell node is lost; the balancer's own view of its calls says whether to use it.
            _ => {}
        }
        health
    }

    async fn drain(&self, node: &NodeId) -> Result<(), ProvisionError> {
        if let Some(id) = self.balancer.find(node.as_str()) {
            self.balancer.drain(id)?.done().await;
        }
        self.inner.drain(node).await
    }

    async fn stop(&self, node: &NodeId) -> Result<(), ProvisionError> {
        self.leave(node);
        self.inner.stop(node).await
    }
}
