//! The balancer: registry, picks and outcomes.

use crate::{
    BalancerBuilder, BalancerStats, Ejection, InsertError, Need, Node, NodeId, NodeState, NodeStats, Outcome,
    Pick, PickError, PickTimeoutError, PickWait, Probe, Strategy, UnknownNode,
    draw::Draw,
    health::{Verdict, watch},
    line::Line,
    roster::{Entry, Group, Registry, Table},
    shared::Shared,
    stats::Totals,
    strategy::Candidates,
};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use ropewalk_prove::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use ropewalk_sync::{Background, Clock, Elapsed, Event, Signal, Spawn};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// Strategy decisions that lose their node to others before the balancer takes any that is left.
const TRIES: usize = 4;

/// Distributes requests over nodes. Clones are handles to the same balancer.
///
/// With a [`Probe`] it runs a background job, on a thread of its own unless the builder is given a
/// spawner; the job ends when the last handle drops. Without one it starts nothing.
///
/// ```
/// use ropewalk_balance::{Balancer, Need, Node, Outcome, RoundRobin};
///
/// let nodes = Balancer::builder().strategy(RoundRobin::new()).build()?;
/// nodes.insert(Node::new("10.0.0.7:8000").offers("gpt-large"))?;
/// nodes.insert(Node::new("10.0.0.8:8000"))?;
///
/// let pick = nodes.pick(Need::of("gpt-large"))?;
/// assert_eq!(pick.node().address(), "10.0.0.7:8000");
/// pick.complete(Outcome::Success);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Balancer(Arc<Handle>);

struct Handle {
    inner: Arc<Inner>,
    _watch: Option<Background>,
}

pub(crate) struct Settings {
    pub(crate) strategy: Box<dyn Strategy>,
    pub(crate) decay: Duration,
    pub(crate) ejection: Option<Ejection>,
    pub(crate) probed: bool,
    pub(crate) panic_threshold: u32,
    pub(crate) slow_start: u64,
    pub(crate) max_in_flight: Option<u32>,
    pub(crate) regrant_after: Duration,
    pub(crate) seed: u64,
    pub(crate) clock: Clock,
}

pub(crate) struct Inner {
    pub(crate) settings: Settings,
    origin: Instant,
    table: ArcSwap<Table>,
    registry: Mutex<Registry>,
    closed: AtomicBool,
    decisions: AtomicU64,
    pub(crate) line: Line,
    pub(crate) changes: Arc<Changes>,
    pub(crate) totals: Totals,
}

/// Tells the watch that nodes came or went.
#[derive(Default)]
pub(crate) struct Changes {
    version: AtomicU64,
    pub(crate) signal: Signal,
}

impl Changes {
    pub(crate) fn version(&self) -> u64 {
        // Acquire: pairs with the Release in `note`: who sees the number sees the table too.
        self.version.load(Ordering::Acquire)
    }

    fn note(&self) {
        self.version.fetch_add(1, Ordering::Release);
        self.signal.notify();
    }
}

impl Balancer {
    /// An empty balancer with default settings: [`PeakEwma`](crate::PeakEwma), passive health, no probes.
    pub fn new() -> Self {
        Self::builder().build().expect("the default settings are valid")
    }

    /// Starts setting one up.
    pub fn builder() -> BalancerBuilder {
        BalancerBuilder::new()
    }

    pub(crate) fn start(inner: Inner, probe: Option<Probe>, spawner: Option<Arc<dyn Spawn>>) -> Self {
        let inner = Arc::new(inner);
        let job = probe.map(|probe| watch(Arc::downgrade(&inner), probe));
        let watch = job.map(|job| match spawner {
            Some(spawner) => Background::spawn("ropewalk-balance", &*spawner, job),
            None => Background::thread("ropewalk-balance", inner.clock(), job),
        });
        Self(Arc::new(Handle { inner, _watch: watch }))
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.0.inner
    }

    /// Adds a node; picks see it from here on, after its first good probe if there are probes. Cost: a
    /// lock that only changes of the registry take, and a copy of 64 pointers.
    ///
    /// # Errors
    ///
    /// [`InsertError`] gives the node back.
    pub fn insert(&self, node: Node) -> Result<NodeId, InsertError> {
        let inner = self.inner();
        let id = {
            let mut registry = inner.registry.lock();
            if inner.is_closed() {
                return Err(InsertError::Closed { node });
            }
            if let Some(existing) = registry.find(node.address()) {
                return Err(InsertError::Duplicate { existing, node });
            }
            let limit = node.in_flight_limit().or(inner.settings.max_in_flight);
            let shared = Shared::new(limit, inner.settings.probed, inner.now());
            let id = registry.insert(node, shared);
            inner.table.store(registry.table());
            id
        };
        inner.changes.note();
        inner.serve();
        Ok(id)
    }

    /// Takes a node out at once. Requests in flight on it go on; their outcomes still count in the totals.
    ///
    /// # Errors
    ///
    /// [`UnknownNode`].
    pub fn remove(&self, id: NodeId) -> Result<Node, UnknownNode> {
        let inner = self.inner();
        let entry = {
            let mut registry = inner.registry.lock();
            let entry = registry.remove(id).ok_or(UnknownNode(id))?;
            entry.shared.go();
            inner.table.store(registry.table());
            entry
        };
        entry.shared.announce();
        inner.changes.note();
        inner.serve();
        Ok(entry.node.clone())
    }

    /// Gives a node nothing new from here on; the [`Drain`] says when it has finished what it has. It
    /// stays registered until it is [`remove`](Self::remove)d or [`resume`](Self::resume)d.
    ///
    /// # Errors
    ///
    /// [`UnknownNode`].
    pub fn drain(&self, id: NodeId) -> Result<Drain, UnknownNode> {
        let inner = self.inner();
        let entry = inner.entry(id).ok_or(UnknownNode(id))?;
        let drained = inner.change(id, Shared::drain).ok_or(UnknownNode(id))?;
        entry.shared.announce();
        Ok(Drain { drained, clock: inner.clock().clone() })
    }

    /// Ends a drain: the node takes requests again.
    ///
    /// # Errors
    ///
    /// [`UnknownNode`].
    pub fn resume(&self, id: NodeId) -> Result<(), UnknownNode> {
        let inner = self.inner();
        let now = inner.now();
        let drained = inner.change(id, |shared| shared.resume(now)).ok_or(UnknownNode(id))?;
        if let Some(drained) = drained {
            drained.set();
        }
        Ok(())
    }

    /// Gives a node another weight. What is in flight and known of it stays.
    ///
    /// # Errors
    ///
    /// [`UnknownNode`].
    pub fn set_weight(&self, id: NodeId, weight: u32) -> Result<(), UnknownNode> {
        let inner = self.inner();
        let mut registry = inner.registry.lock();
        if !registry.reweigh(id, weight) {
            return Err(UnknownNode(id));
        }
        inner.table.store(registry.table());
        Ok(())
    }

    /// Gives a node another limit of requests in flight; `None` lifts it. What is above a lowered limit
    /// finishes.
    ///
    /// # Errors
    ///
    /// [`UnknownNode`].
    pub fn set_max_in_flight(&self, id: NodeId, max: Option<u32>) -> Result<(), UnknownNode> {
        let inner = self.inner();
        inner.entry(id).ok_or(UnknownNode(id))?.shared.limit_to(max);
        inner.serve();
        Ok(())
    }

    /// The node of an address.
    pub fn find(&self, address: &str) -> Option<NodeId> {
        self.inner().registry.lock().find(address)
    }

    /// How many nodes are registered.
    pub fn len(&self) -> usize {
        self.inner().table().all.roster.len()
    }

    /// Whether no node is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All nodes with what is known of them, in no particular order. The list of nodes is that of one
    /// instant; their numbers are read one after the other.
    pub fn nodes(&self) -> Vec<NodeStats> {
        self.inner().table().all.roster.iter().map(|entry| entry.stats()).collect()
    }

    /// One node with what is known of it.
    ///
    /// # Errors
    ///
    /// [`UnknownNode`].
    pub fn node(&self, id: NodeId) -> Result<NodeStats, UnknownNode> {
        Ok(self.inner().entry(id).ok_or(UnknownNode(id))?.stats())
    }

    /// Chooses a node and counts a request in flight on it, without waiting for anybody: neither for other
    /// picks (but see [`SmoothWeighted`](crate::SmoothWeighted)) nor for changes of the registry.
    ///
    /// It may take a slot that comes free at this instant before those who wait in line for one.
    ///
    /// # Errors
    ///
    /// [`PickError`] says why there is none.
    ///
    /// # Panics
    ///
    /// When the strategy panics; nothing is counted then.
    pub fn pick(&self, need: Need) -> Result<Pick, PickError> {
        self.inner().pick(&need).inspect_err(|_| self.inner().totals.refused.incr())
    }

    /// Chooses a node; when all that could serve are at their limit, waits in line for one. The line is
    /// first come, first served among those whom the same node could serve.
    ///
    /// # Errors
    ///
    /// [`PickError`], but not `Saturated`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line; a slot already handed to it passes on.
    pub fn pick_wait(&self, need: Need) -> PickWait {
        PickWait::new(self.inner().clone(), need)
    }

    /// [`pick_wait`](Self::pick_wait) that parks this thread, in the same line as the tasks.
    ///
    /// # Errors
    ///
    /// [`PickError`], but not `Saturated`.
    pub fn pick_blocking(&self, need: Need) -> Result<Pick, PickError> {
        self.inner().clock().block_on(self.pick_wait(need))
    }

    /// [`pick_wait`](Self::pick_wait) for at most `duration`.
    ///
    /// # Errors
    ///
    /// [`PickTimeoutError`].
    ///
    /// # Cancel safety
    ///
    /// As [`pick_wait`](Self::pick_wait).
    pub fn pick_timeout(
        &self,
        need: Need,
        duration: Duration,
    ) -> impl Future<Output = Result<Pick, PickTimeoutError>> + Send + use<> {
        let inner = self.inner().clone();
        let bounded = inner.clock().timeout(duration, self.pick_wait(need));
        async move {
            match bounded.await {
                Ok(picked) => Ok(picked?),
                Err(Elapsed) => Err(PickTimeoutError::Timeout { waiting: inner.line.len() }),
            }
        }
    }

    /// [`pick_blocking`](Self::pick_blocking) for at most `duration`.
    ///
    /// # Errors
    ///
    /// [`PickTimeoutError`].
    pub fn pick_blocking_timeout(&self, need: Need, duration: Duration) -> Result<Pick, PickTimeoutError> {
        self.inner().clock().block_on(self.pick_timeout(need, duration))
    }

    /// Refuses picks and inserts from here on, also those who wait. Requests in flight go on.
    pub fn close(&self) {
        let inner = self.inner();
        {
            let _registry = inner.registry.lock();
            inner.closed.store(true, Ordering::SeqCst);
        }
        inner.changes.note();
        inner.serve();
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.inner().is_closed()
    }

    /// Numbers of the whole, read one after the other.
    pub fn stats(&self) -> BalancerStats {
        self.inner().stats()
    }
}

impl Default for Balancer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balancer")
            .field("strategy", &self.inner().settings.strategy)
            .field("nodes", &self.len())
            .finish_non_exhaustive()
    }
}

impl Inner {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            origin: settings.clock.now(),
            settings,
            table: ArcSwap::default(),
            registry: Mutex::default(),
            closed: AtomicBool::new(false),
            decisions: AtomicU64::new(0),
            line: Line::new(),
            changes: Arc::default(),
            totals: Totals::new(),
        }
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.settings.clock
    }

    /// Nanoseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        self.nanos(self.clock().now())
    }

    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn table(&self) -> arc_swap::Guard<Arc<Table>> {
        self.table.load()
    }

    pub(crate) fn entry(&self, id: NodeId) -> Option<Arc<Entry>> {
        self.registry.lock().get(id).cloned()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Changes how a node stands and serves the line, for which that may be good or bad news.
    pub(crate) fn change<R>(&self, id: NodeId, change: impl FnOnce(&Shared) -> R) -> Option<R> {
        let result = self.registry.lock().change(id, change)?;
        self.serve();
        Some(result)
    }

    pub(crate) fn pick(self: &Arc<Self>, need: &Need) -> Result<Pick, PickError> {
        if self.is_closed() {
            return Err(PickError::Closed);
        }
        let table = self.table();
        let group = self.group(&table, need)?;
        let started = self.clock().now();
        let now = self.nanos(started);
        if let Some(entry) = self.trial(group, need, now) {
            return Ok(Pick::new(self.clone(), entry, started, true));
        }
        let mut candidates = self.candidates(group, need, now);
        let entry = match self.choose(&candidates) {
            Some(entry) => Some(entry),
            None if candidates.avoid => {
                candidates.avoid = false;
                self.choose(&candidates)
            }
            None => None,
        };
        match entry {
            Some(entry) => {
                if candidates.fail_open {
                    self.totals.fail_open.incr();
                }
                Ok(Pick::new(self.clone(), entry, started, false))
            }
            None => Err(self.why_not(group, need)),
        }
    }

    /// As [`pick`](Self::pick), but by load alone: without user code, so that it may run under the line's
    /// latch.
    pub(crate) fn place(&self, need: &Need, now: u64) -> Result<(Arc<Entry>, bool), PickError> {
        if self.is_closed() {
            return Err(PickError::Closed);
        }
        let table = self.table();
        let group = self.group(&table, need)?;
        if let Some(entry) = self.trial(group, need, now) {
            return Ok((entry, true));
        }
        let mut candidates = self.candidates(group, need, now);
        let mut entry = enter_any(&candidates);
        if entry.is_none() && candidates.avoid {
            candidates.avoid = false;
            entry = enter_any(&candidates);
        }
        entry.map(|entry| (entry, false)).ok_or_else(|| self.why_not(group, need))
    }

    fn group<'t>(&self, table: &'t Table, need: &Need) -> Result<&'t Group, PickError> {
        let nodes = table.all.roster.len();
        if nodes == 0 {
            return Err(PickError::Empty);
        }
        table.group(need).ok_or_else(|| PickError::NoCapableNode { need: need.clone(), nodes })
    }

    fn candidates<'a>(&self, group: &'a Group, need: &'a Need, now: u64) -> Candidates<'a> {
        Candidates {
            group,
            need,
            check_need: need.capabilities().len() > 1,
            avoid: need.is_picky(),
            fail_open: group.tally.in_panic(self.settings.panic_threshold),
            now,
            slow_start: self.settings.slow_start,
            decay: self.settings.decay,
            only: None,
        }
    }

    /// The ejected node that this request shall try, if one is due.
    fn trial(&self, group: &Group, need: &Need, now: u64) -> Option<Arc<Entry>> {
        if !group.tally.trial_is_due(now) {
            return None;
        }
        group.try_out(now, |entry| need.is_met_by(&entry.node) && !need.avoids(entry.id))
    }

    fn choose(&self, candidates: &Candidates<'_>) -> Option<Arc<Entry>> {
        let nth = self.decisions.fetch_add(1, Ordering::Relaxed);
        let mut draw = Draw::new(self.settings.seed, nth);
        for _ in 0..TRIES {
            let Some(at) = self.settings.strategy.choose(candidates, &mut draw) else { break };
            let Some(entry) = candidates.group.roster.get(at) else { break };
            if candidates.admits(entry) && entry.shared.enter() {
                return Some(entry.clone());
            }
        }
        enter_any(candidates)
    }

    fn why_not(&self, group: &Group, need: &Need) -> PickError {
        let (mut nodes, mut full, mut ejected, mut down, mut unproven, mut draining) = (0, 0, 0, 0, 0, 0);
        for entry in group.roster.iter().filter(|e| need.is_met_by(&e.node)) {
            nodes += 1;
            match entry.shared.state() {
                NodeState::Up => full += 1,
                NodeState::Ejected => ejected += 1,
                NodeState::Down => down += 1,
                NodeState::Unproven => unproven += 1,
                NodeState::Draining => draining += 1,
            }
        }
        if nodes == 0 {
            return PickError::NoCapableNode { need: need.clone(), nodes: self.table().all.roster.len() };
        }
        if group.tally.in_panic(self.settings.panic_threshold) {
            // Health did not matter, so those that stay were full.
            full = nodes - draining;
        }
        if full > 0 {
            PickError::Saturated { nodes: full }
        } else {
            PickError::AllUnhealthy { nodes, ejected, down, unproven, draining }
        }
    }

    /// Takes an outcome into account; `None` is a cancelled request.
    pub(crate) fn settle(&self, entry: &Arc<Entry>, started: Instant, trial: bool, outcome: Option<Outcome>) {
        let ended = self.clock().now();
        let (now, shared) = (self.nanos(ended), &entry.shared);
        let Some(outcome) = outcome else {
            self.totals.cancelled.incr();
            shared.counts.cancelled.fetch_add(1, Ordering::Relaxed);
            if trial {
                shared.end_trial();
                self.table().trial_at(entry, now);
            }
            return;
        };
        let (total, count) = match outcome {
            Outcome::Success => (&self.totals.successes, &shared.counts.successes),
            Outcome::Failure => (&self.totals.failures, &shared.counts.failures),
            Outcome::Rejected => (&self.totals.rejected, &shared.counts.rejected),
        };
        total.incr();
        count.fetch_add(1, Ordering::Relaxed);
        let latency = ended.saturating_duration_since(started);
        self.totals.latency.record_duration(latency);
        let stale = !trial && self.nanos(started) < shared.up_since();
        let verdict = shared.observe(outcome, latency, now, self.settings.decay, |signals| {
            match &self.settings.ejection {
                Some(ejection) if !stale => ejection.judge(signals, outcome, now),
                _ => Verdict::Stay,
            }
        });
        if trial {
            if outcome == Outcome::Failure { self.eject(entry, now, true) } else { self.readmit(entry, now) }
        } else if verdict == Verdict::Eject && !shared.is_ejected() {
            self.eject(entry, now, false);
        }
    }

    fn eject(&self, entry: &Arc<Entry>, now: u64, again: bool) {
        let Some(ejection) = &self.settings.ejection else { return };
        {
            let mut registry = self.registry.lock();
            let allowed = again || ejection.may_eject(registry.ejected, registry.len());
            if entry.shared.is_gone() || entry.shared.is_ejected() != again || !allowed {
                return;
            }
            let changed = registry.change(entry.id, |shared| {
                let up_since = if again { now } else { shared.up_since() };
                let until = now.saturating_add(shared.with_signals(|s| ejection.sentence(s, up_since, now)));
                shared.eject(until);
                until
            });
            let Some(until) = changed else { return };
            registry.table_now().trial_at(entry, until);
        }
        self.totals.ejections.incr();
        self.serve();
    }

    fn readmit(&self, entry: &Arc<Entry>, now: u64) {
        if self.change(entry.id, |shared| shared.readmit(now)).is_some() {
            self.totals.readmissions.incr();
        }
    }

    /// What a probe says of a node. A good one also ends an ejection whose time is over.
    pub(crate) fn probed(&self, entry: &Arc<Entry>, well: bool) {
        let now = self.now();
        self.change(entry.id, |shared| shared.probed(well, now));
        if well && entry.shared.is_due(now) {
            self.readmit(entry, now);
        }
    }
}

fn enter_any(candidates: &Candidates<'_>) -> Option<Arc<Entry>> {
    // The least loaded, and the next if others fill it meanwhile.
    let mut at = 0;
    loop {
        let best = candidates
            .iter()
            .min_by(|(_, a), (_, b)| a.load().total_cmp(&b.load()))
            .and_then(|(at, _)| candidates.group.roster.get(at))?;
        if best.shared.enter() {
            return Some(best.clone());
        }
        at += 1;
        if at > candidates.len() {
            return None;
        }
    }
}

/// Tells when a drain is over.
#[derive(Clone)]
pub struct Drain {
    drained: Arc<Event>,
    clock: Clock,
}

impl Drain {
    /// Whether nothing is in flight on the node any more, or the drain was ended by
    /// [`resume`](Balancer::resume).
    pub fn is_done(&self) -> bool {
        self.drained.is_set()
    }

    /// Waits until nothing is in flight on the node, or the drain is ended by
    /// [`resume`](Balancer::resume).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn done(&self) {
        self.drained.wait().await;
    }

    /// Parks this thread until nothing is in flight on it.
    pub fn done_blocking(&self) {
        self.clock.block_on(self.done());
    }

    /// [`done`](Self::done) for at most `duration`.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] when the time is over first; the node stays draining.
    pub async fn done_timeout(&self, duration: Duration) -> Result<(), Elapsed> {
        self.clock.timeout(duration, self.done()).await
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("done", &self.is_done()).finish_non_exhaustive()
    }
}
