//! Sequences of operations against a model of a FIFO over so many connections.

use crate::{fake::Fake, line::poll};
use proptest::prelude::*;
use ropewalk_connections::*;
use ropewalk_sync::Clock;
use std::{collections::VecDeque, pin::Pin, task::Poll, time::Duration};

#[derive(Clone, Copy, Debug)]
enum Act {
    Join,
    /// Polls the n-th waiter.
    Poll(usize),
    /// Drops the n-th waiter.
    Cancel(usize),
    /// Gives back the n-th held connection.
    Return(usize),
    Try,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => Just(Act::Join),
        3 => (0..4_usize).prop_map(Act::Poll),
        2 => (0..4_usize).prop_map(Act::Cancel),
        3 => (0..4_usize).prop_map(Act::Return),
        1 => Just(Act::Try),
    ];
    prop::collection::vec(act, 1..60)
}

type Get = Pin<Box<dyn Future<Output = Result<Conn<Fake>, GetError<crate::fake::FakeError>>>>>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_line_is_a_fifo_over_the_maximum(size in 1..4_usize, acts in acts()) {
        let clock = Clock::virtual_();
        let pool = Pool::builder(Fake::default())
            .size(size..=size)
            .check_after(Duration::MAX)
            .acquire_timeout(Duration::from_secs(3600))
            .clock(clock.clone())
            .build()
            .unwrap();
        clock.settle();
        // The model: how many are free, who waits, who has been granted and has not looked yet.
        let mut free = size;
        let mut waiting: VecDeque<(u64, Get)> = VecDeque::new();
        let mut granted: Vec<u64> = Vec::new();
        let mut held: Vec<Conn<Fake>> = Vec::new();
        let mut next = 0;
        let give = |free: &mut usize, waiting: &VecDeque<(u64, Get)>, granted: &mut Vec<u64>| {
            match waiting.iter().find(|(id, _)| !granted.contains(id)) {
                Some((id, _)) => granted.push(*id),
                None => *free += 1,
            }
        };
        for act in acts {
            match act {
                Act::Join => {
                    let mut get: Get = Box::pin(pool.get());
                    let expected = free > 0;
                    match poll(get.as_mut()) {
                        Poll::Ready(conn) => {
                            prop_assert!(expected);
                            free -= 1;
                            held.push(conn.unwrap());
                        }
                        Poll::Pending => {
                            prop_assert!(!expected);
                            waiting.push_back((next, get));
                            next += 1;
                        }
                    }
                }
                Act::Poll(n) if n < waiting.len() => {
                    let (id, get) = &mut waiting[n];
                    let expected = granted.contains(id);
                    match poll(get.as_mut()) {
                        Poll::Ready(conn) => {
                            prop_assert!(expected);
                            held.push(conn.unwrap());
                            granted.retain(|granted| granted != id);
                            waiting.remove(n);
                        }
                        Poll::Pending => prop_assert!(!expected),
                    }
                }
                Act::Cancel(n) if n < waiting.len() => {
                    let (id, get) = waiting.remove(n).unwrap();
                    drop(get);
                    if granted.contains(&id) {
                        granted.retain(|granted| *granted != id);
                        give(&mut free, &waiting, &mut granted);
                    }
                }
                Act::Return(n) if n < held.len() => {
                    drop(held.remove(n));
                    give(&mut free, &waiting, &mut granted);
                }
                Act::Try => match pool.try_get() {
                    Ok(conn) => {
                        prop_assert!(free > 0);
                        free -= 1;
                        held.push(conn);
                    }
                    Err(error) => {
                        prop_assert_eq!(error, TryGetError::Busy);
                        prop_assert_eq!(free, 0);
                    }
                },
                Act::Poll(_) | Act::Cancel(_) | Act::Return(_) => {}
            }
            let stats = pool.stats();
            prop_assert_eq!(stats.idle, free);
            prop_assert_eq!(stats.in_use, held.len() + granted.len());
            prop_assert_eq!(stats.waiting, waiting.len() - granted.len());
        }
    }
}
