//! Who waits for whom, for a watcher of deadlocks and leaks.

use crate::{
    manager::{Managed, Role},
    shared::Shared,
    state::Party,
    tick::Tick,
};
use std::{fmt, time::Duration};

/// Everybody who waits for a connection of a pool or holds one: the pool's part of the wait-for
/// graph. A waiter waits for all holders of the same role.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Waits {
    /// The pool's name.
    pub pool: String,
    /// Those in line, oldest first.
    pub waiters: Vec<Held>,
    /// Those who hold a connection.
    pub holders: Vec<Held>,
}

/// Somebody who holds a connection or waits for one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Held {
    /// The pool's name.
    pub pool: String,
    /// The name given by [`Pool::owner`](crate::Pool::owner), if any.
    pub owner: Option<String>,
    /// Where the connection was asked for: `file:line:column`.
    pub location: String,
    /// What it is.
    pub role: Role,
    /// For how long it has been held or waited for.
    pub age: Duration,
}

impl Held {
    pub(crate) fn new(pool: &str, party: &Party, role: Role, now: Tick) -> Self {
        Self {
            pool: pool.to_owned(),
            owner: party.owner.as_ref().map(|owner| owner.name.as_ref().to_owned()),
            location: party.location.to_string(),
            role,
            age: Duration::from_nanos(now.saturating_sub(party.since)),
        }
    }

    /// The owner's name, or else the place in the code.
    pub fn label(&self) -> &str {
        self.owner.as_deref().unwrap_or(&self.location)
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pool, owner, location, role, age } = self;
        let owner = owner.as_deref().map(|owner| format!("{owner} at ")).unwrap_or_default();
        write!(f, "{role} of {pool}: {owner}{location}, {age:?}")
    }
}

impl<M: Managed> Shared<M> {
    pub(crate) fn waits(&self) -> Waits {
        let pool = &self.config.name;
        let mut waits = Waits { pool: pool.clone(), waiters: Vec::new(), holders: Vec::new() };
        let now = self.now();
        for lane in &self.lanes {
            let q = lane.lock();
            let role = q.role;
            let waiters: Vec<Party> = q.iter().cloned().collect();
            let labels = lane.shelf.labels(&q.places);
            let holders: Vec<Party> = labels.filter_map(|holder| holder.look(&self.owners)).collect();
            drop(q);
            waits.waiters.extend(waiters.iter().map(|party| Held::new(pool, party, role, now)));
            waits.holders.extend(holders.iter().map(|party| Held::new(pool, party, role, now)));
        }
        waits
    }
}
