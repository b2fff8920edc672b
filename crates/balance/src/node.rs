//! What a node is, and what is known of it.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

/// A node as its user describes it: where it is, how much of the traffic it is worth, what it offers.
///
/// ```
/// use ropewalk_balance::Node;
///
/// let node = Node::new("10.0.0.7:8000").weight(2).offers("gpt-large").offers("vision").max_in_flight(8);
/// assert!(node.has("vision"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    address: Arc<str>,
    weight: u32,
    capabilities: Vec<Arc<str>>,
    max_in_flight: Option<u32>,
}

impl Node {
    /// A node of weight 1 that offers nothing in particular. The address is its name too: a balancer
    /// has one node of each address.
    pub fn new(address: impl Into<Arc<str>>) -> Self {
        Self { address: address.into(), weight: 1, capabilities: Vec::new(), max_in_flight: None }
    }

    /// How much it is worth beside the others; 1 by default. At 0 it is the last resort of strategies that
    /// look at weights.
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Adds something it offers: a model, a region, a kind of processor. The same twice is once.
    #[must_use]
    pub fn offers(mut self, capability: impl Into<Arc<str>>) -> Self {
        let capability = capability.into();
        if !self.has(&capability) {
            self.capabilities.push(capability);
        }
        self
    }

    /// How many requests it may have in flight from this balancer; the balancer's own setting by default.
    /// 0 means none: it is always saturated.
    #[must_use]
    pub fn max_in_flight(mut self, max: u32) -> Self {
        self.max_in_flight = Some(max);
        self
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its weight.
    pub fn nominal_weight(&self) -> u32 {
        self.weight
    }

    /// What it offers, in the order it was said.
    pub fn capabilities(&self) -> impl ExactSizeIterator<Item = &str> {
        self.capabilities.iter().map(|c| &**c)
    }

    /// Whether it offers `capability`.
    pub fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|c| **c == *capability)
    }

    /// Its own limit of requests in flight.
    pub fn in_flight_limit(&self) -> Option<u32> {
        self.max_in_flight
    }

    pub(crate) fn shared_address(&self) -> &Arc<str> {
        &self.address
    }

    pub(crate) fn shared_capabilities(&self) -> &[Arc<str>] {
        &self.capabilities
    }
}

/// Names a node of one balancer; never used again after the node is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct NodeId(pub(crate) u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.0)
    }
}

/// How a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum NodeState {
    /// It takes requests.
    Up,
    /// No probe of it has come back yet.
    Unproven,
    /// Its own requests failed too often. When its time is over, one request at a time is tried on it.
    Ejected,
    /// Its probes fail.
    Down,
    /// It finishes what it has and gets nothing new.
    Draining,
}

/// What a request asks of a node.
///
/// ```
/// use ropewalk_balance::Need;
///
/// let any = Need::any();
/// let both = Need::of("gpt-large").and("vision");
/// assert_eq!(both.to_string(), "gpt-large + vision");
/// # let _ = any;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    capabilities: Vec<Cow<'static, str>>,
    avoid: Vec<NodeId>,
}

impl Need {
    /// Any node will do.
    pub fn any() -> Self {
        Self::default()
    }

    /// A node that offers `capability`.
    pub fn of(capability: impl Into<Cow<'static, str>>) -> Self {
        Self::any().and(capability)
    }

    /// That also offers `capability`.
    #[must_use]
    pub fn and(mut self, capability: impl Into<Cow<'static, str>>) -> Self {
        let capability = capability.into();
        if !self.capabilities.contains(&capability) {
            self.capabilities.push(capability);
        }
        self
    }

    /// Rather another node than this one, for a retry; it is taken if there is no other.
    #[must_use]
    pub fn avoid(mut self, node: NodeId) -> Self {
        self.avoid.push(node);
        self
    }

    /// Whether `node` offers all that is asked for.
    pub fn is_met_by(&self, node: &Node) -> bool {
        self.capabilities.iter().all(|c| node.has(c))
    }

    pub(crate) fn capabilities(&self) -> &[Cow<'static, str>] {
        &self.capabilities
    }

    pub(crate) fn avoids(&self, node: NodeId) -> bool {
        self.avoid.contains(&node)
    }

    pub(crate) fn is_picky(&self) -> bool {
        !self.avoid.is_empty()
    }
}

/// The capabilities, joined by `+`.
impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.capabilities.is_empty() {
            return f.write_str("anything");
        }
        for (i, capability) in self.capabilities.iter().enumerate() {
            if i > 0 {
                f.write_str(" + ")?;
            }
            f.write_str(capability)?;
        }
        Ok(())
    }
}

/// How a request ended.
///
/// A `&Result` turns into one: `Ok` is a success, `Err` a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The node answered well.
    Success,
    /// The node failed: no connection, a server error, a timeout. Counts towards its ejection.
    Failure,
    /// The node is well but wants no more (429, overloaded). Latency-aware strategies turn away from
    /// it for a while; it does not count towards its ejection.
    Rejected,
}

impl<T, E> From<&Result<T, E>> for Outcome {
    fn from(result: &Result<T, E>) -> Self {
        if result.is_ok() { Self::Success } else { Self::Failure }
    }
}

impl From<&Outcome> for Outcome {
    fn from(outcome: &Outcome) -> Self {
        *outcome
    }
}

/// A node at one instant.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct NodeStats {
    /// Its name in this balancer.
    pub id: NodeId,
    /// Where it is.
    pub address: String,
    /// Its weight.
    pub weight: u32,
    /// What it offers.
    pub capabilities: Vec<String>,
    /// How it stands.
    pub state: NodeState,
    /// Requests in flight.
    pub in_flight: u32,
    /// Times it was picked.
    pub picks: u64,
    /// Requests that ended well.
    pub successes: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Requests it rejected.
    pub rejected: u64,
    /// Picks that were dropped without an outcome.
    pub cancelled: u64,
    /// Peak-sensitive moving average of its latency, as of its last outcome; `None` before the first.
    pub latency: Option<Duration>,
    /// Moving average of the share of its requests that failed or were rejected, 0 to 1.
    pub error_rate: f64,
    /// Times it was ejected.
    pub ejections: u64,
}
