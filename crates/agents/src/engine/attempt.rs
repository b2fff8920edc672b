//! One attempt: the body, watched over.

use super::{Body, Inner, Place, Record, Value};
use crate::{
    cancel::{CancelToken, StopReason},
    cx::TaskCx,
    error::BoxError,
    guard::caught,
};
use ropewalk_graph::Claim;
use ropewalk_resources::Lease;
use ropewalk_sync::{BoxFuture, Clock, Sleep, Spawn, oneshot};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

/// How an attempt ended.
pub(super) enum Ended {
    Value(Value),
    Error(BoxError),
    Panic(String),
    Stopped(StopReason),
    /// Its executor dropped it.
    Lost,
}

/// When an attempt is stopped, and why.
#[derive(Clone, Copy)]
struct Limit {
    at: Option<Instant>,
    reason: StopReason,
    grace: Duration,
}

/// Reports the attempt as lost unless it is reported otherwise.
struct Guard {
    inner: Arc<Inner>,
    record: Arc<Record>,
    claim: Claim,
    place: Option<Place>,
    lease: Option<Lease>,
    started: Instant,
}

impl Guard {
    fn report(mut self, ended: Ended) {
        self.settle(ended);
    }

    fn settle(&mut self, ended: Ended) {
        if let Some(place) = self.place.take() {
            let elapsed = self.inner.clock.now().saturating_duration_since(self.started);
            self.inner.meters.ran.record_duration(elapsed);
            self.inner.attempt_ended(&self.record, self.claim, &place, self.lease.take(), ended);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.settle(Ended::Lost);
    }
}

impl Inner {
    pub(super) fn attempt(
        self: &Arc<Self>,
        record: Arc<Record>,
        claim: Claim,
        place: Place,
        lease: Option<Lease>,
        token: CancelToken,
        body: Option<Body>,
    ) -> BoxFuture {
        let cx = TaskCx::new(self.clone(), record.clone(), claim, place.agent.clone(), token.clone());
        let blocking = matches!(body, Some(Body::Blocking(_)));
        let limit = self.limit(&record, blocking);
        let started = self.clock.now();
        let mut guard = Guard { inner: self.clone(), record, claim, place: Some(place), lease, started };
        Box::pin(async move {
            let clock = guard.inner.clock.clone();
            let ended = match body {
                Some(Body::Async(body)) => {
                    // The call of the body is user code too, so it happens inside the watched future.
                    let call = async move { body(cx).await };
                    supervise(&clock, &token, limit, call).await
                }
                Some(Body::Blocking(body)) => {
                    let lease = guard.lease.take();
                    let (ended, lease) =
                        guard.inner.clone().on_thread(&clock, &token, limit, cx, body, lease).await;
                    guard.lease = lease;
                    ended
                }
                // A task without a body is finished, and its claim void; the report says so.
                None => Ended::Lost,
            };
            guard.report(ended);
        })
    }

    fn limit(&self, record: &Record, blocking: bool) -> Limit {
        let timeout = record.timeout.and_then(|timeout| self.clock.deadline(timeout));
        let grace = if blocking { self.settings.blocking_grace } else { self.settings.grace };
        match (timeout, record.deadline) {
            (Some(timeout), Some(deadline)) if timeout < deadline => {
                Limit { at: Some(timeout), reason: StopReason::TimedOut, grace }
            }
            (_, Some(deadline)) => Limit { at: Some(deadline), reason: StopReason::DeadlinePassed, grace },
            (timeout, None) => Limit { at: timeout, reason: StopReason::TimedOut, grace },
        }
    }

    /// Runs a blocking body on a thread of its own. A thread cannot be stopped: when the attempt gives
    /// up, the body goes on alone, keeps the lease until it ends, and its result is void.
    async fn on_thread(
        self: Arc<Self>,
        clock: &Clock,
        token: &CancelToken,
        limit: Limit,
        cx: TaskCx,
        body: Arc<super::BlockingBody>,
        lease: Option<Lease>,
    ) -> (Ended, Option<Lease>) {
        const RUNNING: u8 = 0;
        const ENDED: u8 = 1;
        const ABANDONED: u8 = 2;

        let (sender, receiver) = oneshot();
        let phase = Arc::new(AtomicU8::new(RUNNING));
        let name = cx.name().to_owned();
        let job: BoxFuture = {
            let (inner, phase) = (self.clone(), phase.clone());
            Box::pin(async move {
                let result = catch_unwind(AssertUnwindSafe(|| body(cx)));
                caught(|| drop(body));
                // AcqRel: pairs with the exchange of the one who gave up, which has counted by then.
                if phase.swap(ENDED, Ordering::AcqRel) == ABANDONED {
                    inner.meters.stuck.fetch_sub(1, Ordering::Relaxed);
                }
                // Nobody there any more: the result and the lease drop here.
                caught(|| drop(sender.send((result, lease))));
            })
        };
        let threads = &self.threads;
        if caught(|| threads.spawn(&name, job)).is_none() {
            return (Ended::Lost, None);
        }
        let mut back = None;
        let ended = supervise(clock, token, limit, async {
            match receiver.await {
                Ok((result, lease)) => {
                    back = lease;
                    match result {
                        Ok(result) => Ok(result.map_or_else(Ended::Error, Ended::Value)),
                        Err(panic) => Ok(Ended::Panic(panic_message(panic))),
                    }
                }
                Err(_) => Ok(Ended::Lost),
            }
            .map(|ended| Box::new(ended) as Value)
        })
        .await;
        let ended = match ended {
            Ended::Value(value) => value.downcast::<Ended>().map_or(Ended::Lost, |ended| *ended),
            stopped => {
                // Counted first, so that the count never goes below what is there.
                self.meters.stuck.fetch_add(1, Ordering::Relaxed);
                // AcqRel: pairs with the exchange by which the body ends; one of the two comes first.
                let abandoned =
                    phase.compare_exchange(RUNNING, ABANDONED, Ordering::AcqRel, Ordering::Relaxed);
                if abandoned.is_err() {
                    self.meters.stuck.fetch_sub(1, Ordering::Relaxed);
                }
                stopped
            }
        };
        (ended, back)
    }
}

/// Polls `body` until it ends, panics, or has to stop. Told to stop, it is polled once more at least,
/// and as long as the grace lasts; then it is dropped.
async fn supervise(
    clock: &Clock,
    token: &CancelToken,
    limit: Limit,
    body: impl Future<Output = Result<Value, BoxError>> + Send,
) -> Ended {
    let mut body = Some(Box::pin(body));
    let ended = {
        let body = &mut body;
        let mut stop = pin!(token.cancelled());
        let mut sleep = clock.sleep_until(limit.at);
        let mut grace: Option<Sleep> = None;
        std::future::poll_fn(move |cx| {
            loop {
                let Some(running) = body.as_mut() else { return Poll::Ready(Ended::Lost) };
                match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx))) {
                    Err(panic) => return Poll::Ready(Ended::Panic(panic_message(panic))),
                    Ok(Poll::Ready(Ok(value))) => return Poll::Ready(Ended::Value(value)),
                    Ok(Poll::Ready(Err(error))) => return Poll::Ready(Ended::Error(error)),
                    Ok(Poll::Pending) => {}
                }
                if let Some(grace) = &mut grace {
                    if Pin::new(grace).poll(cx).is_ready() {
                        return Poll::Ready(Ended::Stopped(token.reason().unwrap_or(StopReason::Cancelled)));
                    }
                    return Poll::Pending;
                }
                if Pin::new(&mut sleep).poll(cx).is_ready() {
                    token.stop(limit.reason);
                }
                if stop.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                grace = Some(clock.sleep(limit.grace));
            }
        })
        .await
    };
    // The drop of what a body leaves behind is user code.
    caught(|| drop(body));
    ended
}

pub(crate) fn panic_message(panic: Box<dyn Any + Send>) -> String {
    let text = match panic.downcast_ref::<&str>() {
        Some(text) => (*text).to_owned(),
        None => {
            panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a value that is no text".to_owned())
        }
    };
    // The payload is the user's; its drop may panic in turn.
    caught(|| drop(panic));
    text
}
