//! The explorer: every schedule of a client under sequential consistency.
//!
//! loom prunes schedules that its memory model makes equal, which is right for orderings and wrong for progress: it
//! accepts a livelock. Here nothing is pruned but states that have been seen.

mod crew;
mod refute;
mod search;
mod world;

pub use self::refute::Refutation;
use self::{
    crew::Crew,
    search::Search,
    world::{Stop, World},
};
use super::{
    step::{Driver, Driving, Kind, Site, driver},
    verdict::{Limits, Proof, Verdict},
};
use std::{any::Any, cell::RefCell, fmt, rc::Rc, sync::Arc};

/// Whom a blocked operation may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holders {
    pub(crate) owners: bool,
    pub(crate) latches: bool,
}

impl Holders {
    /// Threads inside [`holding`](crate::holding).
    pub const OWNERS: Self = Self { owners: true, latches: false };
    /// Threads inside a section of a [`Latch`](crate::Latch): bounded, without user code.
    pub const LATCHES: Self = Self { owners: false, latches: true };
    /// Both.
    pub const OWNERS_AND_LATCHES: Self = Self { owners: true, latches: true };
}

/// What a search is to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Assertions hold and not everybody is stuck.
    Safe,
    LockFree,
    WaitFree,
    Waits(Holders),
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safe => "safety",
            Self::LockFree => "lock-freedom",
            Self::WaitFree => "wait-freedom",
            Self::Waits(Holders { owners: true, latches: false }) => "waiting for owners only",
            Self::Waits(Holders { owners: false, .. }) => "waiting for latch sections only",
            Self::Waits(_) => "waiting for owners and latch sections only",
        })
    }
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Short accesses only: no user code and no switch inside.
fn with<R>(f: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with_borrow_mut(|world| f(world.as_mut().expect("an exploration is under way")))
}

/// Explores `client` and judges `claim`.
pub(crate) fn explore(claim: Claim, limits: Limits, client: &Arc<dyn Fn() + Send + Sync>) -> Verdict {
    assert_eq!(driver(), Driver::None, "a model inside a model");
    let _driving = Driving::by(Driver::Explorer);
    let mut crew = Crew::default();
    WORLD.set(Some(World::new(Search::new(claim, limits))));
    let verdict = loop {
        let main = client.clone();
        with(|w| w.begin(Box::new(move || main())));
        while let Some(next) = with(|w| w.next) {
            crew.resume(next);
        }
        let (stop, search) = with(|w| (w.stop.take(), w.search.exhausted()));
        match stop {
            Some(Stop::Refuted(refutation)) => {
                crew.abandon();
                break Verdict::Refuted(refutation);
            }
            Some(Stop::Unfinished(why)) => {
                crew.abandon();
                break with(|w| Verdict::Unfinished {
                    why,
                    proof: proof(&w.search),
                    resume: w.search.position(),
                });
            }
            None => {}
        }
        if !with(|w| w.search.advance()) {
            break with(|w| Verdict::Proved(proof(&w.search)));
        }
        if let Some(why) = search {
            break with(|w| Verdict::Unfinished {
                why,
                proof: proof(&w.search),
                resume: w.search.position(),
            });
        }
    };
    WORLD.set(None);
    verdict
}

fn proof(search: &Search) -> Proof {
    Proof {
        executions: search.totals.executions,
        states: search.states(),
        steps: search.totals.steps,
        own_steps: search
            .totals
            .operations
            .iter()
            .map(|(name, steps)| ((*name).to_owned(), *steps))
            .collect(),
    }
}

/// A place in memory that the explorer knows.
#[derive(Debug)]
pub(crate) struct Place(u64);

impl Place {
    /// A place that holds `value`; one made outside of an exploration is nobody's.
    pub(crate) fn new(value: impl FnOnce() -> u64) -> Self {
        if driver() != Driver::Explorer {
            return Self(0);
        }
        let value = value();
        Self(with(|w| w.place(value)))
    }

    pub(crate) fn is_tracked(&self) -> bool {
        self.0 != 0 && driver() == Driver::Explorer
    }

    /// It is no more.
    pub(crate) fn forget(&self, value: u64) {
        if self.is_tracked() {
            with(|w| w.forget(self.0, value));
        }
    }

    pub(crate) fn changed(&self, old: u64, new: u64) {
        with(|w| w.changed(self.0, old, new));
    }
}

/// Asks who goes on, and waits until it is this thread.
fn yield_before(kind: Kind, site: Site, place: u64, unchanged: Option<u64>) {
    // Unwinding is not preempted: the other threads of the model would seem to panic too.
    if std::thread::panicking() {
        return;
    }
    let stays = with(|w| w.announce(world::Pending { kind, site, place, unchanged }));
    if !stays {
        crew::switch();
    }
}

/// A step on `place` that other threads can tell: waits for its turn, then runs `perform`, which returns its result
/// and the bits that it saw.
pub(crate) fn step<R>(kind: Kind, site: Site, place: &Place, perform: impl FnOnce() -> (R, u64)) -> R {
    yield_before(kind, site, place.0, None);
    let (result, observed) = perform();
    with(|w| w.took(kind, site, observed));
    result
}

/// A step that only its own thread can tell.
pub(crate) fn own_step(kind: Kind, site: Site) {
    with(|w| w.took(kind, site, 0));
}

/// Whether a weak compare-exchange fails although it need not.
pub(crate) fn fails_spuriously() -> bool {
    !std::thread::panicking() && with(World::fails_spuriously)
}

/// A spin hint: a thread that has seen nothing new waits for a change.
pub(crate) fn spin(site: Site) {
    let unchanged = with(World::spins);
    yield_before(Kind::Spin, site, 0, unchanged);
    with(|w| w.took(Kind::Spin, site, 0));
}

pub(crate) fn lock(site: Site, place: &Place) {
    yield_before(Kind::Lock, site, place.0, None);
    with(|w| {
        w.lock(place.0);
        let content = w.content(place.0);
        w.took(Kind::Lock, site, content);
    });
}

pub(crate) fn unlock(site: Site, place: &Place, written: bool) {
    if !std::thread::panicking() {
        yield_before(Kind::Unlock, site, place.0, None);
    }
    with(|w| {
        w.took(Kind::Unlock, site, 0);
        if written {
            w.overwrite(place.0);
        }
        w.unlock(place.0);
    });
}

pub(crate) fn cell(kind: Kind, site: Site, place: &Place) {
    with(|w| {
        let content = w.content(place.0);
        w.took(kind, site, content);
        if kind == Kind::CellWrite {
            w.overwrite(place.0);
        }
    });
}

pub(crate) fn pointer(address: usize) -> u64 {
    if driver() == Driver::Explorer { with(|w| w.pointer(address)) } else { 0 }
}

/// Starts a thread of the model.
pub(crate) fn spawn(site: Site, job: impl FnOnce() + 'static) -> usize {
    with(|w| {
        let thread = w.spawn(Box::new(job));
        w.took(Kind::Spawn, site, thread as u64);
        thread
    })
}

pub(crate) fn join(site: Site, thread: usize) {
    yield_before(Kind::Join, site, thread as u64, None);
    with(|w| {
        let history = w.history_of(thread);
        debug_assert!(std::thread::panicking() || w.is_finished(thread));
        w.took(Kind::Join, site, history);
    });
}

pub(crate) fn current() -> usize {
    with(|w| w.current)
}

/// Where the park token of a thread lies.
fn token(thread: usize) -> u64 {
    u64::MAX - thread as u64
}

pub(crate) fn park(site: Site) {
    let place = token(current());
    yield_before(Kind::Park, site, place, None);
    with(|w| {
        w.set_content(place, 0);
        w.took(Kind::Park, site, 0);
    });
}

pub(crate) fn unpark(site: Site, thread: usize) {
    let place = token(thread);
    yield_before(Kind::Unpark, site, place, None);
    with(|w| {
        w.set_content(place, 1);
        w.took(Kind::Unpark, site, 0);
    });
}

pub(crate) fn hold(by: i32) {
    with(|w| w.hold(by));
}

pub(crate) fn enter(operation: &'static str) {
    with(|w| w.enter(operation));
}

pub(crate) fn leave() {
    with(World::leave);
}

pub(crate) fn local(key: usize) -> Option<Rc<dyn Any>> {
    with(|w| w.local(key))
}

pub(crate) fn put_local(key: usize, value: Rc<dyn Any>) {
    with(|w| w.put_local(key, value));
}
