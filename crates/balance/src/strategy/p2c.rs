//! The better of a few drawn at random.

use super::{Candidate, Candidates, Strategy};
use crate::draw::Draw;
use std::time::Duration;

/// The less loaded of two nodes drawn at random (Mitzenmacher 2001): nearly as even as looking at all,
/// at a price that does not grow with the number of nodes.
#[derive(Clone, Copy, Debug)]
pub struct PowerOfTwo {
    choices: usize,
}

impl PowerOfTwo {
    /// The strategy, with two choices.
    pub fn new() -> Self {
        Self { choices: 2 }
    }

    /// Draws so many; at least 1 are.
    #[must_use]
    pub fn choice_count(mut self, choices: usize) -> Self {
        self.choices = choices.max(1);
        self
    }
}

impl Default for PowerOfTwo {
    fn default() -> Self {
        Self::new()
    }
}

impl Strategy for PowerOfTwo {
    fn choose(&self, candidates: &Candidates<'_>, draw: &mut Draw) -> Option<usize> {
        best_of(self.choices, candidates, draw, |a, b| a.load() < b.load())
    }
}

/// Two drawn at random, compared by how long an answer is likely to take: peak-sensitive average latency
/// times requests in flight, for each unit of weight, divided by the share of requests that succeed.
///
/// The average jumps up to any slower answer at once and comes down slowly (Finagle's peak EWMA). It
/// fades while a node gets nothing, so that a node that was slow is tried again. A node without an
/// answer yet is taken to be as fast as the other one: it is neither frozen out nor flooded. Fast
/// failures do not make a node look fast.
#[derive(Clone, Copy, Debug)]
pub struct PeakEwma {
    choices: usize,
    decay: Duration,
}

impl PeakEwma {
    /// The strategy, with two choices and a decay of 10 s.
    pub fn new() -> Self {
        Self { choices: 2, decay: Duration::from_secs(10) }
    }

    /// How fast the past is forgotten: to 1/e in this time. 1 ns at least.
    #[must_use]
    pub fn decay(mut self, decay: Duration) -> Self {
        self.decay = decay.max(Duration::from_nanos(1));
        self
    }

    /// Draws so many; at least 1 are.
    #[must_use]
    pub fn choice_count(mut self, choices: usize) -> Self {
        self.choices = choices.max(1);
        self
    }
}

impl Default for PeakEwma {
    fn default() -> Self {
        Self::new()
    }
}

impl Strategy for PeakEwma {
    fn choose(&self, candidates: &Candidates<'_>, draw: &mut Draw) -> Option<usize> {
        best_of(self.choices, candidates, draw, |a, b| {
            let (ours, theirs) = match (a.latency_nanos(), b.latency_nanos()) {
                (Some(ours), Some(theirs)) => (ours, theirs),
                _ => (1.0, 1.0),
            };
            cost(a, ours) < cost(b, theirs)
        })
    }

    fn decay(&self) -> Duration {
        self.decay
    }
}

fn cost(candidate: &Candidate<'_>, latency: f64) -> f64 {
    latency * candidate.load() / (1.0 - candidate.error_rate()).max(0.02)
}

fn best_of(
    choices: usize,
    candidates: &Candidates<'_>,
    draw: &mut Draw,
    better: impl Fn(&Candidate<'_>, &Candidate<'_>) -> bool,
) -> Option<usize> {
    let (mut best_at, mut best) = candidates.draw(draw)?;
    for _ in 1..choices {
        let (mut at, mut other) = candidates.draw(draw)?;
        if at == best_at {
            // Another one, so that two nodes are always compared.
            (at, other) = candidates.next(at + 1)?;
        }
        if better(&other, &best) {
            (best_at, best) = (at, other);
        }
    }
    // Nodes of weight 0 are left to the balancer, which takes them when there is nothing else.
    best.load().is_finite().then_some(best_at)
}
