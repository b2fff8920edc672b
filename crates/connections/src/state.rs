//! What a pool knows about its connections.
//!
//! A connection's slot goes through these phases, all of them changed under the latch of the lane's
//! line, so that "nothing idle", "joined the line" and "one more is being opened" are one step:
//!
//! ```text
//!               opened                    stale
//!   Opening ------------> Serving --------------------> Checking
//!      |                  ^  |  ^                       |  |
//!      | failed           |  |  +-------- good ---------+  | bad
//!      v                  |  | needs a reset               |
//!    (free)               |  +-----------> Resetting       |
//!      ^                  |                 |  | failed    |
//!      |                  +------ good -----+  v           |
//!      +----- closed -------------------- Closing <--------+
//! ```
//!
//! A `Serving` connection lies idle on the lane's shelf or is in somebody's hands; that changes without the latch.
//! A phase other than `Serving` belongs to a step on the pool's drivers. A slot that its
//! step left behind (a check that never answers) is freed with its generation raised; the step finds
//! at its end that the slot is another's and closes what it holds.

use crate::{
    builder::Config,
    error::{ConnectError, Standing},
    holder::Owner,
    manager::Role,
    raw::shelf::{Place, Places},
    stats::CloseCause,
    tick::{Alarm, NEVER, Tick, span},
};
use std::{panic::Location, sync::Arc, time::Duration};

/// Who waits for a connection or holds one.
#[derive(Clone, Debug)]
pub(crate) struct Party {
    pub(crate) owner: Option<Arc<Owner>>,
    pub(crate) location: &'static Location<'static>,
    pub(crate) since: Tick,
    /// When it gives up waiting.
    pub(crate) deadline: Tick,
}

/// A connection that nobody else has.
pub(crate) struct Entry<C> {
    pub(crate) conn: C,
    pub(crate) meta: Meta,
    pub(crate) place: Place,
}

/// What is known of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meta {
    pub(crate) slot: SlotId,
    pub(crate) opened: Tick,
    pub(crate) expires: Tick,
    /// When it was last seen working: opened, checked or given back.
    pub(crate) verified: Tick,
    /// When it was last given back.
    pub(crate) idle_since: Tick,
    pub(crate) uses: u64,
}

/// Names a slot for as long as one connection has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId {
    index: u32,
    generation: u32,
}

#[derive(Clone, Debug)]
pub(crate) enum Phase {
    Opening,
    Serving,
    Checking,
    Resetting,
    Closing(CloseCause),
}

impl Phase {
    fn kind(&self) -> usize {
        match self {
            Self::Opening => OPENING,
            Self::Serving => SERVING,
            Self::Checking => CHECKING,
            Self::Resetting => RESETTING,
            Self::Closing(_) => CLOSING,
        }
    }
}

pub(crate) const OPENING: usize = 0;
pub(crate) const SERVING: usize = 1;
pub(crate) const CHECKING: usize = 2;
pub(crate) const RESETTING: usize = 3;
pub(crate) const CLOSING: usize = 4;
const PHASES: usize = 5;

struct Slot {
    generation: u32,
    content: Option<(Phase, Tick)>,
}

/// What is left to do once the latch is open.
pub(crate) struct Todo<C> {
    pub(crate) steps: Vec<Step<C>>,
    /// The keeper sleeps for too long.
    pub(crate) ring: bool,
}

impl<C> Default for Todo<C> {
    fn default() -> Self {
        Self { steps: Vec::new(), ring: false }
    }
}

pub(crate) enum Step<C> {
    Open(SlotId),
    Check(Entry<C>),
    Reset(Entry<C>),
    Close(Entry<C>),
}

/// How long at most a blocking step may take, by phase.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) connect: Tick,
    pub(crate) check: Tick,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) waits: u64,
    pub(crate) timeouts: u64,
    pub(crate) opened: u64,
    pub(crate) connect_failures: u64,
    pub(crate) refusals: u64,
    pub(crate) checks: u64,
    pub(crate) checks_failed: u64,
    pub(crate) resets: u64,
    pub(crate) leaks: u64,
    pub(crate) regrants: u64,
    pub(crate) closed: [u64; CloseCause::COUNT],
}

pub(crate) struct State<E> {
    pub(crate) role: Role,
    pub(crate) min: usize,
    pub(crate) max: usize,
    /// The most the server takes, as far as is known; never above `max`.
    pub(crate) limit: usize,
    pub(crate) probe_at: Tick,
    pub(crate) probe_delay: Duration,
    pub(crate) closed: bool,
    pub(crate) places: Places,
    slots: Vec<Slot>,
    free: Vec<u32>,
    counts: [usize; PHASES],
    /// Connect attempts that failed in a row.
    pub(crate) failures: u32,
    pub(crate) retry_at: Tick,
    pub(crate) last_error: Option<ConnectError<E>>,
    /// Blocking steps that have outlived their bound and run still.
    pub(crate) stuck: usize,
    pub(crate) tally: Tally,
    /// When the keeper looks next.
    pub(crate) alarm: Alarm,
    /// Looks for unpolled grants still to do.
    pub(crate) patrols: u8,
    pub(crate) patrol_at: Tick,
    rng: u64,
}

impl<E> State<E> {
    pub(crate) fn new(role: Role, min: usize, max: usize, seed: u64, alarm: Alarm, places: Places) -> Self {
        Self {
            role,
            min,
            max,
            limit: max,
            probe_at: NEVER,
            probe_delay: PROBE_LEAST,
            closed: false,
            places,
            slots: Vec::with_capacity(max.min(64)),
            free: Vec::with_capacity(max.min(64)),
            counts: [0; PHASES],
            failures: 0,
            retry_at: 0,
            last_error: None,
            stuck: 0,
            tally: Tally::default(),
            alarm,
            patrols: 0,
            patrol_at: NEVER,
            rng: seed,
        }
    }

    pub(crate) fn size(&self) -> usize {
        self.counts.iter().sum()
    }

    pub(crate) fn count(&self, kind: usize) -> usize {
        self.counts[kind]
    }

    /// Connections that exist and are not on their way out.
    pub(crate) fn staying(&self) -> usize {
        self.size() - self.counts[CLOSING]
    }

    pub(crate) fn standing(&self, waiting: usize, in_use: usize) -> Standing {
        Standing { size: self.size(), limit: self.limit, in_use, opening: self.counts[OPENING], waiting }
    }

    pub(crate) fn reserve(&mut self, now: Tick) -> SlotId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, content: None });
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let slot = &mut self.slots[index as usize];
        slot.content = Some((Phase::Opening, now));
        self.counts[OPENING] += 1;
        SlotId { index, generation: slot.generation }
    }

    pub(crate) fn phase(&self, id: SlotId) -> Option<&Phase> {
        let slot = self.slots.get(id.index as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        slot.content.as_ref().map(|(phase, _)| phase)
    }

    /// Moves a slot on and gives the phase it was in; `None` when the slot is another's by now.
    pub(crate) fn enter(&mut self, id: SlotId, phase: Phase, now: Tick) -> Option<(Phase, Tick)> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        let content = slot.content.as_mut()?;
        self.counts[content.0.kind()] -= 1;
        self.counts[phase.kind()] += 1;
        Some(std::mem::replace(content, (phase, now)))
    }

    /// Frees a slot and gives the phase it was in; `None` when it is another's by now.
    pub(crate) fn release(&mut self, id: SlotId) -> Option<Phase> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        let (phase, _) = slot.content.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.counts[phase.kind()] -= 1;
        self.free.push(id.index);
        Some(phase)
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = (SlotId, &Phase, Tick)> {
        self.slots.iter().zip(0u32..).filter_map(|(slot, index)| {
            let (phase, since) = slot.content.as_ref()?;
            Some((SlotId { index, generation: slot.generation }, phase, *since))
        })
    }

    /// How many connections to open now, with `waiting` in line. Steps begun before `trusted` are
    /// not counted on.
    pub(crate) fn wanted(&self, waiting: usize, trusted: Option<Tick>, now: Tick) -> usize {
        if self.closed || now < self.retry_at {
            return 0;
        }
        let coming = match trusted {
            None => self.counts[OPENING] + self.counts[CHECKING] + self.counts[RESETTING],
            Some(trusted) => {
                let soon = |phase: &Phase, since| {
                    matches!(phase, Phase::Checking | Phase::Resetting) && since >= trusted
                };
                self.counts[OPENING] + self.live().filter(|&(_, phase, since)| soon(phase, since)).count()
            }
        };
        let for_waiters = waiting.saturating_sub(coming);
        let for_min = self.min.min(self.limit).saturating_sub(self.staying());
        let room = self.limit.saturating_sub(self.size());
        // After a failure one attempt at a time finds out whether the server is back.
        let room =
            if self.failures > 0 { room.min(1usize.saturating_sub(self.counts[OPENING])) } else { room };
        for_waiters.max(for_min).min(room)
    }

    /// Sends a connection to its end.
    pub(crate) fn close<C>(
        &mut self,
        entry: Entry<C>,
        cause: CloseCause,
        bounds: Option<Bounds>,
        now: Tick,
        todo: &mut Todo<C>,
    ) {
        self.start(entry, Phase::Closing(cause), bounds, now, todo);
    }

    /// Hands a connection to the drivers for the step that `phase` names.
    pub(crate) fn start<C>(
        &mut self,
        entry: Entry<C>,
        phase: Phase,
        bounds: Option<Bounds>,
        now: Tick,
        todo: &mut Todo<C>,
    ) {
        if let Some(bounds) = bounds {
            self.alarm_at(now.saturating_add(bounds.check), todo);
        }
        let step = match &phase {
            Phase::Checking => Step::Check(entry),
            Phase::Resetting => Step::Reset(entry),
            Phase::Closing(_) => Step::Close(entry),
            Phase::Opening | Phase::Serving => {
                unreachable!("only steps on an open connection start here")
            }
        };
        let (Step::Check(entry) | Step::Reset(entry) | Step::Close(entry)) = &step else { return };
        self.enter(entry.meta.slot, phase, now);
        todo.steps.push(step);
    }

    /// Starts opening `n` connections.
    pub(crate) fn open<C>(&mut self, n: usize, bounds: Option<Bounds>, now: Tick, todo: &mut Todo<C>) {
        for _ in 0..n {
            let slot = self.reserve(now);
            todo.steps.push(Step::Open(slot));
        }
        if let (Some(bounds), true) = (bounds, n > 0) {
            self.alarm_at(now.saturating_add(bounds.connect), todo);
        }
    }

    /// Makes the keeper look at `at` at the latest.
    pub(crate) fn alarm_at<C>(&mut self, at: Tick, todo: &mut Todo<C>) {
        todo.ring |= self.alarm.lower(at);
    }

    /// The server refused a connection: hold the size down and try again later.
    pub(crate) fn refused<C>(&mut self, now: Tick, todo: &mut Todo<C>) {
        self.tally.refusals += 1;
        let was_probe = self.limit < self.max;
        self.limit = self.staying().clamp(1, self.max);
        self.probe_delay = if was_probe { (self.probe_delay * 2).min(PROBE_MOST) } else { PROBE_LEAST };
        self.probe_at = now.saturating_add(span(self.probe_delay));
        self.alarm_at(self.probe_at, todo);
    }

    /// Lets the size grow by one again, to see whether the server takes it.
    pub(crate) fn probe<C>(&mut self, now: Tick, todo: &mut Todo<C>) {
        if self.probe_at <= now {
            self.limit = (self.limit + 1).min(self.max);
            self.probe_at =
                if self.limit < self.max { now.saturating_add(span(self.probe_delay)) } else { NEVER };
            self.alarm_at(self.probe_at, todo);
        }
    }

    /// The delay before the next connect attempt.
    pub(crate) fn backoff(&mut self) -> Duration {
        let exponent = self.failures.saturating_sub(1).min(16);
        let full = (BACKOFF_LEAST * 2u32.pow(exponent)).min(BACKOFF_MOST);
        full.mul_f64(1.0 - 0.5 * self.random())
    }

    /// When a connection opened now is too old; the spread is drawn once.
    pub(crate) fn expiry(&mut self, config: &Config, now: Tick) -> Tick {
        let spread = 1.0 + config.jitter * (2.0 * self.random() - 1.0);
        // Too long to count in seconds is for ever.
        let seconds = config.max_lifetime.as_secs_f64() * spread;
        Duration::try_from_secs_f64(seconds).map_or(NEVER, |life| now.saturating_add(span(life)))
    }

    /// Uniform in [0, 1).
    fn random(&mut self) -> f64 {
        self.rng = self.rng.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.rng;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // 53 bits fit a double exactly.
        (z >> 11) as f64 / (1u64 << 53) as f64
    }
}

const BACKOFF_LEAST: Duration = Duration::from_millis(10);
const BACKOFF_MOST: Duration = Duration::from_secs(1);
pub(crate) const PROBE_LEAST: Duration = Duration::from_secs(1);
const PROBE_MOST: Duration = Duration::from_secs(60);
