//! Agent slots: a counted resource of which everybody takes one unit.

use crate::{
    AcquireError, AcquireTimeoutError, DefineError, Lease, Owner, Prepared, Request, ResourcePool,
    TryAcquireError,
    acquire::{Acquire, AcquireTimeout},
};
use std::{sync::Arc, time::Duration};

/// A limit on how many may be at work at once; see [`ResourcePool::slots`].
#[derive(Clone, Debug)]
pub struct Slots {
    pool: ResourcePool,
    name: Arc<str>,
    one: Prepared,
}

impl ResourcePool {
    /// Defines (or resizes) the counted resource `name` and gives a handle to take one unit at a time. Other
    /// requests may ask for it together with other things.
    ///
    /// ```
    /// use ropewalk_resources::ResourcePool;
    ///
    /// let pool = ResourcePool::new();
    /// let agents = pool.slots("agent-slot", 50)?;
    /// let slot = agents.acquire_blocking("agent-7")?;
    /// assert_eq!((agents.in_use(), agents.capacity()), (1, 50));
    /// # drop(slot);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`DefineError`].
    pub fn slots(&self, name: impl Into<Arc<str>>, units: u64) -> Result<Slots, DefineError> {
        let name = name.into();
        // Defined with one at least, so that a unit can be prepared; 0 is set after.
        self.define(name.clone(), units.max(1))?;
        let one = self.prepare(Request::new().units(name.clone(), 1)).map_err(|_| DefineError::Closed)?;
        if units == 0 {
            self.resize(&name, 0)?;
        }
        Ok(Slots { pool: self.clone(), name, one })
    }
}

impl Slots {
    /// Waits for a slot.
    ///
    /// # Errors
    ///
    /// [`AcquireError`]; in particular `TooMany` while the capacity is 0.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line; a slot already handed to it passes on.
    pub fn acquire(&self, owner: impl Into<Owner>) -> Acquire {
        self.pool.acquire(owner, &self.one)
    }

    /// Takes a slot at once or not at all.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError`].
    pub fn try_acquire(&self, owner: impl Into<Owner>) -> Result<Lease, TryAcquireError> {
        self.pool.try_acquire(owner, &self.one)
    }

    /// Parks this thread until there is a slot.
    ///
    /// # Errors
    ///
    /// [`AcquireError`].
    pub fn acquire_blocking(&self, owner: impl Into<Owner>) -> Result<Lease, AcquireError> {
        self.pool.acquire_blocking(owner, &self.one)
    }

    /// Waits for a slot for at most `duration`.
    ///
    /// # Errors
    ///
    /// [`AcquireTimeoutError`].
    pub fn acquire_timeout(&self, owner: impl Into<Owner>, duration: Duration) -> AcquireTimeout {
        self.pool.acquire_timeout(owner, &self.one, duration)
    }

    /// Parks this thread until there is a slot, for at most `duration`.
    ///
    /// # Errors
    ///
    /// [`AcquireTimeoutError`].
    pub fn acquire_blocking_timeout(
        &self,
        owner: impl Into<Owner>,
        duration: Duration,
    ) -> Result<Lease, AcquireTimeoutError> {
        self.pool.acquire_blocking_timeout(owner, &self.one, duration)
    }

    /// Changes how many there are, as [`ResourcePool::resize`] does.
    ///
    /// # Errors
    ///
    /// [`DefineError`].
    pub fn resize(&self, units: u64) -> Result<(), DefineError> {
        self.pool.resize(&self.name, units)
    }

    /// How many there are.
    pub fn capacity(&self) -> u64 {
        self.pool.resource(&self.name).and_then(|r| r.capacity).unwrap_or(0)
    }

    /// How many are taken.
    pub fn in_use(&self) -> u64 {
        self.pool.resource(&self.name).map_or(0, |r| r.in_use)
    }
}
