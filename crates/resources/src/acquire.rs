//! Waiting for a lease.

use crate::{
    AcquireError, AcquireTimeoutError, Lease, Owner,
    pool::Inner,
    request::Asked,
    state::{Entered, Polled, Standing},
};
use ropewalk_sync::Sleep;
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Waits for a [`Lease`]; see [`ResourcePool::acquire`](crate::ResourcePool::acquire).
///
/// The request joins the lines at the first poll. While in line it also polices them: at each regrant
/// interval it takes back leases whose futures are not polled, so no thread is needed for that.
#[must_use = "futures do nothing unless polled"]
pub struct Acquire {
    pool: Arc<Inner>,
    owner: Owner,
    asked: Option<Asked>,
    ticket: Option<u64>,
    patrol: Option<Sleep>,
    yields: bool,
}

impl Acquire {
    pub(crate) fn new(pool: Arc<Inner>, owner: Owner, asked: Asked) -> Self {
        Self { pool, owner, asked: Some(asked), ticket: None, patrol: None, yields: false }
    }

    /// One that is woken to take what it can have, instead of being handed it, until it has been overtaken as often as
    /// allowed: those at work go on meanwhile.
    pub(crate) fn yielding(mut self) -> Self {
        self.yields = true;
        self
    }

    /// Who asks.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    fn enter(&mut self) -> Poll<Result<Lease, AcquireError>> {
        let Some(asked) = &self.asked else { panic!("polled after it was done") };
        let pool = &self.pool;
        let entered = pool.step(|state, now, wakes| {
            let (items, priority) = pool.resolve(state, asked, now)?;
            let entered =
                state.enter(&self.owner, items, Standing { priority, yields: self.yields }, now, wakes)?;
            Ok(entered.map(|lease| Lease::new(pool.clone(), self.owner.clone(), lease)))
        });
        match entered {
            Ok(Entered::Waits(ticket)) => {
                self.ticket = Some(ticket);
                Poll::Pending
            }
            Ok(Entered::Lease(lease)) => {
                self.asked = None;
                Poll::Ready(Ok(lease))
            }
            Err(error) => {
                self.asked = None;
                Poll::Ready(Err(error))
            }
        }
    }
}

impl Future for Acquire {
    type Output = Result<Lease, AcquireError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let ticket = match this.ticket {
            Some(ticket) => ticket,
            None => {
                if let Poll::Ready(result) = this.enter() {
                    return Poll::Ready(result);
                }
                match this.ticket {
                    Some(ticket) => ticket,
                    None => return Poll::Pending,
                }
            }
        };
        loop {
            // Cloned and dropped outside of the latch: wakers are user code.
            let mut waker = Some(cx.waker().clone());
            let (pool, owner) = (&this.pool, &this.owner);
            let polled = pool.step(|state, now, wakes| {
                let polled = state.poll(ticket, &mut waker, now, wakes);
                (polled.map(|lease| Lease::new(pool.clone(), owner.clone(), lease)), now)
            });
            drop(waker);
            match polled {
                (Polled::Ready(lease, since), now) => {
                    (this.ticket, this.asked, this.patrol) = (None, None, None);
                    this.pool.totals.waited(now.saturating_duration_since(since));
                    return Poll::Ready(Ok(lease));
                }
                (Polled::Refused(error), _) => {
                    (this.ticket, this.asked, this.patrol) = (None, None, None);
                    return Poll::Ready(Err(error));
                }
                (Polled::Pending, _) => {}
            }
            let (clock, interval) = (&this.pool.clock, this.pool.regrant_after);
            let patrol = this.patrol.get_or_insert_with(|| clock.sleep(interval));
            if Pin::new(&mut *patrol).poll(cx).is_pending() {
                return Poll::Pending;
            }
            patrol.reset(clock.deadline(interval));
            this.pool.step(|state, now, wakes| state.revoke(interval, now, wakes));
        }
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            drop(self.pool.step(|state, now, wakes| state.cancel(ticket, now, wakes)));
        }
    }
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("owner", &self.owner)
            .field("in_line", &self.ticket.is_some())
            .finish_non_exhaustive()
    }
}

/// [`Acquire`] with a deadline; see [`ResourcePool::acquire_timeout`](crate::ResourcePool::acquire_timeout).
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct AcquireTimeout {
    acquire: Acquire,
    deadline: Sleep,
}

impl AcquireTimeout {
    pub(crate) fn new(acquire: Acquire, deadline: Sleep) -> Self {
        Self { acquire, deadline }
    }
}

impl Future for AcquireTimeout {
    type Output = Result<Lease, AcquireTimeoutError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        // The lease first: one that is there at the deadline wins over it.
        if let Poll::Ready(result) = Pin::new(&mut this.acquire).poll(cx) {
            return Poll::Ready(result.map_err(AcquireTimeoutError::from));
        }
        if Pin::new(&mut this.deadline).poll(cx).is_pending() {
            return Poll::Pending;
        }
        let acquire = &mut this.acquire;
        let (pool, Some(ticket)) = (&acquire.pool, acquire.ticket.take()) else {
            unreachable!("a pending request is in line")
        };
        acquire.asked = None;
        let (late, waker) = pool.step(|state, now, wakes| {
            let late = state.late(ticket);
            (late, state.cancel(ticket, now, wakes))
        });
        drop(waker);
        pool.totals.timed_out();
        let (name, held_by) = late;
        Poll::Ready(Err(AcquireTimeoutError::Timeout { name, held_by }))
    }
}
