//! Figures.

use crate::{
    lane::{Lane, Section},
    manager::{Managed, Role},
    shared::Shared,
    sizing::SizedBy,
    state::{CHECKING, CLOSING, OPENING, RESETTING, SERVING},
    tick::Tick,
};
use ropewalk_measure::Snapshot;
use std::time::Duration;

/// How a pool stands and what it has done since it was built.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PoolStats {
    /// Connections there are, whatever they do.
    pub size: usize,
    /// Connections ready to be handed out.
    pub idle: usize,
    /// Connections in callers' hands.
    pub in_use: usize,
    /// Connections being opened.
    pub opening: usize,
    /// Connections being checked or reset.
    pub checking: usize,
    /// Connections being closed.
    pub closing: usize,
    /// The least size.
    pub min: usize,
    /// The most.
    pub max: usize,
    /// The most the server takes, as far as is known.
    pub limit: usize,
    /// The size that is sought, if [`Sizing::Adaptive`](crate::Sizing) seeks it: the best known so far.
    pub target: usize,
    /// Why it is that.
    pub sized_by: SizedBy,
    /// Callers in line.
    pub waiting: usize,
    /// What keeps the pool from growing.
    pub limited_by: Limit,
    /// Requests for a connection.
    pub gets: u64,
    /// Those that had to wait.
    pub waits: u64,
    /// Those that ran out of time.
    pub timeouts: u64,
    /// Connections opened.
    pub opened: u64,
    /// Attempts to open one that failed.
    pub connect_failures: u64,
    /// Those that failed because the server takes no more.
    pub refusals: u64,
    /// Connections that are no more, by cause.
    pub closed: Closed,
    /// Checks that came to an end.
    pub checks: u64,
    /// Checks that failed or never ended.
    pub checks_failed: u64,
    /// Connections cleaned after use.
    pub resets: u64,
    /// Blocking steps that have outlived their bound and still occupy a thread.
    pub stuck: usize,
    /// Connections held for longer than `leak_after`.
    pub leaks: u64,
    /// Connections passed on because the waiter they were handed to did not poll.
    pub regrants: u64,
    /// The pool's own threads.
    pub threads: usize,
    /// How long those who had to wait did so, in nanoseconds.
    pub wait: Snapshot,
    /// How long connections were held, in nanoseconds.
    pub hold: Snapshot,
    /// Time spent in callers' hands, summed over all connections, present holds included. Its growth
    /// over an interval, divided by the interval and the size, is the utilisation over the interval.
    pub held: Duration,
    /// The share of the allowed connections that is in use now.
    pub utilisation: f64,
}

/// Connections that are no more, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Closed {
    /// Idle for long and more than the least.
    pub idle: u64,
    /// Too old.
    pub lifetime: u64,
    /// Given back broken.
    pub broken: u64,
    /// Did not pass a check.
    pub check_failed: u64,
    /// Could not be reset.
    pub reset_failed: u64,
    /// A check, reset or close did not end within its bound.
    pub stuck: u64,
    /// More than a new maximum.
    pub resized: u64,
    /// Not retained.
    pub not_retained: u64,
    /// Discarded by its holder.
    pub discarded: u64,
    /// Detached by its holder: open still, but not the pool's.
    pub detached: u64,
    /// Work on it panicked.
    pub panicked: u64,
    /// The pool was closed.
    pub pool_closed: u64,
    /// The spawner dropped a step that had it.
    pub lost: u64,
}

impl Closed {
    /// All of them.
    pub fn total(&self) -> u64 {
        let mut all = *self;
        CloseCause::ALL.iter().map(|&cause| *all.of_mut(cause)).sum()
    }

    fn of_mut(&mut self, cause: CloseCause) -> &mut u64 {
        match cause {
            CloseCause::Idle => &mut self.idle,
            CloseCause::Lifetime => &mut self.lifetime,
            CloseCause::Broken => &mut self.broken,
            CloseCause::CheckFailed => &mut self.check_failed,
            CloseCause::ResetFailed => &mut self.reset_failed,
            CloseCause::Stuck => &mut self.stuck,
            CloseCause::Resized => &mut self.resized,
            CloseCause::NotRetained => &mut self.not_retained,
            CloseCause::Discarded => &mut self.discarded,
            CloseCause::Detached => &mut self.detached,
            CloseCause::Panicked => &mut self.panicked,
            CloseCause::PoolClosed => &mut self.pool_closed,
            CloseCause::Lost => &mut self.lost,
        }
    }
}

/// What keeps a pool from growing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Limit {
    /// Nobody asks for more.
    Demand,
    /// It is as big as it may be.
    Max,
    /// More connections would not do more work; see [`PoolStats::sized_by`].
    Sized,
    /// The server refused more connections than this.
    Refused,
    /// The last attempts to open one failed; the next is due soon.
    Failing,
    /// It is closed.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseCause {
    Idle,
    Lifetime,
    Broken,
    CheckFailed,
    ResetFailed,
    Stuck,
    Resized,
    NotRetained,
    Discarded,
    Detached,
    Panicked,
    PoolClosed,
    Lost,
}

impl CloseCause {
    pub(crate) const ALL: [Self; 13] = [
        Self::Idle,
        Self::Lifetime,
        Self::Broken,
        Self::CheckFailed,
        Self::ResetFailed,
        Self::Stuck,
        Self::Resized,
        Self::NotRetained,
        Self::Discarded,
        Self::Detached,
        Self::Panicked,
        Self::PoolClosed,
        Self::Lost,
    ];
    pub(crate) const COUNT: usize = Self::ALL.len();

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl<M: Managed> Shared<M> {
    /// The figures of one role, or of all.
    pub(crate) fn stats(&self, role: Option<Role>) -> PoolStats {
        let mut stats = PoolStats {
            size: 0,
            idle: 0,
            in_use: 0,
            opening: 0,
            checking: 0,
            closing: 0,
            min: 0,
            max: 0,
            limit: 0,
            target: 0,
            sized_by: SizedBy::Fixed,
            waiting: 0,
            limited_by: Limit::Demand,
            gets: 0,
            waits: 0,
            timeouts: 0,
            opened: 0,
            connect_failures: 0,
            refusals: 0,
            closed: Closed::default(),
            checks: 0,
            checks_failed: 0,
            resets: 0,
            stuck: 0,
            leaks: 0,
            regrants: 0,
            threads: self.exec.workers.threads(),
            wait: self.waits.snapshot(),
            hold: Snapshot::new(),
            held: Duration::ZERO,
            utilisation: 0.0,
        };
        let now = self.now();
        for (at, lane) in self.lanes.iter().enumerate() {
            let hold = lane.holds.snapshot();
            stats.hold.merge(&hold);
            if role.is_some_and(|role| self.lane_of(role) != at) {
                continue;
            }
            stats.held += Duration::from_nanos(u64::try_from(hold.sum()).unwrap_or(u64::MAX));
            let section = lane.lock();
            stats.add(lane, &section, now);
            if at == 0 || role.is_some() {
                stats.sized_by = section.sized_by();
            }
        }
        stats.utilisation = stats.in_use as f64 / stats.target.max(1) as f64;
        stats
    }
}

impl PoolStats {
    fn add<M: Managed>(&mut self, of: &Lane<M>, lane: &Section<'_, M>, now: Tick) {
        let (waiting, idle) = (lane.len(), of.shelf.len().min(lane.count(SERVING)));
        self.size += lane.size();
        self.idle += idle;
        self.in_use += lane.count(SERVING) - idle;
        self.opening += lane.count(OPENING);
        self.checking += lane.count(CHECKING) + lane.count(RESETTING);
        self.closing += lane.count(CLOSING);
        self.min += lane.min;
        self.max += lane.max;
        self.limit += lane.limit;
        self.target += lane.settled();
        self.waiting += waiting;
        self.stuck += lane.stuck;
        let tally = &lane.tally;
        self.gets += of.gets.value();
        self.waits += tally.waits;
        self.timeouts += tally.timeouts;
        self.opened += tally.opened;
        self.connect_failures += tally.connect_failures;
        self.refusals += tally.refusals;
        self.checks += tally.checks;
        self.checks_failed += tally.checks_failed;
        self.resets += tally.resets;
        self.leaks += tally.leaks;
        self.regrants += tally.regrants;
        for since in of.shelf.labels(&lane.places).filter_map(|holder| holder.since()) {
            self.held += Duration::from_nanos(now.saturating_sub(since));
        }
        for cause in CloseCause::ALL {
            *self.closed.of_mut(cause) += tally.closed[cause.index()];
        }
        let limit = if lane.closed {
            Limit::Closed
        } else if lane.failures > 0 && now < lane.retry_at {
            Limit::Failing
        } else if lane.limit < lane.max && lane.size() >= lane.limit {
            Limit::Refused
        } else if lane.size() >= lane.max {
            Limit::Max
        } else if lane.size() >= lane.target {
            Limit::Sized
        } else {
            Limit::Demand
        };
        // Of several lanes the one that callers wait for says why.
        if self.limited_by == Limit::Demand || waiting > 0 {
            self.limited_by = limit;
        }
    }
}
