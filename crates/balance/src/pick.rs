//! A request on its node.

use crate::{
    Need, Node, NodeId, Outcome, PickError,
    inner::Inner,
    line::{Later, Place},
    roster::Entry,
};
use ropewalk_prove::sync::atomic::Ordering;
use ropewalk_sync::{Polled, Sleep};
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// A node chosen for a request, which counts as in flight on it until this is completed or dropped.
///
/// [`complete`](Self::complete) says how the request ended; its latency is the time since the pick.
/// Dropped without that, the request counts as cancelled: neither for nor against the node.
#[must_use = "a pick counts as a request in flight until it drops"]
pub struct Pick {
    inner: Arc<Inner>,
    entry: Arc<Entry>,
    started: Instant,
    trial: bool,
    outcome: Option<Outcome>,
}

impl Pick {
    pub(crate) fn new(inner: Arc<Inner>, entry: Arc<Entry>, started: Instant, trial: bool) -> Self {
        inner.totals.picks.incr();
        entry.shared.counts.picks.fetch_add(1, Ordering::Relaxed);
        Self { inner, entry, started, trial, outcome: None }
    }

    /// The node, as it was when it was picked.
    pub fn node(&self) -> &Node {
        &self.entry.node
    }

    /// Its name in the balancer.
    pub fn id(&self) -> NodeId {
        self.entry.id
    }

    /// Whether this request tries out a node that was ejected.
    pub fn is_trial(&self) -> bool {
        self.trial
    }

    /// Time since the pick.
    pub fn elapsed(&self) -> Duration {
        self.inner.clock().now().saturating_duration_since(self.started)
    }

    /// The request ended so. Takes an [`Outcome`] or a reference to a `Result`.
    pub fn complete(mut self, outcome: impl Into<Outcome>) {
        self.outcome = Some(outcome.into());
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        let mut later = Later::default();
        later.run(|| self.inner.settle(&self.entry, self.started, self.trial, self.outcome));
        later.run(|| self.inner.give_back(&self.entry));
        later.go_on();
    }
}

impl fmt::Debug for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pick").field("id", &self.id()).field("node", self.node()).finish_non_exhaustive()
    }
}

/// Waits for a node; see [`Balancer::pick_wait`](crate::Balancer::pick_wait).
///
/// While in line it also polices it: at each regrant interval it takes back slots whose futures are not
/// polled.
#[must_use = "futures do nothing unless polled"]
pub struct PickWait {
    inner: Arc<Inner>,
    need: Need,
    place: Option<Place>,
    patrol: Option<Sleep>,
    joined: Option<Instant>,
}

impl PickWait {
    pub(crate) fn new(inner: Arc<Inner>, need: Need) -> Self {
        Self { inner, need, place: None, patrol: None, joined: None }
    }

    fn refused(&mut self, error: PickError) -> Poll<Result<Pick, PickError>> {
        self.inner.totals.refused.incr();
        Poll::Ready(Err(error))
    }
}

impl Future for PickWait {
    type Output = Result<Pick, PickError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.place.is_none() {
            if this.inner.line.len() == 0 {
                match this.inner.pick(&this.need) {
                    Ok(pick) => return Poll::Ready(Ok(pick)),
                    Err(PickError::Saturated { .. }) => {}
                    Err(error) => return this.refused(error),
                }
            }
            this.joined = Some(this.inner.clock().now());
            this.place = Some(this.inner.join(this.need.clone()));
            this.inner.serve();
        }
        let Some(place) = &this.place else { unreachable!("just joined") };
        loop {
            match this.inner.line.poll(place, cx) {
                Polled::Ready(grant) => {
                    this.place = None;
                    this.patrol = None;
                    let started = this.inner.clock().now();
                    if let Some(joined) = this.joined.take() {
                        this.inner.totals.wait.record_duration(started.saturating_duration_since(joined));
                    }
                    return match grant {
                        Ok(slot) => {
                            Poll::Ready(Ok(Pick::new(this.inner.clone(), slot.entry, started, slot.trial)))
                        }
                        Err(error) => this.refused(error),
                    };
                }
                Polled::Rejoined => {
                    this.inner.serve();
                    continue;
                }
                Polled::Pending => {}
            }
            let clock = this.inner.clock();
            let deadline = || clock.deadline(this.inner.settings.regrant_after);
            let patrol = this.patrol.get_or_insert_with(|| clock.sleep_until(deadline()));
            if Pin::new(&mut *patrol).poll(cx).is_pending() {
                return Poll::Pending;
            }
            patrol.reset(deadline());
            this.inner.patrol();
        }
    }
}

impl Drop for PickWait {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.inner.leave_line(place);
        }
    }
}

impl fmt::Debug for PickWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PickWait")
            .field("need", &self.need)
            .field("in_line", &self.place.is_some())
            .finish_non_exhaustive()
    }
}
