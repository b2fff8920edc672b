//! From ready to running.

use super::{Inner, Lane, Place, Record, State, Wanted};
use crate::{
    cancel::{CancelToken, StopReason},
    error::{TaskError, owner_name},
    event::EventKind,
    guard::{Caught, caught},
    task::{Status, TaskId},
};
use ropewalk_graph::{ReadySet, Standing};
use ropewalk_resources::{Lease, TryAcquireError};
use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::{Duration, Instant},
};

/// Where the first of a lane stands: with its lease in hand (`false`) before without.
type Front = (bool, Standing);

impl Inner {
    /// Files a task that may have become ready, or have ended, since it was added.
    pub(super) fn look_at(self: &Arc<Self>, record: &Arc<Record>) {
        match self.graph.status(record.id) {
            Ok(Status::Ready) => {
                self.make_ready([record.id]);
                self.dispatch();
            }
            Ok(status) if status.is_finished() => self.conclude(record, status),
            _ => {}
        }
    }

    /// Puts tasks that the graph made ready into their lanes. One without a record is being added: its
    /// adder looks at it.
    pub(super) fn make_ready(&self, ids: impl IntoIterator<Item = TaskId>) {
        let now = self.clock.now();
        for id in ids {
            let rank = self.graph.rank(id).unwrap_or(0);
            let mut state = self.state.lock();
            let Some(record) = state.tasks.get(&id).cloned() else { continue };
            if record.is_finished() {
                continue;
            }
            let (since, order) = state.age(&record, now);
            let lane = state.lane(&record, self.settings.ageing);
            lane.ready.insert(id, record.priority, rank, since, order);
        }
    }

    /// Starts whatever can start. One caller at a time is at it; a call that finds another at it makes
    /// that one look again.
    pub(crate) fn dispatch(self: &Arc<Self>) {
        // AcqRel: pairs with the one below: what the caller changed is seen by the one who answers this call.
        if self.dispatching.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        let mut answered = 1;
        loop {
            self.refresh_ranks();
            while let Some((record, place, lease)) = self.next() {
                self.launch(&record, place, lease);
            }
            // AcqRel: pairs with the one above; a call that came since the last look leaves more than was answered.
            let calls = self.dispatching.fetch_sub(answered, Ordering::AcqRel);
            if calls == answered {
                return;
            }
            answered = calls - answered;
        }
    }

    /// Tasks that were added behind ready ones make these weigh more. As in the graph, ranks are read
    /// again when a 64th of the tasks has changed them: they are a hint.
    fn refresh_ranks(&self) {
        let ids: Vec<(Wanted, TaskId)> = {
            let now = self.clock.now();
            let mut state = self.state.lock();
            if state.rank_debt == 0 || state.rank_debt < state.unfinished / 64 {
                return;
            }
            state.rank_debt = 0;
            let ready = |(wanted, lane): (&Wanted, &mut Lane)| {
                lane.ready.iter(now).map(|&id| (wanted.clone(), id)).collect::<Vec<_>>()
            };
            state.lanes.iter_mut().flat_map(ready).collect()
        };
        let ranks: Vec<_> = ids.iter().map(|&(_, id)| self.graph.rank(id).unwrap_or(0)).collect();
        let mut state = self.state.lock();
        for ((wanted, id), rank) in ids.iter().zip(ranks) {
            if let Some(lane) = state.lanes.get_mut(wanted) {
                lane.ready.rerank(id, rank);
            }
        }
    }

    /// Takes the most urgent task for which there is a slot and an agent, and both of these.
    fn next(&self) -> Option<(Arc<Record>, Place, Option<Lease>)> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        if state.running.level >= self.settings.max_tasks.saturating_add(state.roster.lent()) {
            return None;
        }
        let State { lanes, roster, .. } = &mut *state;
        let mut best: Option<(Front, &Wanted)> = None;
        for (wanted, lane) in lanes.iter_mut() {
            let Some(front) = lane.front(now) else { continue };
            let better = best.as_ref().is_none_or(|(standing, _)| front < *standing);
            if better && roster.pick(wanted.as_ref()).is_some() {
                best = Some((front, wanted));
            }
        }
        let ((ready, _), wanted) = best?;
        let wanted = wanted.clone();
        let (place, new) = roster.occupy(roster.pick(wanted.as_ref())?, wanted.as_ref(), now)?;
        let lane = lanes.get_mut(&wanted)?;
        let id = if ready { lane.ready.pop(now) } else { lane.granted.pop(now) }?;
        if lane.ready.is_empty() && lane.granted.is_empty() {
            lanes.remove(&wanted);
        }
        let lease = state.leases.remove(&id);
        state.running.add(now);
        // Whoever ends a task takes it out of its lane, under this lock.
        let record = state.tasks.get(&id).cloned()?;
        drop(state);
        if new {
            self.hub.emit(now, EventKind::AgentAdded { name: place.agent.name.clone() });
        }
        Some((record, place, lease))
    }

    /// Gives a slot and a place back.
    pub(super) fn vacate(&self, place: &Place, completed: Option<bool>) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.roster.vacate(place, completed, now);
        state.running.sub(now);
    }

    fn launch(self: &Arc<Self>, record: &Arc<Record>, place: Place, lease: Option<Lease>) {
        let lease = match (lease, &record.request) {
            (None, Some(request)) => {
                let owner = owner_name(&record.name, record.id);
                let request = request.clone().priority(record.priority as u8);
                match caught(|| self.pool.try_acquire(owner, request)) {
                    Some(Ok(lease)) => Some(lease),
                    // Others use the pool too, with wakers of theirs: one panicked, and the lease went back.
                    None => {
                        self.vacate(&place, None);
                        return self.wait_for_lease(record, "");
                    }
                    Some(Err(refused)) => {
                        self.vacate(&place, None);
                        return match refused {
                            TryAcquireError::Acquire(source) => {
                                let task = record.name.clone();
                                self.fail_unstarted(record, TaskError::Resources { task, source });
                            }
                            TryAcquireError::Busy { name, .. } => self.wait_for_lease(record, &name),
                            // Whatever it is, the wait says so.
                            _ => self.wait_for_lease(record, ""),
                        };
                    }
                }
            }
            (lease, _) => lease,
        };
        record.progress.lock().agent = Some(place.agent.name.clone());
        let Ok(claim) = self.graph.start(record.id) else {
            // Cancelled, or held back by the graph, meanwhile.
            caught(|| drop(lease));
            return self.vacate(&place, None);
        };
        let now = self.clock.now();
        let token = CancelToken::new();
        let body = {
            let mut progress = record.progress.lock();
            progress.current = Some(token.clone());
            progress.waits_for = None;
            if progress.started.is_none() {
                if let Some((since, _)) = progress.age {
                    self.meters.queued.record_duration(now.saturating_duration_since(since));
                }
            }
            progress.started.get_or_insert(now);
            progress.body.clone()
        };
        // A cancellation between the start and the token found no token.
        if self.graph.is_cancel_requested(record.id) == Ok(true) {
            token.stop(StopReason::Cancelled);
        }
        let job = self.attempt(record.clone(), claim, place, lease, token, body);
        self.spawn_raw(&record.name, job);
    }

    /// Stands in the pool's line, without a slot.
    fn wait_for_lease(self: &Arc<Self>, record: &Arc<Record>, name: &str) {
        let Some(request) = &record.request else { return };
        if self.graph.block(record.id).is_err() {
            return;
        }
        record.progress.lock().waits_for = Some(Arc::from(name));
        let owner = owner_name(&record.name, record.id);
        let request = request.clone().priority(record.priority as u8);
        let (inner, waiting) = (self.clone(), record.clone());
        self.spawn_for(record, async move {
            loop {
                let acquire = Caught(inner.pool.acquire(owner.as_str(), request.clone()));
                match unless_done(&waiting, acquire).await {
                    None => {}
                    Some(Some(Ok(lease))) => inner.lease_granted(&waiting, lease),
                    Some(Some(Err(source))) => {
                        let task = waiting.name.clone();
                        inner.fail_unstarted(&waiting, TaskError::Resources { task, source });
                    }
                    // Another's waker panicked in that poll. It will not be woken twice.
                    Some(None) => continue,
                }
                return;
            }
        });
    }

    fn lease_granted(self: &Arc<Self>, record: &Arc<Record>, lease: Lease) {
        let now = self.clock.now();
        let rank = self.graph.rank(record.id).unwrap_or(0);
        {
            let mut state = self.state.lock();
            if record.is_finished() {
                drop(state);
                caught(|| drop(lease));
                return;
            }
            let (since, order) = state.age(record, now);
            let lane = state.lane(record, self.settings.ageing);
            lane.granted.insert(record.id, record.priority, rank, since, order);
            state.leases.insert(record.id, lease);
        }
        self.dispatch();
    }

    /// After the pause before a retry.
    pub(super) fn requeue_after(self: &Arc<Self>, record: &Arc<Record>, pause: Duration) {
        let sleep = self.clock.sleep(pause);
        let (inner, waiting) = (self.clone(), record.clone());
        self.spawn_for(record, async move {
            if unless_done(&waiting, sleep).await.is_none() {
                return;
            }
            if waiting.deadline.is_some_and(|deadline| inner.clock.now() >= deadline) {
                return inner.expire(&waiting);
            }
            if inner.graph.unblock(waiting.id).is_ok() {
                inner.make_ready([waiting.id]);
                inner.dispatch();
            }
        });
    }

    pub(super) fn watch_deadline(self: &Arc<Self>, record: &Arc<Record>) {
        let sleep = self.clock.sleep_until(record.deadline);
        let (inner, waiting) = (self.clone(), record.clone());
        let name = record.name.clone();
        self.spawn_raw(
            &name,
            Box::pin(async move {
                if unless_done(&waiting, sleep).await.is_some() {
                    inner.expire(&waiting);
                }
            }),
        );
    }
}

impl State {
    fn lane(&mut self, record: &Record, ageing: Option<Duration>) -> &mut Lane {
        self.lanes
            .entry(record.wanted.clone())
            .or_insert_with(|| Lane { granted: ReadySet::new(ageing), ready: ReadySet::new(ageing) })
    }
}

impl Lane {
    fn front(&mut self, now: Instant) -> Option<Front> {
        match self.granted.front(now) {
            Some(standing) => Some((false, standing)),
            None => self.ready.front(now).map(|standing| (true, standing)),
        }
    }
}

/// Runs `future` unless the task is finished first.
async fn unless_done<F: Future>(record: &Record, future: F) -> Option<F::Output> {
    let mut done = pin!(record.done.wait());
    let mut future = pin!(future);
    std::future::poll_fn(move |cx| {
        if done.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}
