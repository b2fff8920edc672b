//! What an owner holds.

use crate::{Mode, NotHeld, Owner, pool::Inner, state::LeaseId};
use std::{fmt, sync::Arc, time::Duration};

/// A set of resources held by an owner; all of it is given back when it drops.
///
/// It may move to another thread or task and outlive the future that got it. One that is forgotten
/// (`mem::forget`, or a task that hangs) is seen in [`ResourcePool::leases`](crate::ResourcePool::leases)
/// with its age.
#[must_use = "a lease gives itself back when it drops"]
pub struct Lease {
    pool: Arc<Inner>,
    owner: Owner,
    id: LeaseId,
}

impl Lease {
    pub(crate) fn new(pool: Arc<Inner>, owner: Owner, id: LeaseId) -> Self {
        Self { pool, owner, id }
    }

    /// Who holds it.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// A number higher than that of every lease this pool gave before. A store that remembers the highest
    /// number it has seen for a resource can refuse writers whose lease was reclaimed.
    pub fn fencing(&self) -> u64 {
        self.id.fencing
    }

    /// What it holds now, in no particular order; nothing when it was
    /// [reclaimed](crate::ResourcePool::reclaim).
    pub fn held(&self) -> Vec<(String, Mode)> {
        let held = self.pool.with(|state| {
            if !state.is_current(self.id) {
                return Vec::new();
            }
            let items = &state.leases[self.id.at].items;
            items.iter().map(|item| (state.slots[item.slot].name.clone(), item.mode)).collect::<Vec<_>>()
        });
        held.into_iter().map(|(name, mode)| (name.to_string(), mode)).collect()
    }

    /// How long it has been held; zero when it was reclaimed.
    pub fn age(&self) -> Duration {
        let now = self.pool.clock.now();
        self.pool.with(|state| {
            let since = state.is_current(self.id).then(|| state.leases[self.id.at].since);
            since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
        })
    }

    /// Whether it is still this owner's; false only after a
    /// [reclaim](crate::ResourcePool::reclaim).
    pub fn is_valid(&self) -> bool {
        self.pool.with(|state| state.is_current(self.id))
    }

    /// Gives everything back. The same as dropping it.
    pub fn release(self) {}

    /// Gives one of its resources back and keeps the rest.
    ///
    /// # Errors
    ///
    /// [`NotHeld`]; nothing changes then.
    pub fn release_one(&mut self, name: &str) -> Result<(), NotHeld> {
        self.alter(name, |_| Some(None))
    }

    /// Gives so many units of a counted resource back and keeps the rest.
    ///
    /// # Errors
    ///
    /// [`NotHeld`] when it holds fewer; nothing changes then.
    pub fn release_units(&mut self, name: &str, units: u64) -> Result<(), NotHeld> {
        self.alter(name, |mode| match mode {
            Mode::Units(held) if held > units => Some(Some(Mode::Units(held - units))),
            Mode::Units(held) if held == units => Some(None),
            _ => None,
        })
    }

    /// Shares a resource that it holds exclusively with others, without letting go of it in between.
    ///
    /// # Errors
    ///
    /// [`NotHeld`] when it is counted or not held; one that is shared already is no error.
    pub fn downgrade(&mut self, name: &str) -> Result<(), NotHeld> {
        self.alter(name, |mode| match mode {
            Mode::Exclusive | Mode::Shared => Some(Some(Mode::Shared)),
            Mode::Units(_) => None,
        })
    }

    /// `change` says what becomes of how it is held: `Some(None)` gives it back, `None` refuses.
    fn alter(
        &mut self,
        name: &str,
        change: impl FnOnce(Mode) -> Option<Option<Mode>>,
    ) -> Result<(), NotHeld> {
        let altered = self.pool.step(|state, now, wakes| state.alter(self.id, name, change, now, wakes));
        if altered { Ok(()) } else { Err(NotHeld { name: name.to_owned() }) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.release(self.id);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("owner", &self.owner)
            .field("fencing", &self.fencing())
            .field("held", &self.held())
            .finish_non_exhaustive()
    }
}
