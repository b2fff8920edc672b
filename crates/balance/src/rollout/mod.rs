//! Moving traffic from an old way to a new one, step by step, and back by itself when the new one fails
//! more often.

mod evidence;

pub use evidence::{Evidence, RolloutCounts};

use crate::{
    BuildError, Outcome,
    draw::{Draw, mix},
};
use evidence::Sides;
use parking_lot::Mutex;
use ropewalk_prove::sync::atomic::{AtomicU64, Ordering};
use ropewalk_sync::Clock;
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
    time::Instant,
};

/// Entries of the history that are kept.
const REMEMBERED: usize = 256;

/// Traffic between an old and a new implementation: clients, balancers, functions. Clones are handles to
/// the same rollout.
///
/// ```
/// use ropewalk_balance::{Outcome, Rollout, Side};
///
/// let rollout = Rollout::new("old service", "new service");
/// assert_eq!(rollout.percent(), 10);
/// let route = rollout.route(&"user-17");
/// let answer = format!("asked the {}", route.get());
/// route.complete(Outcome::Success);
///
/// rollout.advance()?;
/// assert_eq!(rollout.percent(), 50);
/// rollout.rollback();
/// assert_eq!(rollout.route(&"user-17").side(), Side::Old);
/// # Ok::<(), ropewalk_balance::AdvanceError>(())
/// ```
pub struct Rollout<A, B = A>(Arc<Inner<A, B>>);

struct Inner<A, B> {
    old: A,
    new: B,
    settings: Settings,
    /// The new side's percentage now, and above its 8 bits the number of the test that runs.
    share: AtomicU64,
    draws: AtomicU64,
    /// Requests of the new side when the step began.
    step_began: AtomicU64,
    counts: [Counts; 2],
    state: Mutex<State>,
}

#[derive(Clone, Debug)]
struct Settings {
    steps: Vec<u32>,
    significance: f64,
    max_error_rate: Option<f64>,
    auto_advance: Option<u64>,
    seed: u64,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    failures: AtomicU64,
}

#[derive(Debug)]
struct State {
    phase: RolloutPhase,
    test: Sides,
    /// Counts when the test began.
    began: [RolloutCounts; 2],
    /// Tells routes of this test from those of an earlier one.
    round: u64,
    history: Vec<RolloutEvent>,
}

/// One of the two implementations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Side {
    /// The one that was there.
    Old,
    /// The one to move to.
    New,
}

/// An implementation and which it is, when the two differ in type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a, A, B> {
    /// The one that was there.
    Old(&'a A),
    /// The one to move to.
    New(&'a B),
}

/// How far a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum RolloutPhase {
    /// On one of its steps, counted from 0.
    Running {
        /// Which step.
        step: usize,
    },
    /// All traffic is back on the old side.
    RolledBack,
}

/// What happened to a rollout.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RolloutEvent {
    /// When.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub at: Instant,
    /// The new side's percentage before.
    pub from: u32,
    /// The new side's percentage after.
    pub to: u32,
    /// Why.
    pub cause: RolloutCause,
    /// What was known at that moment.
    pub evidence: Evidence,
}

/// Why a rollout changed its percentage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum RolloutCause {
    /// It began.
    Started,
    /// Somebody called [`Rollout::advance`].
    Advanced,
    /// Enough requests went well.
    AutoAdvanced,
    /// Somebody called [`Rollout::rollback`].
    RolledBack,
    /// The new side fails more often than the old one.
    WorseThanOld,
    /// The new side fails more often than it may.
    AboveCeiling,
}

/// A rollout has no next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdvanceError {
    /// All traffic is on the new side already.
    #[error("the rollout is at its last step, 100 %")]
    Complete,
    /// It was rolled back.
    #[error("the rollout was rolled back; begin again with restart()")]
    RolledBack,
}

/// Builds a [`Rollout`].
#[derive(Clone, Debug)]
pub struct RolloutBuilder<A, B = A> {
    old: A,
    new: B,
    settings: Settings,
}

impl<A, B> RolloutBuilder<A, B> {
    /// The new side's percentages in turn; 10, 50, 100 by default. They rise and end at 100; the first may
    /// be 0.
    #[must_use]
    pub fn steps(mut self, steps: impl Into<Vec<u32>>) -> Self {
        self.settings.steps = steps.into();
        self
    }

    /// How likely a rollback of a new side that is no worse may be, over the whole rollout; 0.01 by default.
    #[must_use]
    pub fn significance(mut self, alpha: f64) -> Self {
        self.settings.significance = alpha;
        self
    }

    /// Rolls back too when the new side is shown to fail more often than this, whatever the old one does.
    #[must_use]
    pub fn max_error_rate(mut self, rate: f64) -> Self {
        self.settings.max_error_rate = Some(rate);
        self
    }

    /// Takes the next step by itself after so many requests of the new side ended at a step.
    #[must_use]
    pub fn auto_advance(mut self, requests: u64) -> Self {
        self.settings.auto_advance = Some(requests);
        self
    }

    /// Which keys go first. Rollouts with different seeds choose different ones.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// The clock of the history; the system's by default.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.settings.clock = clock;
        self
    }

    /// Builds it, at its first step.
    ///
    /// # Errors
    ///
    /// Steps that do not rise to 100 %, probabilities outside of (0, 1), 0 requests for a step.
    pub fn build(self) -> Result<Rollout<A, B>, BuildError> {
        let settings = self.settings;
        if settings.steps.last() != Some(&100) || !settings.steps.is_sorted_by(|a, b| a < b) {
            return Err(BuildError::Steps { steps: settings.steps });
        }
        for (what, value) in
            [("significance", Some(settings.significance)), ("max_error_rate", settings.max_error_rate)]
        {
            if let Some(value) = value.filter(|v| !(*v > 0.0 && *v < 1.0)) {
                return Err(BuildError::Probability { what, value });
            }
        }
        if settings.auto_advance == Some(0) {
            return Err(BuildError::Zero { what: "auto_advance", way_out: "" });
        }
        let rollout = Rollout(Arc::new(Inner {
            old: self.old,
            new: self.new,
            share: AtomicU64::new(0),
            draws: AtomicU64::new(0),
            step_began: AtomicU64::new(0),
            counts: Default::default(),
            state: Mutex::new(State {
                phase: RolloutPhase::RolledBack,
                test: Sides::default(),
                began: Default::default(),
                round: 0,
                history: Vec::new(),
            }),
            settings,
        }));
        rollout.restart();
        Ok(rollout)
    }
}

impl<A, B> Rollout<A, B> {
    /// A rollout at 10 %, to go on to 50 and 100 when told, and back by itself.
    pub fn new(old: A, new: B) -> Self {
        Self::builder(old, new).build().expect("the default settings are valid")
    }

    /// Starts setting one up.
    pub fn builder(old: A, new: B) -> RolloutBuilder<A, B> {
        let settings = Settings {
            steps: vec![10, 50, 100],
            significance: 0.01,
            max_error_rate: None,
            auto_advance: None,
            seed: 0x526f_6c6c,
            clock: Clock::system(),
        };
        RolloutBuilder { old, new, settings }
    }

    /// The side of a key: always the same at a step, and once new, new at all later steps. It depends on
    /// the key's [`Hash`] and the seed alone.
    pub fn route<K: Hash + ?Sized>(&self, key: &K) -> Route<A, B> {
        let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
        key.hash(&mut hasher);
        self.route_at(mix(hasher.finish() ^ mix(self.0.settings.seed)))
    }

    /// A side drawn at random.
    pub fn draw(&self) -> Route<A, B> {
        let nth = self.0.draws.fetch_add(1, Ordering::Relaxed);
        self.route_at(Draw::new(self.0.settings.seed, nth).bits())
    }

    fn route_at(&self, bits: u64) -> Route<A, B> {
        // Acquire: pairs with the Release in `Inner::turn`: who sees the percentage sees its round.
        let share = self.0.share.load(Ordering::Acquire);
        let bucket = (u128::from(bits) * 100) >> 64;
        let side = if bucket < u128::from(percent_of(share)) { Side::New } else { Side::Old };
        Route { inner: self.0.clone(), side, share }
    }

    /// The new side's percentage now.
    pub fn percent(&self) -> u32 {
        // Acquire: pairs with the Release in `Inner::turn`.
        percent_of(self.0.share.load(Ordering::Acquire))
    }

    /// How far it is.
    pub fn phase(&self) -> RolloutPhase {
        self.0.state.lock().phase
    }

    /// Takes the next step.
    ///
    /// # Errors
    ///
    /// [`AdvanceError`] when there is none.
    pub fn advance(&self) -> Result<u32, AdvanceError> {
        self.0.advance(&mut self.0.state.lock(), RolloutCause::Advanced)
    }

    /// Puts all traffic back on the old side.
    pub fn rollback(&self) {
        let mut state = self.0.state.lock();
        if state.phase != RolloutPhase::RolledBack {
            self.0.roll_back(&mut state, RolloutCause::RolledBack);
        }
    }

    /// Begins at the first step with a fresh test, after a rollback or at any time.
    pub fn restart(&self) {
        let mut state = self.0.state.lock();
        state.test = Sides::default();
        state.began = [self.0.counted(Side::Old), self.0.counted(Side::New)];
        state.round += 1;
        state.phase = RolloutPhase::Running { step: 0 };
        let first = self.0.settings.steps[0];
        self.0.turn(&mut state, first, RolloutCause::Started);
    }

    /// What was counted since it began, and how sure it is.
    pub fn evidence(&self) -> Evidence {
        self.0.evidence(&self.0.state.lock())
    }

    /// What happened, oldest first; the last 256 changes.
    pub fn history(&self) -> Vec<RolloutEvent> {
        self.0.state.lock().history.clone()
    }
}

impl<A, B> Inner<A, B> {
    fn counted(&self, side: Side) -> RolloutCounts {
        let counts = &self.counts[side as usize];
        let failures = counts.failures.load(Ordering::Relaxed);
        RolloutCounts { requests: counts.requests.load(Ordering::Relaxed).max(failures), failures }
    }

    fn advance(&self, state: &mut State, cause: RolloutCause) -> Result<u32, AdvanceError> {
        let RolloutPhase::Running { step } = state.phase else { return Err(AdvanceError::RolledBack) };
        let next = *self.settings.steps.get(step + 1).ok_or(AdvanceError::Complete)?;
        state.phase = RolloutPhase::Running { step: step + 1 };
        self.turn(state, next, cause);
        Ok(next)
    }

    fn roll_back(&self, state: &mut State, cause: RolloutCause) {
        state.phase = RolloutPhase::RolledBack;
        self.turn(state, 0, cause);
    }

    fn turn(&self, state: &mut State, to: u32, cause: RolloutCause) {
        let evidence = self.evidence(state);
        // Release: pairs with the Acquire in `route_at`.
        let before = self.share.swap(state.round << 8 | u64::from(to), Ordering::AcqRel);
        let from = percent_of(before);
        self.step_began.store(self.counted(Side::New).requests, Ordering::Relaxed);
        if state.history.len() == REMEMBERED {
            state.history.remove(0);
        }
        state.history.push(RolloutEvent { at: self.settings.clock.now(), from, to, cause, evidence });
    }

    fn evidence(&self, state: &State) -> Evidence {
        let since = |side: Side| {
            let (now, began) = (self.counted(side), state.began[side as usize]);
            RolloutCounts { requests: now.requests - began.requests, failures: now.failures - began.failures }
        };
        let (old, new) = (since(Side::Old), since(Side::New));
        let above_ceiling = self.settings.max_error_rate.map_or(0.0, |rate| evidence::above(rate, new));
        Evidence { old, new, worse: state.test.worse(), above_ceiling }
    }

    fn settle(&self, side: Side, share: u64, outcome: Outcome) {
        // Acquire: pairs with the Release in `turn`.
        let now = self.share.load(Ordering::Acquire);
        if now >> 8 != share >> 8 {
            return; // routed under an earlier test
        }
        let counts = &self.counts[side as usize];
        let requests = counts.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if outcome == Outcome::Failure {
            counts.failures.fetch_add(1, Ordering::Relaxed);
            self.judge(side, share);
        }
        let Some(enough) = self.settings.auto_advance.filter(|_| side == Side::New && now == share) else {
            return;
        };
        if requests.saturating_sub(self.step_began.load(Ordering::Relaxed)) >= enough {
            let mut state = self.state.lock();
            // Looked at again under the lock: one of many takes the step, and none after a rollback.
            // Acquire: pairs with the Release in `turn`.
            if self.share.load(Ordering::Acquire) == share {
                // At the last step there is none to take.
                let _ = self.advance(&mut state, RolloutCause::AutoAdvanced);
            }
        }
    }

    /// Only failures make a rollback likelier, so the test is read after each.
    fn judge(&self, side: Side, routed: u64) {
        let mut state = self.state.lock();
        if state.round != routed >> 8 {
            return;
        }
        state.test.failed(side, f64::from(percent_of(routed)) / 100.0);
        if state.phase == RolloutPhase::RolledBack {
            return;
        }
        let (evidence, bar) = (self.evidence(&state), 1.0 / self.settings.significance);
        if evidence.worse >= bar {
            self.roll_back(&mut state, RolloutCause::WorseThanOld);
        } else if evidence.above_ceiling >= bar {
            self.roll_back(&mut state, RolloutCause::AboveCeiling);
        }
    }
}

fn percent_of(share: u64) -> u32 {
    (share & 0xff) as u32
}

impl<A, B> Clone for Rollout<A, B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A, B> fmt::Debug for Rollout<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rollout")
            .field("percent", &self.percent())
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}

/// A request's side. [`complete`](Self::complete) says how it ended there; dropped without that, it does
/// not count.
#[must_use = "a route that is not completed tells the rollout nothing"]
pub struct Route<A, B = A> {
    inner: Arc<Inner<A, B>>,
    side: Side,
    /// The new side's share when it was routed, which is its probability in the test, and the test.
    share: u64,
}

impl<A, B> Route<A, B> {
    /// Which side it is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// The implementation to use.
    pub fn target(&self) -> Target<'_, A, B> {
        match self.side {
            Side::Old => Target::Old(&self.inner.old),
            Side::New => Target::New(&self.inner.new),
        }
    }

    /// The request ended so. Takes an [`Outcome`] or a reference to a `Result`. A rejection counts as a
    /// request that did not fail.
    pub fn complete(self, outcome: impl Into<Outcome>) {
        self.inner.settle(self.side, self.share, outcome.into());
    }
}

impl<T> Route<T, T> {
    /// The implementation to use, when both are of one type.
    pub fn get(&self) -> &T {
        match self.side {
            Side::Old => &self.inner.old,
            Side::New => &self.inner.new,
        }
    }
}

impl<A, B> fmt::Debug for Route<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("side", &self.side).finish_non_exhaustive()
    }
}

/// FNV-1a: the same on every run, unlike the standard library's.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
