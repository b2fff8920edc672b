//! One resource.

use crate::{Mode, raw::word::Word};
use ropewalk_measure::Histogram;
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

/// What kind of resource it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Held exclusively or shared.
    Lock,
    /// Held by the unit.
    Counted { capacity: u64 },
}

pub(crate) struct Slot {
    pub(crate) name: Arc<str>,
    pub(crate) kind: Kind,
    pub(crate) holders: Vec<Holder>,
    /// Units in use.
    pub(crate) used: u64,
    /// Tickets of those who wait for it, in order of arrival.
    pub(crate) line: BTreeSet<u64>,
    /// Waiters and prepared requests that refer to it.
    pub(crate) pins: usize,
    pub(crate) listed_idle: bool,
    pub(crate) meter: Meter,
    pub(crate) word: Arc<Word>,
    /// Whether the books are open: claims come to the latch, and what they hold stands here too.
    pub(crate) diverted: bool,
    /// Of how many units the word counts those that are free.
    pub(crate) base: u64,
    /// Readers, or units, of claims that are not among the holders: in the midst of taking or giving back.
    pub(crate) vague: u64,
    /// Claims that share it or use its units.
    pub(crate) tracked: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    pub(crate) lease: usize,
    pub(crate) owner: usize,
    pub(crate) mode: Mode,
}

/// What a resource has been through.
pub(crate) struct Meter {
    pub(crate) acquired: u64,
    /// Time in line of those who waited for it among others; made when the first does.
    pub(crate) wait: Option<Histogram>,
    since: Instant,
    at: Instant,
    /// Share in use times seconds, until `at`.
    busy: f64,
}

impl Slot {
    pub(crate) fn new(name: Arc<str>, kind: Kind, now: Instant) -> Self {
        Self {
            name,
            kind,
            holders: Vec::new(),
            used: 0,
            line: BTreeSet::new(),
            pins: 0,
            listed_idle: false,
            meter: Meter { acquired: 0, wait: None, since: now, at: now, busy: 0.0 },
            word: Arc::new(Word::new()),
            diverted: true,
            base: 0,
            vague: 0,
            tracked: Vec::new(),
        }
    }

    /// Whether it is a lock that nobody holds, waits for or has prepared.
    pub(crate) fn is_idle(&self) -> bool {
        self.kind == Kind::Lock && self.holders.is_empty() && self.pins == 0
    }

    /// Whether `owner` could hold it so, beside those who hold it.
    pub(crate) fn fits(&self, mode: Mode, owner: usize) -> bool {
        match (mode, self.kind) {
            (Mode::Units(wanted), Kind::Counted { capacity }) => {
                self.used.checked_add(wanted).is_some_and(|used| used <= capacity)
            }
            (Mode::Exclusive | Mode::Shared, _) => {
                self.blockers(mode, owner).next().is_none() && (mode == Mode::Shared || self.vague == 0)
            }
            // Requests are checked for this when they are resolved.
            (Mode::Units(_), Kind::Lock) => false,
        }
    }

    /// The owners of those who keep `owner` from holding it so. For units that is everybody who has some.
    pub(crate) fn blockers(&self, mode: Mode, owner: usize) -> impl Iterator<Item = usize> + '_ {
        self.holders.iter().filter(move |h| h.blocks(mode, owner)).map(|h| h.owner)
    }

    pub(crate) fn add(&mut self, lease: usize, owner: usize, mode: Mode, now: Instant) {
        self.meter_to(now);
        self.meter.acquired += 1;
        if let Mode::Units(units) = mode {
            self.used += units;
        }
        self.holders.push(Holder { lease, owner, mode });
    }

    pub(crate) fn remove(&mut self, lease: usize, now: Instant) {
        self.meter_to(now);
        if let Some(at) = self.holders.iter().position(|h| h.lease == lease) {
            if let Mode::Units(units) = self.holders.swap_remove(at).mode {
                self.used -= units;
            }
        }
    }

    /// Turns what a lease holds of it into `mode`.
    pub(crate) fn alter(&mut self, lease: usize, mode: Mode, now: Instant) {
        self.meter_to(now);
        if let Some(holder) = self.holders.iter_mut().find(|h| h.lease == lease) {
            if let Mode::Units(units) = holder.mode {
                self.used -= units;
            }
            if let Mode::Units(units) = mode {
                self.used += units;
            }
            holder.mode = mode;
        }
    }

    /// The share in use: of units, or 1 for a lock that is held.
    pub(crate) fn load(&self) -> f64 {
        match self.kind {
            Kind::Lock => f64::from(u8::from(!self.holders.is_empty())),
            Kind::Counted { capacity: 0 } => f64::from(u8::from(self.used > 0)),
            Kind::Counted { capacity } => self.used as f64 / capacity as f64,
        }
    }

    /// Accounts for the time since the last change; to be called before each.
    pub(crate) fn meter_to(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.meter.at);
        self.meter.busy += self.load() * passed.as_secs_f64();
        self.meter.at = now.max(self.meter.at);
    }

    /// The share in use, averaged over its life.
    pub(crate) fn mean_load(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.meter.at).as_secs_f64();
        let life = now.max(self.meter.at).saturating_duration_since(self.meter.since).as_secs_f64();
        if life > 0.0 { (self.meter.busy + self.load() * passed) / life } else { self.load() }
    }

    pub(crate) fn waited(&mut self, time: Duration) {
        if cfg!(ropewalk_loom) {
            return; // no part of the protocol, and thousands of atomics
        }
        self.meter.wait.get_or_insert_with(short_histogram).record_duration(time);
    }
}

impl Holder {
    pub(crate) fn blocks(&self, mode: Mode, owner: usize) -> bool {
        match mode {
            Mode::Units(_) => true,
            Mode::Exclusive => self.owner != owner,
            Mode::Shared => self.mode == Mode::Exclusive && self.owner != owner,
        }
    }
}

/// Quantiles within 13 %: there is one for each resource, so it is kept small.
fn short_histogram() -> Histogram {
    Histogram::builder().precision(2).build().unwrap_or_default()
}
