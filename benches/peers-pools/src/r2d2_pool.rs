//! r2d2.

use std::time::Duration;

use frame::{
    SIZE, Setup, ThreadPool,
    connections::{Never, Nothing},
};
use r2d2::{HandleEvent, ManageConnection, Pool, PooledConnection};

pub(crate) struct Nowhere;

impl ManageConnection for Nowhere {
    type Connection = Nothing;
    type Error = Never;

    fn connect(&self) -> Result<Nothing, Never> {
        Ok(Nothing::open())
    }

    fn is_valid(&self, _: &mut Nothing) -> Result<(), Never> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Nothing) -> bool {
        false
    }
}

#[derive(Debug)]
struct Hook;

impl HandleEvent for Hook {}

pub(crate) struct R2d2(Pool<Nowhere>);

impl ThreadPool for R2d2 {
    type Conn = PooledConnection<Nowhere>;

    fn build(setup: Setup) -> Self {
        let builder = Pool::builder().max_size(SIZE as u32);
        // A wait timeout cannot be left out.
        let builder = builder.connection_timeout(Duration::from_secs(3600));
        let builder = match setup {
            Setup::Bare | Setup::Checked => {
                builder.max_lifetime(None).idle_timeout(None).test_on_check_out(false)
            }
            Setup::Configured => builder
                .connection_timeout(Duration::from_secs(30))
                .max_lifetime(Some(Duration::from_secs(1800)))
                .idle_timeout(Some(Duration::from_secs(600)))
                .test_on_check_out(true)
                .event_handler(Box::new(Hook)),
        };
        Self(builder.build(Nowhere).expect("connecting does not fail"))
    }

    fn get(&'static self) -> Self::Conn {
        self.0.get().expect("the pool is open")
    }

    fn try_get(&'static self) -> Option<Self::Conn> {
        self.0.try_get()
    }
}
