//! Stand-in model servers as nodes of the auto-scaler.

use ropewalk::scale::{Health, NodeId, ProvisionError, Provisioner};
use ropewalk_examples::{nodes::ModelServer, server::Behaviour};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Starts and stops model servers, each a process of its own.
#[derive(Clone)]
pub(crate) struct LocalServers(Arc<Inner>);

struct Inner {
    behaviour: Behaviour,
    servers: Mutex<HashMap<NodeId, ModelServer>>,
    started: AtomicUsize,
    most: AtomicUsize,
}

impl LocalServers {
    pub(crate) fn new(behaviour: Behaviour) -> Self {
        Self(Arc::new(Inner {
            behaviour,
            servers: Mutex::default(),
            started: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        }))
    }

    /// How many were started, and how many ran at once at most.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.0.started.load(Ordering::Relaxed), self.0.most.load(Ordering::Relaxed))
    }

    fn servers(&self) -> MutexGuard<'_, HashMap<NodeId, ModelServer>> {
        self.0.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Provisioner for LocalServers {
    async fn start(&self) -> Result<NodeId, ProvisionError> {
        let server = ModelServer::start(&self.0.behaviour).await?;
        let node = NodeId::new(server.base_url());
        let mut servers = self.servers();
        servers.insert(node.clone(), server);
        self.0.started.fetch_add(1, Ordering::Relaxed);
        self.0.most.fetch_max(servers.len(), Ordering::Relaxed);
        Ok(node)
    }

    async fn health(&self, node: &NodeId) -> Health {
        // It listened before it had a name, so a process that runs is ready.
        let running = self.servers().get_mut(node).is_some_and(ModelServer::is_running);
        if running { Health::Ready } else { Health::Gone }
    }

    async fn stop(&self, node: &NodeId) -> Result<(), ProvisionError> {
        let server = self.servers().remove(node);
        if let Some(server) = server {
            server.stop().await?;
        }
        Ok(())
    }
}
