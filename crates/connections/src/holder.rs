//! Who holds which connection, for reports: kept beside the connection's place, so that taking one needs no latch.

use crate::{
    raw::whence::Whence,
    state::Party,
    tick::{NEVER, Tick},
};
use std::{
    collections::HashMap,
    panic::Location,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

/// Who holds the connection of a place. A reader may see it change; a report is a look in passing.
#[derive(Debug, Default)]
pub(crate) struct Holder {
    /// A tick plus 1; 0 for nobody.
    since: AtomicU64,
    location: Whence<Location<'static>>,
    /// 0 for one without a name.
    owner: AtomicU32,
    is_reported: AtomicBool,
}

impl Holder {
    pub(crate) fn set(&self, since: Tick, location: &'static Location<'static>, owner: Option<&Owner>) {
        self.location.set(location);
        self.owner.store(owner.map_or(0, |owner| owner.id), Ordering::Relaxed);
        self.is_reported.store(false, Ordering::Relaxed);
        // Release: pairs with the Acquire in `look`.
        self.since.store(since.saturating_add(1), Ordering::Release);
    }

    /// Nobody any more; gives since when it was held.
    pub(crate) fn clear(&self) -> Option<Tick> {
        let since = self.since.load(Ordering::Relaxed).checked_sub(1);
        self.since.store(0, Ordering::Relaxed);
        since
    }

    pub(crate) fn since(&self) -> Option<Tick> {
        // Acquire: pairs with the Release in `set`.
        self.since.load(Ordering::Acquire).checked_sub(1)
    }

    /// Not to be reported as a leak.
    pub(crate) fn excuse(&self) {
        self.is_reported.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_reported(&self) -> bool {
        self.is_reported.load(Ordering::Relaxed)
    }

    pub(crate) fn look(&self, owners: &Owners) -> Option<Party> {
        let since = self.since()?;
        let location = self.location.get()?;
        let owner = owners.of(self.owner.load(Ordering::Relaxed));
        Some(Party { owner, location, since, deadline: NEVER })
    }
}

/// A name that holders carry, shared by the pool handles and connections that have it.
#[derive(Debug)]
pub(crate) struct Owner {
    id: u32,
    pub(crate) name: Arc<str>,
    owners: Arc<Owners>,
}

/// The names in use, by number.
#[derive(Debug, Default)]
pub(crate) struct Owners(Mutex<Named>);

#[derive(Debug, Default)]
struct Named {
    last: u32,
    by_id: HashMap<u32, std::sync::Weak<Owner>>,
}

impl Owners {
    pub(crate) fn name(self: &Arc<Self>, name: Arc<str>) -> Arc<Owner> {
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            named.last = named.last.wrapping_add(1);
            if named.last != 0 && !named.by_id.contains_key(&named.last) {
                break;
            }
        }
        let id = named.last;
        let owner = Arc::new(Owner { id, name, owners: self.clone() });
        named.by_id.insert(id, Arc::downgrade(&owner));
        owner
    }

    fn of(&self, id: u32) -> Option<Arc<Owner>> {
        let named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        named.by_id.get(&id)?.upgrade()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.owners.0.lock().unwrap_or_else(PoisonError::into_inner).by_id.remove(&self.id);
    }
}
