//! Flies a pool by its [`Sizer`]: cuts time into windows, counts, and puts the size to play in force.
//!
//! A size is put in force without opening or closing anything that is there: it bounds how many connections are busy
//! ([`State::target`]). Those beyond it lie on the shelf, where their idle time runs. While there are more connections than
//! the target the shelf is diverted, so that each take passes the latch, which counts; else taking is one step as ever.
//!
//! Everything here happens on the keeper, under the latch of the lane. It looks ten times a second while callers wait, and
//! not at all while none does.

use super::{SizedBy, Sizer, Window};
use crate::{
    lane::Section,
    manager::{Managed, Role},
    shared::Shared,
    state::{CHECKING, RESETTING, SERVING, State, Todo},
    tick::{NEVER, Tick},
};
use std::time::Duration;

/// How long a window lasts at least: long against the keeper's jitter, short against a change of load.
const WINDOW: Tick = 100 * MILLISECOND;
/// How many uses it has at least, so that one more or less does not matter...
const USES: u64 = 64;
/// ...unless it has lasted for so long.
const WINDOW_MOST: Tick = 1_000 * MILLISECOND;
/// How soon to look whether a new size is in force.
const SETTLING: Tick = 10 * MILLISECOND;
const MILLISECOND: Tick = 1_000_000;

/// A size that is bounded by the maximum alone.
pub(crate) const UNBOUNDED: usize = usize::MAX;

pub(crate) struct Pilot {
    sizer: Sizer,
    stage: Stage,
    look_at: Tick,
    /// Callers that only try and got nothing.
    turned_away: u64,
}

#[derive(Clone, Copy)]
enum Stage {
    /// Nobody has waited since so many had.
    Resting(u64),
    /// A size has been set at this instant and is not in force yet.
    Settling(Tick),
    /// Counting.
    Window(Counts),
}

#[derive(Clone, Copy)]
struct Counts {
    at: Tick,
    /// Of the whole pool: what readers gain must not be what the writer loses.
    uses: u64,
    /// Of the lane.
    own_uses: u64,
    waits: u64,
    /// Callers in line.
    waiting: u64,
}

impl Counts {
    /// How many had to wait, from here to `end`.
    fn waited(&self, end: &Self) -> u64 {
        end.waits - self.waits + self.waiting
    }

    fn completed(&self, end: &Self) -> u64 {
        if end.own_uses == self.own_uses { 0 } else { end.uses.saturating_sub(self.uses) }
    }
}

impl<E> State<E> {
    /// Seeks the size from now on.
    pub(crate) fn adaptive(mut self) -> Self {
        if self.role == Role::Any {
            let sizer = Sizer::new(self.min..=self.max);
            self.target = sizer.size();
            self.pilot = Some(Pilot { sizer, stage: Stage::Resting(0), look_at: NEVER, turned_away: 0 });
        }
        self
    }

    /// Why the size is as it is.
    pub(crate) fn sized_by(&self) -> SizedBy {
        match &self.pilot {
            Some(pilot) => pilot.sizer.why(),
            None if self.role == Role::Writer => SizedBy::SingleWriter,
            None => SizedBy::Fixed,
        }
    }

    /// The settled size, within what the server takes.
    pub(crate) fn settled(&self) -> usize {
        self.pilot.as_ref().map_or(self.limit, |pilot| pilot.sizer.settled().min(self.limit))
    }

    /// A caller that only tried got nothing.
    pub(crate) fn turn_away<C>(&mut self, now: Tick, todo: &mut Todo<C>) {
        if let Some(pilot) = &mut self.pilot {
            pilot.turned_away += 1;
            self.wake_pilot(now, todo);
        }
    }

    /// Somebody waits: the pilot looks, if it rests.
    pub(crate) fn wake_pilot<C>(&mut self, now: Tick, todo: &mut Todo<C>) {
        let Some(pilot) = &mut self.pilot else { return };
        if pilot.look_at == NEVER {
            pilot.look_at = now.saturating_add(WINDOW);
            let at = pilot.look_at;
            self.alarm_at(at, todo);
        }
    }
}

impl<M: Managed> Section<'_, M> {
    /// Connections in callers' hands or on their way there.
    pub(crate) fn busy(&self) -> usize {
        let there = self.count(SERVING) + self.count(CHECKING) + self.count(RESETTING);
        there.saturating_sub(self.shelved())
    }
}

impl<M: Managed> Shared<M> {
    /// Ends a window that is over, and sets the size to play next.
    pub(crate) fn pilot(&self, q: &mut Section<'_, M>, lane: usize, now: Tick, todo: &mut Todo<M::Conn>) {
        let Some(mut pilot) = q.pilot.take() else { return };
        pilot.sizer.set_range(q.min..=q.max);
        if !q.closed && pilot.look_at <= now {
            self.look(&mut pilot, q, lane, now);
        }
        let at = if q.closed { NEVER } else { pilot.look_at };
        q.target = pilot.sizer.size();
        q.pilot = Some(pilot);
        q.alarm_at(at, todo);
        // What went away left room, or the target has risen.
        self.let_in(q, lane, now, todo);
        self.restock(q, now, todo);
    }

    fn look(&self, pilot: &mut Pilot, q: &Section<'_, M>, lane: usize, now: Tick) {
        let counts = self.counts(q, lane, pilot.turned_away, now);
        let next = match pilot.stage {
            Stage::Resting(waits) if q.is_empty() && counts.waits == waits => None,
            Stage::Resting(_) => Some(WINDOW),
            Stage::Settling(since) => {
                let patient = now.saturating_sub(since) < WINDOW_MOST;
                Some(if patient && !is_in_force(pilot.sizer.size(), q) { SETTLING } else { WINDOW })
            }
            Stage::Window(start) => {
                let elapsed = now.saturating_sub(start.at);
                let (completed, waited) = (start.completed(&counts), start.waited(&counts));
                if waited > 0 && completed < USES && elapsed < WINDOW_MOST {
                    pilot.look_at = now.saturating_add(WINDOW);
                    return;
                }
                let size = pilot.sizer.size();
                let next = pilot.sizer.record(Window {
                    size,
                    completed,
                    elapsed: Duration::from_nanos(elapsed),
                    waited,
                });
                if waited == 0 && q.is_empty() {
                    None
                } else if next != size {
                    pilot.stage = Stage::Settling(now);
                    pilot.look_at = now.saturating_add(SETTLING);
                    return;
                } else {
                    Some(WINDOW)
                }
            }
        };
        pilot.look_at = next.map_or(NEVER, |next| now.saturating_add(next));
        match next {
            None => {
                pilot.sizer.pause();
                pilot.stage = Stage::Resting(counts.waits);
            }
            Some(SETTLING) => {}
            Some(_) => pilot.stage = Stage::Window(counts),
        }
    }

    fn counts(&self, q: &Section<'_, M>, lane: usize, turned_away: u64, now: Tick) -> Counts {
        Counts {
            at: now,
            uses: self.lanes.iter().map(|lane| lane.holds.count()).sum(),
            own_uses: self.lanes[lane].holds.count(),
            waits: q.tally.waits + turned_away,
            waiting: q.len() as u64,
        }
    }

    /// Serves the line from what lies idle, as far as the target lets it.
    pub(crate) fn let_in(&self, q: &mut Section<'_, M>, lane: usize, now: Tick, todo: &mut Todo<M::Conn>) {
        while !q.is_empty() && q.pilot.is_some() {
            let Some(entry) = q.take_idle(&self.config, self.bounds(), now, todo) else { break };
            self.hand_over(q, lane, entry, now, todo);
        }
    }
}

/// Whether as many are busy as `size` says, or will not be more.
fn is_in_force<M: Managed>(size: usize, q: &Section<'_, M>) -> bool {
    q.busy() <= size && (q.is_empty() || q.count(SERVING) >= size.min(q.limit))
}
