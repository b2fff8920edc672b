//! The pool as its users see it.

use crate::{
    builder::{Builder, checked_size},
    conn::{Conn, Lease},
    error::{CloseError, GetError, ResizeError, TryGetError},
    get::acquire,
    holder::Owner,
    manager::{Async, AsyncManager, Managed, Manager, Role},
    shared::Shared,
    state::{Party, Todo},
    stats::{CloseCause, PoolStats},
    tick::NEVER,
    waits::Waits,
};
use ropewalk_sync::Background;
use std::{fmt, ops::RangeInclusive, panic::Location, sync::Arc, time::Duration};

/// A pool of connections. Clones share it; the last one to drop closes it.
///
/// The pool starts a thread, its keeper, unless it is given a [spawner](Builder::spawner), and
/// threads for blocking work as they are needed; they end when they are idle for long and when the
/// pool closes.
///
/// Threads (`get_blocking`) and tasks (`get().await`) stand in one line, strictly first come, first
/// served. A connection that is given back goes straight to the head of the line.
pub struct Pool<M: Managed> {
    pub(crate) handle: Arc<Handle<M>>,
    pub(crate) owner: Option<Arc<Owner>>,
}

/// What all clones of a pool share; its drop is the pool's end.
pub(crate) struct Handle<M: Managed> {
    pub(crate) shared: Arc<Shared<M>>,
    #[expect(dead_code, reason = "stops the keeper on drop")]
    pub(crate) keeper: Background,
}

impl<M: Managed> Drop for Handle<M> {
    fn drop(&mut self) {
        let woken = self.shared.begin_close();
        self.shared.exec.workers.stop();
        woken.go_on();
    }
}

impl<M: Manager> Pool<M> {
    /// Starts to set up a pool.
    pub fn builder(manager: M) -> Builder<M> {
        Builder::new(manager)
    }

    /// Takes a connection and runs `work` with it on one of the pool's own threads.
    ///
    /// # Errors
    ///
    /// See [`get`](Self::get).
    ///
    /// # Cancel safety
    ///
    /// As of [`get`](Self::get) before the work has begun, as of [`Conn::run`] after.
    #[track_caller]
    pub fn run<R, F>(
        &self,
        work: F,
    ) -> impl Future<Output = Result<R, GetError<M::Error>>> + Send + use<M, R, F>
    where
        R: Send + 'static,
        F: FnOnce(&mut M::Conn) -> R + Send + 'static,
    {
        let get = self.get();
        async move { Ok(get.await?.run(work).await) }
    }
}

impl<M: AsyncManager> Pool<Async<M>> {
    /// Starts to set up a pool over an async manager. It needs a [spawner](Builder::spawner).
    pub fn builder_async(manager: M) -> Builder<Async<M>> {
        Builder::new(Async(manager))
    }
}

impl<M: Managed> Pool<M> {
    /// Takes a connection, waiting for one up to the pool's acquire timeout.
    ///
    /// With a manager that has a writer this is a reader.
    ///
    /// # Errors
    ///
    /// [`GetError`], which says why.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line; a connection it had been handed passes on. Opening and
    /// checking go on for the next in line.
    #[track_caller]
    pub fn get(&self) -> impl Future<Output = Result<Conn<M>, GetError<M::Error>>> + Send + use<M> {
        self.request(Role::Any, self.handle.shared.config.acquire_timeout)
    }

    /// [`get`](Self::get) with a timeout of its own.
    ///
    /// # Errors
    ///
    /// See [`get`](Self::get).
    #[track_caller]
    pub fn get_timeout(
        &self,
        timeout: Duration,
    ) -> impl Future<Output = Result<Conn<M>, GetError<M::Error>>> + Send + use<M> {
        self.request(Role::Any, timeout)
    }

    /// [`get`](Self::get) for a thread, which parks. On the only thread of a current-thread runtime
    /// it would stop the runtime; for an async manager that is an error where the pool can tell (feature
    /// `postgres`).
    ///
    /// # Errors
    ///
    /// See [`get`](Self::get).
    #[track_caller]
    pub fn get_blocking(&self) -> Result<Conn<M>, GetError<M::Error>> {
        self.request_blocking(Role::Any, self.handle.shared.config.acquire_timeout)
    }

    /// [`get_blocking`](Self::get_blocking) with a timeout of its own.
    ///
    /// # Errors
    ///
    /// See [`get`](Self::get).
    #[track_caller]
    pub fn get_blocking_timeout(&self, timeout: Duration) -> Result<Conn<M>, GetError<M::Error>> {
        self.request_blocking(Role::Any, timeout)
    }

    /// Takes a connection if one is idle and nobody waits. If there is none, the pool may open one for
    /// a later call.
    ///
    /// # Errors
    ///
    /// [`TryGetError`], which says why.
    #[track_caller]
    pub fn try_get(&self) -> Result<Conn<M>, TryGetError> {
        self.try_request(Role::Any)
    }

    /// Takes the writer; where the manager has none, any connection.
    ///
    /// # Errors
    ///
    /// See [`get`](Self::get).
    ///
    /// # Cancel safety
    ///
    /// As of [`get`](Self::get).
    #[track_caller]
    pub fn get_writer(&self) -> impl Future<Output = Result<Conn<M>, GetError<M::Error>>> + Send + use<M> {
        self.request(Role::Writer, self.handle.shared.config.acquire_timeout)
    }

    /// [`get_writer`](Self::get_writer) with a timeout of its own.
    ///
    /// # Errors
    ///
    /// See [`get`](Self::get).
    #[track_caller]
    pub fn get_writer_timeout(
        &self,
        timeout: Duration,
    ) -> impl Future<Output = Result<Conn<M>, GetError<M::Error>>> + Send + use<M> {
        self.request(Role::Writer, timeout)
    }

    /// [`get_writer`](Self::get_writer) for a thread.
    ///
    /// # Errors
    ///
    /// See [`get`](Self::get).
    #[track_caller]
    pub fn get_writer_blocking(&self) -> Result<Conn<M>, GetError<M::Error>> {
        self.request_blocking(Role::Writer, self.handle.shared.config.acquire_timeout)
    }

    /// [`get_writer_blocking`](Self::get_writer_blocking) with a timeout of its own.
    ///
    /// # Errors
    ///
    /// See [`get`](Self::get).
    #[track_caller]
    pub fn get_writer_blocking_timeout(&self, timeout: Duration) -> Result<Conn<M>, GetError<M::Error>> {
        self.request_blocking(Role::Writer, timeout)
    }

    /// Takes the writer if it is idle and nobody waits for it.
    ///
    /// # Errors
    ///
    /// [`TryGetError`], which says why.
    #[track_caller]
    pub fn try_get_writer(&self) -> Result<Conn<M>, TryGetError> {
        self.try_request(Role::Writer)
    }

    /// The same pool, whose callers carry the name `owner` in reports: [`waits`](Self::waits), leaks.
    pub fn owner(&self, owner: impl Into<Arc<str>>) -> Self {
        let owner = self.handle.shared.owners.name(owner.into());
        Self { handle: self.handle.clone(), owner: Some(owner) }
    }

    /// The pool's name.
    pub fn name(&self) -> &str {
        &self.handle.shared.config.name
    }

    /// The manager.
    pub fn manager(&self) -> &M {
        &self.handle.shared.manager
    }

    /// Changes the least and the most connections. Idle ones beyond the new maximum are closed now,
    /// those in use when they come back; the writer of a manager that has one counts.
    ///
    /// # Errors
    ///
    /// [`ResizeError`]; nothing has changed then.
    pub fn resize(&self, size: RangeInclusive<usize>) -> Result<(), ResizeError> {
        let (min, max) = checked_size(&size)?;
        let shared = &self.handle.shared;
        let (min, max) = match (shared.manager.has_writer(), shared.lanes.len()) {
            (false, _) => (min, max),
            (true, 1) if max == 1 => (min, max),
            (true, 1) => return Err(ResizeError::OneForBoth),
            (true, _) if max < 2 => return Err(ResizeError::NeedsReader),
            (true, _) => (min.saturating_sub(1), max - 1),
        };
        let now = shared.now();
        let mut todo = Todo::default();
        let mut q = shared.lanes[0].lock();
        if q.closed {
            return Err(ResizeError::Closed);
        }
        (q.min, q.max, q.limit, q.probe_at) = (min, max, max, NEVER);
        let mut idle = q.lift();
        while q.staying() > q.max {
            let Some(entry) = idle.pop() else { break };
            q.close(entry, CloseCause::Resized, shared.bounds(), now, &mut todo);
        }
        q.lay(idle);
        shared.restock(&mut q, now, &mut todo);
        // A lower minimum may let idle ones go.
        todo.ring = true;
        drop(q);
        shared.exec.workers.cap_at_least(max + shared.lanes.len() - 1);
        shared.run(0, todo);
        Ok(())
    }

    /// Shows each idle connection to `keep` and closes those it does not keep; tells how many. Those
    /// in use are not visited. `keep` runs on this thread, outside every lock, with one connection at
    /// a time taken out; if it panics, the connection in its hands goes back.
    #[track_caller]
    pub fn retain(&self, mut keep: impl FnMut(&mut M::Conn, ConnInfo) -> bool) -> usize {
        let shared = &self.handle.shared;
        let location = Location::caller();
        let mut closed = 0;
        for lane in 0..shared.lanes.len() {
            let mut q = shared.lanes[lane].lock();
            let idle = q.lift();
            let slots: Vec<_> = idle.iter().rev().map(|entry| entry.meta.slot).collect();
            q.lay(idle);
            drop(q);
            for slot in slots {
                let now = shared.now();
                let mut q = shared.lanes[lane].lock();
                let mut idle = q.lift();
                let at = idle.iter().position(|entry| entry.meta.slot == slot);
                let entry = at.map(|at| idle.remove(at));
                q.lay(idle);
                let role = q.role;
                drop(q);
                let Some(entry) = entry else { continue };
                let holder = shared.lanes[lane].holder(&entry);
                holder.set(now, location, self.owner.as_deref());
                holder.excuse();
                let meta = entry.meta;
                let mut lease = Lease::new(shared.clone(), lane, entry, self.owner.clone());
                let info = ConnInfo {
                    role,
                    age: Duration::from_nanos(now.saturating_sub(meta.opened)),
                    idle: Duration::from_nanos(now.saturating_sub(meta.idle_since)),
                    uses: meta.uses,
                };
                if !keep(&mut lease.entry_mut().conn, info) {
                    lease.fate = Some(CloseCause::NotRetained);
                    closed += 1;
                }
            }
        }
        closed
    }

    /// Closes the pool: callers in line are sent away, idle connections closed now and those in use
    /// when they come back. Waits until all are gone, up to the pool's close timeout.
    ///
    /// # Errors
    ///
    /// [`CloseError`] when some are still out then. The pool is closed all the same.
    ///
    /// # Cancel safety
    ///
    /// The pool closes even if the future is dropped after its first poll.
    pub async fn close(&self) -> Result<(), CloseError> {
        self.close_timeout(self.handle.shared.config.close_timeout).await
    }

    /// [`close`](Self::close) with a timeout of its own.
    ///
    /// # Errors
    ///
    /// See [`close`](Self::close).
    pub async fn close_timeout(&self, timeout: Duration) -> Result<(), CloseError> {
        let shared = &self.handle.shared;
        shared.begin_close().go_on();
        shared.exec.clock.timeout(timeout, shared.drained.wait()).await.map_err(|_elapsed| {
            let stats = shared.stats(None);
            CloseError { in_use: stats.in_use, busy: stats.size - stats.in_use, waited: timeout }
        })
    }

    /// [`close`](Self::close) for a thread.
    ///
    /// # Errors
    ///
    /// See [`close`](Self::close).
    pub fn close_blocking(&self) -> Result<(), CloseError> {
        self.handle.shared.exec.clock.block_on(self.close())
    }

    /// [`close_blocking`](Self::close_blocking) with a timeout of its own.
    ///
    /// # Errors
    ///
    /// See [`close`](Self::close).
    pub fn close_blocking_timeout(&self, timeout: Duration) -> Result<(), CloseError> {
        self.handle.shared.exec.clock.block_on(self.close_timeout(timeout))
    }

    /// Whether the pool has been closed.
    pub fn is_closed(&self) -> bool {
        self.handle.shared.lanes[0].lock().closed
    }

    /// How the pool stands and what it has done.
    pub fn stats(&self) -> PoolStats {
        self.handle.shared.stats(None)
    }

    /// The figures of the connections of one role; the histograms are those of the whole pool.
    pub fn stats_of(&self, role: Role) -> PoolStats {
        self.handle.shared.stats(Some(role))
    }

    /// Who waits and who holds.
    pub fn waits(&self) -> Waits {
        self.handle.shared.waits()
    }

    #[track_caller]
    fn request(
        &self,
        role: Role,
        limit: Duration,
    ) -> impl Future<Output = Result<Conn<M>, GetError<M::Error>>> + Send + use<M> {
        acquire(self.clone(), role, limit, Location::caller())
    }

    #[track_caller]
    fn request_blocking(&self, role: Role, limit: Duration) -> Result<Conn<M>, GetError<M::Error>> {
        let get = self.request(role, limit);
        // A blocking manager's drivers are threads of their own and need no runtime.
        #[cfg(feature = "postgres")]
        if let (true, Ok(runtime)) = (M::ASYNC, tokio::runtime::Handle::try_current()) {
            if runtime.runtime_flavor() == tokio::runtime::RuntimeFlavor::CurrentThread {
                return self.try_request(role).map_err(|error| match error {
                    TryGetError::Closed => GetError::Closed,
                    TryGetError::Busy | TryGetError::Checking => GetError::InsideRuntime,
                });
            }
        }
        self.handle.shared.exec.clock.block_on(get)
    }

    #[track_caller]
    fn try_request(&self, role: Role) -> Result<Conn<M>, TryGetError> {
        let shared = &self.handle.shared;
        let (owner, location) = (self.owner.clone(), Location::caller());
        let party = Party { owner, location, since: shared.now(), deadline: NEVER };
        shared.try_enter(shared.lane_of(role), party).map(Conn::new)
    }
}

impl<M: Managed> Clone for Pool<M> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), owner: self.owner.clone() }
    }
}

impl<M: Managed> fmt::Debug for Pool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.stats();
        f.debug_struct("Pool")
            .field("name", &self.name())
            .field("size", &stats.size)
            .field("in_use", &stats.in_use)
            .field("waiting", &stats.waiting)
            .finish_non_exhaustive()
    }
}

/// What [`Pool::retain`] is told of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnInfo {
    /// What it is.
    pub role: Role,
    /// Since it was opened.
    pub age: Duration,
    /// Since it was given back.
    pub idle: Duration,
    /// How often it was given back.
    pub uses: u64,
}
