//! Running models under loom.

use super::{
    explore::Refutation,
    ordered, stall,
    step::{Driver, Driving},
    threads,
    verdict::{Proof, Verdict},
};
use crate::evidence::{Evidence, Timer};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

pub(crate) type Client = Arc<dyn Fn() + Send + Sync>;

/// How a run under loom ended.
pub(crate) struct Checked {
    pub(crate) executions: u64,
    pub(crate) preemptions: Option<usize>,
    pub(crate) failure: Option<Box<dyn Any + Send>>,
    /// A limit of time or number ended it.
    pub(crate) cut: bool,
}

/// Explores `client` under loom, with the environment's limits and at most this many preemptions if given.
pub(crate) fn check(client: &Client, preemptions: Option<usize>) -> Checked {
    let mut builder = loom::model::Builder::new();
    // Limits are looked at only this often.
    builder.checkpoint_interval = builder.checkpoint_interval.min(64);
    builder.preemption_bound = preemptions.or(builder.preemption_bound);
    let executions = Arc::new(AtomicU64::new(0));
    let (count, client) = (executions.clone(), client.clone());
    let started = Instant::now();
    let failure = {
        let _driving = Driving::by(Driver::Loom);
        catch_unwind(AssertUnwindSafe(|| {
            builder.check(move || {
                count.fetch_add(1, Relaxed);
                stall::execution();
                client();
                threads::end();
                stall::rests();
            });
        }))
        .err()
    };
    let executions = executions.load(Relaxed);
    let cut = builder.max_permutations.is_some_and(|most| executions >= most as u64)
        || builder.max_duration.is_some_and(|most| started.elapsed() >= most);
    Checked { executions, preemptions: builder.preemption_bound, failure, cut }
}

/// Explores every execution of `f` that the C11 memory model allows, within loom's bounds, and checks its assertions,
/// its data races, its deadlocks and its leaks.
///
/// The number of preemptions may be bounded by `LOOM_MAX_PREEMPTIONS`, as in loom; a bounded run is evidence, and says
/// its bound.
///
/// # Panics
///
/// When an assertion in `f` fails in some execution, or the model deadlocks, races or leaks; and when a limit of time or
/// number ended the search.
#[track_caller]
pub fn model(f: impl Fn() + Send + Sync + 'static) {
    ordering("ordering", Arc::new(f));
}

pub(crate) fn ordering(claim: &'static str, client: Client) {
    let timer = Timer::start();
    ordered::record();
    let checked = check(&client, None);
    Evidence {
        claim,
        verdict: if checked.failure.is_some() {
            "refuted"
        } else if checked.cut {
            "unfinished"
        } else {
            "proved"
        },
        executions: checked.executions,
        bound: checked.preemptions.map_or_else(|| "none".to_owned(), |most| format!("preemptions {most}")),
        sites: ordered::recorded(),
        ..Evidence::new(&timer)
    }
    .write();
    if let Some(payload) = checked.failure {
        resume_unwind(payload);
    }
    assert!(!checked.cut, "unfinished: a limit ended the search after {} executions", checked.executions);
}

/// Preemptions of the sweep: a suspended thread costs none, so few suffice for a filter.
const SWEEP: usize = 1;

/// Suspends each thread for good before each of its steps, one at a time, under loom's weak memory: the quick
/// filter before the explorer. What it refutes is refuted; what it passes is only free of obstruction.
pub(crate) fn sweep(client: &Client) -> Verdict {
    let timer = Timer::start();
    stall::begin(None);
    let plain = check(client, Some(SWEEP));
    let (most, _) = stall::end();
    let mut executions = plain.executions;
    let mut verdict = None;
    if let Some(payload) = plain.failure {
        verdict = Some(Refutation::failed(&*payload));
    }
    'sweep: for (thread, &steps) in most.iter().enumerate() {
        if verdict.is_some() {
            break;
        }
        for step in 0..steps {
            stall::begin(Some((thread, step)));
            let checked = check(client, Some(SWEEP));
            let (_, at) = stall::end();
            executions += checked.executions;
            if let Some(payload) = checked.failure {
                verdict = Some(Refutation::stalled(thread, step + 1, at, &*payload));
                break 'sweep;
            }
        }
    }
    Evidence {
        claim: "stall",
        verdict: if verdict.is_some() { "refuted" } else { "proved" },
        executions,
        bound: format!("one suspended thread, preemptions {SWEEP}"),
        ..Evidence::new(&timer)
    }
    .write();
    match verdict {
        Some(refutation) => Verdict::Refuted(Box::new(refutation)),
        None => Verdict::Proved(Proof { executions, ..Proof::default() }),
    }
}
