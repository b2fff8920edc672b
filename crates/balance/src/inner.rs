//! Picks and outcomes: what a balancer does, behind all its handles.

use crate::{
    Ejection, Need, NodeId, NodeState, Outcome, Pick, PickError, Strategy,
    draw::Draw,
    health::Verdict,
    line::Line,
    roster::{Entry, Group, Registry, Table},
    shared::Shared,
    stats::Totals,
    strategy::Candidates,
};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use ropewalk_prove::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use ropewalk_sync::{Clock, Signal};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Strategy decisions that lose their node to others before the balancer takes any that is left.
const TRIES: usize = 4;

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
    pub(crate) table: ArcSwap<Table>,
    pub(crate) registry: Mutex<Registry>,
    pub(crate) closed: AtomicBool,
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

    pub(crate) fn note(&self) {
        // Release: pairs with the Acquire in `version`.
        self.version.fetch_add(1, Ordering::Release);
        self.signal.notify();
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
        // SeqCst: pairs with the store in `Balancer::close`; those who join the line look at it after joining.
        self.closed.load(Ordering::SeqCst)
    }

    /// Changes how a node stands. To be followed by [`serve`](Self::serve): it may be good or bad news for those
    /// in line.
    pub(crate) fn change<R>(&self, id: NodeId, change: impl FnOnce(&Shared) -> R) -> Option<R> {
        self.registry.lock().change(id, change)
    }

    pub(crate) fn pick(self: &Arc<Self>, need: &Need) -> Result<Pick, PickError> {
        self.look(|table| self.pick_from(table, need))
    }

    /// What `look` finds in the table. A refusal by one that was replaced meanwhile, whose nodes may all have left by
    /// now, counts for nothing.
    fn look<R>(&self, look: impl Fn(&Table) -> Result<R, PickError>) -> Result<R, PickError> {
        loop {
            if self.is_closed() {
                return Err(PickError::Closed);
            }
            let table = self.table();
            match look(&table) {
                Err(_) if !Arc::ptr_eq(&table, &self.table()) => {}
                done => return done,
            }
        }
    }

    fn pick_from(self: &Arc<Self>, table: &Table, need: &Need) -> Result<Pick, PickError> {
        let group = self.group(table, need)?;
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
        self.look(|table| self.place_in(table, need, now))
    }

    fn place_in(&self, table: &Table, need: &Need, now: u64) -> Result<(Arc<Entry>, bool), PickError> {
        let group = self.group(table, need)?;
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
            self.serve();
        }
    }

    /// What a probe says of a node. A good one also ends an ejection whose time is over.
    pub(crate) fn probed(&self, entry: &Arc<Entry>, well: bool) {
        let now = self.now();
        self.change(entry.id, |shared| shared.probed(well, now));
        if well && entry.shared.is_due(now) {
            self.readmit(entry, now);
        } else {
            self.serve();
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
