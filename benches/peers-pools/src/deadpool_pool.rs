//! deadpool.

use std::time::Duration;

use deadpool::{
    Runtime,
    managed::{Hook, Manager, Metrics, Object, Pool, RecycleResult, Timeouts},
};
use frame::{
    SIZE, Setup, TaskPool,
    connections::{Never, Nothing},
};
use tokio::task::yield_now;

#[derive(Debug)]
pub(crate) struct Nowhere {
    awaits: bool,
}

impl Manager for Nowhere {
    type Type = Nothing;
    type Error = Never;

    async fn create(&self) -> Result<Nothing, Never> {
        Ok(Nothing::open())
    }

    async fn recycle(&self, _: &mut Nothing, _: &Metrics) -> RecycleResult<Never> {
        if self.awaits {
            yield_now().await;
        }
        Ok(())
    }
}

pub(crate) struct Deadpool(Pool<Nowhere>);

impl TaskPool for Deadpool {
    type Conn = Object<Nowhere>;

    async fn build(setup: Setup) -> Self {
        let manager = Nowhere { awaits: setup == Setup::Checked };
        let builder = Pool::builder(manager).max_size(SIZE);
        let builder = match setup {
            Setup::Bare | Setup::Checked => builder,
            // It has no lifetime of its own.
            Setup::Configured => {
                let bound = Some(Duration::from_secs(30));
                builder
                    .runtime(Runtime::Tokio1)
                    .timeouts(Timeouts { wait: bound, create: bound, recycle: bound })
                    .post_create(Hook::sync_fn(|_, _| Ok(())))
                    .pre_recycle(Hook::sync_fn(|_, _| Ok(())))
                    .post_recycle(Hook::sync_fn(|_, _| Ok(())))
            }
        };
        Self(builder.build().expect("the settings are valid"))
    }

    async fn get(&'static self) -> Self::Conn {
        self.0.get().await.expect("the pool is open")
    }
}
