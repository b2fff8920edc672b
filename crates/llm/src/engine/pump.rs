//! Admission: who may leave, by permits, budget, priority and age.

use super::{Engine, State, flight::Phase, notify, run::Permit};
use crate::{AskError, Call, Route, error::Stage, stats::Meters};
use std::{sync::Arc, time::Instant};

/// Flights that leave together, for one model.
struct Departure {
    calls: Vec<(u64, Call)>,
    /// Where earlier attempts failed.
    failed: Vec<Route>,
}

impl Engine {
    /// Lets everything leave that may.
    pub(super) fn pump(self: &Arc<Self>) {
        {
            let mut state = self.state.lock();
            if state.pumping {
                state.pump_again = true;
                return;
            }
            state.pumping = true;
        }
        // A waker that panics must not leave the queue to nobody.
        let _pumping = Pumping(self);
        loop {
            let now = self.clock.now();
            let mut late = Vec::new();
            let mut state = self.state.lock();
            state.pump_again = false;
            let departure = state.depart(now, &self.meters, &mut late);
            let pacer = state.take_pacer(departure.as_ref().err().copied().flatten());
            let gone: Vec<_> = late.into_iter().filter_map(|id| state.remove(id)).collect();
            let drained = state.drained();
            drop(state);
            for flight in gone {
                for waiter in flight.waiters {
                    let after = waiter.deadline.map_or(now, |at| at).saturating_duration_since(waiter.asked);
                    let late = AskError::Deadline { after, stage: Stage::Queued, last: flight.last.clone() };
                    self.deliver(vec![waiter], &Err(late));
                }
            }
            notify(drained);
            if let Some(at) = pacer {
                let pacer = Pacer { engine: self.clone(), at, fired: false };
                self.jobs.push(Box::pin(pacer.run()));
            }
            match departure {
                Ok(departure) if departure.calls.is_empty() => {}
                Ok(Departure { calls, failed }) => {
                    // From here on the permits answer for the calls, also when the job never runs.
                    let calls = calls.into_iter().map(|(id, call)| (Permit::new(self, id), call)).collect();
                    let engine = self.clone();
                    self.jobs.push(Box::pin(async move { engine.run(calls, failed).await }));
                }
                Err(_) => {
                    let mut state = self.state.lock();
                    if !std::mem::take(&mut state.pump_again) {
                        state.pumping = false;
                        return;
                    }
                }
            }
        }
    }
}

/// Leaves `pump` to others when this one unwinds.
struct Pumping<'a>(&'a Engine);

impl Drop for Pumping<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state.lock().pumping = false;
        }
    }
}

/// Has the queue looked at again when the budget allows the next call.
struct Pacer {
    engine: Arc<Engine>,
    at: Instant,
    fired: bool,
}

impl Pacer {
    async fn run(mut self) {
        self.engine.clock.sleep_until(Some(self.at)).await;
        self.fired = true;
        self.engine.state.lock().pacer.take_if(|pacer| *pacer == self.at);
        self.engine.pump();
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        if !self.fired {
            // What runs jobs has ended: nobody in the queue will ever leave.
            self.engine.stop();
        }
    }
}

impl State {
    /// Takes the next batch that may leave now; `Err` when none may, with the time for which the budget
    /// lets the first of the queue wait. Flights whose deadline has passed are put into `late`.
    fn depart(
        &mut self,
        now: Instant,
        meters: &Meters,
        late: &mut Vec<u64>,
    ) -> Result<Departure, Option<Instant>> {
        let room = self.limit.saturating_sub(self.running);
        if room == 0 || !self.queue.is_due(now) {
            return Err(None);
        }
        let Self { flights, queue, purse, answer_tokens, .. } = self;
        let mut wait = None;
        let mut nobody = Vec::new();
        let admitted = queue.take_while(now, room, |id| {
            let Some(flight) = flights.get_mut(id) else { return true };
            if flight.deadline().is_some_and(|deadline| deadline <= now) {
                nobody.push(*id);
                return true;
            }
            let body = flight.chat().body();
            let answer = body.max_tokens.map_or(*answer_tokens as u64, u64::from);
            flight.estimate = flight.chat().prompt_tokens().saturating_add(answer);
            match purse.take(now, flight.estimate) {
                Ok(()) => true,
                Err(delay) => {
                    wait = Some(delay);
                    false
                }
            }
        });
        let mut departure = Departure { calls: Vec::with_capacity(admitted.len()), failed: Vec::new() };
        for id in admitted.into_iter().filter(|id| !nobody.contains(id)) {
            let Some(flight) = self.flights.get_mut(&id) else { continue };
            self.running += 1;
            let full = self.running >= self.limit;
            let epoch = self.controller.as_mut().map_or(0, |controller| controller.started(full));
            flight.phase = Phase::Running { since: now, epoch };
            flight.attempts += 1;
            if flight.attempts == 1 {
                meters.queue_wait.record_duration(now.saturating_duration_since(flight.since));
            } else {
                meters.retries.incr();
            }
            let mut call = Call::new(flight.chat().clone());
            call.attempt = flight.attempts;
            call.idempotency_key = flight.idempotency_key.clone();
            call.deadline = flight.deadline();
            departure.failed.extend(flight.failed.iter().cloned());
            departure.calls.push((id, call));
        }
        if !departure.calls.is_empty() {
            meters.batches.incr();
        }
        let progress = !departure.calls.is_empty() || !nobody.is_empty();
        late.append(&mut nobody);
        if progress {
            return Ok(departure);
        }
        // Nothing left, so the budget refused the first, for a time that may be without end.
        Err(wait.and_then(|delay| now.checked_add(delay)))
    }

    /// The instant for which a pacer is to be started, if none is under way for as early a one.
    fn take_pacer(&mut self, at: Option<Instant>) -> Option<Instant> {
        let at = at.filter(|&at| self.pacer.is_none_or(|pacer| at < pacer))?;
        self.pacer = Some(at);
        Some(at)
    }
}
