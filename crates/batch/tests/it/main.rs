//! Behaviour of the batcher, on real threads and on the virtual clock.

mod cancel;
mod lifecycle;
mod panics;
mod policy;
mod queue_model;
mod stress;
mod submit;

use ropewalk_batch::Batcher;
use ropewalk_sync::Event;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
};

/// Batches as a handler saw them.
type Seen<T> = Arc<Mutex<Vec<Vec<T>>>>;

/// A handler gate: each batch is recorded, then waits for `open`.
#[derive(Clone)]
struct Gate {
    seen: Seen<u32>,
    entered: Arc<Event>,
    open: Arc<Event>,
}

impl Gate {
    fn new() -> Self {
        Self { seen: Seen::default(), entered: Arc::new(Event::new()), open: Arc::new(Event::new()) }
    }

    fn handle(&self, items: Vec<u32>) -> Vec<Result<u32, Infallible>> {
        self.seen.lock().unwrap().push(items.clone());
        self.entered.set();
        self.open.wait_blocking();
        items.into_iter().map(|item| Ok(item + 1)).collect()
    }

    fn seen(&self) -> Vec<Vec<u32>> {
        self.seen.lock().unwrap().clone()
    }
}

fn gated(gate: &Gate) -> ropewalk_batch::Builder<u32, u32, Infallible> {
    let gate = gate.clone();
    Batcher::builder(move |items| gate.handle(items))
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Wakes with a panic.
struct Bomb;
impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("a waker")
    }
}

/// Polls with a waker that panics.
fn poll_with_bomb<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(&Arc::new(Bomb).into()))
}

#[test]
fn public_types_are_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<Batcher<u32, u32, u32>>();
    check::<ropewalk_batch::Answer<u32, u32, u32>>();
    check::<ropewalk_batch::Builder<u32, u32, u32>>();
    check::<ropewalk_batch::BatchQueue<u32>>();
    check::<ropewalk_batch::BatchStats>();
    check::<ropewalk_batch::SubmitError<u32, u32>>();
}
