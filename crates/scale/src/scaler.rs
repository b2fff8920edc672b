//! The scaler itself: what callers hold.

use crate::{
    Builder, Change, Decision, History, Load, NodeId, Policy, Provisioner, ScaleError, ScalerStats,
    ScalerStatus, SettleError, StopError, driver::Shared,
};
use ropewalk_sync::Background;
use std::{fmt, sync::Arc, time::Duration};

/// Keeps as many nodes as the load needs, starting and stopping real ones through a [`Provisioner`].
///
/// Starts one thread, `ropewalk-scale`, unless it is given a [spawner](Builder::spawner); the thread ends
/// with the last clone. Nodes are stopped by [`stop`](Self::stop); **dropping the scaler leaves its nodes
/// running**, as a crash would: they may well serve on while their scaler is replaced.
///
/// Clones are handles to the same scaler.
///
/// ```
/// use ropewalk_scale::{AutoScaler, Health, Load, NodeId, ProvisionError, Provisioner, Utilization};
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// struct Fake(AtomicU32);
/// impl Provisioner for Fake {
///     async fn start(&self) -> Result<NodeId, ProvisionError> {
///         Ok(format!("node-{}", self.0.fetch_add(1, Ordering::Relaxed)).into())
///     }
///     async fn health(&self, _: &NodeId) -> Health { Health::Ready }
///     async fn stop(&self, _: &NodeId) -> Result<(), ProvisionError> { Ok(()) }
/// }
///
/// let scaler = AutoScaler::builder(Fake(AtomicU32::new(0)))
///     .nodes(1..=20)
///     .target(Utilization::percent(70))
///     .build()?;
/// scaler.observe(Load::demand(3.4)); // 3.4 nodes' worth of work: five nodes at 68 %
/// scaler.settled_blocking()?;
/// assert_eq!(scaler.status().ready, 5);
/// println!("{}", scaler.history()[0]); // after 0.0 s: 1 -> 5 nodes: utilisation 340 % against a target of 70 %
/// scaler.stop_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct AutoScaler(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    _driver: Background,
}

impl AutoScaler {
    /// Sets up a scaler of a provisioner's nodes.
    pub fn builder(provisioner: impl Provisioner) -> Builder {
        Builder::new(provisioner)
    }

    pub(crate) fn new(shared: Arc<Shared>, driver: Background) -> Self {
        Self(Arc::new(Inner { shared, _driver: driver }))
    }

    /// Reports a sample of load. The driver decides on it, in the order of the samples.
    pub fn observe(&self, load: impl Into<Load>) {
        self.0.shared.observe(load.into());
    }

    /// Sets the number of nodes by hand. Automatic decisions go on from there, unless they are
    /// [paused](Self::pause): up at once, down after a whole stabilisation window.
    ///
    /// # Errors
    ///
    /// [`ScaleError`] outside of the bounds, and after a stop.
    pub fn scale_to(&self, nodes: usize) -> Result<Decision, ScaleError> {
        let Policy { min, max, .. } = self.0.shared.policy;
        if !(min..=max).contains(&nodes) {
            return Err(ScaleError::OutOfRange { asked: nodes, min, max });
        }
        self.0.shared.scale_to(nodes).ok_or(ScaleError::Stopped)
    }

    /// Asks all nodes for their health now; those that died are replaced. This happens by itself
    /// [every so often](Builder::check_every).
    pub fn reconcile(&self) {
        let shared = &self.0.shared;
        let now = shared.clock.now();
        shared.state.lock().fleet.check_all(now);
        shared.wake.notify();
    }

    /// Stops automatic decisions: the number of nodes stays, those that die are still replaced, and
    /// [`scale_to`](Self::scale_to) works.
    pub fn pause(&self) {
        self.0.shared.state.lock().paused = true;
    }

    /// Takes automatic decisions up again.
    pub fn resume(&self) {
        self.0.shared.state.lock().paused = false;
    }

    /// Waits until all nodes wanted are ready and all others gone.
    ///
    /// # Errors
    ///
    /// [`SettleError::Stopped`] when the scaler is stopped first.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn settled(&self) -> Result<(), SettleError> {
        let shared = &self.0.shared;
        loop {
            let turn = shared.turn();
            if shared.state.lock().fleet.stopping {
                return Err(SettleError::Stopped);
            }
            if shared.is_settled() {
                return Ok(());
            }
            turn.wait().await;
        }
    }

    /// [`settled`](Self::settled), parking this thread.
    ///
    /// # Errors
    ///
    /// As [`settled`](Self::settled).
    pub fn settled_blocking(&self) -> Result<(), SettleError> {
        self.0.shared.clock.block_on(self.settled())
    }

    /// [`settled`](Self::settled) for at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`settled`](Self::settled), and [`SettleError::TimedOut`].
    pub async fn settled_timeout(&self, limit: Duration) -> Result<(), SettleError> {
        self.0.shared.clock.timeout(limit, self.settled()).await.unwrap_or(Err(SettleError::TimedOut))
    }

    /// Stops all nodes that the scaler started, and then itself. Starts under way are dropped, nodes that
    /// serve are drained first. Asked again, it waits for the same stop.
    ///
    /// # Errors
    ///
    /// [`StopError::Left`] names the nodes that could not be stopped in three tries.
    ///
    /// # Cancel safety
    ///
    /// Stopping goes on when the future is dropped.
    pub async fn stop(&self) -> Result<(), StopError> {
        let shared = &self.0.shared;
        shared.state.lock().fleet.stopping = true;
        shared.wake.notify();
        shared.ended.wait().await;
        let left: Vec<NodeId> = shared.state.lock().fleet.left.clone();
        if left.is_empty() { Ok(()) } else { Err(StopError::Left { left }) }
    }

    /// [`stop`](Self::stop), parking this thread.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop).
    pub fn stop_blocking(&self) -> Result<(), StopError> {
        self.0.shared.clock.block_on(self.stop())
    }

    /// [`stop`](Self::stop), waiting for at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop), and [`StopError::TimedOut`].
    pub async fn stop_timeout(&self, limit: Duration) -> Result<(), StopError> {
        self.0.shared.clock.timeout(limit, self.stop()).await.unwrap_or(Err(StopError::TimedOut))
    }

    /// The last changes, oldest first.
    pub fn history(&self) -> Vec<Change> {
        self.0.shared.history()
    }

    /// The load seen so far, in nodes' worth of work, for a [`CapacityPlanner`](crate::CapacityPlanner).
    pub fn load_history(&self) -> History {
        self.0.shared.state.lock().loads.clone()
    }

    /// Everything about the scaler at this moment.
    pub fn status(&self) -> ScalerStatus {
        self.0.shared.status()
    }

    /// The counters alone.
    pub fn stats(&self) -> ScalerStats {
        self.0.shared.stats()
    }

    /// What it decides by.
    pub fn policy(&self) -> &Policy {
        &self.0.shared.policy
    }
}

impl fmt::Debug for AutoScaler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AutoScaler").field(&format_args!("{}", self.status())).finish()
    }
}
