//! The crate seen from outside.

mod executor;
mod limits;
mod mailbox;
mod needs;
mod shutdown;
mod stress;
mod tasks;
mod team;

use ropewalk_agents::*;
use ropewalk_sync::Clock;

#[test]
fn types_are_send_and_sync() {
    fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Coordinator>();
    assert_send_sync::<CoordinatorBuilder>();
    assert_send_sync::<TaskBuilder>();
    assert_send_sync::<TaskHandle<u8>>();
    assert_send_sync::<TaskCx>();
    assert_send_sync::<AgentHandle>();
    assert_send_sync::<Mailbox<u8>>();
    assert_send_sync::<Message>();
    assert_send_sync::<CancelToken>();
    assert_send_sync::<Snapshot>();
    assert_send_sync::<TaskError>();
    assert_send_sync::<Spawner>();
    assert_send_sync::<Executor>();
}

/// A team on a clock that stands still.
fn virtual_team(setup: impl FnOnce(CoordinatorBuilder) -> CoordinatorBuilder) -> (Coordinator, Clock) {
    let clock = Clock::virtual_();
    let builder = Coordinator::builder().clock(clock.clone()).threads(2).backoff(Backoff::none());
    (setup(builder).build().expect("the test's settings are valid"), clock)
}
