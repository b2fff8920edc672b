//! A backend that does what a script says, in virtual time, and writes down what it saw.

use futures_core::Stream;
use ropewalk_llm::{
    Backend, BackendError, Batch, Call, Chat, Completion, Deltas, Llm, LlmBuilder, Route, Usage,
};
use ropewalk_sync::{Background, Clock};
use std::{
    pin::Pin,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

type Script = Arc<dyn Fn(&Call) -> Result<Completion, BackendError> + Send + Sync>;
type Pieces = Arc<dyn Fn(&Call) -> Result<Deltas, BackendError> + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) clock: Clock,
    latency: Duration,
    script: Script,
    pieces: Option<Pieces>,
    batches: bool,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
pub(crate) struct Log {
    /// The last message, the attempt and the time of every call.
    pub(crate) calls: Vec<(String, u32, Instant)>,
    pub(crate) keys: Vec<Arc<str>>,
    pub(crate) in_flight: usize,
    pub(crate) peak: usize,
    /// Model and size of every batch that was routed.
    pub(crate) routed: Vec<(String, usize)>,
    /// Sizes of batches that came as one call.
    pub(crate) batches: Vec<usize>,
}

pub(crate) fn chat(text: impl Into<String>) -> Chat {
    Chat::model("m").user(text)
}

pub(crate) fn said(call: &Call) -> String {
    call.chat.body().messages.last().map(|message| message.content.clone()).unwrap_or_default()
}

impl Fake {
    /// Answers every question with its own text after a second.
    pub(crate) fn new(clock: &Clock) -> Self {
        Self::scripted(clock, |call| Ok(Completion::new(said(call)).usage(Usage::new(10, 10))))
    }

    pub(crate) fn scripted(
        clock: &Clock,
        script: impl Fn(&Call) -> Result<Completion, BackendError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            clock: clock.clone(),
            latency: SECOND,
            script: Arc::new(script),
            pieces: None,
            batches: false,
            log: Arc::default(),
        }
    }

    pub(crate) fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    pub(crate) fn in_batches(mut self) -> Self {
        self.batches = true;
        self
    }

    pub(crate) fn streaming(
        mut self,
        pieces: impl Fn(&Call) -> Result<Deltas, BackendError> + Send + Sync + 'static,
    ) -> Self {
        self.pieces = Some(Arc::new(pieces));
        self
    }

    pub(crate) fn llm(&self) -> LlmBuilder {
        Llm::builder(self.clone()).clock(self.clock.clone())
    }

    pub(crate) fn log<T>(&self, read: impl FnOnce(&Log) -> T) -> T {
        read(&self.log.lock().unwrap())
    }

    /// What was asked, in order of the calls.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.log(|log| log.calls.iter().map(|(text, _, _)| text.clone()).collect())
    }

    pub(crate) fn calls(&self) -> usize {
        self.log(|log| log.calls.len())
    }

    fn enter(&self, call: &Call) -> InFlight {
        let mut log = self.log.lock().unwrap();
        log.calls.push((said(call), call.attempt, self.clock.now()));
        log.keys.push(call.idempotency_key.clone());
        log.in_flight += 1;
        log.peak = log.peak.max(log.in_flight);
        InFlight(self.log.clone())
    }
}

struct InFlight(Arc<Mutex<Log>>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.lock().unwrap().in_flight -= 1;
    }
}

impl Backend for Fake {
    async fn complete(&self, call: Call) -> Result<Completion, BackendError> {
        let _in_flight = self.enter(&call);
        self.clock.sleep(self.latency).await;
        (self.script)(&call)
    }

    async fn stream(&self, call: Call) -> Result<Deltas, BackendError> {
        let in_flight = self.enter(&call);
        self.clock.sleep(self.latency).await;
        let Some(pieces) = &self.pieces else { panic!("no pieces were scripted") };
        Ok(Box::pin(Holding(pieces(&call)?, in_flight)))
    }

    fn takes_batches(&self) -> bool {
        self.batches
    }

    async fn complete_batch(&self, calls: Vec<Call>) -> Vec<Result<Completion, BackendError>> {
        let _in_flight: Vec<InFlight> = calls.iter().map(|call| self.enter(call)).collect();
        self.log.lock().unwrap().batches.push(calls.len());
        self.clock.sleep(self.latency).await;
        calls.iter().map(|call| (self.script)(call)).collect()
    }

    fn route(&self, batch: &Batch<'_>) -> Result<Route, BackendError> {
        self.log.lock().unwrap().routed.push((batch.model.to_string(), batch.calls));
        Ok(Route::default())
    }
}

struct Holding(Deltas, #[allow(dead_code)] InFlight); // held for its drop

impl Stream for Holding {
    type Item = Result<ropewalk_llm::Delta, BackendError>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

/// Runs a future on a thread of the clock and moves the time until it is done.
pub(crate) fn drive<T: Send + 'static>(clock: &Clock, future: impl Future<Output = T> + Send + 'static) -> T {
    let (tx, rx) = mpsc::channel();
    let _job = Background::thread("caller", clock, async move {
        let _ = tx.send(future.await);
    });
    for _ in 0..100_000 {
        clock.settle();
        match rx.try_recv() {
            Ok(done) => return done,
            Err(mpsc::TryRecvError::Empty) => clock.advance(Duration::from_millis(50)),
            Err(mpsc::TryRecvError::Disconnected) => panic!("the caller panicked"),
        }
    }
    panic!("not done after 5,000 seconds");
}

pub(crate) fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// An answer that must be there.
pub(crate) fn ready<T>(poll: Poll<T>) -> T {
    match poll {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("still pending"),
    }
}
