//! What is asked for, and by whom.

use crate::{ResourcePool, pool::Inner};
use std::{borrow::Borrow, fmt, sync::Arc};

/// Who holds and asks: an agent, a worker, a job.
///
/// An owner is taken to be one line of work: while one of its requests waits, it is not expected to
/// release anything. What it holds exclusively it may ask for again.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(pub(crate) Arc<str>);

impl Owner {
    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<S: Into<Arc<str>>> From<S> for Owner {
    fn from(name: S) -> Self {
        Self(name.into())
    }
}

impl From<&Owner> for Owner {
    fn from(owner: &Owner) -> Self {
        owner.clone()
    }
}

impl Borrow<str> for Owner {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Owner {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// How a resource is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Mode {
    /// With others who share it.
    Shared,
    /// Alone.
    Exclusive,
    /// So many of its units.
    Units(u64),
}

impl Mode {
    /// Whether holding it so keeps another from holding it so, or may.
    pub(crate) fn conflicts(self, other: Self) -> bool {
        (self, other) != (Self::Shared, Self::Shared)
    }
}

/// A set of resources to be had all at once.
///
/// The order in which they are named means nothing. A name given both exclusively and shared is
/// exclusive; units of one name add up, and 0 of them ask for nothing. An empty request is served at once.
///
/// ```
/// use ropewalk_resources::Request;
///
/// let request = Request::new().exclusive("src/lib.rs").shared("Cargo.toml").units("model-slot", 2);
/// assert_eq!(request.names().collect::<Vec<_>>(), ["src/lib.rs", "Cargo.toml", "model-slot"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    wants: Vec<(Arc<str>, Mode)>,
    priority: u8,
}

impl Request {
    /// A request for nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// This one alone. Names are made by asking for them.
    #[must_use]
    pub fn exclusive(self, name: impl Into<Arc<str>>) -> Self {
        self.with(name.into(), Mode::Exclusive)
    }

    /// This one together with others who share it.
    #[must_use]
    pub fn shared(self, name: impl Into<Arc<str>>) -> Self {
        self.with(name.into(), Mode::Shared)
    }

    /// So many units of a counted resource, which must be
    /// [defined](crate::ResourcePool::define).
    #[must_use]
    pub fn units(self, name: impl Into<Arc<str>>, units: u64) -> Self {
        self.with(name.into(), Mode::Units(units))
    }

    /// Of those in line who could be served, higher ones are served first; 0 by default. The bound on
    /// overtaking holds all the same.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.wants.is_empty()
    }

    /// The names asked for.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.wants.iter().map(|(name, _)| &**name)
    }

    /// The names and how they are wanted.
    pub fn wants(&self) -> impl ExactSizeIterator<Item = (&str, Mode)> {
        self.wants.iter().map(|(name, mode)| (&**name, *mode))
    }

    pub(crate) fn shared_wants(&self) -> &[(Arc<str>, Mode)] {
        &self.wants
    }

    pub(crate) fn rank(&self) -> u8 {
        self.priority
    }

    fn with(mut self, name: Arc<str>, mode: Mode) -> Self {
        let before = self.wants.iter_mut().find(|(n, m)| {
            // Units and locks of one name contradict each other; both stay, and the pool says so.
            *n == name && matches!(m, Mode::Units(_)) == matches!(mode, Mode::Units(_))
        });
        match (before, mode) {
            (Some((_, Mode::Units(units))), Mode::Units(more)) => *units = units.saturating_add(more),
            (Some((_, held)), mode) if mode == Mode::Exclusive => *held = mode,
            (Some(_), _) | (None, Mode::Units(0)) => {}
            (None, mode) => self.wants.push((name, mode)),
        }
        self
    }
}

/// A request whose names have been resolved by [`ResourcePool::prepare`](crate::ResourcePool::prepare).
/// Clones share it. While it lives, the names it uses stay known to the pool.
#[derive(Clone)]
pub struct Prepared(pub(crate) Arc<PreparedInner>);

pub(crate) struct PreparedInner {
    pub(crate) pool: Arc<Inner>,
    pub(crate) items: Arc<[Item]>,
    pub(crate) priority: u8,
}

impl Prepared {
    pub(crate) fn pool(&self) -> ResourcePool {
        ResourcePool(self.0.pool.clone())
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("resources", &self.0.items.len()).finish_non_exhaustive()
    }
}

impl Drop for PreparedInner {
    fn drop(&mut self) {
        self.pool.unpin(&self.items);
    }
}

/// A resolved want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) slot: usize,
    pub(crate) mode: Mode,
}

/// What [`ResourcePool::acquire`](crate::ResourcePool::acquire) and its sisters take: a [`Request`] or a
/// [`Prepared`] one, by value or by reference.
pub trait Ask: sealed::Sealed {
    #[doc(hidden)]
    fn into_asked(self) -> Asked;
}

/// A request in either form.
#[doc(hidden)]
#[derive(Debug)]
pub enum Asked {
    #[doc(hidden)]
    Names(Request),
    #[doc(hidden)]
    Resolved(Prepared),
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Request {}
    impl Sealed for &super::Request {}
    impl Sealed for super::Prepared {}
    impl Sealed for &super::Prepared {}
}

impl Ask for Request {
    fn into_asked(self) -> Asked {
        Asked::Names(self)
    }
}

impl Ask for &Request {
    fn into_asked(self) -> Asked {
        Asked::Names(self.clone())
    }
}

impl Ask for Prepared {
    fn into_asked(self) -> Asked {
        Asked::Resolved(self)
    }
}

impl Ask for &Prepared {
    fn into_asked(self) -> Asked {
        Asked::Resolved(self.clone())
    }
}
