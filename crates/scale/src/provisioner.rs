//! The port behind which nodes are real.

use std::{error::Error, fmt, pin::Pin, sync::Arc};

/// An error of a provisioner: `?` turns any error, and `"text".into()` any text, into one.
pub type ProvisionError = Box<dyn Error + Send + Sync>;

/// The name of a node, given by its provisioner: an address, an instance id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// A node of this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for NodeId {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for NodeId {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for NodeId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// What a node answers when asked for its health.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It serves.
    Ready,
    /// It is still starting. Of a node that was ready before, this counts as unhealthy.
    Starting,
    /// It does not serve, for this reason. After several such answers in a row it is replaced.
    Unhealthy(String),
    /// It no longer exists. It is replaced at once.
    Gone,
}

/// Starts and stops nodes: processes, containers, machines.
///
/// All calls run on the scaler's driver, several at once; they are bounded in time by the scaler and
/// may be dropped when a node is no longer wanted, so a start that is dropped should take down what it
/// put up. A panic counts as an error. On a thread of the scaler's own there is no runtime around the
/// calls: a provisioner that needs one (tokio's processes, an HTTP client) belongs on a
/// [spawner](crate::Builder::spawner).
///
/// ```
/// use ropewalk_scale::{Health, NodeId, ProvisionError, Provisioner};
/// use std::{collections::HashMap, process::{Child, Command}, sync::Mutex};
///
/// struct Sleepers(Mutex<HashMap<NodeId, Child>>);
///
/// impl Provisioner for Sleepers {
///     async fn start(&self) -> Result<NodeId, ProvisionError> {
///         let child = Command::new("sleep").arg("60").spawn()?;
///         let node = NodeId::new(format!("process {}", child.id()));
///         self.0.lock().unwrap().insert(node.clone(), child);
///         Ok(node)
///     }
///     async fn health(&self, node: &NodeId) -> Health {
///         let exited = self.0.lock().unwrap().get_mut(node).is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
///         if exited { Health::Gone } else { Health::Ready }
///     }
///     async fn stop(&self, node: &NodeId) -> Result<(), ProvisionError> {
///         let child = self.0.lock().unwrap().remove(node);
///         if let Some(mut child) = child {
///             child.kill()?;
///             child.wait()?;
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Provisioner: Send + Sync + 'static {
    /// Starts a node and names it. It need not be ready: [`health`](Self::health) is asked for that.
    fn start(&self) -> impl Future<Output = Result<NodeId, ProvisionError>> + Send;

    /// Asks a node how it is.
    fn health(&self, node: &NodeId) -> impl Future<Output = Health> + Send;

    /// Stops a node for good. It may be called again after a failure, and for a node that is gone: a node
    /// that is not there is stopped.
    fn stop(&self, node: &NodeId) -> impl Future<Output = Result<(), ProvisionError>> + Send;

    /// Sends a node no more work and waits for what it has. Called before [`stop`](Self::stop), bounded by
    /// the scaler's drain timeout; nothing by default.
    fn drain(&self, node: &NodeId) -> impl Future<Output = Result<(), ProvisionError>> + Send {
        let _ = node;
        async { Ok(()) }
    }
}

impl<P: Provisioner> Provisioner for Arc<P> {
    fn start(&self) -> impl Future<Output = Result<NodeId, ProvisionError>> + Send {
        (**self).start()
    }

    fn health(&self, node: &NodeId) -> impl Future<Output = Health> + Send {
        (**self).health(node)
    }

    fn stop(&self, node: &NodeId) -> impl Future<Output = Result<(), ProvisionError>> + Send {
        (**self).stop(node)
    }

    fn drain(&self, node: &NodeId) -> impl Future<Output = Result<(), ProvisionError>> + Send {
        (**self).drain(node)
    }
}

pub(crate) type Job<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The port with its type erased. Calls own what they need, so that a job outlives the borrow.
pub(crate) trait Port: Send + Sync {
    fn start(self: Arc<Self>) -> Job<Result<NodeId, String>>;
    fn health(self: Arc<Self>, node: NodeId) -> Job<Health>;
    fn stop(self: Arc<Self>, node: NodeId) -> Job<Result<(), String>>;
    fn drain(self: Arc<Self>, node: NodeId) -> Job<Result<(), String>>;
}

impl<P: Provisioner> Port for P {
    fn start(self: Arc<Self>) -> Job<Result<NodeId, String>> {
        Box::pin(async move { Provisioner::start(&*self).await.map_err(|error| error.to_string()) })
    }

    fn health(self: Arc<Self>, node: NodeId) -> Job<Health> {
        Box::pin(async move { Provisioner::health(&*self, &node).await })
    }

    fn stop(self: Arc<Self>, node: NodeId) -> Job<Result<(), String>> {
        Box::pin(async move { Provisioner::stop(&*self, &node).await.map_err(|error| error.to_string()) })
    }

    fn drain(self: Arc<Self>, node: NodeId) -> Job<Result<(), String>> {
        Box::pin(async move { Provisioner::drain(&*self, &node).await.map_err(|error| error.to_string()) })
    }
}
