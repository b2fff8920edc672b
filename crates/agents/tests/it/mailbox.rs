use proptest::prelude::*;
use ropewalk_agents::*;
use ropewalk_sync::{Clock, block_on};
use std::{
    collections::VecDeque,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

#[test]
fn senders_wait_in_line_and_receivers_get_everything() {
    let mailbox = Mailbox::new(4);
    let sum = AtomicUsize::new(0);
    std::thread::scope(|s| {
        for sender in 0..4 {
            let mailbox = mailbox.clone();
            s.spawn(move || {
                for i in 0..500usize {
                    if sender % 2 == 0 {
                        mailbox.send_blocking(i).unwrap();
                    } else {
                        block_on(mailbox.send(i)).unwrap();
                    }
                }
            });
        }
        let receivers: Vec<_> = (0..3)
            .map(|receiver| {
                let (mailbox, sum) = (mailbox.clone(), &sum);
                s.spawn(move || {
                    loop {
                        let received =
                            if receiver == 0 { mailbox.recv_blocking() } else { block_on(mailbox.recv()) };
                        match received {
                            Ok(i) => sum.fetch_add(i, Ordering::Relaxed),
                            Err(error) => return error,
                        };
                    }
                })
            })
            .collect();
        while sum.load(Ordering::Relaxed) < 4 * 499 * 250 {
            std::thread::yield_now();
        }
        mailbox.close();
        for receiver in receivers {
            assert_eq!(receiver.join().unwrap(), RecvError::Closed);
        }
    });
}

#[test]
fn close_refuses_senders_and_drains_receivers() {
    let mailbox = Mailbox::new(1);
    mailbox.try_send(1).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let mut waiting = pin!(mailbox.send(2));
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    mailbox.close();
    match waiting.as_mut().poll(&mut cx) {
        Poll::Ready(Err(error @ SendError::Closed(_))) => assert_eq!(error.into_message(), 2),
        other => panic!("{other:?}"),
    }
    assert!(matches!(mailbox.try_send(3), Err(SendError::Closed(3))));
    assert_eq!(mailbox.try_recv(), Ok(1));
    assert_eq!(mailbox.try_recv(), Err(RecvError::Closed));
    assert!(mailbox.is_closed() && mailbox.is_empty());
}

#[test]
fn dropped_at_any_poll_nothing_is_lost() {
    let mailbox = Mailbox::new(1);
    let mut cx = Context::from_waker(Waker::noop());
    let mut second = pin!(mailbox.recv());
    {
        let mut first = pin!(mailbox.recv());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        // The hint goes to the first, which is dropped before it looks.
        mailbox.try_send(1).unwrap();
    }
    assert_eq!(second.as_mut().poll(&mut cx), Poll::Ready(Ok(1)));
    // A sender that leaves the line gives its place to the next.
    mailbox.try_send(2).unwrap();
    let mut later = pin!(mailbox.send(4));
    {
        let mut gone = pin!(mailbox.send(3));
        assert!(gone.as_mut().poll(&mut cx).is_pending());
        assert!(later.as_mut().poll(&mut cx).is_pending());
        assert_eq!(mailbox.try_recv(), Ok(2));
    }
    assert!(later.as_mut().poll(&mut cx).is_ready());
    assert_eq!(mailbox.try_recv(), Ok(4));
}

#[test]
fn timeouts_give_the_message_back() {
    let clock = Clock::virtual_();
    let mailbox = Mailbox::with(1, Overflow::Wait, clock.clone());
    mailbox.try_send(1).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let within = Duration::from_secs(1);
    let mut send = pin!(mailbox.send_timeout(2, within));
    assert!(send.as_mut().poll(&mut cx).is_pending());
    clock.advance(within);
    match send.as_mut().poll(&mut cx) {
        Poll::Ready(Err(error @ SendError::Timeout { .. })) => assert_eq!(error.into_message(), 2),
        other => panic!("{other:?}"),
    }
    assert_eq!(mailbox.try_recv(), Ok(1));
    let mut recv = pin!(mailbox.recv_timeout(within));
    assert!(recv.as_mut().poll(&mut cx).is_pending());
    clock.advance(within);
    assert_eq!(recv.as_mut().poll(&mut cx), Poll::Ready(Err(RecvError::Timeout { within })));
}

proptest! {
    #[test]
    fn agrees_with_a_queue(
        capacity in 1usize..4,
        policy in 0usize..3,
        sends in proptest::collection::vec(any::<bool>(), 0..60),
    ) {
        let overflow = [Overflow::Wait, Overflow::DropOldest, Overflow::DropNewest][policy];
        let mailbox = Mailbox::with(capacity, overflow, Clock::system());
        let mut model = VecDeque::new();
        for (i, send) in sends.into_iter().enumerate() {
            if send {
                let sent = mailbox.try_send(i);
                if model.len() < capacity {
                    model.push_back(i);
                    prop_assert_eq!(sent.ok(), Some(Sent::Delivered));
                } else {
                    match overflow {
                        Overflow::Wait => prop_assert!(matches!(sent, Err(SendError::Full(_)))),
                        Overflow::DropNewest => prop_assert_eq!(sent.ok(), Some(Sent::DroppedNewest)),
                        _ => {
                            model.pop_front();
                            model.push_back(i);
                            prop_assert_eq!(sent.ok(), Some(Sent::DroppedOldest));
                        }
                    }
                }
            } else {
                prop_assert_eq!(mailbox.try_recv().ok(), model.pop_front());
            }
            prop_assert_eq!(mailbox.len(), model.len());
        }
    }
}

#[test]
fn messages_may_carry_anything_and_clones_share_it() {
    let message = Message::new(vec![1, 2]).topic("numbers").from("me");
    let clone = message.clone();
    assert_eq!(clone.body::<Vec<i32>>(), Some(&vec![1, 2]));
    assert_eq!((clone.body::<u8>(), clone.text()), (None, None));
    assert_eq!((clone.sender(), clone.subject()), ("me", Some("numbers")));
    assert_eq!(Message::new(String::from("hi")).text(), Some("hi"));
    let counted = Arc::new(());
    let message = Message::new(counted.clone());
    drop(message.clone());
    drop(message);
    assert_eq!(Arc::strong_count(&counted), 1);
}
