//! mobc.

use std::time::Duration;

use frame::{
    SIZE, Setup, TaskPool,
    connections::{Never, Nothing},
};
use mobc::{Connection, Manager, Pool, async_trait};
use tokio::task::yield_now;

pub(crate) struct Nowhere {
    awaits: bool,
}

#[async_trait]
impl Manager for Nowhere {
    type Connection = Nothing;
    type Error = Never;

    async fn connect(&self) -> Result<Nothing, Never> {
        Ok(Nothing::open())
    }

    async fn check(&self, conn: Nothing) -> Result<Nothing, Never> {
        if self.awaits {
            yield_now().await;
        }
        Ok(conn)
    }
}

pub(crate) struct Mobc(Pool<Nowhere>);

impl TaskPool for Mobc {
    type Conn = Connection<Nowhere>;

    async fn build(setup: Setup) -> Self {
        let builder = Pool::builder().max_open(SIZE as u64).max_idle(SIZE as u64);
        let builder = match setup {
            Setup::Bare | Setup::Checked => {
                builder.max_lifetime(None).get_timeout(None).test_on_check_out(setup == Setup::Checked)
            }
            Setup::Configured => builder
                .max_lifetime(Some(Duration::from_secs(1800)))
                .max_idle_lifetime(Some(Duration::from_secs(600)))
                .get_timeout(Some(Duration::from_secs(30)))
                .test_on_check_out(true),
        };
        Self(builder.build(Nowhere { awaits: setup == Setup::Checked }))
    }

    async fn get(&'static self) -> Self::Conn {
        self.0.get().await.expect("connecting does not fail")
    }
}
