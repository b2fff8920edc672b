//! What a search may cost, and what came of it.

use super::explore::Refutation;
use std::{fmt, time::Duration};

/// What a search may cost. One that reaches a limit is unfinished, which is never a pass.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) executions: u64,
    pub(crate) states: u64,
    pub(crate) time: Duration,
    /// Spurious failures of weak compare-exchanges in one execution, for each thread.
    pub(crate) spurious: u32,
    /// Steps in a row without a completed operation that are looked at for a pattern.
    pub(crate) idle_steps: usize,
    /// Steps after which an execution that only runs to its end is given up.
    pub(crate) lead_steps: usize,
    pub(crate) shard: (usize, usize),
    pub(crate) from: Vec<usize>,
    pub(crate) replay: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            executions: 20_000_000,
            states: 10_000_000,
            time: Duration::from_secs(120),
            spurious: 1,
            idle_steps: 300,
            lead_steps: 100_000,
            shard: (0, 1),
            from: Vec::new(),
            replay: false,
        }
    }
}

/// What a finished search has seen.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Proof {
    /// Times the client ran.
    pub executions: u64,
    /// Different states it was in.
    pub states: u64,
    /// Steps taken, over all executions.
    pub steps: u64,
    /// The most steps of its own that each named operation took.
    pub own_steps: Vec<(String, u64)>,
}

/// How a search ended.
#[derive(Debug)]
#[must_use = "a verdict that nobody looks at proves nothing"]
pub enum Verdict {
    /// The claim holds in every execution of this client.
    Proved(Proof),
    /// It does not hold in this one.
    Refuted(Box<Refutation>),
    /// A limit was reached first. This is no pass.
    Unfinished {
        /// Which limit.
        why: String,
        /// What was seen until then.
        proof: Proof,
        /// Where to go on, for [`Explorer::resume`](crate::Explorer::resume).
        resume: Vec<usize>,
    },
}

impl Verdict {
    /// The proof.
    ///
    /// # Panics
    ///
    /// With the refutation, or the reason why the search is unfinished.
    #[track_caller]
    pub fn proved(self) -> Proof {
        match self {
            Self::Proved(proof) => proof,
            other => panic!("{other}"),
        }
    }

    /// The refutation.
    ///
    /// # Panics
    ///
    /// When the claim was proved, or the search is unfinished: a control that must fail did not.
    #[track_caller]
    pub fn refuted(self) -> Refutation {
        match self {
            Self::Refuted(refutation) => *refutation,
            other => panic!("a refutation was expected, but: {other}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proved(proof) => {
                write!(f, "proved in {} executions, {} states", proof.executions, proof.states)
            }
            Self::Refuted(refutation) => refutation.fmt(f),
            Self::Unfinished { why, proof, resume } => write!(
                f,
                "unfinished after {why}: {} executions, {} states; resume at {resume:?}",
                proof.executions, proof.states
            ),
        }
    }
}
