//! The explorer and the sweep on algorithms whose progress is known: see `docs/proving.md`.
#![cfg(ropewalk_loom)]

#[path = "models/blocking.rs"]
mod blocking;
#[path = "models/counters.rs"]
mod counters;
#[path = "models/oracle.rs"]
mod oracle;
#[path = "models/queues.rs"]
mod queues;
#[path = "models/specimens.rs"]
mod specimens;
#[path = "models/stacks.rs"]
mod stacks;
#[path = "models/tool.rs"]
mod tool;
