//! The queue against a plain list.

use crate::{Woken, panics};
use proptest::prelude::*;
use ropewalk_sync::{Cancelled, Polled, Ticket, WaitQueue};
use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Waker},
};

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

#[derive(Clone, Debug)]
enum Op {
    Join,
    JoinFront,
    Grant,
    Poll(usize),
    Cancel(usize),
    Revoke,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::Join),
        1 => Just(Op::JoinFront),
        3 => Just(Op::Grant),
        3 => any::<usize>().prop_map(Op::Poll),
        2 => any::<usize>().prop_map(Op::Cancel),
        1 => Just(Op::Revoke),
    ]
}

/// Where a model waiter stands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Line,
    Granted { grant: u32, revokes: u32 },
    Dormant,
}

proptest! {
    #[test]
    fn prop_queue_is_a_list_with_grants(ops in proptest::collection::vec(op(), 1..80)) {
        let queue = WaitQueue::<u32, u32>::new();
        let mut live: Vec<(u32, Ticket<u32, u32>, At)> = Vec::new();
        let mut line: VecDeque<u32> = VecDeque::new();
        let mut next = 0;
        for op in ops {
            match op {
                Op::Join | Op::JoinFront => {
                    let front = matches!(op, Op::JoinFront);
                    let mut q = queue.lock();
                    let ticket = if front { q.join_front(next) } else { q.join(next) };
                    if front { line.push_front(next) } else { line.push_back(next) }
                    live.push((next, ticket, At::Line));
                    next += 1;
                }
                Op::Grant => {
                    let granted = queue.lock().grant_front(next);
                    match line.pop_front() {
                        None => prop_assert_eq!(granted, Err(next)),
                        Some(id) => {
                            prop_assert_eq!(granted, Ok(()));
                            let at = live.iter_mut().find(|w| w.0 == id).unwrap();
                            at.2 = At::Granted { grant: next, revokes: 0 };
                        }
                    }
                    next += 1;
                }
                Op::Poll(i) if !live.is_empty() => {
                    let i = i % live.len();
                    let polled = queue.poll(&live[i].1, &cx());
                    match live[i].2 {
                        At::Line => prop_assert_eq!(polled, Polled::Pending),
                        At::Granted { grant, .. } => {
                            prop_assert_eq!(polled, Polled::Ready(grant));
                            drop(live.remove(i));
                        }
                        At::Dormant => {
                            prop_assert_eq!(polled, Polled::Rejoined);
                            line.push_front(live[i].0);
                            live[i].2 = At::Line;
                        }
                    }
                }
                Op::Cancel(i) if !live.is_empty() => {
                    let (id, ticket, at) = live.remove(i % live.len());
                    let cancelled = queue.cancel(ticket);
                    match at {
                        At::Granted { grant, .. } => prop_assert_eq!(cancelled, Cancelled::Granted(grant)),
                        At::Line | At::Dormant => prop_assert_eq!(cancelled, Cancelled::Removed),
                    }
                    line.retain(|&other| other != id);
                }
                Op::Revoke => {
                    let mut expected = Vec::new();
                    for (id, _, at) in &mut live {
                        if let At::Granted { grant, revokes } = at {
                            *revokes += 1;
                            if *revokes == 2 {
                                expected.push((*id, *grant));
                                *at = At::Dormant;
                            }
                        }
                    }
                    let mut revoked = queue.lock().revoke_stale();
                    revoked.sort_unstable();
                    expected.sort_unstable();
                    prop_assert_eq!(revoked, expected);
                }
                Op::Poll(_) | Op::Cancel(_) => {}
            }
            let q = queue.lock();
            prop_assert_eq!(q.iter().copied().collect::<Vec<_>>(), line.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(q.len(), line.len());
        }
    }
}

#[test]
fn wakes_fire_after_the_latch_has_opened() {
    struct Relock(Arc<WaitQueue<(), ()>>, Woken);
    impl std::task::Wake for Relock {
        fn wake(self: Arc<Self>) {
            // Would deadlock if the latch were still closed.
            assert!(self.0.lock().is_empty());
            Arc::new(Woken::default());
            self.1.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let queue = Arc::new(WaitQueue::new());
    let relock = Arc::new(Relock(queue.clone(), Woken::default()));
    let ticket = queue.lock().join(());
    assert_eq!(queue.poll(&ticket, &Context::from_waker(&Waker::from(relock.clone()))), Polled::Pending);
    queue.lock().grant_front(()).unwrap();
    assert_eq!(relock.1.count(), 1);
    assert_eq!(queue.poll(&ticket, &cx()), Polled::Ready(()));
}

#[test]
fn grant_first_offers_in_order_and_skips() {
    let queue = WaitQueue::<u32, &str, u32>::with_state(10);
    let (_large, small) = {
        let mut q = queue.lock();
        (q.join(20), q.join(5))
    };
    let granted = queue.lock().grant_first(|free, wanted| {
        (*wanted <= *free).then(|| {
            *free -= *wanted;
            "served"
        })
    });
    assert!(granted);
    assert_eq!(*queue.lock(), 5);
    assert_eq!(queue.poll(&small, &cx()), Polled::Ready("served"));
    assert_eq!(queue.lock().front(), Some(&20));
}

#[test]
#[should_panic(expected = "spent")]
fn a_spent_ticket_is_refused() {
    let queue = WaitQueue::<(), ()>::new();
    let (a, b) = (queue.lock().join(()), WaitQueue::<(), ()>::new());
    // The other queue has no such node generation after one round.
    let mine = b.lock().join(());
    drop(b.cancel(mine));
    let _again = b.lock().join(());
    drop(b.cancel(a));
}

#[test]
fn a_panic_in_a_waker_loses_no_wake_up_behind_it() {
    struct Bomb;
    impl std::task::Wake for Bomb {
        fn wake(self: Arc<Self>) {
            panic!("in the waker");
        }
    }
    let queue = WaitQueue::<(), ()>::new();
    let first = queue.lock().join(());
    let second = queue.lock().join(());
    let woken = Arc::new(Woken::default());
    for (ticket, waker) in [(&first, Waker::from(Arc::new(Bomb))), (&second, Waker::from(woken.clone()))] {
        assert_eq!(queue.poll(ticket, &Context::from_waker(&waker)), Polled::Pending);
    }
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| queue.lock().grant_all(|| ())));
    assert!(told.is_err(), "the panic goes on to the caller");
    assert_eq!(woken.count(), 1);
    assert_eq!(
        (queue.poll(&first, &cx()), queue.poll(&second, &cx())),
        (Polled::Ready(()), Polled::Ready(()))
    );
}

#[test]
fn a_refused_ticket_leaves_the_queue_as_it_was() {
    let (queue, other) = (WaitQueue::<(), u32>::new(), WaitQueue::<(), u32>::new());
    let spent = other.lock().join(());
    let gone = queue.lock().join(());
    assert_eq!(queue.cancel(gone), Cancelled::Removed);
    let waits = queue.lock().join(());
    // The same place, an older generation.
    assert!(panics(|| queue.poll(&spent, &cx())));
    assert!(panics(|| queue.cancel(spent)));
    assert_eq!(queue.lock().len(), 1);
    assert_eq!(queue.lock().grant_front(7), Ok(()));
    assert_eq!(queue.poll(&waits, &cx()), Polled::Ready(7));
}

#[test]
fn a_panic_in_a_closure_under_the_latch_leaves_the_line_whole() {
    let queue = WaitQueue::<u32, u32>::new();
    let woken = Arc::new(Woken::default());
    let tickets: Vec<_> = (0..3).map(|n| queue.lock().join(n)).collect();
    for ticket in &tickets {
        assert_eq!(queue.poll(ticket, &Context::from_waker(&Waker::from(woken.clone()))), Polled::Pending);
    }
    let mut left = 1;
    let mut make = || match left {
        0 => std::panic::resume_unwind(Box::new("in the closure")),
        _ => {
            left -= 1;
            7
        }
    };
    assert!(panics(|| queue.lock().grant_all(&mut make)));
    assert_eq!(woken.count(), 1, "the one that was granted before is woken");
    assert!(panics(|| {
        queue.lock().grant_first(|(), demand| match demand {
            1 => None,
            _ => std::panic::resume_unwind(Box::new("in the closure")),
        });
    }));
    assert_eq!(queue.lock().iter().copied().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(queue.lock().grant_all(|| 9), 2);
    let got: Vec<_> = tickets.iter().map(|ticket| queue.poll(ticket, &cx())).collect();
    assert_eq!(got, [Polled::Ready(7), Polled::Ready(9), Polled::Ready(9)]);
}
