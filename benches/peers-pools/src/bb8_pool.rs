//! bb8.

use std::time::Duration;

use bb8::{CustomizeConnection, ManageConnection, Pool, PooledConnection};
use frame::{
    SIZE, Setup, TaskPool,
    connections::{Never, Nothing},
};
use tokio::task::yield_now;

pub(crate) struct Nowhere {
    awaits: bool,
}

impl ManageConnection for Nowhere {
    type Connection = Nothing;
    type Error = Never;

    async fn connect(&self) -> Result<Nothing, Never> {
        Ok(Nothing::open())
    }

    async fn is_valid(&self, _: &mut Nothing) -> Result<(), Never> {
        if self.awaits {
            yield_now().await;
        }
        Ok(())
    }

    fn has_broken(&self, _: &mut Nothing) -> bool {
        false
    }
}

#[derive(Debug)]
struct Hook;

impl CustomizeConnection<Nothing, Never> for Hook {}

pub(crate) struct Bb8(Pool<Nowhere>);

impl TaskPool for Bb8 {
    type Conn = PooledConnection<'static, Nowhere>;

    async fn build(setup: Setup) -> Self {
        let builder = Pool::builder().max_size(SIZE as u32).min_idle(SIZE as u32);
        // A wait timeout cannot be left out.
        let builder = builder.connection_timeout(Duration::from_secs(3600));
        let builder = match setup {
            Setup::Bare | Setup::Checked => {
                builder.max_lifetime(None).idle_timeout(None).test_on_check_out(setup == Setup::Checked)
            }
            Setup::Configured => builder
                .connection_timeout(Duration::from_secs(30))
                .max_lifetime(Duration::from_secs(1800))
                .idle_timeout(Duration::from_secs(600))
                .test_on_check_out(true)
                .connection_customizer(Box::new(Hook)),
        };
        let manager = Nowhere { awaits: setup == Setup::Checked };
        Self(builder.build(manager).await.expect("connecting does not fail"))
    }

    async fn get(&'static self) -> Self::Conn {
        self.0.get().await.expect("the pool is open")
    }
}
