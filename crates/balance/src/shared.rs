//! The moving parts of one node, shared by all tables and all picks.
//!
//! `flags` and the ejection fields change only under the registry's lock, so that the tallies agree with
//! them; readers take them as hints. The door counts requests in flight; once it is shut nobody enters, and
//! whoever leaves last then, or shuts it with nobody inside, ends the drain.

use crate::{NodeState, Outcome, raw::door::Door};
use parking_lot::Mutex;
use ropewalk_prove::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use ropewalk_sync::Event;
use std::{sync::Arc, time::Duration};

/// It gets nothing new.
const DRAINING: u8 = 1;
/// Its probes fail.
const DOWN: u8 = 1 << 1;
/// Its requests failed too often.
const EJECTED: u8 = 1 << 2;
/// Its first probe is awaited.
const UNPROVEN: u8 = 1 << 3;
/// It left the registry.
const GONE: u8 = 1 << 4;

#[derive(Debug)]
pub(crate) struct Shared {
    flags: AtomicU8,
    door: Door,
    /// Nanoseconds of the balancer's time from which an ejected node may be tried.
    ejected_until: AtomicU64,
    /// Whether a request is out to try an ejected node.
    trial: AtomicBool,
    /// When it last came up.
    up_since: AtomicU64,
    /// A word for the strategy.
    pub(crate) scratch: AtomicI64,
    signals: Mutex<Signals>,
    /// Copies of what `signals` says, for readers: nanoseconds and a share, as bits, and their time.
    latency: AtomicU64,
    errors: AtomicU64,
    stamp: AtomicU64,
    pub(crate) counts: Counts,
    /// Of the drain under way; set once nothing is in flight, or when it is ended.
    drained: Mutex<Option<Arc<Event>>>,
}

/// Totals of one node.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) picks: AtomicU64,
    pub(crate) successes: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    pub(crate) ejections: AtomicU64,
}

/// What outcomes tell, under their own lock.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    latency: Option<f64>,
    errors: f64,
    at: u64,
    /// Failures since the last success.
    pub(crate) consecutive: u32,
    /// The interval in which the two below were counted.
    pub(crate) interval_start: u64,
    pub(crate) interval_requests: u32,
    pub(crate) interval_failures: u32,
    /// Ejections that still lengthen the next one.
    pub(crate) offences: u32,
}

impl Shared {
    pub(crate) fn new(limit: Option<u32>, unproven: bool, now: u64) -> Self {
        Self {
            flags: AtomicU8::new(if unproven { UNPROVEN } else { 0 }),
            door: Door::new(limit),
            ejected_until: AtomicU64::new(0),
            trial: AtomicBool::new(false),
            up_since: AtomicU64::new(now),
            scratch: AtomicI64::new(0),
            signals: Mutex::default(),
            latency: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            stamp: AtomicU64::new(now),
            counts: Counts::default(),
            drained: Mutex::default(),
        }
    }

    pub(crate) fn state(&self) -> NodeState {
        let flags = self.flags.load(Ordering::Relaxed);
        if flags & (DRAINING | GONE) != 0 {
            NodeState::Draining
        } else if flags & DOWN != 0 {
            NodeState::Down
        } else if flags & EJECTED != 0 {
            NodeState::Ejected
        } else if flags & UNPROVEN != 0 {
            NodeState::Unproven
        } else {
            NodeState::Up
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.flags.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & (DRAINING | GONE) != 0
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & GONE != 0
    }

    pub(crate) fn is_ejected(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & EJECTED != 0
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.door.inside()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.door.has_room()
    }

    pub(crate) fn is_within_limit(&self) -> bool {
        self.door.is_within_limit()
    }

    pub(crate) fn limit_to(&self, limit: Option<u32>) {
        self.door.limit_to(limit);
    }

    /// Counts a request in, unless the node is full or leaving.
    pub(crate) fn enter(&self) -> bool {
        self.door.enter()
    }

    /// Counts a request out.
    pub(crate) fn leave(&self) {
        if self.door.leave() {
            self.announce();
        }
    }

    /// Outside of all locks: tells those who wait for the end of a drain, if it is there.
    pub(crate) fn announce(&self) {
        let drained = self.drained.lock().clone();
        // Looked at after the event was fetched, so that an event of a later drain is not set early.
        if self.door.is_drained() {
            if let Some(drained) = drained {
                drained.set();
            }
        }
    }

    /// Under the registry's lock; to be followed by `announce`.
    pub(crate) fn drain(&self) -> Arc<Event> {
        let drained = self.drained.lock().get_or_insert_default().clone();
        self.flags.fetch_or(DRAINING, Ordering::Relaxed);
        self.door.shut();
        drained
    }

    /// Under the registry's lock; to be followed by `announce`.
    pub(crate) fn go(&self) {
        self.flags.fetch_or(GONE, Ordering::Relaxed);
        self.door.shut();
    }

    /// Under the registry's lock; the event, if any, is to be set after it.
    pub(crate) fn resume(&self, now: u64) -> Option<Arc<Event>> {
        self.flags.fetch_and(!DRAINING, Ordering::Relaxed);
        self.door.open();
        self.up_since.store(now, Ordering::Relaxed);
        self.drained.lock().take()
    }

    /// Under the registry's lock.
    pub(crate) fn probed(&self, well: bool, now: u64) {
        let before = self.flags.load(Ordering::Relaxed);
        let after = (before & !(UNPROVEN | DOWN)) | if well { 0 } else { DOWN };
        self.flags.store(after, Ordering::Relaxed);
        if before != 0 && after == 0 {
            self.up_since.store(now, Ordering::Relaxed);
        }
    }

    /// Under the registry's lock.
    pub(crate) fn eject(&self, until: u64) {
        self.flags.fetch_or(EJECTED, Ordering::Relaxed);
        self.ejected_until.store(until, Ordering::Relaxed);
        self.trial.store(false, Ordering::Relaxed);
        self.counts.ejections.fetch_add(1, Ordering::Relaxed);
    }

    /// Under the registry's lock.
    pub(crate) fn readmit(&self, now: u64) {
        self.flags.fetch_and(!EJECTED, Ordering::Relaxed);
        self.up_since.store(now, Ordering::Relaxed);
        self.trial.store(false, Ordering::Relaxed);
    }

    pub(crate) fn ejected_until(&self) -> u64 {
        self.ejected_until.load(Ordering::Relaxed)
    }

    /// Whether it is ejected, its time is over, and nobody tries it yet.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        self.state() == NodeState::Ejected
            && now >= self.ejected_until()
            && !self.trial.load(Ordering::Relaxed)
    }

    pub(crate) fn is_tried(&self) -> bool {
        // Acquire: pairs with the Release in `end_trial`.
        self.trial.load(Ordering::Acquire)
    }

    /// Claims the one trial request of an ejected node.
    pub(crate) fn begin_trial(&self) -> bool {
        // AcqRel: pairs with the Release in `end_trial`: this trial begins after the last one ended.
        !self.trial.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn end_trial(&self) {
        // Release: pairs with the Acquire in `begin_trial` and `is_tried`.
        self.trial.store(false, Ordering::Release);
    }

    pub(crate) fn up_since(&self) -> u64 {
        self.up_since.load(Ordering::Relaxed)
    }

    /// Takes an outcome into the averages; `judge` sees the signals under their lock.
    pub(crate) fn observe<R>(
        &self,
        outcome: Outcome,
        latency: Duration,
        now: u64,
        decay: Duration,
        judge: impl FnOnce(&mut Signals) -> R,
    ) -> R {
        let mut signals = self.signals.lock();
        let keep = keep(now.saturating_sub(signals.at), decay);
        let bad = if outcome == Outcome::Success { 0.0 } else { 1.0 };
        // A fifth of the way at least: at high rates `keep` is near 1 and one outcome would hardly count.
        let step = (1.0 - keep).max(0.2);
        signals.errors += step * (bad - signals.errors);
        // Fast failures say nothing about how fast the node works.
        if outcome == Outcome::Success || signals.latency.is_none_or(|l| l < latency.as_nanos() as f64) {
            let fresh = latency.as_nanos() as f64;
            let smoothed = match signals.latency {
                Some(old) if fresh < old => old * keep + fresh * (1.0 - keep),
                _ => fresh,
            };
            // 1 ns at least: 0 stands for "none" outside.
            signals.latency = Some(smoothed.max(1.0));
        }
        signals.at = now;
        self.latency.store(signals.latency.unwrap_or(0.0).to_bits(), Ordering::Relaxed);
        self.errors.store(signals.errors.to_bits(), Ordering::Relaxed);
        self.stamp.store(now, Ordering::Relaxed);
        judge(&mut signals)
    }

    pub(crate) fn with_signals<R>(&self, f: impl FnOnce(&mut Signals) -> R) -> R {
        f(&mut self.signals.lock())
    }

    /// The latency as of the last outcome; `None` before the first.
    pub(crate) fn latency(&self) -> Option<Duration> {
        let nanos = f64::from_bits(self.latency.load(Ordering::Relaxed));
        (nanos > 0.0).then(|| Duration::from_nanos(nanos as u64))
    }

    pub(crate) fn error_rate(&self) -> f64 {
        f64::from_bits(self.errors.load(Ordering::Relaxed))
    }

    /// Latency in nanoseconds and share of errors, faded until now. The three words are read one by one:
    /// beside an outcome they may mix old and new, which costs one pick its sharpness.
    pub(crate) fn faded(&self, now: u64, decay: Duration) -> (Option<f64>, f64) {
        let latency = f64::from_bits(self.latency.load(Ordering::Relaxed));
        let keep = keep(now.saturating_sub(self.stamp.load(Ordering::Relaxed)), decay);
        ((latency > 0.0).then_some(latency * keep), self.error_rate() * keep)
    }
}

/// How much of an average is left after `nanos`.
fn keep(nanos: u64, decay: Duration) -> f64 {
    (-(nanos as f64) / (decay.as_nanos() as f64)).exp()
}
