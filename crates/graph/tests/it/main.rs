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

/// A waker that is user code at its worst.
struct Bomb;

impl std::task::Wake for Bomb {
    fn wake(self: std::sync::Arc<Self>) {
        boom()
    }
}

fn bomb() -> std::task::Waker {
    std::sync::Arc::new(Bomb).into()
}

/// Past the hook: nobody wants to read about it.
fn boom() {
    std::panic::resume_unwind(Box::new("wanted"));
}

/// Tells whether `f` panicked.
fn panics<R>(f: impl FnOnce() -> R) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err()
}

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
