//! A request of one owner, made again and again: what it takes is taken by one compare-exchange each.

use crate::{
    AcquireError, AcquireTimeoutError, Lease, Owner, Prepared, TryAcquireError,
    acquire::{Acquire, AcquireTimeout},
    pool::Inner,
    raw::set::{Given, Set},
    request::Asked,
    state::ClaimId,
};
use ropewalk_prove::holding;
use std::{
    fmt,
    hint::spin_loop,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Looks while its holder may be at work.
const LOOKS: u32 = 4;
/// Between two of them.
const SPINS: u32 = 16;
/// A turn that comes back sooner was wanted by nobody.
const AT_ONCE: Duration = Duration::from_micros(3);
/// So many of these, and the holder is asleep.
const UNWANTED: u32 = 2;
/// After so long it stands in line, whatever the holder does.
const PATIENCE: Duration = Duration::from_micros(150);

/// A [`Prepared`] request of one owner, to be made again and again: the hot path. Made by
/// [`Prepared::claim`].
///
/// While nobody stands in line for any of its resources, and nobody but claims holds any of them, it is taken and
/// given back by one compare-exchange for each, without the latch, the clock or an allocation. Else it does what
/// [`ResourcePool::acquire`](crate::ResourcePool::acquire) does, in the same lines.
///
/// ```
/// use ropewalk_resources::{Request, ResourcePool};
///
/// let pool = ResourcePool::new();
/// let mut claim = pool.prepare(Request::new().exclusive("src/lib.rs").shared("Cargo.toml"))?.claim("agent-7");
/// for _ in 0..3 {
///     let lease = claim.acquire_blocking()?;
///     assert!(lease.is_valid());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The pool sees what a claim holds when it looks: [`leases`](crate::ResourcePool::leases) and
/// [`stats`](crate::ResourcePool::stats) list it, with an age that counts from the first look (or from when another began
/// to wait for it), and utilisation counts it from there on.
pub struct Claim {
    set: Set,
    late: Vec<usize>,
    is_out: bool,
    /// This thread waited for a processor when it looked last, and so will the holders.
    yields: bool,
    id: ClaimId,
    owner: Owner,
    prepared: Prepared,
}

impl Prepared {
    /// This request, to be made by `owner` again and again.
    pub fn claim(&self, owner: impl Into<Owner>) -> Claim {
        let owner = owner.into();
        let (id, record, words) = self.0.pool.step(|state, _, _| {
            let (id, record) = state.add_claim(&owner, self.0.items.clone());
            let words = self.0.items.iter().map(|item| (state.slots[item.slot].word.clone(), item.mode));
            (id, record, words.collect::<Vec<_>>())
        });
        let late = Vec::with_capacity(words.len());
        let set = Set::new(words, record, id.holder());
        Claim { set, late, is_out: false, yields: false, id, owner, prepared: self.clone() }
    }
}

impl Claim {
    /// Who asks.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Takes all that is asked for at once or not at all.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError`]. Another claim in the midst of a try counts as a holder.
    #[inline]
    pub fn try_acquire(&mut self) -> Result<ClaimLease<'_>, TryAcquireError> {
        if self.take() {
            return Ok(ClaimLease::of(self));
        }
        let lease = self.prepared.pool().try_acquire(self.owner.clone(), &self.prepared)?;
        Ok(ClaimLease { claim: self, queued: Some(lease) })
    }

    /// Waits until it has all that is asked for.
    ///
    /// # Errors
    ///
    /// [`AcquireError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the lines; a lease already handed to it passes on.
    pub async fn acquire(&mut self) -> Result<ClaimLease<'_>, AcquireError> {
        if self.take() {
            return Ok(ClaimLease::of(self));
        }
        self.yields = false;
        let lease = self.queue().await?;
        Ok(ClaimLease { claim: self, queued: Some(lease) })
    }

    /// [`acquire`](Self::acquire) that parks this thread, in the same lines as the tasks. Before it stands in line it looks
    /// for a moment whether it can have all without; where threads wait for processors, it gives its turns to others
    /// meanwhile, and in line it is called rather than handed a lease that would lie idle until it runs, as long as the
    /// bound on overtaking allows.
    ///
    /// # Errors
    ///
    /// [`AcquireError`].
    #[inline]
    pub fn acquire_blocking(&mut self) -> Result<ClaimLease<'_>, AcquireError> {
        if self.take() || self.take_soon() {
            return Ok(ClaimLease::of(self));
        }
        let lease = self.inner().clock.block_on(self.queue())?;
        Ok(ClaimLease { claim: self, queued: Some(lease) })
    }

    /// What [`acquire_blocking`](Self::acquire_blocking) does when processors are scarce, for models.
    #[cfg(ropewalk_loom)]
    #[doc(hidden)]
    pub async fn acquire_yielding(&mut self) -> Result<ClaimLease<'_>, AcquireError> {
        if self.take() {
            return Ok(ClaimLease::of(self));
        }
        self.yields = true;
        let lease = self.queue().await?;
        Ok(ClaimLease { claim: self, queued: Some(lease) })
    }

    /// [`acquire`](Self::acquire) for at most `duration`, from the first poll.
    ///
    /// # Errors
    ///
    /// [`AcquireTimeoutError`].
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_timeout(
        &mut self,
        duration: Duration,
    ) -> Result<ClaimLease<'_>, AcquireTimeoutError> {
        if self.take() {
            return Ok(ClaimLease::of(self));
        }
        self.yields = false;
        let lease = self.queue_for(duration).await?;
        Ok(ClaimLease { claim: self, queued: Some(lease) })
    }

    /// [`acquire_timeout`](Self::acquire_timeout) that parks this thread, as
    /// [`acquire_blocking`](Self::acquire_blocking) does.
    ///
    /// # Errors
    ///
    /// [`AcquireTimeoutError`].
    pub fn acquire_blocking_timeout(
        &mut self,
        duration: Duration,
    ) -> Result<ClaimLease<'_>, AcquireTimeoutError> {
        if self.take() || self.take_soon() {
            return Ok(ClaimLease::of(self));
        }
        let lease = self.inner().clock.block_on(self.queue_for(duration))?;
        Ok(ClaimLease { claim: self, queued: Some(lease) })
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.prepared.0.pool
    }

    fn queue(&self) -> Acquire {
        let asked = Asked::Resolved(self.prepared.clone());
        let acquire = Acquire::new(self.inner().clone(), self.owner.clone(), asked);
        if self.yields { acquire.yielding() } else { acquire }
    }

    fn queue_for(&self, duration: Duration) -> AcquireTimeout {
        AcquireTimeout::new(self.queue(), self.inner().clock.sleep(duration))
    }

    /// Takes it without the latch, if it can be had so.
    #[inline]
    fn take(&mut self) -> bool {
        // One in the midst of a try has what it has taken so far, and either keeps it or gives it back: its steps are bounded.
        let _mine = holding();
        // One that was forgotten is still out.
        if !self.is_out && self.set.take(&mut self.late) {
            self.is_out = true;
            return true;
        }
        self.refused();
        false
    }

    #[cold]
    fn refused(&mut self) {
        if !self.late.is_empty() {
            self.give_late();
        }
    }

    /// Takes it without the latch if that is possible soon: its holder is at work, or waits for its turn on a processor,
    /// which is given to it. It is asleep if nobody wanted that turn.
    #[cold]
    fn take_soon(&mut self) -> bool {
        for _ in 0..LOOKS {
            (0..SPINS).for_each(|_| spin_loop());
            if self.set.looks_free() && self.take() {
                return true;
            }
        }
        let start = Instant::now();
        let (mut before, mut unwanted) = (start, 0);
        while unwanted < UNWANTED && before - start < PATIENCE {
            thread::yield_now();
            if self.set.looks_free() && self.take() {
                return true;
            }
            let now = Instant::now();
            unwanted = if now - before < AT_ONCE { unwanted + 1 } else { 0 };
            before = now;
        }
        self.yields = unwanted < UNWANTED;
        false
    }

    #[inline]
    fn give(&mut self) {
        self.is_out = false;
        if self.set.give(&mut self.late) != Given::Back {
            self.give_late();
        }
    }

    #[cold]
    fn give_late(&mut self) {
        let late = std::mem::take(&mut self.late);
        self.inner().step(|state, now, wakes| state.release_late(self.id, &late, now, wakes));
        self.late = late;
        self.late.clear();
    }
}

/// Gives back what a forgotten lease of it holds.
impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_out {
            self.give();
        }
        self.inner().step(|state, _, _| state.remove_claim(self.id));
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("owner", &self.owner)
            .field("prepared", &self.prepared)
            .finish_non_exhaustive()
    }
}

/// What a [`Claim`] holds; all of it is given back when it drops. One that is forgotten is held until its claim drops.
#[must_use = "a lease gives itself back when it drops"]
pub struct ClaimLease<'a> {
    claim: &'a mut Claim,
    /// It came through the lines.
    queued: Option<Lease>,
}

impl<'a> ClaimLease<'a> {
    #[inline]
    fn of(claim: &'a mut Claim) -> Self {
        Self { claim, queued: None }
    }

    /// Who holds it.
    pub fn owner(&self) -> &Owner {
        &self.claim.owner
    }

    /// A number higher than that of every lease that had one of its resources before, as
    /// [`Lease::fencing`](crate::Lease::fencing).
    pub fn fencing(&self) -> u64 {
        match &self.queued {
            Some(lease) => lease.fencing(),
            None => self.claim.inner().step(|state, _, _| state.fencing_of(self.claim.id)),
        }
    }

    /// Whether it is still this owner's; false only after a [reclaim](crate::ResourcePool::reclaim).
    pub fn is_valid(&self) -> bool {
        match &self.queued {
            Some(lease) => lease.is_valid(),
            None => self.claim.inner().with(|state| !state.is_claim_void(self.claim.id)),
        }
    }

    /// Gives everything back. The same as dropping it.
    pub fn release(self) {}
}

impl Drop for ClaimLease<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.queued.is_none() {
            self.claim.give();
        }
    }
}

impl fmt::Debug for ClaimLease<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimLease").field("owner", self.owner()).finish_non_exhaustive()
    }
}
