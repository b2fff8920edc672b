//! Waiting for permits.

use super::{OwnedPermit, Permit, Semaphore};
use crate::{
    AcquireError, Sleep,
    raw::{
        permits::{Closed, Place},
        queue::Polled,
    },
};
use std::{
    ops::Deref,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Waits for permits of a [`Semaphore`]; `H` is how it refers to it.
///
/// While in line it also polices the line: at each regrant interval it takes back grants that
/// nobody polled. Those who wait are exactly those who gain from it, so no thread is needed.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Acquire<H: Deref<Target = Semaphore>> {
    semaphore: H,
    permits: usize,
    place: Option<Place>,
    patrol: Option<Sleep>,
}

impl<H: Deref<Target = Semaphore> + Unpin> Acquire<H> {
    pub(super) fn new(semaphore: H, permits: usize) -> Self {
        Self { semaphore, permits, place: None, patrol: None }
    }

    fn poll_taken(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AcquireError>> {
        let semaphore = &*self.semaphore;
        let place = match &self.place {
            Some(place) => place,
            None => {
                if semaphore.permits.try_take(self.permits).is_ok() {
                    return Poll::Ready(Ok(()));
                }
                let capacity = semaphore.capacity();
                if self.permits > capacity && self.permits > 1 {
                    return Poll::Ready(Err(AcquireError::TooMany { wanted: self.permits, capacity }));
                }
                match semaphore.permits.take_or_join(self.permits) {
                    Err(Closed) => return Poll::Ready(Err(AcquireError::Closed)),
                    Ok(None) => return Poll::Ready(Ok(())),
                    Ok(Some(place)) => self.place.insert(place),
                }
            }
        };
        loop {
            match semaphore.permits.poll(place, cx) {
                Polled::Ready(grant) => {
                    self.place = None;
                    self.patrol = None;
                    return Poll::Ready(grant.map_err(|Closed| AcquireError::Closed));
                }
                Polled::Rejoined => continue,
                Polled::Pending => {}
            }
            let deadline = || semaphore.clock.deadline(semaphore.regrant_after);
            let patrol = self.patrol.get_or_insert_with(|| semaphore.clock.sleep_until(deadline()));
            if Pin::new(&mut *patrol).poll(cx).is_pending() {
                return Poll::Pending;
            }
            patrol.reset(deadline());
            semaphore.sweep();
        }
    }
}

impl<'a> Future for Acquire<&'a Semaphore> {
    type Output = Result<Permit<'a>, AcquireError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let taken = std::task::ready!(self.poll_taken(cx));
        Poll::Ready(taken.map(|()| Permit::new(self.semaphore, self.permits)))
    }
}

impl Future for Acquire<Arc<Semaphore>> {
    type Output = Result<OwnedPermit, AcquireError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let taken = std::task::ready!(self.poll_taken(cx));
        Poll::Ready(taken.map(|()| OwnedPermit::new(self.semaphore.clone(), self.permits)))
    }
}

impl<H: Deref<Target = Semaphore>> Drop for Acquire<H> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.semaphore.permits.cancel(place, self.permits);
        }
    }
}
