//! A connection in a caller's hands.

use crate::{
    holder::Owner,
    manager::{Managed, Manager},
    shared::Shared,
    state::Entry,
    stats::CloseCause,
};
use ropewalk_sync::{Receiver, oneshot};
use std::{
    fmt,
    ops::{Deref, DerefMut},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    time::Duration,
};

/// A connection on loan. It derefs to the manager's connection and gives itself back on drop, from
/// any thread, with or without a runtime.
///
/// A connection that the manager calls broken, or that is too old, is closed by the pool's drivers
/// instead; one that needs a reset is reset by them before anybody else gets it.
#[must_use = "a connection that is dropped at once was taken for nothing"]
pub struct Conn<M: Managed> {
    lease: Option<Lease<M>>,
    /// Where the connection comes back from work that went on without its future.
    away: Option<Receiver<Lease<M>>>,
}

impl<M: Managed> Conn<M> {
    pub(crate) fn new(lease: Lease<M>) -> Self {
        Self { lease: Some(lease), away: None }
    }

    /// Takes the connection out of the pool for good; the pool may open another in its place.
    ///
    /// # Panics
    ///
    /// See [`deref`](Self#impl-Deref-for-Conn<M>).
    pub fn detach(mut self) -> M::Conn {
        self.here();
        let Some(mut lease) = self.lease.take() else { unreachable!("just looked") };
        let Some(entry) = lease.entry.take() else { unreachable!("a lease has its entry until it ends") };
        lease.shared.detach(lease.lane, entry)
    }

    /// Gives the connection back to be closed, for one that the caller knows to be spoilt.
    pub fn discard(mut self) {
        if let Some(lease) = &mut self.lease {
            lease.fate = Some(CloseCause::Discarded);
        }
    }

    /// How often the connection has been given back, and how long ago it was opened.
    ///
    /// # Panics
    ///
    /// See [`deref`](Self#impl-Deref-for-Conn<M>).
    pub fn history(&self) -> (u64, Duration) {
        let lease = self.here();
        let entry = lease.entry();
        (entry.meta.uses, Duration::from_nanos(lease.shared.now().saturating_sub(entry.meta.opened)))
    }

    fn here(&self) -> &Lease<M> {
        self.lease.as_ref().expect(AWAY)
    }
}

const AWAY: &str =
    "the connection is still at work: a `run` future was dropped before its end; the next `run` waits for it";

impl<M: Manager> Conn<M> {
    /// Runs `work` on one of the pool's own threads, so that the calling task does not block.
    ///
    /// ```
    /// # use ropewalk_connections::{Manager, Pool};
    /// # struct Numbers;
    /// # impl Manager for Numbers {
    /// #     type Conn = u64;
    /// #     type Error = std::io::Error;
    /// #     fn connect(&self) -> Result<u64, std::io::Error> { Ok(6) }
    /// #     fn check(&self, _: &mut u64) -> Result<(), std::io::Error> { Ok(()) }
    /// # }
    /// # let pool = Pool::builder(Numbers).size(1..=1).build()?;
    /// # ropewalk_sync::block_on(async {
    /// let mut conn = pool.get().await?;
    /// assert_eq!(conn.run(|six| *six * 7).await, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// A panic in `work` goes on in the caller; the connection is closed when it is given back.
    ///
    /// # Cancel safety
    ///
    /// The connection travels with the work. Dropping the future lets the work go on to its end and
    /// drops its result; the connection comes back here, or to the pool if this guard is gone.
    pub async fn run<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut M::Conn) -> R + Send + 'static,
    ) -> R {
        let mut lease = match (self.lease.take(), &mut self.away) {
            (Some(lease), _) => lease,
            (None, Some(away)) => match away.await {
                Ok(lease) => lease,
                Err(_canceled) => unreachable!("work always sends its connection back"),
            },
            (None, None) => unreachable!("a connection is here or away"),
        };
        let workers = lease.shared.exec.workers.clone();
        let (back, away) = oneshot();
        let (answer, result) = oneshot();
        self.away = Some(away);
        workers.submit(Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(|| work(&mut lease.entry_mut().conn)));
            if result.is_err() {
                lease.fate = Some(CloseCause::Panicked);
            }
            // The connection first: who has the answer has the connection too. A guard that is gone
            // gives it back by the drop of what `send` returns.
            drop(back.send(lease));
            drop(answer.send(result));
        }));
        let result = result.await;
        if let Some(Ok(Some(lease))) = self.away.as_mut().map(Receiver::try_recv) {
            (self.lease, self.away) = (Some(lease), None);
        }
        match result {
            Ok(Ok(value)) => value,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_canceled) => unreachable!("work always sends its answer"),
        }
    }
}

/// # Panics
///
/// After a [`run`](Conn::run) future was dropped before its end, until the next `run`: the connection
/// is at work still.
impl<M: Managed> Deref for Conn<M> {
    type Target = M::Conn;
    fn deref(&self) -> &M::Conn {
        &self.here().entry().conn
    }
}

impl<M: Managed> DerefMut for Conn<M> {
    fn deref_mut(&mut self) -> &mut M::Conn {
        &mut self.lease.as_mut().expect(AWAY).entry_mut().conn
    }
}

impl<M: Managed> fmt::Debug for Conn<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("away", &self.lease.is_none()).finish_non_exhaustive()
    }
}

/// The right to a connection, which ends by giving it back.
pub(crate) struct Lease<M: Managed> {
    pub(crate) shared: Arc<Shared<M>>,
    pub(crate) lane: usize,
    pub(crate) entry: Option<Entry<M::Conn>>,
    pub(crate) fate: Option<CloseCause>,
    /// Reports name it for as long as the connection is held.
    #[expect(dead_code, reason = "kept alive for reports")]
    owner: Option<Arc<Owner>>,
}

impl<M: Managed> Lease<M> {
    pub(crate) fn new(
        shared: Arc<Shared<M>>,
        lane: usize,
        entry: Entry<M::Conn>,
        owner: Option<Arc<Owner>>,
    ) -> Self {
        Self { shared, lane, entry: Some(entry), fate: None, owner }
    }

    fn entry(&self) -> &Entry<M::Conn> {
        self.entry.as_ref().expect("a lease has its entry until it ends")
    }

    pub(crate) fn entry_mut(&mut self) -> &mut Entry<M::Conn> {
        self.entry.as_mut().expect("a lease has its entry until it ends")
    }
}

impl<M: Managed> Drop for Lease<M> {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.shared.give_back(self.lane, entry, self.fate);
        }
    }
}
