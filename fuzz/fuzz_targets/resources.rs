//! Leases against a table of holders: all or nothing, and never two who exclude each other.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ropewalk_resources::{Lease, Request, ResourcePool, TryAcquireError};

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Mode {
    Exclusive,
    Shared,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Wish {
    locks: [Option<Mode>; 3],
    units: Option<u8>,
}

#[derive(Arbitrary, Debug)]
enum Op {
    Acquire(Wish),
    Release(u8),
}

const UNITS: u64 = 5;
const LOCKS: [&str; 3] = ["a", "b", "c"];

impl Wish {
    fn units(&self) -> Option<u64> {
        self.units.map(|units| 1 + u64::from(units % 7))
    }

    fn request(&self) -> Request {
        let mut request = Request::new();
        for (name, mode) in LOCKS.into_iter().zip(self.locks) {
            request = match mode {
                Some(Mode::Exclusive) => request.exclusive(name),
                Some(Mode::Shared) => request.shared(name),
                None => request,
            };
        }
        match self.units() {
            Some(units) => request.units("units", units),
            None => request,
        }
    }

    fn excludes(&self, other: &Self) -> bool {
        self.locks.iter().zip(other.locks).any(|(mine, theirs)| {
            matches!((mine, theirs), (Some(Mode::Exclusive), Some(_)) | (Some(_), Some(Mode::Exclusive)))
        })
    }
}

fuzz_target!(|ops: Vec<Op>| {
    let pool = ResourcePool::new();
    pool.define("units", UNITS).expect("the name is new");
    let mut held: Vec<(Wish, Lease)> = Vec::new();
    for (number, op) in ops.into_iter().enumerate() {
        match op {
            Op::Acquire(wish) => {
                if wish.locks.iter().all(Option::is_none) && wish.units.is_none() {
                    continue;
                }
                let used: u64 = held.iter().filter_map(|(wish, _)| wish.units()).sum();
                let wanted = wish.units().unwrap_or(0);
                let free = held.iter().all(|(other, _)| !wish.excludes(other)) && used + wanted <= UNITS;
                match pool.try_acquire(format!("owner {number}"), wish.request()) {
                    Ok(lease) => {
                        assert!(free, "{wish:?} beside {held:?}");
                        held.push((wish, lease));
                    }
                    Err(TryAcquireError::Busy { .. }) => {
                        assert!(!free && wanted <= UNITS, "{wish:?} beside {held:?}")
                    }
                    Err(error) => assert!(wanted > UNITS, "{error}"),
                }
            }
            Op::Release(lease) => {
                if let Some(at) = usize::from(lease).checked_rem(held.len()) {
                    drop(held.swap_remove(at));
                }
            }
        }
    }
    held.clear();
    let all =
        LOCKS.iter().fold(Request::new().units("units", UNITS), |request, name| request.exclusive(*name));
    drop(pool.try_acquire("last", all).expect("everything came back"));
});
