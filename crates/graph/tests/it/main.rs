//! The crate seen from outside.

mod basics;
mod cycles;
mod frozen;
mod model;
mod order;
mod pop;
mod stress;
mod triggers;

use ropewalk_graph as graph;

#[test]
fn types_are_send_and_sync() {
    fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<graph::Graph>();
    assert_send_sync::<graph::GraphBuilder>();
    assert_send_sync::<graph::Hold>();
    assert_send_sync::<graph::PopReady>();
    assert_send_sync::<graph::Frozen>();
    assert_send_sync::<graph::Run>();
    assert_send_sync::<graph::Report>();
    assert_send_sync::<graph::Workers>();
    assert_send_sync::<graph::ReadySet<u64>>();
    assert_send_sync::<graph::Resolution>();
    assert_send_sync::<graph::DependError>();
}
