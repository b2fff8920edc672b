//! What a refutation tells.

use super::{Claim, crew::message};
use crate::modelled::step::{Kind, Site};
use std::{any::Any, fmt};

/// One step that was taken.
#[derive(Clone, Copy)]
pub(crate) struct Event {
    pub(crate) thread: usize,
    pub(crate) kind: Kind,
    pub(crate) site: Site,
    pub(crate) observed: u64,
}

impl Event {
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        self.thread == other.thread && self.kind == other.kind && self.site == other.site
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} at {}", Name(self.thread), self.kind, self.site)?;
        if matches!(self.kind, Kind::Load | Kind::Rmw | Kind::CompareExchange) {
            write!(f, " sees {}", self.observed)?;
        }
        Ok(())
    }
}

/// Where a thread stands.
#[derive(Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) thread: usize,
    /// The step it is about to take, its first being 1.
    pub(crate) step: u64,
    pub(crate) operation: Option<&'static str>,
    pub(crate) before: Option<(Kind, Site)>,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} before its step {}", Name(self.thread), self.step)?;
        if let Some((kind, site)) = self.before {
            write!(f, " ({kind} at {site})")?;
        }
        if let Some(operation) = self.operation {
            write!(f, " in `{operation}`")?;
        }
        Ok(())
    }
}

struct Name(usize);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("main") } else { write!(f, "thread {}", self.0) }
    }
}

pub(crate) enum Why {
    /// Somebody waits for whom the claim does not excuse.
    Waits,
    /// All who are left wait.
    Deadlock,
    /// Steps without end in which no operation is completed.
    Endless { pattern: Vec<Event> },
    /// The client panicked.
    Panic { message: String },
    /// Under loom, with one thread suspended.
    Stalled { message: String },
}

/// An execution in which a claim does not hold: who is suspended where, who cannot finish, and the schedule
/// that leads there.
pub struct Refutation {
    pub(crate) claim: Claim,
    pub(crate) why: Why,
    pub(crate) victims: Vec<Standing>,
    pub(crate) stuck: Vec<Standing>,
    pub(crate) schedule: Vec<usize>,
    pub(crate) trace: Vec<Event>,
}

impl Refutation {
    /// A client that fails under loom with nobody suspended.
    pub(crate) fn failed(payload: &(dyn Any + Send)) -> Self {
        Self::outside(Why::Panic { message: message(payload) }, Vec::new())
    }

    /// One that fails under loom while `thread` is suspended.
    pub(crate) fn stalled(thread: usize, step: u64, at: Option<Site>, payload: &(dyn Any + Send)) -> Self {
        let before = at.map(|site| (Kind::Step, site));
        let victim = Standing { thread, step, operation: None, before };
        Self::outside(Why::Stalled { message: message(payload) }, vec![victim])
    }

    fn outside(why: Why, victims: Vec<Standing>) -> Self {
        Self {
            claim: Claim::LockFree,
            why,
            victims,
            stuck: Vec::new(),
            schedule: Vec::new(),
            trace: Vec::new(),
        }
    }

    /// One line about it.
    #[must_use]
    pub fn summary(&self) -> String {
        self.to_string().lines().next().unwrap_or_default().to_owned()
    }

    /// The choices that lead there, for [`Explorer::replay`](crate::Explorer::replay).
    pub fn schedule(&self) -> &[usize] {
        &self.schedule
    }

    /// The steps that were taken, one line each.
    pub fn trace(&self) -> Vec<String> {
        self.trace.iter().map(ToString::to_string).collect()
    }

    /// Whether threads keep each other from finishing, all of them moving and nobody suspended.
    pub fn is_livelock(&self) -> bool {
        matches!(self.why, Why::Endless { .. }) && self.victims.is_empty()
    }

    /// The places in the code, as `file:line:column`, before which the suspended threads stand.
    pub fn victims(&self) -> Vec<String> {
        self.victims.iter().filter_map(|v| v.before).map(|(_, site)| site.to_string()).collect()
    }

    /// The places in the code where those stand who cannot finish.
    pub fn stuck(&self) -> Vec<String> {
        self.stuck.iter().filter_map(|s| s.before).map(|(_, site)| site.to_string()).collect()
    }
}

fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            f.write_str(if at + 1 == items.len() { " and " } else { ", " })?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

impl fmt::Display for Refutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is refuted: ", self.claim)?;
        match &self.why {
            Why::Panic { message } => {
                list(f, &self.stuck)?;
                write!(f, " panicked: {message}")?;
            }
            Why::Stalled { message } => {
                f.write_str("the others cannot finish while suspended: ")?;
                list(f, &self.victims)?;
                let line = message.lines().next().unwrap_or_default();
                return write!(f, " (loom: {line})");
            }
            Why::Deadlock => {
                f.write_str("nobody can go on: ")?;
                list(f, &self.stuck)?;
            }
            Why::Waits => {
                list(f, &self.stuck)?;
                f.write_str(" cannot go on while suspended: ")?;
                list(f, &self.victims)?;
            }
            Why::Endless { pattern } => {
                list(f, &self.stuck)?;
                if self.victims.is_empty() {
                    f.write_str(" keep each other from finishing")?;
                } else {
                    f.write_str(" cannot finish while suspended: ")?;
                    list(f, &self.victims)?;
                }
                write!(f, "; these {} steps repeat:", pattern.len())?;
                for event in pattern {
                    write!(f, "\n    {event}")?;
                }
            }
        }
        write!(f, "\n  the way there, {} steps; the last:", self.trace.len())?;
        for event in self.trace.iter().rev().take(24).rev() {
            write!(f, "\n    {event}")?;
        }
        write!(f, "\n  replay: {:?}", self.schedule)
    }
}

impl fmt::Debug for Refutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
