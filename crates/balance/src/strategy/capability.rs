//! Specialists first.

use super::{Candidates, Strategy};
use crate::draw::Draw;
use std::time::Duration;

/// Among the nodes that can do what is needed, those that can do the least else, and among them an inner
/// strategy's choice. So the nodes that can do everything stay free for requests that only they can serve.
///
/// Every strategy sees only nodes that meet the [`Need`](crate::Need); this one adds the order of
/// preference. A full specialist does not make a request wait: the next more general nodes take it. A
/// pick looks at all candidates: O(n).
#[derive(Clone, Debug, Default)]
pub struct CapabilityBased<S> {
    inner: S,
}

impl<S: Strategy> CapabilityBased<S> {
    /// Specialists by `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Strategy> Strategy for CapabilityBased<S> {
    fn choose(&self, candidates: &Candidates<'_>, draw: &mut Draw) -> Option<usize> {
        let breadth = |c: &super::Candidate<'_>| c.node().capabilities().len();
        let narrowest = candidates.iter().map(|(_, c)| breadth(&c)).min()?;
        let specialists = candidates.narrowed(|c| breadth(c) == narrowest);
        specialists.origin(self.inner.choose(&specialists, draw)?)
    }

    fn decay(&self) -> Duration {
        self.inner.decay()
    }
}
