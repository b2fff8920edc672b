//! Claims about progress, judged by the explorer.

use super::{
    explore::{self, Claim, Holders},
    run::{self, Client},
    step::{Driver, driver},
    verdict::{Limits, Proof, Verdict},
};
use crate::evidence::{Evidence, Timer};
use std::{sync::Arc, time::Duration};

/// The explorer with its limits.
///
/// It runs a client (a closure that starts threads of the shim) in every schedule under sequential consistency, depth
/// first, prunes nothing but states it has seen, and lets a weak compare-exchange fail for no reason once per thread.
///
/// A state is what memory holds and what each thread's steps have returned. Cells and latches count by who wrote
/// them and when, so equal states are equal and some equal states are told apart. What is shared outside of the shim is not
/// seen: hand results over by `join`.
///
/// A thread that calls [`hint::spin_loop`](crate::hint::spin_loop) twice with nothing changed in between counts as
/// waiting, so spins in a model must be without a count, or with a small one.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Explorer {
    limits: Limits,
}

impl Explorer {
    /// Ten million states and two minutes at most.
    pub fn new() -> Self {
        Self::default()
    }

    /// At most this many states.
    pub fn states(mut self, most: u64) -> Self {
        self.limits.states = most;
        self
    }

    /// At most this many executions.
    pub fn executions(mut self, most: u64) -> Self {
        self.limits.executions = most;
        self
    }

    /// At most this long.
    pub fn time(mut self, most: Duration) -> Self {
        self.limits.time = most;
        self
    }

    /// How often weak compare-exchanges fail for no reason in one execution, for each thread; once by default.
    pub fn spurious_failures(mut self, times: u32) -> Self {
        self.limits.spurious = times;
        self
    }

    /// After how many steps without a completed operation an execution is looked at for a pattern that repeats;
    /// 300 by default.
    pub fn idle_steps(mut self, steps: usize) -> Self {
        self.limits.idle_steps = steps;
        self
    }

    /// Only the part `index` of `of`, so that `of` processes share the work. All parts together are the proof.
    pub fn shard(mut self, index: usize, of: usize) -> Self {
        assert!(index < of, "shard {index} of {of}");
        self.limits.shard = (index, of);
        self
    }

    /// Goes on where an unfinished search stopped.
    pub fn resume(mut self, at: &[usize]) -> Self {
        self.limits.from = at.to_vec();
        self
    }

    /// Assertions hold in every schedule, and never does everybody wait.
    pub fn safe(&self, client: impl Fn() + Send + Sync + 'static) -> Verdict {
        self.judge("safe", Claim::Safe, &(Arc::new(client) as Client))
    }

    /// No thread ever waits for another, and no schedule goes on without end: whoever is suspended wherever, the
    /// others finish.
    pub fn lock_free(&self, client: impl Fn() + Send + Sync + 'static) -> Verdict {
        self.judge("lock_free", Claim::LockFree, &(Arc::new(client) as Client))
    }

    /// As `lock_free`, but threads may wait for `holders`.
    pub fn waits_only_for(&self, holders: Holders, client: impl Fn() + Send + Sync + 'static) -> Verdict {
        self.judge("waits_only_for", Claim::Waits(holders), &(Arc::new(client) as Client))
    }

    /// The most steps of its own that `operation` takes does not grow with the number of interfering operations: `client`
    /// makes a client with 1, 2, 3 and 4 of them, and the figures from 2 on must be equal.
    ///
    /// This says "wait-free at this size"; the argument for all sizes is the author's.
    ///
    /// # Errors
    ///
    /// The figures for 1 to 4, when they grow.
    pub fn wait_free<C: Fn() + Send + Sync + 'static>(
        &self,
        operation: &str,
        client: impl Fn(usize) -> C,
    ) -> Result<Vec<u64>, NotWaitFree> {
        let timer = Timer::start();
        let mut most = Vec::new();
        let mut total = Proof::default();
        let mut failed = None;
        for interfering in 1..=4 {
            let client: Client = Arc::new(client(interfering));
            match explore::explore(Claim::WaitFree, self.limits.clone(), &client) {
                Verdict::Proved(proof) => {
                    let steps =
                        proof.own_steps.iter().find(|(name, _)| name == operation).map(|(_, steps)| *steps);
                    most.push(
                        steps.unwrap_or_else(|| {
                            panic!("no `{operation}` in the client: name it by `operation`")
                        }),
                    );
                    total.executions += proof.executions;
                    total.states += proof.states;
                }
                other => {
                    failed = Some(other);
                    break;
                }
            }
        }
        let flat = most.len() == 4 && most[1..].iter().all(|&steps| steps == most[1]);
        Evidence {
            claim: "wait_free",
            verdict: match &failed {
                Some(Verdict::Unfinished { .. }) => "unfinished",
                None if flat => "proved",
                _ => "refuted",
            },
            executions: total.executions,
            states: total.states,
            steps: most.iter().copied().max().unwrap_or(0),
            bound: "1 to 4 interfering operations".to_owned(),
            note: format!("own steps of {operation} beside 1, 2, 3, 4: {most:?}"),
            ..Evidence::new(&timer)
        }
        .write();
        match failed {
            None if flat => Ok(most),
            failed => Err(NotWaitFree { steps: most, verdict: failed }),
        }
    }

    /// Runs `client` once, along the choices of a refutation.
    pub fn replay(
        &self,
        schedule: &[usize],
        claim: Replay,
        client: impl Fn() + Send + Sync + 'static,
    ) -> Verdict {
        let limits = Limits { from: schedule.to_vec(), replay: true, ..self.limits.clone() };
        explore::explore(claim.0, limits, &(Arc::new(client) as Client))
    }

    fn judge(&self, name: &'static str, claim: Claim, client: &Client) -> Verdict {
        let timer = Timer::start();
        let verdict = explore::explore(claim, self.limits.clone(), client);
        let (word, proof, note) = match &verdict {
            Verdict::Proved(proof) => ("proved", proof.clone(), String::new()),
            Verdict::Refuted(refutation) => ("refuted", Proof::default(), refutation.summary()),
            Verdict::Unfinished { why, proof, .. } => ("unfinished", proof.clone(), why.clone()),
        };
        Evidence {
            claim: name,
            verdict: word,
            executions: proof.executions,
            states: proof.states,
            steps: proof.own_steps.iter().map(|(_, steps)| *steps).max().unwrap_or(0),
            bound: match self.limits.shard {
                (_, 1) => "none".to_owned(),
                (index, of) => format!("shard {index} of {of}"),
            },
            note,
            ..Evidence::new(&timer)
        }
        .write();
        verdict
    }
}

/// Which claim a replay judges.
#[derive(Clone, Copy, Debug)]
pub struct Replay(Claim);

impl Replay {
    /// [`Explorer::safe`].
    pub const SAFE: Self = Self(Claim::Safe);
    /// [`Explorer::lock_free`].
    pub const LOCK_FREE: Self = Self(Claim::LockFree);

    /// [`Explorer::waits_only_for`].
    pub const fn waits_only_for(holders: Holders) -> Self {
        Self(Claim::Waits(holders))
    }
}

/// Why an operation is not wait-free at this size.
#[derive(Debug)]
#[non_exhaustive]
pub struct NotWaitFree {
    /// The most steps of its own beside 1, 2, 3 and 4 interfering operations, as far as that was found.
    pub steps: Vec<u64>,
    /// The search that did not end in a proof, if one did not.
    pub verdict: Option<Verdict>,
}

impl std::fmt::Display for NotWaitFree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.verdict {
            Some(verdict) => write!(f, "after {:?}: {verdict}", self.steps),
            None => write!(f, "own steps grow with interference: {:?}", self.steps),
        }
    }
}

impl std::error::Error for NotWaitFree {}

/// Proves that `client` is lock-free: first the quick sweep under loom, then the explorer.
///
/// # Panics
///
/// With the refutation, or when the search is unfinished.
#[track_caller]
pub fn lock_free(client: impl Fn() + Send + Sync + 'static) {
    let client: Client = Arc::new(client);
    if let verdict @ (Verdict::Refuted(_) | Verdict::Unfinished { .. }) = run::sweep(&client) {
        panic!("{verdict}");
    }
    let explored = client.clone();
    Explorer::new().lock_free(move || explored()).proved();
}

/// Proves that threads of `client` wait for `holders` only.
///
/// # Panics
///
/// With the refutation, or when the search is unfinished.
#[track_caller]
pub fn waits_only_for(holders: Holders, client: impl Fn() + Send + Sync + 'static) {
    Explorer::new().waits_only_for(holders, client).proved();
}

/// Proves that `operation` is wait-free at this size; see [`Explorer::wait_free`].
///
/// # Panics
///
/// When its own steps grow with interference, or a search does not end in a proof.
#[track_caller]
pub fn wait_free<C: Fn() + Send + Sync + 'static>(operation: &str, client: impl Fn(usize) -> C) {
    if let Err(error) = Explorer::new().wait_free(operation, client) {
        panic!("{operation} is not wait-free at this size: {error}");
    }
}

/// Runs the sweep alone: each thread suspended before each of its steps, one at a time, under loom's weak memory.
pub fn stall_sweep(client: impl Fn() + Send + Sync + 'static) -> Verdict {
    run::sweep(&(Arc::new(client) as Client))
}

/// The caller owns something that others may wait for, until this drops.
#[derive(Debug)]
pub struct Holding(bool);

/// From here on the caller owns something that others may wait for.
pub fn holding() -> Holding {
    let explored = driver() == Driver::Explorer;
    if explored {
        explore::hold(1);
    }
    Holding(explored)
}

impl Drop for Holding {
    fn drop(&mut self) {
        if self.0 && driver() == Driver::Explorer {
            explore::hold(-1);
        }
    }
}

/// Runs `f` as an operation with a name: its steps are counted, and its end is progress.
pub fn operation<R>(name: &'static str, f: impl FnOnce() -> R) -> R {
    if driver() != Driver::Explorer {
        return f();
    }
    explore::enter(name);
    let result = f();
    explore::leave();
    result
}

/// [`Explorer::safe`] under another name.
#[track_caller]
pub(crate) fn safe_as(claim: &'static str, client: Client) {
    Explorer::new().judge(claim, Claim::Safe, &client).proved();
}
