use crate::{bomb, panics};
use ropewalk_graph::*;
use ropewalk_sync::{Clock, block_on};
use std::{
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
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

#[test]
fn a_bounded_pop_that_is_dropped_passes_its_hint_on() {
    let clock = Clock::virtual_();
    let graph = Graph::builder().clock(clock.clone()).build().unwrap();
    let _hold = graph.hold();
    let mut cx = Context::from_waker(Waker::noop());
    let mut second = pin!(graph.pop_ready());
    let mut first = Box::pin(graph.pop_ready_timeout(Duration::from_secs(9)));
    assert!(first.as_mut().poll(&mut cx).is_pending());
    assert!(second.as_mut().poll(&mut cx).is_pending());
    graph.add(Task::new("a"));
    drop(first);
    assert!(matches!(second.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
}

/// Who waits with a waker that panics, and one behind it who counts.
fn two_in_line(graph: &Graph) -> (Box<PopReady>, Box<PopReady>, Arc<Woken>) {
    let (mut rude, mut behind) = (Box::new(graph.pop_ready()), Box::new(graph.pop_ready()));
    let woken = Arc::new(Woken::default());
    assert!(Pin::new(&mut *rude).poll(&mut Context::from_waker(&bomb())).is_pending());
    let waker = Waker::from(woken.clone());
    assert!(Pin::new(&mut *behind).poll(&mut Context::from_waker(&waker)).is_pending());
    (rude, behind, woken)
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_waker_that_panics_takes_nothing_along() {
    let told = Arc::new(AtomicUsize::new(0));
    let counted = told.clone();
    let graph = Graph::builder()
        .observer(move |_| {
            counted.fetch_add(1, SeqCst);
        })
        .build()
        .unwrap();
    let a = graph.add(Task::new("a"));
    let [b, c] = ["b", "c"].map(|name| graph.add(Task::new(name).after(a)));
    let claim = graph.try_pop_ready().unwrap();
    let (mut rude, mut behind, woken) = two_in_line(&graph);
    let before = told.load(SeqCst);
    assert!(panics(|| graph.complete(claim)), "it goes on to the caller");
    assert_eq!(told.load(SeqCst) - before, 3, "the observers have been told of all three");
    assert_eq!(woken.0.load(SeqCst), 1);
    assert_eq!((graph.status(a), graph.ready()), (Ok(Status::Completed), vec![b, c]));
    let mut cx = Context::from_waker(Waker::noop());
    let claims = [&mut rude, &mut behind].map(|waiter| match Pin::new(&mut **waiter).poll(&mut cx) {
        Poll::Ready(Ok(claim)) => claim,
        other => panic!("{other:?}"),
    });
    assert_eq!(claims.map(|claim| claim.task()), [b, c]);

    // One that leaves: its hint is the next one's although that one's waker panics.
    let mut first = Box::new(graph.pop_ready());
    assert!(Pin::new(&mut *first).poll(&mut cx).is_pending());
    let (mut rude, behind, woken) = two_in_line(&graph);
    graph.add(Task::new("d"));
    assert!(panics(|| drop(first)));
    assert!(matches!(Pin::new(&mut *rude).poll(&mut cx), Poll::Ready(Ok(_))));
    assert_eq!(woken.0.load(SeqCst), 0);
    drop(behind);

    // The end of the graph is told to everybody.
    let graph = Graph::new();
    let hold = graph.hold();
    let (mut rude, mut behind, woken) = two_in_line(&graph);
    assert!(panics(|| drop(hold)));
    assert_eq!(woken.0.load(SeqCst), 1);
    for waiter in [&mut rude, &mut behind] {
        assert_eq!(Pin::new(&mut **waiter).poll(&mut cx), Poll::Ready(Err(PopError::Finished)));
    }
}

#[test]
fn a_waker_that_panics_does_not_take_the_claim_along() {
    // While the first takes its task, an observer puts another behind it and makes a second task ready, whose hint
    // goes to the first: it passes the hint on to the one behind, whose waker panics.
    type Inner = Mutex<Option<(Graph, Box<PopReady>)>>;
    let inner: Arc<Inner> = Arc::default();
    let taken = inner.clone();
    let graph = Graph::builder()
        .observer(move |event| {
            if !matches!(event.change, Change::Status { to: Status::Running, .. }) {
                return;
            }
            let Some((graph, mut behind)) = taken.lock().unwrap().take() else { return };
            assert!(Pin::new(&mut *behind).poll(&mut Context::from_waker(&bomb())).is_pending());
            graph.add(Task::new("b"));
            *taken.lock().unwrap() = Some((graph, behind));
        })
        .build()
        .unwrap();
    let a = graph.add(Task::new("a"));
    *inner.lock().unwrap() = Some((graph.clone(), Box::new(graph.pop_ready())));
    let mut cx = Context::from_waker(Waker::noop());
    let mut first = pin!(graph.pop_ready());
    let Poll::Ready(Ok(claim)) = first.as_mut().poll(&mut cx) else { panic!("a is ready") };
    assert_eq!(claim.task(), a);
    let (_, mut behind) = inner.lock().unwrap().take().unwrap();
    assert!(matches!(Pin::new(&mut *behind).poll(&mut cx), Poll::Ready(Ok(_))));
    assert_eq!(graph.stats().observer_panics, 0);
}
