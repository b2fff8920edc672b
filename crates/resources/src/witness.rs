//! Races: touching a resource without a lease while another holds it.

use crate::{Mode, Owner, ResourcePool};
use std::{collections::VecDeque, time::Instant};

/// How many races are remembered.
const REMEMBERED: usize = 64;

/// What a declared access met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// The owner holds the resource in a way that allows it.
    Leased,
    /// The owner does not hold it, and nobody holds it against it: no race, but no protection either.
    Unprotected,
}

/// An access without a lease while another holds the resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("race on {resource}: {owner} {} it without a lease while {holder} holds it; acquire it first", if *.write { "writes" } else { "reads" })]
#[non_exhaustive]
pub struct Race {
    /// The resource.
    pub resource: String,
    /// Who touched it.
    pub owner: Owner,
    /// Who holds it (one of those who do).
    pub holder: Owner,
    /// Whether it was to be changed.
    pub write: bool,
    /// When.
    pub at: Instant,
}

/// The last races and how many there were.
#[derive(Debug, Default)]
pub(crate) struct Races {
    last: VecDeque<Race>,
}

impl ResourcePool {
    /// Declares that `owner` is about to change `name`: a witness for code that ought to hold a lease and
    /// may not. It does not wait and takes nothing.
    ///
    /// # Errors
    ///
    /// [`Race`] when another owner holds it, exclusively or shared, or some of its units, and this owner
    /// does not hold it exclusively (or some of its units). The race is counted and remembered.
    pub fn access(&self, owner: impl Into<Owner>, name: &str) -> Result<Access, Race> {
        self.declare(owner.into(), name, true)
    }

    /// Declares that `owner` is about to read `name`, as [`access`](Self::access) does; others may share it.
    ///
    /// # Errors
    ///
    /// [`Race`] when another owner holds it exclusively.
    pub fn access_shared(&self, owner: impl Into<Owner>, name: &str) -> Result<Access, Race> {
        self.declare(owner.into(), name, false)
    }

    /// The last races, oldest first; 64 are remembered.
    pub fn races(&self) -> Vec<Race> {
        self.0.totals.races.lock().last.iter().cloned().collect()
    }

    fn declare(&self, owner: Owner, name: &str, write: bool) -> Result<Access, Race> {
        let at = self.0.clock.now();
        let met = self.0.step(|state, now, _| {
            let slot = state.adopt_one(name, now)?;
            let slot = &state.slots[slot];
            let mine = state.owner_of(&owner);
            let allows = |mode| write <= matches!(mode, Mode::Exclusive | Mode::Units(_));
            if slot.holders.iter().any(|h| Some(h.owner) == mine && allows(h.mode)) {
                return Some(Ok(Access::Leased));
            }
            let wanted = if write { Mode::Exclusive } else { Mode::Shared };
            let other = slot.holders.iter().find(|h| Some(h.owner) != mine && h.mode.conflicts(wanted))?;
            let holder = state.owners[other.owner].name.clone();
            Some(Err((slot.name.clone(), holder)))
        });
        match met {
            None => Ok(Access::Unprotected),
            Some(Ok(access)) => Ok(access),
            Some(Err((resource, holder))) => {
                let race = Race { resource: resource.to_string(), owner, holder, write, at };
                self.0.totals.raced();
                let mut races = self.0.totals.races.lock();
                if races.last.len() == REMEMBERED {
                    races.last.pop_front();
                }
                races.last.push_back(race.clone());
                Err(race)
            }
        }
    }
}
