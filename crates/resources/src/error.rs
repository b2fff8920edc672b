//! What can go wrong.

use crate::Owner;
use std::fmt;

/// A pool could not be built as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// An interval of zero would never let a grant arrive.
    #[error("the regrant interval is zero; use a positive one, or Duration::MAX to turn it off")]
    ZeroInterval,
}

/// A counted resource could not be defined or resized.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DefineError {
    /// The name is in use as something to hold exclusively or shared.
    #[error(
        "{name} is in use as an exclusive or shared resource; give the counted one another name, or define it first"
    )]
    InUse {
        /// The resource.
        name: String,
    },
    /// There is no counted resource of that name.
    #[error("{name} is not a counted resource; define it first")]
    Undefined {
        /// The resource.
        name: String,
    },
    /// The pool is closed.
    #[error("the resource pool is closed")]
    Closed,
}

/// A request will not be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// Waiting would close a cycle in which everybody waits for the next for ever. The owner keeps what it
    /// holds.
    #[error("waiting would deadlock: {cycle}; release something first, or ask for all at once")]
    Deadlock {
        /// The cycle, from the owner that asked.
        cycle: Cycle,
    },
    /// Units of a resource that was not defined.
    #[error("{name} is not a counted resource; define it with its number of units first")]
    Undefined {
        /// The resource.
        name: String,
    },
    /// A counted resource cannot be held exclusively or shared.
    #[error("{name} is counted; ask for units of it")]
    Counted {
        /// The resource.
        name: String,
    },
    /// More units than there are.
    #[error("{wanted} units of {name} wanted of {capacity} in all; ask for fewer or resize it")]
    TooMany {
        /// The resource.
        name: String,
        /// How many were wanted.
        wanted: u64,
        /// How many there are, in use or not.
        capacity: u64,
    },
    /// A prepared request of another pool.
    #[error("the request was prepared by another pool; prepare it with this one")]
    OtherPool,
    /// Somebody ended this owner's waiting with [`ResourcePool::refuse`](crate::ResourcePool::refuse).
    #[error("the wait of {owner} was ended from outside")]
    Refused {
        /// Who waited.
        owner: Owner,
    },
    /// The pool is closed.
    #[error("the resource pool is closed")]
    Closed,
}

/// A request could not be served at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryAcquireError {
    /// Others hold some of it, or one who was overtaken often enough comes first.
    #[error("{name} is {}; wait with acquire()", held(.held_by))]
    Busy {
        /// The first resource that was not to be had.
        name: String,
        /// Who holds it; empty when one in line comes first.
        held_by: Vec<Owner>,
    },
    /// It will not be served later either.
    #[error(transparent)]
    Acquire(#[from] AcquireError),
}

/// A request was not served in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireTimeoutError {
    /// The time was over first.
    #[error("{name} did not come in time; it is {}; hold it for less time or wait longer", held(.held_by))]
    Timeout {
        /// The first resource that was not to be had.
        name: String,
        /// Who held it when the time was over; empty when one in line came first.
        held_by: Vec<Owner>,
    },
    /// It will not be served later either.
    #[error(transparent)]
    Acquire(#[from] AcquireError),
}

fn held(by: &[Owner]) -> String {
    match by {
        [] => "kept for one in line".to_owned(),
        owners => {
            let names = owners.iter().map(Owner::as_str).collect::<Vec<_>>();
            format!("held by {}", names.join(", "))
        }
    }
}

/// A lease has no such resource, or not that much of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this lease does not hold {name}")]
pub struct NotHeld {
    /// The resource.
    pub name: String,
}

/// A circle of owners each of which waits for what the next one holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    steps: Vec<CycleStep>,
}

/// One owner of a [`Cycle`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CycleStep {
    /// Who.
    pub owner: Owner,
    /// The resource it holds, which the one before wants.
    pub holds: String,
    /// The resource it wants, which the next one holds.
    pub wants: String,
}

impl Cycle {
    pub(crate) fn new(steps: Vec<CycleStep>) -> Self {
        Self { steps }
    }

    /// The owners in turn; each wants what the next one holds, the last what the first one holds.
    pub fn steps(&self) -> &[CycleStep] {
        &self.steps
    }
}

/// Reads `agent-7 holds src/lib.rs, wants src/main.rs; agent-3 holds src/main.rs, wants src/lib.rs`.
impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.steps.iter().enumerate() {
            let between = if i == 0 { "" } else { "; " };
            write!(f, "{between}{} holds {}, wants {}", step.owner, step.holds, step.wants)?;
        }
        Ok(())
    }
}
