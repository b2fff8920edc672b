use ropewalk_graph::*;
use ropewalk_sync::{Clock, block_on};
use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

#[test]
fn it_waits_for_the_next_ready_task() {
    let graph = Graph::new();
    let a = graph.add(Task::new("a"));
    let b = graph.add(Task::new("b").after(a));
    let claim = graph.try_pop_ready().unwrap();
    std::thread::scope(|s| {
        let waiter = s.spawn(|| graph.pop_ready_blocking());
        graph.complete(claim).unwrap();
        assert_eq!(waiter.join().unwrap().unwrap().task(), b);
    });
}

#[test]
fn it_ends_when_all_is_finished() {
    let graph = Graph::new();
    assert_eq!(graph.try_pop_ready(), Err(PopError::Finished));
    let a = graph.add(Task::new("a"));
    let claim = graph.try_pop_ready().unwrap();
    std::thread::scope(|s| {
        let waiters: Vec<_> = (0..4).map(|_| s.spawn(|| graph.pop_ready_blocking())).collect();
        graph.complete(claim).unwrap();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Err(PopError::Finished));
        }
    });
    assert_eq!(graph.status(a), Ok(Status::Completed));
}

#[test]
fn a_hold_keeps_it_open() {
    let graph = Graph::new();
    let hold = graph.hold();
    assert_eq!(graph.try_pop_ready(), Err(PopError::Empty));
    std::thread::scope(|s| {
        let waiter = s.spawn(|| (graph.pop_ready_blocking(), graph.pop_ready_blocking()));
        let a = graph.add(Task::new("a"));
        drop(hold);
        let (first, second) = {
            // `a` runs in the waiter's hands; nobody completes it until we do.
            while graph.status(a) != Ok(Status::Running) {
                std::thread::yield_now();
            }
            graph.complete(a).unwrap();
            waiter.join().unwrap()
        };
        assert_eq!(first.unwrap().task(), a);
        assert_eq!(second, Err(PopError::Finished));
    });
}

#[test]
fn a_cycle_that_is_left_is_reported_not_waited_for() {
    let graph = Graph::builder().cycles(Cycles::Permit).build().unwrap();
    let [a, b] = ["a", "b"].map(|name| graph.add(Task::new(name)));
    graph.depend(a, b).unwrap();
    graph.depend(b, a).unwrap();
    assert_eq!(graph.pop_ready_blocking(), Err(PopError::Stuck { waiting: 2 }));
}

#[test]
fn timeout_on_the_virtual_clock() {
    let clock = Clock::virtual_();
    let graph = Graph::builder().clock(clock.clone()).build().unwrap();
    let _hold = graph.hold();
    let within = Duration::from_secs(3);
    std::thread::scope(|s| {
        let waiter = s.spawn(|| graph.pop_ready_blocking_timeout(within));
        while clock.next_deadline().is_none() {
            std::thread::yield_now();
        }
        while !waiter.is_finished() {
            clock.advance(within);
            std::thread::yield_now();
        }
        assert_eq!(waiter.join().unwrap(), Err(PopError::Timeout { within }));
    });
    graph.add(Task::new("a"));
    assert!(block_on(graph.pop_ready_timeout(Duration::MAX)).is_ok());
}

#[test]
fn a_dropped_waiter_passes_its_hint_on() {
    let graph = Graph::new();
    let hold = graph.hold();
    let mut cx = Context::from_waker(Waker::noop());
    let mut second = pin!(graph.pop_ready());
    {
        let mut first = pin!(graph.pop_ready());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        graph.add(Task::new("a"));
    }
    assert!(matches!(second.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
    drop(hold);
}

#[test]
fn a_hint_that_nobody_polls_is_passed_on() {
    let clock = Clock::virtual_();
    let graph = Graph::builder().clock(clock.clone()).build().unwrap();
    let _hold = graph.hold();
    let mut cx = Context::from_waker(Waker::noop());
    let mut idle = pin!(graph.pop_ready());
    assert!(idle.as_mut().poll(&mut cx).is_pending());
    std::thread::scope(|s| {
        let waiter = s.spawn(|| graph.pop_ready_blocking());
        while clock.next_deadline().is_none() {
            std::thread::yield_now();
        }
        graph.add(Task::new("a"));
        // The hint goes to `idle`, which never looks.
        while !waiter.is_finished() {
            clock.advance(Duration::from_secs(1));
            std::thread::yield_now();
        }
        assert!(waiter.join().unwrap().is_ok());
    });
    assert!(idle.as_mut().poll(&mut cx).is_pending());
    graph.add(Task::new("b"));
    assert!(idle.as_mut().poll(&mut cx).is_ready());
}

#[test]
fn dropped_after_each_poll_nothing_is_lost() {
    for polls in 0..3 {
        let graph = Graph::new();
        let hold = graph.hold();
        let mut cx = Context::from_waker(Waker::noop());
        {
            let mut first = pin!(graph.pop_ready());
            for i in 0..polls {
                if i == 1 {
                    graph.add(Task::new("a"));
                }
                if first.as_mut().poll(&mut cx).is_ready() {
                    break;
                }
            }
        }
        let stats = graph.stats();
        assert_eq!(stats.running + stats.ready, usize::from(polls == 2));
        graph.add(Task::new("b"));
        assert!(block_on(graph.pop_ready()).is_ok());
        drop(hold);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_and_threads_share_the_work() {
    let graph = Graph::new();
    let root = graph.add(Task::new("root"));
    for _ in 0..200 {
        graph.add(Task::new("leaf").after(root));
    }
    let work = |graph: Graph| async move {
        let mut done = 0;
        while let Ok(claim) = graph.pop_ready().await {
            tokio::task::yield_now().await;
            graph.complete(claim).unwrap();
            done += 1;
        }
        done
    };
    let tasks: Vec<_> = (0..3).map(|_| tokio::spawn(work(graph.clone()))).collect();
    let thread = std::thread::spawn({
        let graph = graph.clone();
        move || block_on(work(graph))
    });
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    done += thread.join().unwrap();
    assert_eq!(done, 201);
}
