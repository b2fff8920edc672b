//! Who is in the team, who is busy, who takes the next task.

use crate::{
    agent::{Agent, Shared},
    error::{BuildError, RemoveAgentError},
    mailbox::{Mailbox, Overflow},
};
use ropewalk_measure::Counter;
use ropewalk_sync::Clock;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) struct Roster {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    by_name: HashMap<Arc<str>, usize>,
    /// Under each role and each name.
    by_role: HashMap<Arc<str>, Vec<usize>>,
    /// How many were hired for a role, to name the next.
    hired: HashMap<Arc<str>, usize>,
    pub(crate) busy: Usage,
    max_busy: usize,
    /// Places lent out, at all agents.
    lent: usize,
    pub(crate) capacity: usize,
    mailbox: usize,
    overflow: Overflow,
    clock: Clock,
}

pub(crate) struct Slot {
    pub(crate) shared: Arc<Shared>,
    pub(crate) roles: Vec<Arc<str>>,
    pub(crate) capacity: usize,
    /// How many of its tasks wait for resources on the way, and have lent their places out.
    lent: usize,
    /// Hired for want of anybody, not added by the user.
    pub(crate) hired: bool,
    pub(crate) running: Usage,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
}

/// A level over time.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) level: usize,
    since: Instant,
    /// The area under the level so far, in seconds.
    area: f64,
    /// How long the level was above 0.
    busy: Duration,
}

/// A place at an agent, taken.
pub(crate) struct Place {
    pub(crate) index: usize,
    pub(crate) agent: Arc<Shared>,
}

/// Who could take a task.
#[derive(Clone, Copy)]
pub(super) enum Pick {
    Agent(usize),
    Hire,
}

impl Usage {
    pub(crate) fn new(now: Instant) -> Self {
        Self { level: 0, since: now, area: 0.0, busy: Duration::ZERO }
    }

    fn set(&mut self, level: usize, now: Instant) {
        *self = Self { level, since: now, area: self.area_at(now), busy: self.busy_at(now) };
    }

    pub(crate) fn add(&mut self, now: Instant) {
        self.set(self.level + 1, now);
    }

    pub(crate) fn sub(&mut self, now: Instant) {
        self.set(self.level - 1, now);
    }

    pub(crate) fn area_at(&self, now: Instant) -> f64 {
        self.area + now.saturating_duration_since(self.since).as_secs_f64() * self.level as f64
    }

    pub(crate) fn busy_at(&self, now: Instant) -> Duration {
        let more = if self.level > 0 { now.saturating_duration_since(self.since) } else { Duration::ZERO };
        self.busy.saturating_add(more)
    }
}

impl Roster {
    pub(crate) fn new(
        max_busy: usize,
        capacity: usize,
        mailbox: usize,
        overflow: Overflow,
        clock: Clock,
    ) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_name: HashMap::new(),
            by_role: HashMap::new(),
            hired: HashMap::new(),
            busy: Usage::new(clock.now()),
            max_busy,
            lent: 0,
            capacity,
            mailbox,
            overflow,
            clock,
        }
    }

    pub(crate) fn add(&mut self, agent: Agent, hired: bool) -> Result<usize, BuildError> {
        if self.by_name.contains_key(&agent.name) {
            return Err(BuildError::DuplicateAgent { name: agent.name });
        }
        let capacity = agent.capacity.unwrap_or(self.capacity);
        let mailbox = agent.mailbox.unwrap_or(self.mailbox);
        for (what, number) in [("an agent's capacity", capacity), ("the size of a mailbox", mailbox)] {
            if number == 0 {
                return Err(BuildError::Zero { what });
            }
        }
        let shared = Arc::new(Shared {
            name: agent.name.clone(),
            mailbox: Mailbox::with(mailbox, self.overflow, self.clock.clone()),
            sent: Counter::new(),
            received: Counter::new(),
            dropped: Counter::new(),
        });
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        for key in agent.roles.iter().chain([&agent.name]) {
            let members = self.by_role.entry(key.clone()).or_default();
            if !members.contains(&index) {
                members.push(index);
            }
        }
        self.by_name.insert(agent.name, index);
        self.slots[index] = Some(Slot {
            shared,
            roles: agent.roles,
            capacity,
            lent: 0,
            hired,
            running: Usage::new(self.clock.now()),
            completed: 0,
            failed: 0,
        });
        Ok(index)
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<Arc<Shared>, RemoveAgentError> {
        let unknown = || RemoveAgentError::Unknown { name: Arc::from(name) };
        let index = *self.by_name.get(name).ok_or_else(unknown)?;
        let slot = self.slots[index].as_ref().ok_or_else(unknown)?;
        if slot.running.level > 0 {
            return Err(RemoveAgentError::Busy { name: Arc::from(name), running: slot.running.level });
        }
        let slot = self.slots[index].take().ok_or_else(unknown)?;
        self.by_name.remove(name);
        for key in slot.roles.iter().chain([&slot.shared.name]) {
            if let Some(members) = self.by_role.get_mut(key) {
                members.retain(|&member| member != index);
            }
        }
        self.free.push(index);
        Ok(slot.shared)
    }

    pub(super) fn max_busy(&self) -> usize {
        self.max_busy
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Shared>> {
        self.by_name.get(name).and_then(|&index| self.slots[index].as_ref()).map(|slot| &slot.shared)
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().flatten()
    }

    /// All agents, or those of a role.
    pub(crate) fn members(&self, role: Option<&str>) -> Vec<Arc<Shared>> {
        match role {
            None => self.slots().map(|slot| slot.shared.clone()).collect(),
            Some(role) => {
                let members = self.by_role.get(role).map_or(&[][..], Vec::as_slice);
                members
                    .iter()
                    .filter_map(|&at| self.slots[at].as_ref())
                    .map(|slot| slot.shared.clone())
                    .collect()
            }
        }
    }

    /// Who could take a task that asks for `wanted`. While fewer than the limit are busy: an idle agent
    /// who fits, or one hired for it if nobody was added who ever could. Else the least busy who fits.
    pub(super) fn pick(&self, wanted: Option<&Arc<str>>) -> Option<Pick> {
        let may_wake = self.busy.level < self.max_busy.saturating_add(self.lent);
        let (best, added) = match wanted {
            Some(role) => {
                let members = self.by_role.get(role).map_or(&[][..], Vec::as_slice);
                self.least_busy(members.iter().copied(), may_wake)
            }
            None => self.least_busy(0..self.slots.len(), may_wake),
        };
        // A role that was filled on purpose is not filled up with strangers.
        let may_hire = may_wake && (wanted.is_none() || !added);
        match best {
            Some((0, index)) => Some(Pick::Agent(index)),
            _ if may_hire => Some(Pick::Hire),
            other => other.map(|(_, index)| Pick::Agent(index)),
        }
    }

    /// The least busy of `members` with room, after how much it runs, and whether one of them was added
    /// by the user.
    fn least_busy(
        &self,
        members: impl Iterator<Item = usize>,
        may_wake: bool,
    ) -> (Option<(usize, usize)>, bool) {
        let (mut best, mut added): (Option<(usize, usize)>, _) = (None, false);
        for index in members {
            let Some(slot) = &self.slots[index] else { continue };
            added |= !slot.hired;
            let level = slot.running.level;
            let room = level < slot.capacity.saturating_add(slot.lent);
            if room && (level > 0 || may_wake) && best.is_none_or(|(least, _)| level < least) {
                best = Some((level, index));
                if level == 0 {
                    // Nobody is less busy; whether others were added matters only without a best.
                    break;
                }
            }
        }
        (best, added)
    }

    /// Takes a place; tells whether the agent is new.
    pub(super) fn occupy(
        &mut self,
        pick: Pick,
        wanted: Option<&Arc<str>>,
        now: Instant,
    ) -> Option<(Place, bool)> {
        let (index, new) = match pick {
            Pick::Agent(index) => (index, false),
            Pick::Hire => (self.hire(wanted)?, true),
        };
        let slot = self.slots[index].as_mut()?;
        if slot.running.level == 0 {
            self.busy.add(now);
        }
        slot.running.add(now);
        Some((Place { index, agent: slot.shared.clone() }, new))
    }

    /// A task of this agent waits for resources on the way: its place, and if need be the right to be
    /// busy, goes to another meanwhile. Coming back needs no waiting.
    pub(super) fn lend(&mut self, name: &str) {
        self.lent += 1;
        if let Some(slot) = self.by_name.get(name).and_then(|&index| self.slots[index].as_mut()) {
            slot.lent += 1;
        }
    }

    pub(super) fn take_back(&mut self, name: &str) {
        self.lent -= 1;
        if let Some(slot) = self.by_name.get(name).and_then(|&index| self.slots[index].as_mut()) {
            slot.lent -= 1;
        }
    }

    pub(super) fn lent(&self) -> usize {
        self.lent
    }

    fn hire(&mut self, wanted: Option<&Arc<str>>) -> Option<usize> {
        let role = wanted.cloned().unwrap_or_else(|| Arc::from("agent"));
        loop {
            let number = self.hired.entry(role.clone()).or_default();
            *number += 1;
            let agent = Agent::new(format!("{role}-{number}")).role(role.clone());
            match self.add(agent, true) {
                Ok(index) => return Some(index),
                // Somebody has that name already; the next is free some time.
                Err(BuildError::DuplicateAgent { .. }) => {}
                Err(_) => return None,
            }
        }
    }

    pub(super) fn vacate(&mut self, place: &Place, completed: Option<bool>, now: Instant) {
        // A busy agent cannot be removed, so the slot is the one that was occupied.
        let Some(slot) = self.slots[place.index].as_mut() else { return };
        slot.running.sub(now);
        if slot.running.level == 0 {
            self.busy.sub(now);
        }
        match completed {
            Some(true) => slot.completed += 1,
            Some(false) => slot.failed += 1,
            None => {}
        }
    }
}
