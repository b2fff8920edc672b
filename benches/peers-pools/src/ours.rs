//! Our own entries.

use std::time::Duration;

use frame::{
    SIZE, Setup, TaskPool, ThreadPool,
    connections::{Never, Nothing},
    sets::SetLocks,
};
use ropewalk_connections::{Async, AsyncManager, Builder, Conn, Managed, Manager, Pool};
use ropewalk_resources::{Owner, Prepared, Request, ResourcePool};
use ropewalk_sync::Tokio;
use tokio::task::yield_now;

/// Opens nothing; its check awaits once where the checkout has one.
pub(crate) struct Nowhere;

impl AsyncManager for Nowhere {
    type Conn = Nothing;
    type Error = Never;

    async fn connect(&self) -> Result<Nothing, Never> {
        Ok(Nothing::open())
    }

    async fn check(&self, _: &mut Nothing) -> Result<(), Never> {
        yield_now().await;
        Ok(())
    }
}

pub(crate) struct BlockingNowhere;

impl Manager for BlockingNowhere {
    type Conn = Nothing;
    type Error = Never;

    fn connect(&self) -> Result<Nothing, Never> {
        Ok(Nothing::open())
    }

    fn check(&self, _: &mut Nothing) -> Result<(), Never> {
        Ok(())
    }
}

fn set_up<M: Managed>(builder: Builder<M>, setup: Setup) -> Pool<M> {
    let builder = builder.size(SIZE..=SIZE);
    let builder = match setup {
        Setup::Bare | Setup::Checked => builder
            .acquire_timeout(Duration::MAX)
            .idle_timeout(Duration::MAX)
            .max_lifetime(Duration::MAX)
            .check_every(Duration::MAX)
            .check_after(if setup == Setup::Checked { Duration::ZERO } else { Duration::MAX }),
        // The defaults have timeouts, lifetime and the check of connections that lay idle for long.
        Setup::Configured => builder.leak_after(Duration::from_secs(60)).on_leak(|held| {
            std::hint::black_box(held);
        }),
    };
    builder.build().expect("the settings are valid")
}

pub(crate) struct Tasks(Pool<Async<Nowhere>>);

impl TaskPool for Tasks {
    type Conn = Conn<Async<Nowhere>>;

    async fn build(setup: Setup) -> Self {
        Self(set_up(Pool::builder_async(Nowhere).spawner(Tokio::current()), setup))
    }

    async fn get(&'static self) -> Self::Conn {
        self.0.get().await.expect("the pool is open")
    }
}

pub(crate) struct Threads(Pool<BlockingNowhere>);

impl ThreadPool for Threads {
    type Conn = Conn<BlockingNowhere>;

    fn build(setup: Setup) -> Self {
        Self(set_up(Pool::builder(BlockingNowhere), setup))
    }

    fn get(&'static self) -> Self::Conn {
        self.0.get_blocking().expect("the pool is open")
    }

    fn try_get(&'static self) -> Option<Self::Conn> {
        self.0.try_get().ok()
    }
}

/// Prepared requests, as a caller that asks again and again makes them.
pub(crate) struct Resources(ResourcePool);

impl SetLocks for Resources {
    type Set = (Owner, Prepared);

    fn build(_: usize) -> Self {
        Self(ResourcePool::new())
    }

    fn prepare(&self, thread: usize, resources: &[usize]) -> Self::Set {
        let request =
            resources.iter().fold(Request::new(), |request, one| request.exclusive(one.to_string()));
        let prepared = self.0.prepare(request).expect("the request can be served");
        (Owner::from(format!("thread-{thread}")), prepared)
    }

    fn with(&self, (owner, prepared): &Self::Set, hold: impl FnOnce()) {
        let lease = self.0.acquire_blocking(owner, prepared).expect("nobody refuses");
        hold();
        drop(lease);
    }
}
