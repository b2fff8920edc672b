//! Futures dropped after each of their polls, among others that wait.

use crate::{ready, virtual_team, waits};
use ropewalk_agents::*;
use ropewalk_sync::Clock;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

async fn nap(cx: TaskCx) -> Result<(), Infallible> {
    cx.sleep(SECOND).await;
    Ok(())
}

type Sending<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// A full mailbox, one that sends and one behind it; the first drops before it is polled, in line, and with the
/// place in hand.
#[test]
fn a_sender_dropped_at_any_poll_leaves_its_place_to_the_next() {
    let makes: [for<'a> fn(&'a Mailbox<u8>) -> Sending<'a>; 2] = [
        |mailbox| Box::pin(async { drop(mailbox.send(9).await) }),
        |mailbox| Box::pin(async { drop(mailbox.send_timeout(9, SECOND * 9).await) }),
    ];
    for make in makes {
        for steps in 0..3 {
            let mailbox = Mailbox::with(1, Overflow::Wait, Clock::virtual_());
            mailbox.try_send(1).unwrap();
            let mut gone = make(&mailbox);
            if steps > 0 {
                assert!(waits(&mut gone));
            }
            let mut behind = Box::pin(mailbox.send(2));
            assert!(waits(&mut behind));
            if steps > 1 {
                assert_eq!(mailbox.try_recv(), Ok(1));
                assert!(waits(&mut behind), "the place is not its own yet");
                drop(gone);
            } else {
                drop(gone);
                assert_eq!(mailbox.try_recv(), Ok(1));
            }
            assert!(ready(&mut behind).is_ok());
            assert_eq!((mailbox.try_recv(), mailbox.try_recv()), (Ok(2), Err(RecvError::Empty)));
        }
    }
}

#[test]
fn a_receiver_dropped_at_any_poll_leaves_its_hint_to_the_next() {
    let makes: [for<'a> fn(&'a Mailbox<u8>) -> Sending<'a>; 2] = [
        |mailbox| Box::pin(async { drop(mailbox.recv().await) }),
        |mailbox| Box::pin(async { drop(mailbox.recv_timeout(SECOND * 9).await) }),
    ];
    for make in makes {
        for steps in 0..3 {
            let mailbox = Mailbox::with(1, Overflow::Wait, Clock::virtual_());
            let mut gone = make(&mailbox);
            if steps > 0 {
                assert!(waits(&mut gone));
            }
            let mut behind = Box::pin(mailbox.recv());
            assert!(waits(&mut behind));
            if steps > 1 {
                mailbox.try_send(1).unwrap();
                drop(gone);
            } else {
                drop(gone);
                mailbox.try_send(1).unwrap();
            }
            assert_eq!(ready(&mut behind), Ok(1));
        }
    }
}

#[test]
fn readers_and_senders_that_give_up_under_threads_lose_nothing() {
    const EACH: usize = 400;
    let mailbox = Mailbox::new(2);
    let (sum, sent) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // Gives up after a number of polls that differs from time to time.
    fn impatient<F: Future + Unpin>(mut future: F, patience: usize) -> Option<F::Output> {
        let mut polls = 0;
        ropewalk_sync::block_on(std::future::poll_fn(move |cx| {
            polls += 1;
            match Pin::new(&mut future).poll(cx) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending if polls > patience => Poll::Ready(None),
                Poll::Pending => {
                    if polls == patience {
                        cx.waker().wake_by_ref();
                    }
                    Poll::Pending
                }
            }
        }))
    }
    std::thread::scope(|s| {
        let senders = [0, 1].map(|_| {
            s.spawn(|| {
                for i in 0..EACH {
                    if impatient(Box::pin(mailbox.send(i)), i % 3).is_some() {
                        sent.fetch_add(i, Ordering::Relaxed);
                    }
                }
            })
        });
        for _ in 0..3 {
            s.spawn(|| {
                for i in 0.. {
                    match impatient(mailbox.recv(), i % 3) {
                        Some(Ok(message)) => drop(sum.fetch_add(message, Ordering::Relaxed)),
                        Some(Err(error)) => return assert_eq!(error, RecvError::Closed),
                        None => {}
                    }
                }
            });
        }
        for sender in senders {
            sender.join().unwrap();
        }
        mailbox.close();
    });
    assert_eq!(sum.load(Ordering::Relaxed), sent.load(Ordering::Relaxed));
    assert!(sent.load(Ordering::Relaxed) > 0 && mailbox.is_empty());
}

#[test]
fn waits_of_an_agent_may_drop_at_any_poll() {
    for polls in 0..2 {
        let (team, clock) = virtual_team(|b| b);
        let ada = team.add_agent(Agent::new("ada").mailbox(1)).unwrap();
        let (mut recv, mut bounded) = (Box::pin(ada.recv()), Box::pin(ada.recv_timeout(SECOND)));
        for _ in 0..polls {
            assert!(waits(&mut recv) && waits(&mut bounded));
        }
        drop((recv, bounded));
        ada.try_send(Message::new(1)).unwrap();
        {
            let mut sends: [Sending<'_>; 3] = [
                Box::pin(async { drop(ada.send(Message::new(2)).await) }),
                Box::pin(async { drop(ada.send_timeout(Message::new(3), SECOND).await) }),
                Box::pin(async { drop(team.send("ada", Message::new(4)).await) }),
            ];
            for _ in 0..polls {
                assert!(sends.iter_mut().all(waits));
            }
        }
        assert_eq!(ada.queued(), 1);
        ada.recv_blocking().unwrap();
        ada.send_blocking(Message::new(5)).unwrap();
        assert_eq!(ready(&mut Box::pin(ada.recv())).unwrap().body::<i32>(), Some(&5));
        clock.settle();
        assert_eq!((team.stats().messages_sent, team.stats().messages_received), (2, 2));
    }
}

#[test]
fn a_handle_dropped_at_any_poll_lets_its_task_go_on() {
    for polls in 0..3 {
        let (team, clock) = virtual_team(|b| b);
        let done = Arc::new(AtomicUsize::new(0));
        let count = done.clone();
        let mut handle = team.task("t").spawn(move |cx| {
            let count = count.clone();
            async move {
                cx.sleep(SECOND).await;
                count.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(())
            }
        });
        for _ in 0..polls {
            assert!(waits(&mut handle));
        }
        drop(handle);
        clock.advance(SECOND);
        assert_eq!((done.load(Ordering::Relaxed), team.stats().completed), (1, 1));
    }
}

#[test]
fn a_join_dropped_at_any_poll_leaves_the_handle() {
    let (team, clock) = virtual_team(|b| b);
    let mut task = team.task("t").spawn(nap);
    for polls in 0..3 {
        let mut join = Box::pin(task.join_timeout(SECOND * 9));
        for _ in 0..polls {
            assert!(waits(&mut join));
        }
    }
    clock.advance(SECOND);
    task.join_blocking().unwrap();
}

#[test]
fn a_wait_for_the_team_dropped_at_any_poll_changes_nothing_more() {
    for polls in 0..3 {
        let (team, clock) = virtual_team(|b| b);
        let task = team.task("t").spawn(nap);
        clock.settle();
        {
            let mut idle = Box::pin(team.idle());
            (0..polls).for_each(|_| assert!(waits(&mut idle)));
        }
        assert!(team.stats().accepting);
        {
            let mut shutdown = Box::pin(team.shutdown());
            (0..polls).for_each(|_| assert!(waits(&mut shutdown)));
        }
        {
            let mut bounded = Box::pin(team.shutdown_timeout(SECOND * 9));
            (0..polls).for_each(|_| assert!(waits(&mut bounded)));
        }
        assert_eq!(team.stats().accepting, polls == 0, "it drains from the first poll on");
        assert_eq!(task.status(), Status::Running, "and cancels nothing");
        let mut again = Box::pin(team.shutdown());
        assert!(waits(&mut again));
        clock.advance(SECOND);
        ready(&mut again);
        task.join_blocking().unwrap();
    }
}

#[test]
fn a_wait_for_a_token_dropped_at_any_poll_leaves_it() {
    let (team, clock) = virtual_team(|b| b);
    let task = team.task("t").spawn(|cx| async move {
        for polls in 0..3 {
            let mut gone = Box::pin(cx.cancelled());
            (0..polls).for_each(|_| assert!(waits(&mut gone)));
        }
        cx.cancelled().await;
        Ok::<_, Infallible>(cx.stop_reason())
    });
    clock.settle();
    task.cancel();
    assert_eq!(task.join_blocking().unwrap(), Some(StopReason::Cancelled));
}

#[test]
fn a_body_that_gives_up_on_more_takes_its_slot_back_at_any_poll() {
    let (team, clock) = virtual_team(|b| b.tasks(1).agents(1).tasks_per_agent(1));
    let file = || Request::new().exclusive("file");
    let held = team.resources().try_acquire("me", file()).unwrap();
    let inspector = team.clone();
    let task = team.task("t").spawn(move |cx| {
        let team = inspector.clone();
        async move {
            for polls in 0..3 {
                let mut more = Box::pin(cx.acquire(file()));
                (0..polls).for_each(|_| assert!(waits(&mut more)));
                assert_eq!(team.stats().slots_lent, usize::from(polls > 0));
                drop(more);
                assert_eq!(team.stats().slots_lent, 0);
            }
            drop(team);
            Ok::<_, Infallible>(())
        }
    });
    task.join_blocking().unwrap();
    drop(held);
    assert!(team.resources().try_acquire("me", file()).is_ok());
    let after = team.task("after").needs(file()).spawn(|_| async { Ok::<_, Infallible>(()) });
    after.join_blocking().unwrap();
    clock.settle();
    assert_eq!((team.stats().slots, team.stats().slots_lent), (0, 0));
}
