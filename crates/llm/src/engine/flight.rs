//! A question on its way, those who wait for it, and what they hold.

use super::{Answer, Engine, group, run::caught};
use crate::{
    AskError, BackendError, Reply,
    ask::Options,
    backend::Route,
    chat::{Chat, Key},
    error::Stage,
};
use backon::ExponentialBackoff;
use parking_lot::Mutex;
use ropewalk_batch::{GroupKey, Place};
use ropewalk_sync::{Event, Receiver, Sender, Sleep};
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

pub(super) struct Flight {
    pub(super) key: Key,
    /// Whether it is in `by_key`, for others to join.
    pub(super) shared: bool,
    pub(super) group: GroupKey,
    pub(super) idempotency_key: Arc<str>,
    pub(super) level: u8,
    /// When it was queued first: its age.
    pub(super) since: Instant,
    pub(super) phase: Phase,
    pub(super) waiters: Vec<Waiter>,
    /// Calls made so far.
    pub(super) attempts: u32,
    pub(super) backoff: ExponentialBackoff,
    /// Tokens that the present call is thought to cost.
    pub(super) estimate: u64,
    /// Whether the answer goes into the cache.
    pub(super) fill: bool,
    pub(super) sink: Option<Arc<Sink>>,
    /// The failure of the attempt before.
    pub(super) last: Option<BackendError>,
    /// Where attempts failed.
    pub(super) failed: Vec<Route>,
}

pub(super) struct Waiter {
    pub(super) id: u64,
    pub(super) answer: Sender<Answer>,
    pub(super) deadline: Option<Instant>,
    pub(super) leader: bool,
    pub(super) asked: Instant,
}

pub(super) enum Phase {
    Entering,
    Queued(Place),
    Running { since: Instant, epoch: u64 },
    Resting,
}

impl Phase {
    pub(super) fn stage(&self) -> Stage {
        match self {
            Self::Entering | Self::Queued(_) => Stage::Queued,
            Self::Running { .. } => Stage::Running,
            Self::Resting => Stage::Resting,
        }
    }
}

impl Flight {
    #[allow(clippy::too_many_arguments)] // one caller, which has just made all of them
    pub(super) fn new(
        key: &Key,
        waiter: Waiter,
        level: u8,
        idempotency_key: Arc<str>,
        backoff: ExponentialBackoff,
        options: &Options,
        sink: Option<Arc<Sink>>,
        shared: bool,
    ) -> Self {
        Self {
            group: group(key.chat()),
            key: key.clone(),
            shared,
            idempotency_key,
            level,
            since: waiter.asked,
            phase: Phase::Entering,
            waiters: vec![waiter],
            attempts: 0,
            backoff,
            estimate: 0,
            fill: options.cache,
            sink,
            last: None,
            failed: Vec::new(),
        }
    }

    pub(super) fn chat(&self) -> &Chat {
        self.key.chat()
    }

    /// When the last of those who wait gives up; `None` when one never does.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiters.iter().map(|waiter| waiter.deadline).try_fold(None::<Instant>, |last, deadline| {
            let deadline = deadline?;
            Some(Some(last.map_or(deadline, |last| last.max(deadline))))
        })?
    }
}

/// What a caller holds while its question is on its way. Dropping it leaves the flight.
pub(crate) struct Waiting {
    engine: Arc<Engine>,
    flight: u64,
    waiter: u64,
    receiver: Receiver<Answer>,
    sleep: Option<Sleep>,
    after: Duration,
    asked: Instant,
    sink: Option<Arc<Sink>>,
    done: bool,
}

impl Waiting {
    pub(super) fn new(
        engine: Arc<Engine>,
        flight: u64,
        waiter: u64,
        receiver: Receiver<Answer>,
        deadline: Option<(Duration, Option<Instant>)>,
        asked: Instant,
        sink: Option<Arc<Sink>>,
    ) -> Self {
        let sleep = deadline.map(|(_, at)| engine.clock.sleep_until(at));
        let after = deadline.map_or(Duration::MAX, |(after, _)| after);
        Self { engine, flight, waiter, receiver, sleep, after, asked, sink, done: false }
    }

    /// The next piece of a stream, or the whole answer at its end.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, AskError>> {
        if let Some(sink) = &self.sink {
            if let Some(text) = sink.pop(cx) {
                return Poll::Ready(Ok(Piece::Text(text)));
            }
        }
        let answer = self.poll_reply(cx);
        if answer.is_ready() {
            // Pieces are put down before the answer: those that came since the look above are here now.
            if let (Some(sink), Poll::Ready(Ok(reply))) = (&self.sink, &answer) {
                return Poll::Ready(Ok(Piece::End { rest: sink.rest(), reply: reply.clone() }));
            }
        }
        answer.map_ok(|reply| Piece::End { rest: String::new(), reply })
    }

    pub(crate) fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reply, AskError>> {
        if let Poll::Ready(answer) = Pin::new(&mut self.receiver).poll(cx) {
            self.done = true;
            let latency = self.engine.clock.now().saturating_duration_since(self.asked);
            return Poll::Ready(match answer {
                Ok(answer) => {
                    answer.map(|landed| landed.stored.reply(landed.source, latency, landed.attempts))
                }
                // Only the end of the processor drops a waiter unanswered.
                Err(_) => Err(AskError::Closed),
            });
        }
        if let Some(sleep) = &mut self.sleep {
            if Pin::new(sleep).poll(cx).is_ready() {
                self.done = true;
                let (stage, last) =
                    self.engine.leave(self.flight, self.waiter).unwrap_or((Stage::Running, None));
                self.engine.meters.expired.incr();
                return Poll::Ready(Err(AskError::Deadline { after: self.after, stage, last }));
            }
        }
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.done {
            self.engine.leave(self.flight, self.waiter);
        }
    }
}

/// What a stream's consumer gets next.
pub(crate) enum Piece {
    Text(String),
    End { rest: String, reply: Reply },
}

/// Carries the pieces of a stream from its call to its consumer. The call never waits for the consumer:
/// it holds a permit, and an answer is bounded.
#[derive(Default)]
pub(crate) struct Sink {
    pieces: Mutex<Pieces>,
    cancelled: Event,
    started: AtomicBool,
}

#[derive(Default)]
struct Pieces {
    queue: VecDeque<String>,
    consumer: Option<Waker>,
}

impl Sink {
    pub(super) fn push(&self, text: String) {
        if text.is_empty() {
            return;
        }
        // Relaxed: only the call itself reads it.
        self.started.store(true, Ordering::Relaxed);
        let mut pieces = self.pieces.lock();
        pieces.queue.push_back(text);
        let consumer = pieces.consumer.take();
        drop(pieces);
        if let Some(consumer) = consumer {
            // User code: one that panics must not end the call.
            let _woken = caught(|| consumer.wake());
        }
    }

    fn pop(&self, cx: &Context<'_>) -> Option<String> {
        let waker = cx.waker().clone();
        let mut pieces = self.pieces.lock();
        let text = pieces.queue.pop_front();
        let old = if text.is_none() { pieces.consumer.replace(waker) } else { None };
        drop(pieces);
        drop(old);
        text
    }

    fn rest(&self) -> String {
        let queue = std::mem::take(&mut self.pieces.lock().queue);
        queue.into_iter().collect()
    }

    /// Whether a piece has been handed out, so that starting again would repeat it.
    pub(super) fn started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    pub(super) fn cancel(&self) {
        self.cancelled.set();
    }

    pub(super) fn cancelled(&self) -> &Event {
        &self.cancelled
    }
}
