//! When a cached result is still true: a version for each table.
//!
//! A version is even while its table is settled and odd while a commit that changes it is under way;
//! it only grows, and only whoever holds the writer changes it. A result is stamped with the versions
//! of the tables it reads, read *before* its read transaction began, and is true as long as they are
//! all even and unchanged.
//!
//! * A commit between the stamp and the read: the result is newer than its stamp, which is never true
//!   again. Harmless.
//! * A commit after the read: the version is odd from before the commit, so from the first instant at
//!   which anybody can see the new rows nobody is served the old ones.
//! * The caller is answered after the version is even again, so it sees its own write.
//!
//! The epoch is the version of everything: the schema changed, or another process wrote.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::RwLock;

/// The version of a table, or of everything.
#[derive(Clone, Default)]
pub(crate) struct Version(Arc<AtomicU64>);

impl Version {
    fn now(&self) -> u64 {
        // Acquire: pairs with the Releases in `Changing`: who sees a version sees the commit before it.
        self.0.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({})", self.now())
    }
}

#[derive(Default)]
pub(crate) struct Tables {
    versions: RwLock<HashMap<Box<str>, Version>>,
    epoch: Version,
}

impl Tables {
    pub(crate) fn version(&self, table: &str) -> Version {
        if let Some(version) = self.versions.read().get(table) {
            return version.clone();
        }
        self.versions.write().entry(table.into()).or_default().clone()
    }

    /// The stamp for a read that has not begun; `None` while one of the tables is being changed.
    pub(crate) fn stamp(&self, reads: &[Version]) -> Option<Stamp> {
        let epoch = self.epoch.now();
        let tables: Box<[_]> = reads.iter().map(|version| (version.clone(), version.now())).collect();
        let settled = epoch % 2 == 0 && tables.iter().all(|(_, at)| at % 2 == 0);
        settled.then_some(Stamp { epoch, tables })
    }

    pub(crate) fn is_true(&self, stamp: &Stamp) -> bool {
        self.epoch.now() == stamp.epoch && stamp.tables.iter().all(|(version, at)| version.now() == *at)
    }

    /// Somebody else changed something. Only for the holder of the writer, between commits.
    pub(crate) fn all_changed(&self) {
        // Release: pairs with the Acquire in `now`.
        self.epoch.0.fetch_add(2, Ordering::Release);
    }

    /// Begins a change of `tables`, and of everything if `all`; it ends with the value's drop.
    pub(crate) fn change(&self, tables: impl IntoIterator<Item = Version>, all: bool) -> Changing {
        let mut versions: Vec<Version> = tables.into_iter().collect();
        if all {
            versions.push(self.epoch.clone());
        }
        versions.sort_by_key(|version| Arc::as_ptr(&version.0));
        versions.dedup_by_key(|version| Arc::as_ptr(&version.0));
        for version in &versions {
            // AcqRel, as the commit that follows must not be seen before it: pairs with the Acquire in
            // `now`. SQLite's own locks order the commit itself.
            version.0.fetch_add(1, Ordering::AcqRel);
        }
        Changing(versions)
    }
}

/// What a result's truth hangs on.
pub(crate) struct Stamp {
    epoch: u64,
    tables: Box<[(Version, u64)]>,
}

/// A change under way.
#[must_use = "a change ends when this drops"]
pub(crate) struct Changing(Vec<Version>);

impl Drop for Changing {
    fn drop(&mut self) {
        for version in &self.0 {
            // Release: pairs with the Acquire in `now`.
            version.0.fetch_add(1, Ordering::Release);
        }
    }
}
