//! The least loaded.

use super::{Candidates, Strategy};
use crate::draw::Draw;
use ropewalk_prove::sync::atomic::Ordering;

/// The node with the fewest requests in flight for its weight; equals take turns.
///
/// A pick looks at all `n` candidates: O(n), without a lock. The counts are those of this balancer.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastLoaded {}

impl LeastLoaded {
    /// The strategy.
    pub fn new() -> Self {
        Self {}
    }
}

impl Strategy for LeastLoaded {
    fn choose(&self, candidates: &Candidates<'_>, _: &mut Draw) -> Option<usize> {
        let len = candidates.len();
        if len == 0 {
            return None;
        }
        // Relaxed: only where the search begins.
        let start = candidates.cursor().load(Ordering::Relaxed) % len;
        let mut best = None::<(usize, f64)>;
        for at in (start..len).chain(0..start) {
            if let Some(candidate) = candidates.get(at) {
                let load = candidate.load();
                if best.is_none_or(|(_, least)| load < least) {
                    best = Some((at, load));
                }
            }
        }
        let (at, _) = best?;
        candidates.cursor().store(at + 1, Ordering::Relaxed);
        Some(at)
    }
}
