//! A normal build checks no claim: each client runs once, with real threads.

/// Runs `f` once. In a model build: every execution under the C11 memory model.
pub fn model(f: impl Fn() + Send + Sync + 'static) {
    f();
}

/// Runs `client` once. In a model build: proves that it is lock-free.
pub fn lock_free(client: impl Fn() + Send + Sync + 'static) {
    client();
}

/// Runs `client` once. In a model build: proves that its threads wait for `holders` only.
pub fn waits_only_for(_: Holders, client: impl Fn() + Send + Sync + 'static) {
    client();
}

/// Runs each client once. In a model build: proves that `operation` is wait-free at this size.
pub fn wait_free<C: Fn() + Send + Sync + 'static>(_: &str, client: impl Fn(usize) -> C) {
    (1..=4).for_each(|interfering| client(interfering)());
}

/// Whom a blocked operation may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holders(());

impl Holders {
    /// Threads inside [`holding`].
    pub const OWNERS: Self = Self(());
    /// Threads inside a section of a [`Latch`](crate::Latch): bounded, without user code.
    pub const LATCHES: Self = Self(());
    /// Both.
    pub const OWNERS_AND_LATCHES: Self = Self(());
}

/// The caller owns something that others may wait for, until this drops.
#[derive(Debug)]
#[must_use]
pub struct Holding(());

/// From here on the caller owns something that others may wait for.
pub fn holding() -> Holding {
    Holding(())
}

/// Runs `f`. In a model build it is an operation with a name: its steps are counted, and its end is progress.
#[inline]
pub fn operation<R>(_: &'static str, f: impl FnOnce() -> R) -> R {
    f()
}
