//! The pool: a set of named resources and all who hold and want them.

use crate::{
    AcquireError, AcquireTimeoutError, Ask, DefineError, Lease, Owner, Prepared, Request,
    ResourcePoolBuilder, TryAcquireError,
    acquire::{Acquire, AcquireTimeout},
    request::{Asked, Item, PreparedInner},
    state::{Kind, LeaseId, Phase, State, Wakes},
    stats::Totals,
};
use ropewalk_prove::Latch;
use ropewalk_sync::Clock;
use std::{
    borrow::Borrow,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// Named resources, given out in whole sets. Clones are handles to the same pool.
///
/// A name stands for something to be held exclusively or shared, and is made by asking for it; a counted
/// resource is [defined](Self::define) with its number of units. A request takes all it asks for in one
/// step or nothing. Threads and tasks wait in the same lines.
///
/// ```
/// use ropewalk_resources::{Request, ResourcePool};
///
/// let pool = ResourcePool::new();
/// pool.define("model-slot", 8)?;
/// let lease = pool.acquire_blocking(
///     "agent-7",
///     Request::new().exclusive("src/lib.rs").shared("Cargo.toml").units("model-slot", 2),
/// )?;
/// assert!(pool.try_acquire("agent-3", Request::new().shared("src/lib.rs")).is_err());
/// drop(lease);
/// assert!(pool.try_acquire("agent-3", Request::new().shared("src/lib.rs")).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ResourcePool(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    state: Latch<State>,
    pub(crate) clock: Clock,
    pub(crate) regrant_after: Duration,
    pub(crate) totals: Totals,
}

/// Why a try failed, before it has its error type.
pub(crate) type Refusal = Result<(String, Vec<Owner>), AcquireError>;

impl ResourcePool {
    /// A pool with default settings on the system clock.
    pub fn new() -> Self {
        Self::builder().build().expect("the default settings are valid")
    }

    /// Starts setting one up.
    pub fn builder() -> ResourcePoolBuilder {
        ResourcePoolBuilder::new()
    }

    pub(crate) fn start(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Defines a counted resource, or gives one that is there this many units, as
    /// [`resize`](Self::resize) does.
    ///
    /// # Errors
    ///
    /// [`DefineError::InUse`] when the name is held, waited for or prepared as an exclusive or shared one.
    pub fn define(&self, name: impl Into<Arc<str>>, units: u64) -> Result<(), DefineError> {
        let name = name.into();
        self.0.step(|state, now, wakes| {
            if state.closed {
                return Err(DefineError::Closed);
            }
            match state.slot_of(&name) {
                None => {
                    state.insert_slot(name, Kind::Counted { capacity: units }, now);
                }
                Some(slot) if state.slots[slot].kind == Kind::Lock && !state.slots[slot].is_idle() => {
                    return Err(DefineError::InUse { name: name.to_string() });
                }
                Some(slot) => state.resize(slot, units, now, wakes),
            }
            Ok(())
        })
    }

    /// Changes how many units a counted resource has. More serve those who wait at once. Fewer than are in
    /// use are a debt: units that come back pay it before anybody gets one. Those who wait for more than
    /// there are in all get [`AcquireError::TooMany`].
    ///
    /// # Errors
    ///
    /// [`DefineError::Undefined`].
    pub fn resize(&self, name: &str, units: u64) -> Result<(), DefineError> {
        self.0.step(|state, now, wakes| {
            let slot = state.slot_of(name).filter(|slot| state.slots[*slot].kind != Kind::Lock);
            let slot = slot.ok_or_else(|| DefineError::Undefined { name: name.to_owned() })?;
            state.resize(slot, units, now, wakes);
            Ok(())
        })
    }

    /// Waits until `owner` has all that is asked for.
    ///
    /// An owner that holds something may ask for more. When its waiting would close a circle of waits that
    /// nobody could ever leave, it gets [`AcquireError::Deadlock`] at once, which names the circle.
    ///
    /// # Errors
    ///
    /// [`AcquireError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the lines; a lease already handed to it passes on.
    pub fn acquire(&self, owner: impl Into<Owner>, request: impl Ask) -> Acquire {
        Acquire::new(self.0.clone(), owner.into(), request.into_asked())
    }

    /// Takes all that is asked for at once or not at all.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError`], for a reason that held in the one step in which it looked.
    pub fn try_acquire(&self, owner: impl Into<Owner>, request: impl Ask) -> Result<Lease, TryAcquireError> {
        self.0.try_acquire(owner.into(), &request.into_asked()).map_err(|refusal| match refusal {
            Ok((name, held_by)) => TryAcquireError::Busy { name, held_by },
            Err(error) => TryAcquireError::Acquire(error),
        })
    }

    /// [`acquire`](Self::acquire) that parks this thread, in the same lines as the tasks.
    ///
    /// # Errors
    ///
    /// [`AcquireError`].
    pub fn acquire_blocking(
        &self,
        owner: impl Into<Owner>,
        request: impl Ask,
    ) -> Result<Lease, AcquireError> {
        self.0.clock.block_on(self.acquire(owner, request))
    }

    /// [`acquire`](Self::acquire) for at most `duration`.
    ///
    /// # Errors
    ///
    /// [`AcquireTimeoutError`].
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_timeout(
        &self,
        owner: impl Into<Owner>,
        request: impl Ask,
        duration: Duration,
    ) -> AcquireTimeout {
        AcquireTimeout::new(self.acquire(owner, request), self.0.clock.sleep(duration))
    }

    /// [`acquire_timeout`](Self::acquire_timeout) that parks this thread.
    ///
    /// # Errors
    ///
    /// [`AcquireTimeoutError`].
    pub fn acquire_blocking_timeout(
        &self,
        owner: impl Into<Owner>,
        request: impl Ask,
        duration: Duration,
    ) -> Result<Lease, AcquireTimeoutError> {
        self.0.clock.block_on(self.acquire_timeout(owner, request, duration))
    }

    /// Resolves the names of a request once, for use again and again: the hot path.
    ///
    /// # Errors
    ///
    /// [`AcquireError`] when it could never be served.
    pub fn prepare(&self, request: impl Borrow<Request>) -> Result<Prepared, AcquireError> {
        let request = request.borrow();
        let items = self.0.step(|state, now, _| state.resolve(request, now))?;
        let priority = request.rank();
        Ok(Prepared(Arc::new(PreparedInner { pool: self.0.clone(), items: items.into(), priority })))
    }

    /// Refuses all who wait and all who come. Leases that are out stay valid until they drop.
    pub fn close(&self) {
        self.0.step(|state, now, wakes| state.close(now, wakes));
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.0.state.lock().closed
    }

    /// Ends the waiting of an owner: its requests in line get [`AcquireError::Refused`]. What it holds it
    /// keeps. Tells how many requests that were. For whoever watches over the owners: to break a deadlock
    /// that goes through other things than this pool, for instance.
    pub fn refuse(&self, owner: impl Into<Owner>) -> usize {
        let owner = owner.into();
        self.0.step(|state, now, wakes| state.refuse(&owner, now, wakes))
    }

    /// Takes all leases of an owner away from it, which is stuck or gone: the resources are free for
    /// others, and the [`Lease`] values it may still have are void ([`Lease::is_valid`]). Tells how many
    /// leases that were. What the owner still does with the resources must be fenced off by their users:
    /// later leases have higher [fencing numbers](Lease::fencing).
    pub fn reclaim(&self, owner: impl Into<Owner>) -> usize {
        let owner = owner.into();
        self.0.step(|state, now, wakes| state.reclaim(&owner, now, wakes))
    }
}

impl Default for ResourcePool {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ResourcePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (leases, waiting) = self.0.with(|state| (state.leases.len(), state.waiters.len()));
        f.debug_struct("ResourcePool")
            .field("leases", &leases)
            .field("waiting", &waiting)
            .finish_non_exhaustive()
    }
}

impl Inner {
    pub(crate) fn new(overtaking: u32, idle_names: usize, regrant_after: Duration, clock: Clock) -> Self {
        Self {
            state: Latch::new(State::new(overtaking, idle_names)),
            clock,
            regrant_after,
            totals: Totals::new(),
        }
    }

    /// One step of the protocol; wake-ups are fired after it. If one of them panics, what the step returned
    /// is dropped, so a step that takes something returns it as the [`Lease`] that gives it back.
    pub(crate) fn step<R>(&self, step: impl FnOnce(&mut State, Instant, &mut Wakes) -> R) -> R {
        let now = self.clock.now();
        let mut wakes = Wakes::default();
        let mut state = self.state.lock();
        let result = step(&mut state, now, &mut wakes);
        state.settle(now);
        drop(state);
        wakes.fire();
        result
    }

    /// A look at what claims hold, too.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&mut State, Instant) -> R) -> R {
        self.step(|state, now, _| {
            state.adopt(now);
            look(state, now)
        })
    }

    /// A look at what is in the books.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.state.lock())
    }

    /// Resolves and pins what is asked for.
    pub(crate) fn resolve(
        &self,
        state: &mut State,
        asked: &Asked,
        now: Instant,
    ) -> Result<(Arc<[Item]>, u8), AcquireError> {
        match asked {
            Asked::Names(request) => Ok((state.resolve(request, now)?.into(), request.rank())),
            Asked::Resolved(prepared) if !std::ptr::eq(Arc::as_ptr(&prepared.0.pool), self) => {
                Err(AcquireError::OtherPool)
            }
            Asked::Resolved(prepared) => {
                state.pin(&prepared.0.items);
                Ok((prepared.0.items.clone(), prepared.0.priority))
            }
        }
    }

    fn try_acquire(self: &Arc<Self>, owner: Owner, asked: &Asked) -> Result<Lease, Refusal> {
        self.step(|state, now, wakes| {
            let (items, _) = self.resolve(state, asked, now).map_err(Err)?;
            let lease = state.try_enter(&owner, &items, now, wakes)?;
            Ok(Lease::new(self.clone(), owner, lease))
        })
    }

    pub(crate) fn release(&self, lease: LeaseId) {
        let now = self.clock.now();
        let since = self.step(|state, now, wakes| state.release(lease, now, wakes));
        if let Some(since) = since {
            self.totals.held(now.saturating_duration_since(since));
        }
    }

    pub(crate) fn unpin(&self, items: &[Item]) {
        self.state.lock().unpin(items);
    }
}

impl State {
    fn refuse(&mut self, owner: &Owner, now: Instant, wakes: &mut Wakes) -> usize {
        let Some(at) = self.owner_of(owner) else { return 0 };
        let tickets = self.owners[at].waiting.clone();
        // All are refused before anybody is served, so that none of them is served in between.
        for &ticket in &tickets {
            self.refuse_one(ticket, AcquireError::Refused { owner: owner.clone() }, wakes);
        }
        for ticket in &tickets {
            let items = self.waiters[ticket].items.clone();
            self.serve_slots(&items, now, wakes);
        }
        tickets.len()
    }

    fn reclaim(&mut self, owner: &Owner, now: Instant, wakes: &mut Wakes) -> usize {
        let Some(at) = self.owner_of(owner) else { return 0 };
        let claims = self.reclaim_claims(at, now, wakes);
        let Some(at) = self.owner_of(owner) else { return claims };
        // A lease that its future has not taken yet is no sign of being stuck with it.
        let untaken = |at: usize| {
            self.waiters.values().any(|w| matches!(w.phase, Phase::Granted { lease, .. } if lease.at == at))
        };
        let theirs = self.leases.iter().filter(|(place, lease)| lease.owner == at && !untaken(*place));
        let theirs = theirs.map(|(at, lease)| LeaseId { at, fencing: lease.fencing }).collect::<Vec<_>>();
        for &lease in &theirs {
            self.release(lease, now, wakes);
        }
        self.tally.reclaimed += (theirs.len() + claims) as u64;
        theirs.len() + claims
    }
}
