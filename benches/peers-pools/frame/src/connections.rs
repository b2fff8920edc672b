//! What the pools pool: nothing, counted.

use std::sync::atomic::{AtomicU64, Ordering};

static OPENED: AtomicU64 = AtomicU64::new(0);

/// A connection to nowhere.
#[derive(Debug)]
pub struct Nothing(u64);

impl Nothing {
    /// Opens one.
    pub fn open() -> Self {
        Self(count_one())
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.0
    }
}

/// Counts a connection that was opened in this process, for contestants that cannot pool [`Nothing`].
pub fn count_one() -> u64 {
    OPENED.fetch_add(1, Ordering::Relaxed)
}

/// How many were opened in this process.
pub(crate) fn opened() -> u64 {
    OPENED.load(Ordering::Relaxed)
}

/// A manager's error that never happens.
#[derive(Debug)]
pub enum Never {}

impl std::fmt::Display for Never {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {}
    }
}

impl std::error::Error for Never {}
