//! Whether nodes are well: by what happens to requests, and by asking.

mod ejection;
mod probe;
mod watch;

pub use ejection::Ejection;
pub(crate) use ejection::Verdict;
pub use probe::{Check, CheckFuture, Probe};
pub(crate) use watch::watch;
