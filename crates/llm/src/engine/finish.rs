//! The end of a call: permits, budget, the cache, another attempt or the answer.

use super::{
    Answer, Engine, Landed, State,
    flight::{Flight, Phase, Waiter},
    notify,
    run::caught,
};
use crate::{AskError, BackendError, Completion, ErrorKind, Route, Source, reply::Stored};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How much a new answer moves the guess of the next one's length.
const LENGTH_WEIGHT: f64 = 0.05;

enum Verdict {
    Rest(Duration),
    Land(Box<Flight>, Answer),
}

impl Engine {
    pub(super) fn finish(
        self: &Arc<Self>,
        id: u64,
        outcome: Result<Completion, BackendError>,
        mut route: Route,
    ) {
        let now = self.clock.now();
        let outcome = match outcome {
            Ok(completion) => {
                let allowance = completion.allowance;
                let Some((key, fill)) = self.key_of(id) else { return };
                let stored = Stored::new(completion, key.chat());
                if fill {
                    // Before the flight leaves the books: who misses both looks into the cache again.
                    if let Some(cache) = &self.cache {
                        cache.insert(key, stored.clone());
                    }
                }
                self.meters.tokens(&stored.usage);
                Ok((stored, allowance))
            }
            Err(error) => {
                self.meters.failure(error.kind);
                Err(error)
            }
        };
        let mut state = self.state.lock();
        let Some(latency) = state.release(id, now, &outcome) else { return };
        let verdict = state.judge(id, now, outcome, &mut route);
        let drained = state.drained();
        drop(state);
        self.meters.backend.record_duration(latency);
        match verdict {
            Some(Verdict::Rest(delay)) => {
                let rest = Rest { engine: self.clone(), id, over: false };
                self.jobs.push(Box::pin(rest.run(delay)));
            }
            // What is left of it, routes of the user's, drops here, after the lock is released.
            Some(Verdict::Land(flight, answer)) => self.deliver(flight.waiters, &answer),
            None => {}
        }
        notify(drained);
        self.pump();
    }

    /// Answers each waiter: the one who started the flight gets the answer as its own, the others as shared.
    pub(super) fn deliver(&self, waiters: Vec<Waiter>, answer: &Answer) {
        let now = self.clock.now();
        for waiter in waiters {
            let mut answer = answer.clone();
            match &mut answer {
                Ok(landed) => {
                    if landed.source == Source::Backend && !waiter.leader {
                        landed.source = Source::Shared;
                    }
                    self.meters.answer(landed.source, now.saturating_duration_since(waiter.asked));
                }
                Err(_) => self.meters.failed.incr(),
            }
            // It may have left at this moment. Its waker is user code: one that panics costs nobody an answer.
            let _gone = caught(|| waiter.answer.send(answer));
        }
    }

    fn key_of(&self, id: u64) -> Option<(crate::chat::Key, bool)> {
        let state = self.state.lock();
        state.flights.get(&id).map(|flight| (flight.key.clone(), flight.fill))
    }

    /// A rested flight goes back into the queue, at its old level and age.
    fn requeue(self: &Arc<Self>, id: u64) {
        let mut state = self.state.lock();
        let State { flights, queue, .. } = &mut *state;
        let Some(flight) = flights.get_mut(&id) else { return };
        let landed = if flight.waiters.is_empty() {
            state.remove(id)
        } else {
            flight.phase = Phase::Queued(queue.push(id, flight.group.clone(), flight.level, flight.since));
            None
        };
        let drained = state.drained();
        drop(state);
        drop(landed);
        notify(drained);
        self.pump();
    }
}

/// Keeps a flight between two attempts.
struct Rest {
    engine: Arc<Engine>,
    id: u64,
    over: bool,
}

impl Rest {
    async fn run(mut self, delay: Duration) {
        self.engine.clock.sleep(delay).await;
        self.over = true;
        self.engine.requeue(self.id);
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        // What runs jobs has ended: there will be no other attempt.
        let mut state = self.engine.state.lock();
        let gone = state.remove(self.id);
        let drained = state.drained();
        drop(state);
        if let Some(flight) = gone {
            let stopped =
                || BackendError::new(ErrorKind::Stopped, "the next attempt was dropped by what ran it");
            let error = flight.last.unwrap_or_else(stopped);
            self.engine.deliver(flight.waiters, &Err(AskError::Backend { error, attempts: flight.attempts }));
        }
        notify(drained);
    }
}

type Outcome = Result<(Arc<Stored>, crate::Allowance), BackendError>;

impl State {
    /// Gives the permit back and settles the budget; how long the call took.
    fn release(&mut self, id: u64, now: Instant, outcome: &Outcome) -> Option<Duration> {
        let flight = self.flights.get(&id)?;
        let Phase::Running { since, epoch } = flight.phase else { return None };
        let latency = now.saturating_duration_since(since);
        self.running -= 1;
        let overload = outcome.as_ref().is_err_and(|error| error.kind.is_overload());
        if let Some(controller) = &mut self.controller {
            self.limit = controller.ended(epoch, now, latency, overload);
        }
        match outcome {
            Ok((stored, allowance)) => {
                let real = stored.usage.total();
                if real > 0 {
                    self.purse.settle(flight.estimate, real);
                    let length = stored.usage.completion_tokens as f64;
                    self.answer_tokens += LENGTH_WEIGHT * (length - self.answer_tokens);
                }
                self.purse.lower_to(*allowance);
            }
            Err(error) if error.kind == ErrorKind::RateLimited => self.purse.refund(flight.estimate),
            // The request counted; no token was used that we know of.
            Err(_) => self.purse.settle(flight.estimate, 0),
        }
        Some(latency)
    }

    /// What becomes of a flight whose call ended.
    fn judge(&mut self, id: u64, now: Instant, outcome: Outcome, route: &mut Route) -> Option<Verdict> {
        let flight = self.flights.get_mut(&id)?;
        let attempts = flight.attempts;
        let answer = match outcome {
            Ok((stored, _)) => Ok(Landed { stored, source: Source::Backend, attempts }),
            Err(error) => {
                let repeats = flight.sink.as_ref().is_some_and(|sink| sink.started());
                if error.is_retryable() && !repeats && !flight.waiters.is_empty() {
                    let deadline = flight.deadline();
                    let delay =
                        flight.backoff.next().map(|delay| delay.max(error.retry_after.unwrap_or_default()));
                    // There is no sense in waiting for an attempt that nobody would see the end of.
                    let fits = |delay: &Duration| {
                        deadline
                            .is_none_or(|deadline| now.checked_add(*delay).is_some_and(|at| at < deadline))
                    };
                    if let Some(delay) = delay.filter(fits) {
                        flight.phase = Phase::Resting;
                        flight.last = Some(error);
                        flight.failed.push(std::mem::take(route));
                        return Some(Verdict::Rest(delay));
                    }
                }
                Err(AskError::Backend { error, attempts })
            }
        };
        let flight = self.remove(id)?;
        Some(Verdict::Land(Box::new(flight), answer))
    }
}
