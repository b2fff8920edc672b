use crate::fake::chat;
use ropewalk_llm::{AskError, Backend, BackendError, Batch, Call, Completion, Deltas, ErrorKind, Llm, Route};
use ropewalk_sync::Clock;

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
