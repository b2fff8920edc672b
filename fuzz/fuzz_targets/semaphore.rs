//! The semaphore polled by hand: permits are neither lost nor doubled, whoever gives up when.
#![no_main]

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ropewalk_sync::{AcquireError, OwnedPermit, Semaphore};

#[derive(Arbitrary, Debug)]
enum Op {
    Try { permits: u8 },
    Start { permits: u8 },
    Poll { waiter: u8 },
    Cancel { waiter: u8 },
    Release { permit: u8 },
}

#[derive(Arbitrary, Debug)]
struct Input {
    permits: u8,
    ops: Vec<Op>,
}

type Wait = Pin<Box<dyn Future<Output = Result<OwnedPermit, AcquireError>>>>;

fn index<T>(number: u8, list: &[T]) -> Option<usize> {
    usize::from(number).checked_rem(list.len())
}

fuzz_target!(|input: Input| {
    let capacity = usize::from(input.permits % 8);
    let semaphore = Arc::new(Semaphore::new(capacity));
    let mut waits: Vec<Wait> = Vec::new();
    let mut held: Vec<OwnedPermit> = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    for op in input.ops {
        match op {
            Op::Try { permits } => held.extend(semaphore.try_acquire_many_owned(usize::from(permits % 4))),
            Op::Start { permits } => {
                waits.push(Box::pin(semaphore.acquire_many_owned(usize::from(permits % 4))))
            }
            Op::Poll { waiter } => {
                let Some(at) = index(waiter, &waits) else { continue };
                if let Poll::Ready(result) = waits[at].as_mut().poll(&mut context) {
                    drop(waits.remove(at));
                    held.extend(result);
                }
            }
            Op::Cancel { waiter } => {
                if let Some(at) = index(waiter, &waits) {
                    drop(waits.remove(at));
                }
            }
            Op::Release { permit } => {
                if let Some(at) = index(permit, &held) {
                    drop(held.swap_remove(at));
                }
            }
        }
        let taken: usize = held.iter().map(OwnedPermit::permits).sum();
        assert!(
            taken + semaphore.available() <= capacity,
            "{taken} of {capacity} taken, {} there",
            semaphore.available()
        );
    }
    waits.clear();
    held.clear();
    assert_eq!(semaphore.available(), capacity);
});
