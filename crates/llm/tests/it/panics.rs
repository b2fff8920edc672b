use crate::fake::{Fake, SECOND, chat, poll, ready};
use futures_util::stream;
use ropewalk_balance::{Balancer, Node};
use ropewalk_llm::{
    AskError, Backend, BackendError, Batch, Call, Completion, Delta, Deltas, ErrorKind, Llm, Nodes, Retry,
    Route,
};
use ropewalk_sync::Clock;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Panics at the place that the question names.
struct Fragile {
    batches: bool,
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("in drop");
    }
}

fn at(call: &Call) -> String {
    crate::fake::said(call)
}

impl Backend for Fragile {
    #[allow(clippy::manual_async_fn)] // to panic before there is a future
    fn complete(&self, call: Call) -> impl Future<Output = Result<Completion, BackendError>> + Send {
        assert_ne!(at(&call), "call");
        async move {
            assert_ne!(at(&call), "first poll");
            let bomb = (at(&call) == "drop").then(|| Bomb);
            Clock::system().sleep(std::time::Duration::from_nanos(1)).await;
            assert_ne!(at(&call), "later poll");
            std::mem::forget(bomb);
            Ok(Completion::new("fine"))
        }
    }

    async fn stream(&self, call: Call) -> Result<Deltas, BackendError> {
        assert_ne!(at(&call), "open");
        Ok(Box::pin(futures_util::stream::poll_fn(move |_| panic!("piece of {}", at(&call)))))
    }

    fn takes_batches(&self) -> bool {
        self.batches
    }

    async fn complete_batch(&self, _: Vec<Call>) -> Vec<Result<Completion, BackendError>> {
        panic!("in a batch")
    }

    fn route(&self, batch: &Batch<'_>) -> Result<Route, BackendError> {
        assert_ne!(&**batch.model, "unroutable");
        Ok(Route::default())
    }
}

fn fragile(batches: bool) -> Llm {
    Llm::builder(Fragile { batches }).concurrency(4).build().unwrap()
}

fn assert_panicked(reply: Result<ropewalk_llm::Reply, AskError>) {
    match reply {
        Err(AskError::Backend { error, attempts: 1 }) => {
            assert_eq!(error.kind, ErrorKind::Panicked, "{error}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_backend_that_panics_anywhere_fails_that_call_only() {
    let llm = fragile(false);
    for place in ["call", "first poll", "later poll"] {
        assert_panicked(llm.ask_blocking(chat(place)));
        assert_eq!(*llm.ask_blocking(chat(format!("after {place}"))).unwrap().text, *"fine");
    }
    assert_panicked(llm.ask_blocking(ropewalk_llm::Chat::model("unroutable").user("x")));
    assert_eq!(*llm.ask_blocking(chat("drop")).unwrap().text, *"fine");
    let stats = llm.stats();
    assert_eq!((stats.in_flight, stats.queued), (0, 0));
    assert_eq!(stats.failures, [("panicked", 4)]);
}

#[test]
fn a_stream_that_panics_ends_with_an_error() {
    let llm = fragile(false);
    for place in ["open", "piece"] {
        let mut stream = llm.ask_stream(chat(place));
        let error = stream.next_blocking().unwrap().unwrap_err();
        assert!(matches!(error, AskError::Backend { error, .. } if error.kind == ErrorKind::Panicked));
        assert!(stream.next_blocking().is_none());
    }
    assert_eq!(llm.stats().in_flight, 0);
}

#[test]
fn a_batch_that_panics_fails_all_its_calls() {
    let llm = fragile(true);
    llm.resize(0);
    std::thread::scope(|scope| {
        let asks: Vec<_> = (0..3)
            .map(|n| {
                scope.spawn({
                    let llm = &llm;
                    move || llm.ask_blocking(chat(n.to_string()))
                })
            })
            .collect();
        while llm.stats().queued < 3 {
            std::thread::yield_now();
        }
        llm.resize(4);
        asks.into_iter().for_each(|ask| assert_panicked(ask.join().unwrap()));
    });
}

#[test]
fn a_call_that_panics_when_it_is_given_up_harms_nobody() {
    struct Hanging;
    impl Backend for Hanging {
        async fn complete(&self, call: Call) -> Result<Completion, BackendError> {
            if at(&call) == "hang" {
                let _bomb = Bomb;
                std::future::pending::<()>().await;
            }
            Ok(Completion::new("fine"))
        }
    }
    let clock = Clock::virtual_();
    let llm = Llm::builder(Hanging).clock(clock.clone()).retry(ropewalk_llm::Retry::never()).build().unwrap();
    let mut ask = llm.ask(chat("hang")).into_future();
    assert!(crate::fake::poll(&mut ask).is_pending());
    clock.advance(std::time::Duration::from_secs(120));
    assert!(crate::fake::ready(crate::fake::poll(&mut ask)).is_err());
    assert_eq!(*llm.ask_blocking(chat("next")).unwrap().text, *"fine");
}

#[test]
fn a_wrong_number_of_answers_to_a_batch_fails_it() {
    struct Miscounting;
    impl Backend for Miscounting {
        async fn complete(&self, _: Call) -> Result<Completion, BackendError> {
            Ok(Completion::new("single"))
        }
        fn takes_batches(&self) -> bool {
            true
        }
        async fn complete_batch(&self, _: Vec<Call>) -> Vec<Result<Completion, BackendError>> {
            vec![Ok(Completion::new("one for all"))]
        }
    }
    let clock = Clock::virtual_();
    let llm = Llm::builder(Miscounting).clock(clock.clone()).build().unwrap();
    llm.resize(0);
    let mut asks: Vec<_> = (0..3).map(|n| llm.ask(chat(n.to_string())).into_future()).collect();
    asks.iter_mut().for_each(|ask| assert!(crate::fake::poll(ask).is_pending()));
    llm.resize(5);
    clock.settle();
    for mut ask in asks {
        let error = crate::fake::ready(crate::fake::poll(&mut ask)).unwrap_err();
        assert!(matches!(error, AskError::Backend { error, .. } if error.kind == ErrorKind::Malformed));
    }
}

struct Bang;

impl Wake for Bang {
    fn wake(self: Arc<Self>) {
        panic!("in a waker");
    }
}

/// Polls with a waker that panics when it is woken.
fn arm<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(&Waker::from(Arc::new(Bang))))
}

#[test]
fn a_waker_that_panics_costs_nobody_an_answer() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().concurrency(1).build().unwrap();
    let mut bombs: Vec<_> = ["q", "late"].map(|text| llm.ask(chat(text)).into_future()).into();
    bombs.iter_mut().for_each(|bomb| assert!(arm(bomb).is_pending()));
    let mut others: Vec<_> = ["q", "r", "late"].map(|text| llm.ask(chat(text)).into_future()).into();
    others.iter_mut().for_each(|ask| assert!(poll(ask).is_pending()));
    let (mut closes, mut other) = (Box::pin(llm.close()), Box::pin(llm.close()));
    assert!(arm(&mut closes).is_pending() && poll(&mut other).is_pending());
    clock.advance(3 * SECOND);
    for (ask, text) in others.iter_mut().zip(["q", "r", "late"]) {
        assert_eq!(*ready(poll(ask)).unwrap().text, *text);
    }
    assert!(bombs.iter_mut().all(|bomb| ready(poll(bomb)).is_ok()), "its own answer is there, too");
    ready(poll(&mut other));
    let stats = llm.stats();
    assert_eq!((stats.calls, stats.in_flight, stats.queued), (3, 0, 0));
}

#[test]
fn a_waker_that_panics_may_leave_at_any_time() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().concurrency(1).build().unwrap();
    let mut asks: Vec<_> = ["on its way", "queued"].map(|text| llm.ask(chat(text)).into_future()).into();
    asks.iter_mut().for_each(|ask| assert!(arm(ask).is_pending()));
    clock.settle();
    drop(asks);
    assert_eq!((llm.stats().left, llm.stats().queued), (2, 0));
    let mut next = llm.ask(chat("next")).into_future();
    assert!(poll(&mut next).is_pending());
    clock.advance(2 * SECOND);
    assert!(ready(poll(&mut next)).is_ok());
}

#[test]
fn a_consumer_whose_waker_panics_gets_every_piece() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock).streaming(|_| {
        let end = Delta::new("").end(Completion::default());
        let pieces = ["a", "b"].map(|text| Ok(Delta::new(text)));
        Ok(Box::pin(stream::iter(pieces.into_iter().chain([Ok(end)]))))
    });
    let llm = fake.llm().build().unwrap();
    let mut stream = llm.ask_stream(chat("q"));
    assert!(arm(&mut Box::pin(stream.next())).is_pending());
    clock.advance(SECOND);
    assert_eq!(*clock.block_on(stream.finish()).unwrap().text, *"ab");
    assert_eq!(llm.stats().in_flight, 0);
}

/// What a route carries, which asks the processor when it drops, and then panics.
struct Asks(Arc<Mutex<Option<Llm>>>, Arc<AtomicUsize>);

impl Drop for Asks {
    fn drop(&mut self) {
        let llm = self.0.lock().unwrap().clone();
        let running = llm.map_or(0, |llm| llm.stats().in_flight);
        self.1.fetch_add(1, Ordering::SeqCst);
        panic!("the drop of a route, with {running} in flight");
    }
}

#[test]
fn what_a_route_carries_drops_under_no_lock_and_may_panic() {
    struct Routed(Arc<Mutex<Option<Llm>>>, Arc<AtomicUsize>);
    impl Backend for Routed {
        async fn complete(&self, call: Call) -> Result<Completion, BackendError> {
            if call.attempt == 1 {
                return Err(BackendError::new(ErrorKind::Unavailable, "not yet"));
            }
            Ok(Completion::new("fine"))
        }
        fn route(&self, batch: &Batch<'_>) -> Result<Route, BackendError> {
            assert!(batch.failed.iter().all(|route| route.get::<Asks>().is_some()));
            Ok(Route::new(Asks(self.0.clone(), self.1.clone())))
        }
    }
    let clock = Clock::virtual_();
    let (slot, dropped) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
    let backend = Routed(Arc::clone(&slot), dropped.clone());
    let llm = Llm::builder(backend).clock(clock.clone()).retry(Retry::attempts(2)).build().unwrap();
    *slot.lock().unwrap() = Some(llm.clone());
    for text in ["one", "two"] {
        let mut ask = llm.ask(chat(text)).into_future();
        assert!(poll(&mut ask).is_pending());
        clock.advance(60 * SECOND);
        assert_eq!(*ready(poll(&mut ask)).unwrap().text, *"fine");
    }
    assert_eq!(dropped.load(Ordering::SeqCst), 4, "one for each attempt");
    slot.lock().unwrap().take();
}

#[test]
fn a_node_whose_backend_cannot_be_made_fails_that_call_only() {
    let clock = Clock::virtual_();
    let balancer = Balancer::builder().clock(clock.clone()).build().unwrap();
    balancer.insert(Node::new("a").offers("m")).unwrap();
    let (fake, times) = (Fake::new(&clock), AtomicUsize::new(0));
    let nodes = Nodes::new(balancer.clone(), move |_| {
        assert!(times.fetch_add(1, Ordering::SeqCst) > 0, "in connect");
        fake.clone()
    });
    let llm = Llm::builder(nodes).clock(clock.clone()).build().unwrap();
    assert_panicked(llm.ask_blocking(chat("q")));
    assert_eq!(balancer.nodes()[0].in_flight, 0, "the node's place is given back");
    let mut ask = llm.ask(chat("q")).into_future();
    assert!(poll(&mut ask).is_pending());
    clock.advance(SECOND);
    assert!(ready(poll(&mut ask)).is_ok());
}
