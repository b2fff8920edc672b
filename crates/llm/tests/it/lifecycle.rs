use crate::fake::{Fake, SECOND, chat, poll, ready};
use ropewalk_llm::{
    Adaptive, AskError, Backend, BackendError, Budget, BuildError, Call, Completion, ErrorKind, Llm,
};
use ropewalk_sync::{Clock, Tokio};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

#[test]
fn close_drains_and_refuses_the_rest() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().concurrency(1).build().unwrap();
    let mut asks: Vec<_> = (0..3).map(|n| llm.ask(chat(n.to_string())).into_future()).collect();
    asks.iter_mut().for_each(|ask| assert!(poll(ask).is_pending()));
    let mut close = Box::pin(llm.close());
    assert!(poll(&mut close).is_pending());
    assert_eq!(ready(poll(&mut llm.ask(chat("new")).into_future())), Err(AskError::Closed));
    let mut shared = llm.ask(chat("2")).into_future();
    assert!(poll(&mut shared).is_pending(), "a call that will be made may be shared");
    clock.advance(2 * SECOND);
    assert!(poll(&mut close).is_pending());
    clock.advance(SECOND);
    ready(poll(&mut close));
    asks.iter_mut().for_each(|ask| drop(ready(poll(ask)).unwrap()));
    ready(poll(&mut llm.ask(chat("1")).into_future())).unwrap();
    llm.close_blocking();
}

#[test]
fn dropping_the_last_clone_drops_calls_in_flight() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().build().unwrap();
    let other = llm.clone();
    let mut ask = llm.ask(chat("q")).into_future();
    assert!(poll(&mut ask).is_pending());
    clock.settle();
    drop(ask);
    drop(llm);
    assert_eq!(fake.log(|log| log.in_flight), 1);
    drop(other);
    assert_eq!(fake.log(|log| log.in_flight), 0);
}

#[test]
fn the_last_clone_may_be_dropped_by_a_call() {
    struct Holder(Arc<std::sync::Mutex<Option<Llm>>>, Arc<AtomicUsize>);
    impl Backend for Holder {
        async fn complete(&self, _: Call) -> Result<Completion, BackendError> {
            let llm = self.0.lock().unwrap().take();
            drop(llm);
            self.1.fetch_add(1, Ordering::SeqCst);
            Ok(Completion::new("x"))
        }
    }
    let (slot, calls) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
    let clock = Clock::virtual_();
    let llm = Llm::builder(Holder(Arc::clone(&slot), calls.clone())).clock(clock.clone()).build().unwrap();
    llm.resize(0);
    let mut ask = Box::pin({
        let llm = llm.clone();
        async move { llm.ask(chat("q")).await }
    });
    assert!(poll(&mut ask).is_pending());
    llm.resize(1);
    *slot.lock().unwrap() = Some(llm);
    drop(ask);
    clock.settle();
    assert!(calls.load(Ordering::SeqCst) <= 1);
}

#[test]
fn a_spawner_runs_the_calls() {
    struct OnTokio;
    impl Backend for OnTokio {
        async fn complete(&self, call: Call) -> Result<Completion, BackendError> {
            // Panics where there is no runtime with a timer.
            tokio::time::timeout(Duration::from_secs(60), tokio::task::yield_now()).await.unwrap();
            Ok(Completion::new(crate::fake::said(&call)))
        }
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let llm = Llm::builder(OnTokio).spawner(Tokio::new(runtime.handle().clone())).build().unwrap();
    runtime.block_on(async {
        let asks = (0..100).map(|n| {
            let llm = llm.clone();
            tokio::spawn(async move { llm.ask(chat((n % 40).to_string())).await.unwrap() })
        });
        futures_util::future::join_all(asks).await
    });
    assert_eq!(llm.stats().calls, 40);
    // A runtime that ends takes its calls with it, and their askers hear of it.
    let asker = llm.clone();
    llm.resize(0);
    let mut ask = Box::pin(async move { asker.ask(chat("late")).await });
    assert!(poll(&mut ask).is_pending());
    drop(runtime);
    llm.resize(1);
    assert!(
        matches!(ready(poll(&mut ask)), Err(AskError::Backend { error, .. }) if error.kind == ErrorKind::Stopped)
    );
    assert_eq!(llm.stats().in_flight, 0);
}

#[test]
fn what_cannot_work_is_not_built() {
    let clock = Clock::virtual_();
    let build = || Fake::new(&clock).llm();
    let zero = |name| Some(BuildError::Zero(name));
    assert_eq!(build().concurrency(0).build().err(), zero("concurrency"));
    assert_eq!(build().batch(0).build().err(), zero("batch"));
    assert_eq!(build().queue(0).build().err(), zero("queue"));
    assert_eq!(build().call_timeout(Duration::ZERO).build().err(), zero("call_timeout"));
    assert_eq!(build().stall_timeout(Duration::ZERO).build().err(), zero("stall_timeout"));
    assert_eq!(build().budget(Budget::per_minute().tokens(0)).build().err(), zero("budget tokens"));
    let range = build().concurrency(Adaptive::new(std::ops::RangeInclusive::new(5, 2))).build().err();
    assert!(matches!(range, Some(BuildError::NoRange { .. })), "{range:?}");
    assert!(build().time_to_live(Duration::MAX).ageing(Duration::MAX).build().is_ok());

    struct Unready;
    impl Backend for Unready {
        async fn complete(&self, _: Call) -> Result<Completion, BackendError> {
            unreachable!("it is never asked")
        }
        fn validate(&self) -> Result<(), BackendError> {
            Err(BackendError::new(ErrorKind::Setup, "no"))
        }
    }
    assert!(matches!(Llm::builder(Unready).build(), Err(BuildError::Backend(_))));
}
