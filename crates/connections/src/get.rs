//! Waiting for a connection.

use crate::{
    conn::{Conn, Lease},
    error::GetError,
    holder::Owner,
    manager::{Managed, Role},
    pool::Pool,
    shared::{Entered, Grant, Refusal, Shared},
    state::Party,
    tick::span,
};
use ropewalk_sync::{Cancelled, Polled, Ticket};
use std::{
    future::poll_fn,
    panic::Location,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// Takes a connection within `limit`. The pool stays open while this waits.
pub(crate) async fn acquire<M: Managed>(
    pool: Pool<M>,
    role: Role,
    limit: Duration,
    location: &'static Location<'static>,
) -> Result<Conn<M>, GetError<M::Error>> {
    let shared = &pool.handle.shared;
    let lane = shared.lane_of(role);
    let since = shared.now();
    let party =
        Party { owner: pool.owner.clone(), location, since, deadline: since.saturating_add(span(limit)) };
    let unfit = match shared.take(lane, &party) {
        Ok(lease) => return Ok(Conn::new(lease)),
        Err(unfit) => unfit,
    };
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let ticket = match shared.enter(lane, party, unfit, waker)? {
        Entered::Served(lease) => return Ok(Conn::new(lease)),
        Entered::Waiting(ticket) => ticket,
    };
    let wait = Wait { shared, lane, owner: pool.owner.clone(), ticket: Some(ticket), is_new: true };
    let outcome = wait.await;
    let waited = shared.now().saturating_sub(since);
    shared.waits.record(waited);
    match outcome {
        Ok(lease) => Ok(Conn::new(lease)),
        Err(Refusal::Closed) => Err(GetError::Closed),
        Err(Refusal::Connect(cause, attempts)) => Err(GetError::Connect { cause, attempts }),
        Err(Refusal::TimedOut) => Err(shared.explain(lane, Duration::from_nanos(waited))),
    }
}

/// A place in the line. Dropped with a grant in hand, it passes the grant on.
struct Wait<'a, M: Managed> {
    shared: &'a Arc<Shared<M>>,
    lane: usize,
    owner: Option<Arc<Owner>>,
    ticket: Option<Ticket<Party, Grant<M>>>,
    /// It has joined in this very poll, with the waker of this poll.
    is_new: bool,
}

impl<M: Managed> Future for Wait<'_, M> {
    type Output = Result<Lease<M>, Refusal<M::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if std::mem::take(&mut self.is_new) {
            return Poll::Pending;
        }
        loop {
            let Some(ticket) = &self.ticket else { return Poll::Pending };
            match self.shared.lanes[self.lane].poll(ticket, cx) {
                Polled::Ready(grant) => {
                    self.ticket = None;
                    let owner = self.owner.take();
                    return Poll::Ready(
                        grant.map(|entry| Lease::new(self.shared.clone(), self.lane, entry, owner)),
                    );
                }
                Polled::Pending => return Poll::Pending,
                Polled::Rejoined => self.shared.serve(self.lane),
            }
        }
    }
}

impl<M: Managed> Drop for Wait<'_, M> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        if let Cancelled::Granted(Ok(entry)) = self.shared.lanes[self.lane].cancel(ticket) {
            self.shared.pass_on(self.lane, entry);
        }
    }
}
