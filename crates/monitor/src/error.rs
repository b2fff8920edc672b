//! What can go wrong.

use crate::AlertId;

/// Why a monitor cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A limit or a time of zero.
    #[error("`{0}` is zero, so nothing would ever be seen; use a positive value")]
    Zero(&'static str),
    /// Two collectors of one name would mix their samples.
    #[error("there are two collectors named `{0}`; give each its own name")]
    DuplicateCollector(String),
    /// A rule was not accepted.
    #[error(transparent)]
    Rule(#[from] RuleError),
}

/// Why a rule was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Rules are told apart by name.
    #[error("there is a rule named `{0}` already; give this one another name")]
    Duplicate(String),
    /// A rule without condition never fires.
    #[error("rule `{0}` has no condition; say when() it fires")]
    NoCondition(String),
    /// A threshold or confidence that is not a number, or out of range.
    #[error(
        "rule `{0}` compares with something that is no usable number; thresholds are finite, confidences between 0 and 1"
    )]
    Threshold(String),
    /// The clear threshold lies on the wrong side.
    #[error(
        "rule `{0}` would clear while it fires; clear_below() goes with above() and no higher, clear_above() with below() and no lower"
    )]
    Clear(String),
}

/// Why a recorder was not given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name is taken by a recorder of another kind.
    #[error("`{0}` is registered as another kind of recorder; use another name")]
    Kind(String),
}

/// Why an alert was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AlertError {
    /// There is no active alert with this number.
    #[error("alert {0} is not active; it may have resolved, look at history()")]
    NotActive(AlertId),
}

/// Why nothing was raised or lowered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RaiseError {
    /// There is no such rule.
    #[error("there is no rule `{0}` to raise; add one with when(raised())")]
    UnknownRule(String),
    /// Labels that never repeat would fill the memory.
    #[error("rule `{0}` is raised with 1,000 sets of labels already; lower some, or use fewer labels")]
    TooMany(String),
}
