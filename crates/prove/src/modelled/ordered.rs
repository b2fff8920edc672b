//! What happens at a step under loom: its ordering is recorded or weakened, and a stalled thread stops.

use super::{stall, step::Site};
use std::{
    cell::RefCell,
    collections::BTreeSet,
    fmt,
    sync::{OnceLock, atomic::Ordering},
};

/// Which ordering of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    Load,
    Store,
    Rmw,
    CasOk,
    CasErr,
    Fence,
}

impl Slot {
    const ALL: [Self; 6] = [Self::Load, Self::Store, Self::Rmw, Self::CasOk, Self::CasErr, Self::Fence];

    fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Store => "store",
            Self::Rmw => "rmw",
            Self::CasOk => "cas-ok",
            Self::CasErr => "cas-err",
            Self::Fence => "fence",
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One ordering to replace, named by the environment: `file:line:column|slot|ordering`, the ordering `none` for a
/// fence that is left out.
struct Mutant {
    file: String,
    line: u32,
    column: u32,
    slot: Slot,
    to: Option<Ordering>,
}

impl Mutant {
    /// `None` when the text is not one.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('|');
        let (site, slot, to) = (parts.next()?, parts.next()?, parts.next()?);
        let mut ends = site.rsplitn(3, ':');
        let (column, line, file) = (ends.next()?, ends.next()?, ends.next()?);
        let to = match to {
            "none" => None,
            "Relaxed" => Some(Ordering::Relaxed),
            "Acquire" => Some(Ordering::Acquire),
            "Release" => Some(Ordering::Release),
            "AcqRel" => Some(Ordering::AcqRel),
            "SeqCst" => Some(Ordering::SeqCst),
            _ => return None,
        };
        Some(Self {
            file: file.to_owned(),
            line: line.parse().ok()?,
            column: column.parse().ok()?,
            slot: Slot::ALL.into_iter().find(|s| s.name() == slot)?,
            to,
        })
    }

    fn is_at(&self, site: Site, slot: Slot) -> bool {
        self.line == site.line()
            && self.column == site.column()
            && self.slot == slot
            && self.file == site.file()
    }
}

fn mutant() -> Option<&'static Mutant> {
    static MUTANT: OnceLock<Option<Mutant>> = OnceLock::new();
    let read = || {
        let text = std::env::var("ROPEWALK_MUTANT").ok()?;
        Some(
            Mutant::parse(&text)
                .unwrap_or_else(|| panic!("ROPEWALK_MUTANT is not `site|slot|ordering`: {text}")),
        )
    };
    MUTANT.get_or_init(read).as_ref()
}

/// A site, one of its orderings, and that ordering's name.
type Seen = (&'static str, u32, u32, Slot, &'static str);

thread_local! {
    static SEEN: RefCell<Option<BTreeSet<Seen>>> = const { RefCell::new(None) };
}

/// Begins to record the sites that run.
pub(crate) fn record() {
    SEEN.set(Some(BTreeSet::new()));
}

/// The sites that ran since, as `(site, slot, ordering)`.
pub(crate) fn recorded() -> Vec<(String, &'static str, &'static str)> {
    let seen = SEEN.take().unwrap_or_default();
    seen.into_iter()
        .map(|(file, line, column, slot, ordering)| {
            (format!("{file}:{line}:{column}"), slot.name(), ordering)
        })
        .collect()
}

fn name(ordering: Ordering) -> &'static str {
    match ordering {
        Ordering::Relaxed => "Relaxed",
        Ordering::Acquire => "Acquire",
        Ordering::Release => "Release",
        Ordering::AcqRel => "AcqRel",
        _ => "SeqCst",
    }
}

fn look(site: Site, slot: Slot, ordering: Ordering) -> Option<Ordering> {
    SEEN.with_borrow_mut(|seen| {
        if let Some(seen) = seen {
            seen.insert((site.file(), site.line(), site.column(), slot, name(ordering)));
        }
    });
    match mutant() {
        Some(mutant) if mutant.is_at(site, slot) => mutant.to,
        _ => Some(ordering),
    }
}

/// A step with one ordering.
pub(crate) fn step(site: Site, slot: Slot, ordering: Ordering) -> Ordering {
    stall::step(site);
    look(site, slot, ordering).unwrap_or(Ordering::Relaxed)
}

/// A compare-exchange.
pub(crate) fn exchange(site: Site, success: Ordering, failure: Ordering) -> (Ordering, Ordering) {
    stall::step(site);
    (
        look(site, Slot::CasOk, success).unwrap_or(Ordering::Relaxed),
        look(site, Slot::CasErr, failure).unwrap_or(Ordering::Relaxed),
    )
}

/// A fence, unless it is left out.
pub(crate) fn fence(site: Site, ordering: Ordering) -> Option<Ordering> {
    stall::step(site);
    // loom has no relaxed fence.
    look(site, Slot::Fence, ordering).filter(|&ordering| ordering != Ordering::Relaxed)
}
