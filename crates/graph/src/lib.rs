//! A live dependency graph.
#![forbid(unsafe_code)]

mod builder;
mod core;
mod error;
mod graph;
mod observe;
mod pop;
mod ready;
mod stats;
mod task;

pub use builder::{Cycles, GraphBuilder, Order};
pub use error::{
    AddError, BuildError, ChangeError, Cycle, CycleError, DependError, LookupError, PopError, RemoveError,
    ResolveError,
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
