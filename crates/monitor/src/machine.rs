//! The life of an alert, pure: no time, lock or thread of its own.

use std::time::{Duration, Instant};

/// What a rule's condition says at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It holds.
    Breach,
    /// It does not hold, but the value has not crossed the clear threshold either.
    Between,
    /// It does not hold.
    Clear,
    /// There is no data, or what there is, is not a number.
    Absent,
}

/// The times of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// How long the condition has to hold before the alert fires.
    pub for_: Duration,
    /// How long it has to be clear before the alert resolves.
    pub keep_for: Duration,
    /// After how long without data a firing alert resolves; `None` is never.
    pub absent_after: Option<Duration>,
}

/// Where an alert stands.
///
/// | from | on | to |
/// |---|---|---|
/// | inactive | breach | pending; firing if `for_` is zero |
/// | pending | breach, `for_` after the first | firing |
/// | pending | between, clear | inactive |
/// | pending | absent | stays: it neither fires nor is forgotten |
/// | firing | breach, between | stays; a clearing begun is void |
/// | firing | clear, `keep_for` after the first clear in a row | resolved, which is inactive again |
/// | firing | absent | stays, a clearing begun is void; resolved only `absent_after` the last data |
///
/// ```
/// use ropewalk_monitor::{Phase, Signal, Step, Timing};
/// use std::time::{Duration, Instant};
///
/// let (mut phase, now) = (Phase::default(), Instant::now());
/// let timing = Timing { for_: Duration::from_secs(5), ..Timing::default() };
/// assert_eq!(phase.step(Signal::Breach, now, &timing), Step::Started);
/// assert_eq!(phase.step(Signal::Breach, now + Duration::from_secs(5), &timing), Step::Fired);
/// assert_eq!(phase.step(Signal::Absent, now + Duration::from_secs(6), &timing), Step::None);
/// assert_eq!(phase.step(Signal::Clear, now + Duration::from_secs(7), &timing), Step::Resolved);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is wrong.
    #[default]
    Inactive,
    /// The condition holds, but not for long enough.
    Pending {
        /// Since when.
        since: Instant,
    },
    /// It fires.
    Firing {
        /// When it fired.
        since: Instant,
        /// Since when the condition is clear, if it is.
        clear: Option<Instant>,
        /// When there was data last.
        seen: Instant,
    },
}

/// What a step changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing that anybody is told.
    None,
    /// Inactive to pending.
    Started,
    /// Pending to inactive.
    Dropped,
    /// To firing.
    Fired,
    /// Firing to inactive: the condition was clear for long enough.
    Resolved,
    /// Firing to inactive: there was no data for too long.
    Vanished,
}

impl Phase {
    /// Takes one look.
    pub fn step(&mut self, signal: Signal, now: Instant, timing: &Timing) -> Step {
        let passed = |since: Instant, time: Duration| now.saturating_duration_since(since) >= time;
        match (*self, signal) {
            (Self::Inactive, Signal::Breach) if timing.for_.is_zero() => self.fire(now),
            (Self::Inactive, Signal::Breach) => {
                *self = Self::Pending { since: now };
                Step::Started
            }
            (Self::Pending { since }, Signal::Breach) if passed(since, timing.for_) => self.fire(now),
            (Self::Pending { .. }, Signal::Between | Signal::Clear) => {
                *self = Self::Inactive;
                Step::Dropped
            }
            (Self::Firing { since, .. }, Signal::Breach | Signal::Between) => {
                *self = Self::Firing { since, clear: None, seen: now };
                Step::None
            }
            (Self::Firing { since, clear, .. }, Signal::Clear) => {
                let clear = clear.unwrap_or(now);
                if passed(clear, timing.keep_for) {
                    *self = Self::Inactive;
                    return Step::Resolved;
                }
                *self = Self::Firing { since, clear: Some(clear), seen: now };
                Step::None
            }
            (Self::Firing { since, seen, .. }, Signal::Absent) => {
                if timing.absent_after.is_some_and(|after| passed(seen, after)) {
                    *self = Self::Inactive;
                    return Step::Vanished;
                }
                *self = Self::Firing { since, clear: None, seen };
                Step::None
            }
            (Self::Inactive, Signal::Between | Signal::Clear | Signal::Absent)
            | (Self::Pending { .. }, Signal::Breach | Signal::Absent) => Step::None,
        }
    }

    fn fire(&mut self, now: Instant) -> Step {
        *self = Self::Firing { since: now, clear: None, seen: now };
        Step::Fired
    }
}
