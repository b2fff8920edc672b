//! A live dependency graph: cycles refused or resolved, ready tasks by priority and age, failure
//! policies, a parallel executor.
//!
//! ```
//! use ropewalk_graph::{Graph, Priority, Task, Workers};
//!
//! let graph = Graph::new();
//! let build = graph.add(Task::new("build").priority(Priority::High));
//! let test = graph.add(Task::new("test").after(build));
//! assert!(graph.depend(build, test).is_err()); // build -> test -> build
//!
//! // Drive it yourself: a tracker ...
//! assert_eq!(graph.ready(), [build]);
//! assert_eq!(graph.complete(build)?, [test]); // also found as `mark_completed`
//!
//! // ... or run what is left on threads, as often as you like, at once if you like.
//! let report = graph.freeze()?.run(&Workers::new(2), |task| println!("{}", task.name()))?.wait()?;
//! assert_eq!(report.completed, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! * [`Graph`] lives: tasks and dependencies come and go while it runs. Runners take tasks with
//!   [`pop_ready`](Graph::pop_ready) (at once, as a future, on a thread, with a deadline) or
//!   [`start`](Graph::start), and report with [`complete`](Graph::complete), [`fail`](Graph::fail),
//!   [`retry`](Graph::retry), [`block`](Graph::block). A report may carry the [`Claim`] of its
//!   attempt; a late attempt changes nothing.
//! * **Order**: effective level, then age, or the [critical path](Order::CriticalPath). A ready task
//!   rises by a level for each [ageing](GraphBuilder::ageing) interval, so none starves. The ordered
//!   set itself is [`ReadySet`].
//! * **Failure**: each task has a [`TriggerRule`] and a [`FailurePolicy`]; [`cancel`](Graph::cancel),
//!   [`cancel_tree`](Graph::cancel_tree), [`cancel_all`](Graph::cancel_all) call off.
//! * **Cycles** are refused by [`depend`](Graph::depend) with the whole path, or permitted
//!   ([`Cycles::Permit`]), found ([`detect_cycles`](Graph::detect_cycles)) and cut
//!   ([`resolve`](Graph::resolve)).
//! * **Looking**: [`levels`](Graph::levels), [`topological_order`](Graph::topological_order),
//!   [`critical_path`](Graph::critical_path), [`to_dot`](Graph::to_dot), [`stats`](Graph::stats),
//!   [observers](GraphBuilder::observer).
//! * [`Frozen`] is the graph at one instant: compressed, immutable, run on [`Workers`], on threads of
//!   its own ([`run_scoped`](Frozen::run_scoped)) or on rayon (feature `rayon`).
//!
//! # Guarantees
//!
//! | operation | waits for | exact |
//! |---|---|---|
//! | everything on `Graph` but the waiting pops | one lock, held for a section without user code | each task is started once per attempt, each attempt reports once |
//! | `depend` | the same; time proportional to what stands behind the dependent | a cycle is never let in |
//! | `pop_ready` and its forms | a ready task, in one FIFO of threads and tasks | the most urgent task of the moment of the pop |
//! | `resolve`, `freeze`, `levels`, `critical_path` | the lock, held for time linear in the graph (`resolve`: more) | one instant |
//! | `detect_cycles` | the lock to copy; it searches without it | one instant |
//! | a run | its bodies; workers sleep when there is nothing to take | each task once, after all it waits for, whose writes it sees |
//!
//! * **Levels are exact**: with one thread no task is passed over by a less urgent one; with several, a
//!   pop passes over a task only if that was published during that very pop. Ageing acts in the live
//!   graph; a frozen run goes by priority.
//! * **Panics**: one in a body fails its own task; one in an observer is caught and counted.
//! * **Memory**: slots are recycled after [`remove`](Graph::remove) and
//!   [`remove_finished`](Graph::remove_finished), with a new generation, and retired when generations
//!   run out. Depth costs no stack anywhere.
//!
//! # Features
//!
//! * `rayon`: `Frozen::run_rayon`.
//! * `serde`: `Serialize` for ids, statuses, figures.

#![forbid(unsafe_code)]

mod analysis;
mod builder;
mod core;
mod cycles;
mod error;
mod frozen;
mod graph;
mod observe;
mod pop;
#[doc(hidden)]
pub mod raw;
mod ready;
mod stats;
mod task;

pub use analysis::CriticalPath;
pub use builder::{Cycles, GraphBuilder, Order};
pub use cycles::{Cut, CycleLimit, CycleReport, Resolution};
pub use error::{
    AddError, BuildError, ChangeError, Cycle, CycleError, DependError, LookupError, PopError, RemoveError,
    ResolveError,
};
pub use frozen::{
    Failure, Frozen, IntoOutcome, Report, Run, RunError, RunFailed, TaskRef, Workers, WorkersBuilder,
};
pub use graph::{Graph, Hold, TaskInfo};
pub use observe::{Change, Event};
pub use pop::PopReady;
pub use ready::{ReadySet, Standing};
pub use stats::Stats;
pub use task::{
    Claim, Depended, Dependency, Effects, FailurePolicy, Outcome, Priority, Status, Target, Task, TaskId,
    TriggerRule,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
