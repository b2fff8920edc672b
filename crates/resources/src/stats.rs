//! What a pool tells of itself.

use crate::{
    Mode, Owner, ResourcePool,
    request::Item,
    state::{Kind, Slot, State},
    witness::Races,
};
use parking_lot::Mutex;
use ropewalk_measure::{Counter, Histogram, Snapshot};
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

/// A pool at one instant.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PoolStats {
    /// Leases out, those not yet taken by their waiters included.
    pub leases: usize,
    /// Owners that hold or wait.
    pub owners: usize,
    /// Requests in line.
    pub waiting: usize,
    /// Age of the oldest lease that is out: of a forgotten one, if there is one.
    pub oldest_lease: Duration,
    /// Leases given since the start.
    pub acquired: u64,
    /// Requests that had to wait.
    pub waited: u64,
    /// Requests whose deadline passed.
    pub timeouts: u64,
    /// Requests dropped while they waited, timeouts included.
    pub cancelled: u64,
    /// Deadlocks prevented: requests refused because waiting would have closed a cycle.
    pub deadlocks: u64,
    /// Accesses declared without a lease while another held the resource.
    pub races: u64,
    /// Times a waiter was overtaken by a younger request.
    pub overtakes: u64,
    /// Times a waiter that came first was overtaken all the same, by an owner that held something.
    pub nested_overtakes: u64,
    /// The most often any waiter was overtaken.
    pub most_overtaken: u32,
    /// Leases taken back from waiters that were not polled.
    pub regranted: u64,
    /// Leases taken away from stuck owners.
    pub reclaimed: u64,
    /// Time in line of those who waited and were served, in nanoseconds.
    pub wait: Snapshot,
    /// Time leases were held, in nanoseconds.
    pub held: Snapshot,
    /// Share of the resources' capacity in use, averaged over all resources known.
    pub utilisation: f64,
    /// Each resource known, by name.
    pub resources: Vec<ResourceStats>,
}

/// A resource at one instant.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ResourceStats {
    /// Its name.
    pub name: String,
    /// How many units it has; `None` when it is held exclusively or shared.
    pub capacity: Option<u64>,
    /// Units in use, or leases that hold it.
    pub in_use: u64,
    /// Units in use beyond the capacity, after it was lowered.
    pub debt: u64,
    /// Who holds it.
    pub holders: Vec<Owner>,
    /// Requests in line for it.
    pub waiting: usize,
    /// Share in use at this instant.
    pub load: f64,
    /// Share in use averaged over the time it has been known.
    pub utilisation: f64,
    /// Times it was acquired.
    pub acquired: u64,
    /// Time in line of requests for it (among other things) that waited and were served, in nanoseconds;
    /// within 13 %.
    pub wait: Snapshot,
}

/// A lease that is out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LeaseInfo {
    /// Who holds it.
    pub owner: Owner,
    /// What it holds.
    pub held: Vec<(String, Mode)>,
    /// How long it has been held.
    pub age: Duration,
    /// Its fencing number.
    pub fencing: u64,
}

/// An edge of the wait-for graph: one owner waits for another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct WaitEdge {
    /// Who waits.
    pub waiter: Owner,
    /// For whom.
    pub blocker: Owner,
    /// For which resource.
    pub resource: String,
    /// How long it has waited.
    pub waited: Duration,
    /// Since when.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub since: Instant,
    /// Whether the blocker holds the resource, or only comes first in line for it.
    pub cause: WaitCause,
}

/// Why an owner waits for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum WaitCause {
    /// The other holds the resource.
    Held,
    /// The other waits for it too and was overtaken so often that it comes first.
    Queued,
}

/// Counts kept outside of the latch. They are no part of the protocol, so models leave them out.
pub(crate) struct Totals {
    pub(crate) races: Mutex<Races>,
    meters: OnceLock<Meters>,
}

struct Meters {
    timeouts: Counter,
    races: Counter,
    wait: Histogram,
    held: Histogram,
}

impl Totals {
    pub(crate) fn new() -> Self {
        Self { races: Mutex::default(), meters: OnceLock::new() }
    }

    fn meters(&self) -> Option<&Meters> {
        let make = || Meters {
            timeouts: Counter::new(),
            races: Counter::new(),
            wait: Histogram::new(),
            held: Histogram::new(),
        };
        (!cfg!(ropewalk_loom)).then(|| self.meters.get_or_init(make))
    }

    pub(crate) fn waited(&self, time: Duration) {
        if let Some(meters) = self.meters() {
            meters.wait.record_duration(time);
        }
    }

    pub(crate) fn held(&self, time: Duration) {
        if let Some(meters) = self.meters() {
            meters.held.record_duration(time);
        }
    }

    pub(crate) fn timed_out(&self) {
        if let Some(meters) = self.meters() {
            meters.timeouts.incr();
        }
    }

    pub(crate) fn raced(&self) {
        if let Some(meters) = self.meters() {
            meters.races.incr();
        }
    }
}

impl ResourcePool {
    /// A snapshot of the whole pool. What it holds and who waits is that of one instant.
    pub fn stats(&self) -> PoolStats {
        let (mut stats, parts) = self.0.look(|state, now| {
            let tally = state.tally;
            let claims = state.claims_out(now);
            let since = state.leases.iter().map(|(_, lease)| lease.since);
            let oldest = since.chain(claims.iter().map(|(_, _, since)| *since)).min();
            let taken = state.claims.iter().map(|(_, claim)| claim.record.taken()).sum::<u64>();
            let is_known =
                |at: usize| state.owners[at].leases + state.owners[at].waiters > 0 || state.holds(at);
            let stats = PoolStats {
                leases: state.leases.len() + claims.len(),
                owners: state.owners.iter().filter(|(at, _)| is_known(*at)).count(),
                waiting: state.owners.iter().map(|(_, o)| o.waiting.len()).sum(),
                oldest_lease: oldest.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
                acquired: tally.acquired + taken,
                waited: tally.waited,
                timeouts: 0,
                cancelled: tally.cancelled,
                deadlocks: tally.deadlocks,
                races: 0,
                overtakes: tally.overtakes,
                nested_overtakes: tally.nested_overtakes,
                most_overtaken: tally.most_overtaken,
                regranted: tally.regranted,
                reclaimed: tally.reclaimed,
                wait: Snapshot::new(),
                held: Snapshot::new(),
                utilisation: 0.0,
                resources: Vec::new(),
            };
            let parts = state.slots.iter().map(|(at, slot)| self.part(state, at, slot, now));
            (stats, parts.collect::<Vec<_>>())
        });
        stats.resources = parts.into_iter().map(Part::finish).collect();
        stats.resources.sort_by(|a, b| a.name.cmp(&b.name));
        let sum = stats.resources.iter().map(|r| r.utilisation).sum::<f64>();
        stats.utilisation = sum / (stats.resources.len().max(1) as f64);
        if let Some(meters) = self.0.totals.meters() {
            (stats.timeouts, stats.races) = (meters.timeouts.value(), meters.races.value());
            (stats.wait, stats.held) = (meters.wait.snapshot(), meters.held.snapshot());
        }
        stats
    }

    /// A snapshot of one resource; `None` when the pool does not know it (any more).
    pub fn resource(&self, name: &str) -> Option<ResourceStats> {
        let part = self.0.step(|state, now, _| {
            let at = state.adopt_one(name, now)?;
            Some(self.part(state, at, &state.slots[at], now))
        });
        part.map(Part::finish)
    }

    /// Deadlocks prevented so far.
    pub fn deadlocks(&self) -> u64 {
        self.0.with(|state| state.tally.deadlocks)
    }

    /// All leases that are out, oldest first: a forgotten one shows by its age.
    pub fn leases(&self) -> Vec<LeaseInfo> {
        let now = self.0.clock.now();
        // Names are copied after the latch has opened.
        let leases = self.0.look(|state, now| {
            let claims = state.claims_out(now);
            let state = &*state;
            let part = |owner: usize, items: &[Item], since, fencing| {
                let held = items.iter().map(|i| (state.slots[i.slot].name.clone(), i.mode));
                (state.owners[owner].name.clone(), held.collect::<Vec<_>>(), since, fencing)
            };
            let leases = state.leases.iter().map(|(_, l)| part(l.owner, &l.items, l.since, l.fencing));
            let claims = claims.into_iter().map(|(at, fencing, since)| {
                let claim = &state.claims[at];
                part(claim.owner, &claim.items, since, fencing)
            });
            leases.chain(claims).collect::<Vec<_>>()
        });
        let info = leases.into_iter().map(|(owner, held, since, fencing)| LeaseInfo {
            owner,
            held: held.into_iter().map(|(name, mode)| (name.to_string(), mode)).collect(),
            age: now.saturating_duration_since(since),
            fencing,
        });
        let mut leases = info.collect::<Vec<_>>();
        leases.sort_by_key(|lease| lease.fencing);
        leases
    }

    /// Who waits for whom and for what, as of one instant. It has no cycles over
    /// [`Held`](WaitCause::Held) edges of owners that wait for all they name; a cycle over several pools or
    /// through other things shows when their graphs are laid together.
    pub fn wait_for_graph(&self) -> Vec<WaitEdge> {
        let now = self.0.clock.now();
        let edges = self.0.step(|state, _, _| {
            state.identify();
            let state = &*state;
            let names = state.edges().into_iter().map(|(waiter, blocker, slot, since, held)| {
                let owner = |at: usize| state.owners[at].name.clone();
                (owner(waiter), owner(blocker), state.slots[slot].name.clone(), since, held)
            });
            names.collect::<Vec<_>>()
        });
        let edges = edges.into_iter().map(|(waiter, blocker, resource, since, held)| WaitEdge {
            waiter,
            blocker,
            resource: resource.to_string(),
            waited: now.saturating_duration_since(since),
            since,
            cause: if held { WaitCause::Held } else { WaitCause::Queued },
        });
        let mut edges = edges.collect::<Vec<_>>();
        edges.sort_by(|a, b| (a.since, &a.waiter, &a.resource).cmp(&(b.since, &b.waiter, &b.resource)));
        edges
    }

    fn part(&self, state: &State, at: usize, slot: &Slot, now: Instant) -> Part {
        let capacity = if let Kind::Counted { capacity } = slot.kind { Some(capacity) } else { None };
        let mut holders = slot.holders.iter().map(|h| state.owners[h.owner].name.clone()).collect::<Vec<_>>();
        holders.sort();
        holders.dedup();
        let in_use = if capacity.is_some() { slot.used } else { slot.holders.len() as u64 + slot.vague };
        let claims = state.claims.iter().map(|(_, claim)| claim);
        let claims = claims.filter(|claim| claim.items.iter().any(|item| item.slot == at));
        Part {
            name: slot.name.clone(),
            wait: slot.meter.wait.clone(),
            stats: ResourceStats {
                name: String::new(),
                capacity,
                in_use,
                debt: capacity.map_or(0, |capacity| in_use.saturating_sub(capacity)),
                holders,
                waiting: slot.line.len(),
                load: slot.load(),
                utilisation: slot.mean_load(now),
                acquired: slot.meter.acquired + claims.map(|claim| claim.record.taken()).sum::<u64>(),
                wait: Snapshot::new(),
            },
        }
    }
}

/// A resource's numbers as read under the latch; its name and histogram are copied after.
struct Part {
    name: Arc<str>,
    stats: ResourceStats,
    wait: Option<Histogram>,
}

impl Part {
    fn finish(mut self) -> ResourceStats {
        self.stats.name = self.name.to_string();
        if let Some(wait) = self.wait {
            self.stats.wait = wait.snapshot();
        }
        self.stats
    }
}
