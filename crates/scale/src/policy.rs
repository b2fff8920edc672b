//! The decision, without time, nodes or threads of its own.

use crate::{BuildError, History, load::Load, load::Utilization};
use std::{
    collections::VecDeque,
    fmt,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

/// How many nodes a load deserves, and how fast to get there: a pure function of what it is told.
///
/// The rule is the Kubernetes horizontal autoscaler's: `ceil(demand / target)`, nothing while the
/// utilisation is within `tolerance` of the target, up at once, down to the greatest recommendation of
/// the stabilisation window and only after the cool-down. [`AutoScaler`](crate::AutoScaler) runs it;
/// alone it serves simulations and tests.
///
/// ```
/// use ropewalk_scale::{Load, Memory, Policy, Utilization};
/// use std::time::Instant;
///
/// let policy = Policy::new(1..=20, Utilization::percent(50))?;
/// let now = Instant::now();
/// let mut memory = Memory::new(2, now);
/// // Two nodes at 100 % are the work of four at 50 %.
/// let decision = policy.decide(&mut memory, 2, 2, Load::utilization(1.0), now);
/// assert_eq!((decision.from, decision.to), (2, 4));
/// # Ok::<(), ropewalk_scale::BuildError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Policy {
    pub(crate) min: usize,
    pub(crate) max: usize,
    pub(crate) target: f64,
    pub(crate) tolerance: f64,
    pub(crate) stabilization: Duration,
    pub(crate) cooldown: Duration,
    pub(crate) cooldown_up: Duration,
    pub(crate) step_up: usize,
    pub(crate) step_down: usize,
}

/// What a [`Policy`] remembers between decisions: recent recommendations and the last change. Its size
/// is bounded by the number of distinct node counts.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Recommendations, strictly decreasing from the front: the front is the greatest of the window.
    window: VecDeque<(Instant, usize)>,
    changed: Option<Instant>,
}

/// What was decided on one sample of load.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Decision {
    /// Nodes wanted before.
    pub from: usize,
    /// Nodes wanted now.
    pub to: usize,
    /// Why.
    pub reason: Reason,
    /// The load, in nodes' worth of work; NaN when the sample said nothing.
    pub demand: f64,
    /// What the load alone would ask for, before bounds, steps, window and cool-down.
    pub recommended: usize,
}

/// Why the number of nodes changed, or did not.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Reason {
    /// The utilisation left the target's band.
    Load {
        /// Demand over the nodes wanted before.
        utilization: f64,
        /// The target.
        target: f64,
    },
    /// The utilisation is close enough to the target.
    WithinTolerance {
        /// Demand over nodes.
        utilization: f64,
    },
    /// Fewer nodes would do, but a recent sample asked for more.
    Stabilizing {
        /// The greatest recommendation of the window.
        held_at: usize,
    },
    /// The last change is too recent.
    CoolingDown {
        /// The rest of the cool-down.
        left: Duration,
    },
    /// More nodes are needed than the maximum allows.
    AtMax,
    /// Fewer nodes are needed than the minimum allows.
    AtMin,
    /// The sample was not a number, or measured nodes that are not there: nothing changes.
    NoData,
    /// Automatic decisions are paused.
    Paused,
    /// Somebody asked for this number.
    Manual,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |ratio: f64| format!("{:.0} %", 100.0 * ratio);
        match *self {
            Self::Load { utilization, target } => {
                write!(f, "utilisation {} against a target of {}", percent(utilization), percent(target))
            }
            Self::WithinTolerance { utilization } => {
                write!(f, "utilisation {} is close to the target", percent(utilization))
            }
            Self::Stabilizing { held_at } => {
                write!(f, "a recent sample asked for {held_at}; waiting whether it comes back")
            }
            Self::CoolingDown { left } => write!(f, "cooling down for another {left:.1?}"),
            Self::AtMax => f.write_str("the load asks for more, but this is the maximum"),
            Self::AtMin => f.write_str("the load asks for fewer, but this is the minimum"),
            Self::NoData => f.write_str("the sample said nothing"),
            Self::Paused => f.write_str("automatic scaling is paused"),
            Self::Manual => f.write_str("asked for by hand"),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, reason, .. } = self;
        if from == to {
            write!(f, "{to} nodes kept: {reason}")
        } else {
            write!(f, "{from} -> {to} nodes: {reason}")
        }
    }
}

impl Decision {
    /// Whether it changes anything.
    pub fn is_change(&self) -> bool {
        self.from != self.to
    }
}

impl Memory {
    /// The memory of a policy that starts with `nodes`: it counts as the first recommendation, so that
    /// the first scale-down waits for a whole window.
    pub fn new(nodes: usize, now: Instant) -> Self {
        Self { window: VecDeque::from([(now, nodes)]), changed: None }
    }

    /// Forgets what was recommended: somebody set the number by hand.
    pub fn reset(&mut self, nodes: usize, now: Instant) {
        *self = Self { window: VecDeque::from([(now, nodes)]), changed: Some(now) };
    }

    fn recommend(&mut self, nodes: usize, now: Instant, window: Duration) -> usize {
        while self.window.back().is_some_and(|&(_, older)| older <= nodes) {
            self.window.pop_back();
        }
        self.window.push_back((now, nodes));
        while self.window.front().is_some_and(|&(at, _)| now.saturating_duration_since(at) > window) {
            self.window.pop_front();
        }
        self.window.front().map_or(nodes, |&(_, greatest)| greatest)
    }

    fn cooling(&self, now: Instant, cooldown: Duration) -> Option<Duration> {
        let since = now.saturating_duration_since(self.changed?);
        cooldown.checked_sub(since).filter(|left| !left.is_zero())
    }
}

impl Policy {
    /// A policy with the defaults of the field: tolerance 0.1, a window of 300 s, no cool-down, no
    /// limit to a step.
    ///
    /// # Errors
    ///
    /// [`BuildError`] for an empty range, a maximum of 0, or a target outside of 0 to 100 %.
    pub fn new(nodes: RangeInclusive<usize>, target: Utilization) -> Result<Self, BuildError> {
        let policy = Self {
            min: *nodes.start(),
            max: *nodes.end(),
            target: target.as_ratio(),
            tolerance: 0.1,
            stabilization: Duration::from_secs(300),
            cooldown: Duration::ZERO,
            cooldown_up: Duration::ZERO,
            step_up: usize::MAX,
            step_down: usize::MAX,
        };
        policy.check()?;
        Ok(policy)
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        if self.min > self.max || self.max == 0 {
            return Err(BuildError::Nodes { min: self.min, max: self.max });
        }
        if !(self.target > 0.0 && self.target <= 1.0) {
            return Err(BuildError::Target(self.target));
        }
        if !(0.0..1.0).contains(&self.tolerance) {
            return Err(BuildError::Tolerance(self.tolerance));
        }
        if self.step_up == 0 || self.step_down == 0 {
            return Err(BuildError::Step);
        }
        Ok(())
    }

    /// The share of the target by which the utilisation may be off without a change; 0.1 by default.
    ///
    /// # Errors
    ///
    /// [`BuildError::Tolerance`] outside of `0..1`.
    pub fn tolerance(mut self, share: f64) -> Result<Self, BuildError> {
        self.tolerance = share;
        self.check()?;
        Ok(self)
    }

    /// How far back recommendations hold nodes; 300 s by default.
    #[must_use]
    pub fn stabilization(mut self, window: Duration) -> Self {
        self.stabilization = window;
        self
    }

    /// The least time between a change and the next scale-down; none by default.
    #[must_use]
    pub fn cooldown(mut self, time: Duration) -> Self {
        self.cooldown = time;
        self
    }

    /// The least time between a change and the next scale-up; none by default.
    #[must_use]
    pub fn cooldown_up(mut self, time: Duration) -> Self {
        self.cooldown_up = time;
        self
    }

    /// The most nodes added by one decision, at least 1; no limit by default.
    #[must_use]
    pub fn step_up(mut self, nodes: usize) -> Self {
        self.step_up = nodes.max(1);
        self
    }

    /// The most nodes removed by one decision, at least 1; no limit by default.
    #[must_use]
    pub fn step_down(mut self, nodes: usize) -> Self {
        self.step_down = nodes.max(1);
        self
    }

    /// The bounds on the number of nodes.
    pub fn nodes(&self) -> RangeInclusive<usize> {
        self.min..=self.max
    }

    /// What a demand asks for by itself: `ceil(demand / target)`, or `nodes` within the tolerance.
    pub fn reactive(&self, nodes: usize, demand: f64) -> usize {
        if nodes > 0 && (demand / (nodes as f64 * self.target) - 1.0).abs() <= self.tolerance {
            return nodes;
        }
        // A demand that is a multiple of the target up to rounding must not cost a node. The cast
        // saturates; a demand is not negative.
        (demand / self.target - 1e-9).ceil() as usize
    }

    /// Decides on one sample, given the nodes wanted so far (those that start included) and the nodes
    /// ready to serve.
    pub fn decide(
        &self,
        memory: &mut Memory,
        nodes: usize,
        ready: usize,
        load: Load,
        now: Instant,
    ) -> Decision {
        match load.demand_on(ready) {
            None => Decision {
                from: nodes,
                to: nodes,
                reason: Reason::NoData,
                demand: f64::NAN,
                recommended: nodes,
            },
            Some(demand) => self.admit(memory, nodes, demand, self.reactive(nodes, demand), now),
        }
    }

    /// The second half of [`decide`](Self::decide), for recommendations from elsewhere: bounds, window,
    /// cool-down and steps.
    pub fn admit(
        &self,
        memory: &mut Memory,
        nodes: usize,
        demand: f64,
        recommended: usize,
        now: Instant,
    ) -> Decision {
        let keep = |reason| Decision { from: nodes, to: nodes, reason, demand, recommended };
        let utilization = if nodes == 0 && demand == 0.0 { 0.0 } else { demand / nodes as f64 };
        let change = |to| Decision { to, ..keep(Reason::Load { utilization, target: self.target }) };
        let bounded = recommended.clamp(self.min, self.max);
        let held_at = memory.recommend(bounded, now, self.stabilization);
        let decision = if bounded > nodes {
            match memory.cooling(now, self.cooldown_up) {
                Some(left) => keep(Reason::CoolingDown { left }),
                None => change(bounded.min(nodes.saturating_add(self.step_up))),
            }
        } else if nodes > self.max {
            // The bounds moved: they hold at once.
            change(self.max)
        } else if bounded < nodes {
            match memory.cooling(now, self.cooldown) {
                _ if held_at >= nodes => keep(Reason::Stabilizing { held_at }),
                Some(left) => keep(Reason::CoolingDown { left }),
                None => change(held_at.max(nodes.saturating_sub(self.step_down))),
            }
        } else if recommended > self.max {
            keep(Reason::AtMax)
        } else if recommended < self.min {
            keep(Reason::AtMin)
        } else {
            keep(Reason::WithinTolerance { utilization })
        };
        if decision.is_change() {
            memory.changed = Some(now);
        }
        decision
    }
}

/// What a [`Recommend`]er sees.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct View<'a> {
    /// The load, in nodes' worth of work.
    pub demand: f64,
    /// Nodes wanted so far, those that start included.
    pub nodes: usize,
    /// Nodes that serve.
    pub ready: usize,
    /// The scaler's policy.
    pub policy: &'a Policy,
    /// How long nodes took to start: the median of the last starts, if there were any.
    pub start_up: Option<Duration>,
    /// The load seen so far.
    pub history: &'a History,
    /// When the sample was taken.
    pub now: Instant,
}

/// Turns a load into a number of nodes; the policy then holds it to bounds, window, cool-down and
/// steps. The default is [`Policy::reactive`]; one that forecasts takes its place here.
pub trait Recommend: Send + 'static {
    /// How many nodes the load needs. Runs on the scaler's driver, under no lock.
    fn recommend(&mut self, view: &View<'_>) -> usize;
}

impl<F: FnMut(&View<'_>) -> usize + Send + 'static> Recommend for F {
    fn recommend(&mut self, view: &View<'_>) -> usize {
        self(view)
    }
}
