//! How a node is chosen among those that may be.

mod capability;
mod least;
mod p2c;
mod rotate;

pub use capability::CapabilityBased;
pub use least::LeastLoaded;
pub use p2c::{PeakEwma, PowerOfTwo};
pub use rotate::{RoundRobin, SmoothWeighted};

use crate::{
    Need, Node, NodeId,
    draw::Draw,
    roster::{Entry, Group},
};
use ropewalk_prove::sync::atomic::{AtomicI64, AtomicUsize};
use std::{fmt, time::Duration};

/// Chooses a node for a request.
///
/// It sees the nodes that share what the request needs and says the index of one for which
/// [`Candidates::get`] gives something. It runs without any lock, on the caller's thread, at the same
/// time as others. Whatever it answers, the balancer only takes nodes that may be taken; `None` leaves
/// the choice to the balancer. When it panics, the pick panics and nothing else happens.
///
/// ```
/// use ropewalk_balance::{Balancer, Candidates, Draw, Need, Node, Strategy};
///
/// #[derive(Debug)]
/// struct Heaviest;
/// impl Strategy for Heaviest {
///     fn choose(&self, candidates: &Candidates<'_>, _: &mut Draw) -> Option<usize> {
///         candidates.iter().max_by_key(|(_, c)| c.node().nominal_weight()).map(|(at, _)| at)
///     }
/// }
///
/// let nodes = Balancer::builder().strategy(Heaviest).build()?;
/// nodes.insert(Node::new("small"))?;
/// nodes.insert(Node::new("large").weight(4))?;
/// assert_eq!(nodes.pick(Need::any())?.node().address(), "large");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Strategy: Send + Sync + fmt::Debug + 'static {
    /// The index of the chosen node.
    fn choose(&self, candidates: &Candidates<'_>, draw: &mut Draw) -> Option<usize>;

    /// How fast the measured latency and error share of nodes are forgotten: to 1/e in this time. Not 0.
    fn decay(&self) -> Duration {
        Duration::from_secs(10)
    }
}

impl Strategy for Box<dyn Strategy> {
    fn choose(&self, candidates: &Candidates<'_>, draw: &mut Draw) -> Option<usize> {
        (**self).choose(candidates, draw)
    }

    fn decay(&self) -> Duration {
        (**self).decay()
    }
}

/// The nodes a [`Strategy`] chooses among, numbered from 0. Some may be out of the question: then
/// [`get`](Self::get) gives `None` for their number.
#[derive(Clone, Debug)]
pub struct Candidates<'a> {
    pub(crate) group: &'a Group,
    pub(crate) need: &'a Need,
    /// Whether the need's capabilities must be looked at, because the group promises less.
    pub(crate) check_need: bool,
    /// Whether nodes to avoid are left out.
    pub(crate) avoid: bool,
    /// Whether sick nodes count too, because too few are well.
    pub(crate) fail_open: bool,
    pub(crate) now: u64,
    pub(crate) slow_start: u64,
    pub(crate) decay: Duration,
    /// Of a narrowed view: each number's number in the view before, and its place in the group.
    pub(crate) only: Option<Vec<(usize, usize)>>,
}

/// One node that may be chosen.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    entry: &'a Entry,
    now: u64,
    slow_start: u64,
    decay: Duration,
}

/// Tries at random before a search from a random place.
const DRAWS: usize = 8;

impl<'a> Candidates<'a> {
    /// How many numbers there are, including those out of the question.
    pub fn len(&self) -> usize {
        self.only.as_ref().map_or(self.group.roster.len(), Vec::len)
    }

    /// Whether there is no number at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The node of a number, if it may be chosen now: it meets the need, takes requests, has room.
    pub fn get(&self, at: usize) -> Option<Candidate<'a>> {
        let entry = self.group.roster.get(self.place(at)?)?;
        self.admits(entry).then_some(Candidate {
            entry,
            now: self.now,
            slow_start: self.slow_start,
            decay: self.decay,
        })
    }

    /// All that may be chosen now, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Candidate<'a>)> + '_ {
        (0..self.len()).filter_map(|at| Some((at, self.get(at)?)))
    }

    /// One of those that may be chosen, at random. When nearly all are out of the question, those that
    /// follow a longer gap are likelier.
    pub fn draw(&self, draw: &mut Draw) -> Option<(usize, Candidate<'a>)> {
        let len = self.len();
        if len == 0 {
            return None;
        }
        for _ in 0..DRAWS {
            let at = draw.below(len);
            if let Some(candidate) = self.get(at) {
                return Some((at, candidate));
            }
        }
        self.next(draw.below(len))
    }

    /// The first that may be chosen from the number `at` on, around the end to the one before.
    pub fn next(&self, at: usize) -> Option<(usize, Candidate<'a>)> {
        let len = self.len();
        (0..len).map(|i| (at % len + i) % len).find_map(|at| Some((at, self.get(at)?)))
    }

    /// Those of them that `keep` keeps, numbered anew, for an inner strategy. [`origin`](Self::origin)
    /// leads back.
    #[must_use]
    pub fn narrowed(&self, mut keep: impl FnMut(&Candidate<'a>) -> bool) -> Self {
        let only =
            self.iter().filter(|(_, c)| keep(c)).filter_map(|(at, _)| Some((at, self.place(at)?))).collect();
        Self { only: Some(only), ..self.clone() }
    }

    /// The number that a node of this narrowed view has in the view it was narrowed from.
    pub fn origin(&self, at: usize) -> Option<usize> {
        match &self.only {
            None => Some(at),
            Some(only) => only.get(at).map(|&(origin, _)| origin),
        }
    }

    /// Where a rotation over nodes of this need stands: one word for strategies to use as they like. It
    /// outlives changes of the registry.
    pub fn cursor(&self) -> &'a AtomicUsize {
        &self.group.tally.cursor
    }

    fn place(&self, at: usize) -> Option<usize> {
        match &self.only {
            None => Some(at),
            Some(only) => only.get(at).map(|&(_, place)| place),
        }
    }

    pub(crate) fn admits(&self, entry: &Entry) -> bool {
        let shared = &entry.shared;
        (shared.is_up() || (self.fail_open && !shared.is_leaving()))
            && shared.has_room()
            && (!self.check_need || self.need.is_met_by(&entry.node))
            && !(self.avoid && self.need.avoids(entry.id))
    }
}

impl<'a> Candidate<'a> {
    /// Its name.
    pub fn id(&self) -> NodeId {
        self.entry.id
    }

    /// The node itself.
    pub fn node(&self) -> &'a Node {
        &self.entry.node
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> u32 {
        self.entry.shared.in_flight()
    }

    /// How far it has come since it last came up, with a slow start: from 0.1 to 1.
    pub fn warmth(&self) -> f64 {
        let up = self.now.saturating_sub(self.entry.shared.up_since());
        if up >= self.slow_start { 1.0 } else { (up as f64 / self.slow_start as f64).max(0.1) }
    }

    /// Its weight times its warmth.
    pub fn weight(&self) -> f64 {
        f64::from(self.entry.node.nominal_weight()) * self.warmth()
    }

    /// The request in hand and those in flight, for each unit of weight; infinite at weight 0.
    pub fn load(&self) -> f64 {
        (f64::from(self.in_flight()) + 1.0) / self.weight()
    }

    /// Its peak-sensitive average latency in nanoseconds, faded until now; `None` before its first answer.
    pub fn latency_nanos(&self) -> Option<f64> {
        self.entry.shared.faded(self.now, self.decay).0
    }

    /// The share of its requests that failed or were rejected of late, faded until now.
    pub fn error_rate(&self) -> f64 {
        self.entry.shared.faded(self.now, self.decay).1
    }

    /// A word of this node for strategies to use as they like; 0 at first.
    pub fn scratch(&self) -> &'a AtomicI64 {
        &self.entry.shared.scratch
    }
}
