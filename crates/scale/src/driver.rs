//! The driver: one future that decides on samples, carries out what the fleet orders and waits.
//!
//! It owns the recommender, the memory of the policy, the load closure, the event callback and all
//! calls to the provisioner, so none of them ever runs under the lock of `State`, which is taken in
//! short sections only. Callers put samples and wishes into `State` and notify.

use crate::{
    Change, Decision, Health, History, Load, Memory, NodeEvent, NodeId, NodeState, NodeStatus, Policy,
    Reason, Recommend, ScalerStats, ScalerStatus, View,
    fleet::{Done, Fleet, Order, Phase, Times},
    jobs::{Jobs, bounded, caught},
    provisioner::Port,
};
use parking_lot::Mutex;
use ropewalk_sync::{Clock, Event, Signal};
use std::{
    collections::VecDeque,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

/// Samples that may wait for the driver.
const SAMPLES: usize = 1_024;

pub(crate) type LoadFn = Box<dyn FnMut() -> Option<Load> + Send>;
pub(crate) type EventFn = Box<dyn FnMut(&NodeEvent) + Send>;

pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) policy: Policy,
    pub(crate) times: Times,
    pub(crate) check_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) stop_timeout: Duration,
    history: usize,
    origin: Instant,
    pub(crate) state: Mutex<State>,
    pub(crate) wake: Signal,
    turn: Mutex<Arc<Event>>,
    pub(crate) ended: Event,
}

pub(crate) struct State {
    pub(crate) wanted: usize,
    pub(crate) paused: bool,
    pub(crate) fleet: Fleet,
    samples: VecDeque<Load>,
    /// The driver has taken a sample out and not decided on it yet.
    deciding: bool,
    /// Somebody set the number by hand since the driver last looked.
    manual: bool,
    changes: VecDeque<Change>,
    last: Option<Decision>,
    last_error: Option<String>,
    stats: ScalerStats,
    pub(crate) loads: History,
}

impl Shared {
    #[allow(clippy::too_many_arguments)] // called once, from the builder
    pub(crate) fn new(
        clock: Clock,
        policy: Policy,
        times: Times,
        (check_timeout, drain_timeout, stop_timeout): (Duration, Duration, Duration),
        history: usize,
        loads: History,
        initial: usize,
    ) -> Arc<Self> {
        let origin = clock.now();
        let state = State {
            wanted: initial,
            paused: false,
            fleet: Fleet::new(times.clone(), origin),
            samples: VecDeque::new(),
            deciding: false,
            manual: false,
            changes: VecDeque::new(),
            last: None,
            last_error: None,
            stats: ScalerStats::default(),
            loads,
        };
        Arc::new(Self {
            clock,
            policy,
            times,
            check_timeout,
            drain_timeout,
            stop_timeout,
            history,
            origin,
            state: Mutex::new(state),
            wake: Signal::new(),
            turn: Mutex::default(),
            ended: Event::new(),
        })
    }

    pub(crate) fn observe(&self, load: Load) {
        let mut state = self.state.lock();
        if state.samples.len() == SAMPLES {
            state.samples.pop_front();
            state.stats.dropped_samples += 1;
        }
        state.samples.push_back(load);
        drop(state);
        self.wake.notify();
    }

    /// Sets the number by hand, unless it stops; the bounds were checked.
    pub(crate) fn scale_to(&self, nodes: usize) -> Option<Decision> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        if state.fleet.stopping {
            return None;
        }
        let decision = Decision {
            from: state.wanted,
            to: nodes,
            reason: Reason::Manual,
            demand: f64::NAN,
            recommended: nodes,
        };
        state.manual = true;
        self.apply(&mut state, decision, now);
        drop(state);
        self.wake.notify();
        Some(decision)
    }

    fn apply(&self, state: &mut State, decision: Decision, now: Instant) {
        state.last = Some(decision);
        if !decision.is_change() {
            return;
        }
        let Decision { from, to, reason, demand, .. } = decision;
        state.wanted = to;
        if to > from {
            state.stats.scale_ups += 1
        } else {
            state.stats.scale_downs += 1
        }
        if state.changes.len() >= self.history {
            state.changes.pop_front();
        }
        if self.history > 0 {
            let at = now.saturating_duration_since(self.origin);
            state.changes.push_back(Change { at, from, to, reason, demand });
        }
    }

    pub(crate) fn history(&self) -> Vec<Change> {
        self.state.lock().changes.iter().cloned().collect()
    }

    pub(crate) fn stats(&self) -> ScalerStats {
        let now = self.clock.now();
        let state = self.state.lock();
        let counts = &state.fleet.counts;
        ScalerStats {
            starts: counts.starts,
            failed_starts: counts.failed_starts,
            cancelled_starts: counts.cancelled_starts,
            replaced: counts.replaced,
            stops: counts.stops,
            failed_stops: counts.failed_stops,
            start_up: state.fleet.start_up(),
            start_up_max: state.fleet.start_ups.iter().max().copied(),
            node_time: state.fleet.node_time(now),
            ..state.stats.clone()
        }
    }

    pub(crate) fn status(&self) -> ScalerStatus {
        let stats = self.stats();
        let now = self.clock.now();
        let state = self.state.lock();
        let fleet = &state.fleet;
        let nodes: Vec<NodeStatus> = fleet
            .slots
            .values()
            .map(|slot| NodeStatus {
                node: slot.node.clone(),
                state: match slot.phase {
                    Phase::Launching | Phase::Starting => NodeState::Starting,
                    Phase::Ready => NodeState::Ready,
                    Phase::Retiring => NodeState::Stopping,
                    Phase::Stuck => NodeState::Stuck,
                },
                age: now.saturating_duration_since(slot.since),
            })
            .collect();
        let ready = fleet.count(Phase::Ready);
        ScalerStatus {
            min: self.policy.min,
            max: self.policy.max,
            wanted: if fleet.stopping { 0 } else { state.wanted },
            ready,
            starting: fleet.active() - ready,
            stopping: fleet.slots.len() - fleet.active(),
            nodes,
            paused: state.paused,
            stopped: fleet.stopping,
            last: state.last,
            retry_in: fleet
                .retry_at
                .and_then(|at| at.checked_duration_since(now))
                .filter(|wait| !wait.is_zero()),
            last_error: state.last_error.clone(),
            stats,
        }
    }

    /// Fires at the driver's next look.
    pub(crate) fn turn(&self) -> Arc<Event> {
        self.turn.lock().clone()
    }

    fn end_turn(&self) {
        let over = std::mem::take(&mut *self.turn.lock());
        // Wakers are user code; one that panics must not end the driver.
        let _told = caught(|| over.set());
    }

    /// Whether everything is as wanted and nothing waits to be decided.
    pub(crate) fn is_settled(&self) -> bool {
        let state = self.state.lock();
        state.samples.is_empty() && !state.deciding && state.fleet.is_settled(state.wanted)
    }
}

pub(crate) struct Driver {
    pub(crate) shared: Arc<Shared>,
    pub(crate) port: Arc<dyn Port>,
    pub(crate) recommend: Option<Box<dyn Recommend>>,
    pub(crate) load: Option<LoadFn>,
    pub(crate) every: Duration,
    pub(crate) on_event: Option<EventFn>,
    pub(crate) memory: Memory,
}

/// Says that the driver has ended, however that came about.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.fleet.stopping = true;
        let slots = std::mem::take(&mut state.fleet.slots);
        state.fleet.left.extend(slots.into_values().filter_map(|slot| slot.node));
        drop(state);
        let _told = caught(|| self.0.ended.set());
        self.0.end_turn();
    }
}

impl Driver {
    /// What also says that it has ended when it is dropped before its first poll.
    pub(crate) fn job(self) -> impl Future<Output = ()> + Send + 'static {
        let end = End(self.shared.clone());
        async move {
            let _end = end;
            self.run().await;
        }
    }

    async fn run(mut self) {
        let mut jobs: Jobs<Done> = Jobs::new();
        let mut sample_at = self.load.is_some().then(|| self.shared.clock.now());
        loop {
            let now = self.shared.clock.now();
            if sample_at.is_some_and(|at| at <= now) {
                self.sample();
                sample_at = self.shared.clock.deadline(self.every);
            }
            self.decide(now);
            let (orders, events, over) = {
                let mut state = self.shared.state.lock();
                let wanted = state.wanted;
                let orders = state.fleet.plan(wanted, now);
                let over = state.fleet.stopping && state.fleet.slots.is_empty();
                (orders, std::mem::take(&mut state.fleet.events), over)
            };
            for (slot, order) in orders {
                self.carry_out(&mut jobs, slot, order);
            }
            self.tell(events);
            self.shared.end_turn();
            if over && jobs.is_empty() {
                return;
            }
            let due = self.shared.state.lock().fleet.next_due(now).into_iter().chain(sample_at).min();
            let finished = wait(&self.shared, &mut jobs, due).await;
            let now = self.shared.clock.now();
            for (slot, done) in finished {
                let order = self.shared.state.lock().fleet.finished(slot, done, now);
                if let Some((slot, order)) = order {
                    self.carry_out(&mut jobs, slot, order);
                }
            }
        }
    }

    fn sample(&mut self) {
        let Some(load) = &mut self.load else { return };
        match caught(load) {
            Ok(Some(load)) => self.shared.observe(load),
            Ok(None) | Err(_) => self.shared.state.lock().stats.failed_samples += 1,
        }
    }

    fn decide(&mut self, now: Instant) {
        loop {
            let mut state = self.shared.state.lock();
            let nodes = state.wanted;
            if std::mem::take(&mut state.manual) {
                self.memory.reset(nodes, now);
            }
            let Some(load) = state.samples.pop_front() else { return };
            let (ready, paused) = (state.fleet.count(Phase::Ready), state.paused || state.fleet.stopping);
            let Some(demand) = load.demand_on(ready) else {
                state.stats.failed_samples += 1;
                state.last = Some(Decision {
                    from: nodes,
                    to: nodes,
                    reason: Reason::NoData,
                    demand: f64::NAN,
                    recommended: nodes,
                });
                continue;
            };
            state.stats.samples += 1;
            state.loads.record(now, demand);
            if paused {
                state.last = Some(Decision {
                    from: nodes,
                    to: nodes,
                    reason: Reason::Paused,
                    demand,
                    recommended: nodes,
                });
                continue;
            }
            let context = self.recommend.is_some().then(|| (state.loads.clone(), state.fleet.start_up()));
            state.deciding = true;
            drop(state);
            let recommended = self.recommended(demand, nodes, ready, context, now);
            let decision = self.shared.policy.admit(&mut self.memory, nodes, demand, recommended, now);
            let mut state = self.shared.state.lock();
            state.deciding = false;
            if state.paused {
                state.last = Some(Decision { to: nodes, reason: Reason::Paused, ..decision });
            } else if !state.manual {
                // Else a number was set by hand in the meantime, and stands.
                self.shared.apply(&mut state, decision, now);
            }
        }
    }

    fn recommended(
        &mut self,
        demand: f64,
        nodes: usize,
        ready: usize,
        context: Option<(History, Option<Duration>)>,
        now: Instant,
    ) -> usize {
        let policy = &self.shared.policy;
        let reactive = policy.reactive(nodes, demand);
        let (Some(recommend), Some((history, start_up))) = (&mut self.recommend, context) else {
            return reactive;
        };
        let view = View { demand, nodes, ready, policy, start_up, history: &history, now };
        caught(|| recommend.recommend(&view)).unwrap_or_else(|_panic| {
            self.shared.state.lock().stats.failed_samples += 1;
            reactive
        })
    }

    fn carry_out(&self, jobs: &mut Jobs<Done>, slot: u64, order: Order) {
        let (port, shared) = (self.port.clone(), self.shared.clone());
        match order {
            Order::Forget => jobs.cancel(slot),
            Order::Launch => jobs.push(
                slot,
                Box::pin(async move {
                    let limit = shared.times.start;
                    let started = bounded(&shared.clock, limit, "starting the node", || port.start()).await;
                    Done::Launched(started.and_then(|started| started))
                }),
            ),
            Order::Check(node) => jobs.push(
                slot,
                Box::pin(async move {
                    let limit = shared.check_timeout;
                    let health =
                        bounded(&shared.clock, limit, "the health check", || port.health(node)).await;
                    Done::Checked(health.unwrap_or_else(Health::Unhealthy))
                }),
            ),
            Order::Retire { node, drain } => {
                jobs.cancel(slot);
                jobs.push(
                    slot,
                    Box::pin(async move { Done::Retired(shared.retire(port, node, drain).await) }),
                );
            }
        }
    }

    fn tell(&mut self, events: Vec<NodeEvent>) {
        for event in &events {
            if let NodeEvent::StartFailed { error, .. } = event {
                self.shared.state.lock().last_error = Some(error.clone());
            }
            if let Some(on_event) = &mut self.on_event {
                // Nobody is left to tell of a panic in it; the hook has printed it.
                let _told = caught(|| on_event(event));
            }
        }
    }
}

/// Waits for a finished call, a notification or a time, whichever comes first.
async fn wait(shared: &Shared, jobs: &mut Jobs<Done>, due: Option<Instant>) -> Vec<(u64, Done)> {
    let mut notified = std::pin::pin!(shared.wake.notified());
    let mut sleep = std::pin::pin!(shared.clock.sleep_until(due));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(finished) = jobs.poll(cx) {
            return Poll::Ready(finished);
        }
        if notified.as_mut().poll(cx).is_ready() || sleep.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Vec::new());
        }
        Poll::Pending
    })
    .await
}

impl Shared {
    async fn retire(&self, port: Arc<dyn Port>, node: NodeId, drain: bool) -> Result<(), String> {
        if drain {
            let call = || port.clone().drain(node.clone());
            let drained = bounded(&self.clock, self.drain_timeout, "draining the node", call).await;
            if drained.and_then(|drained| drained).is_err() {
                self.state.lock().stats.failed_drains += 1;
            }
        }
        let call = || port.clone().stop(node.clone());
        bounded(&self.clock, self.stop_timeout, "stopping the node", call).await.and_then(|stopped| stopped)
    }
}
