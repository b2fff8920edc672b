use crate::fake::{Fake, SECOND, chat, poll, ready};
use futures_util::{StreamExt, stream};
use ropewalk_llm::{AskError, BackendError, Completion, Delta, Deltas, ErrorKind, Source, Usage};
use ropewalk_sync::Clock;
use std::time::Duration;

/// "a", "b", "c", a second apart, then the end.
fn abc(clock: &Clock) -> Fake {
    let pieces = clock.clone();
    Fake::new(clock).streaming(move |_| {
        let clock = pieces.clone();
        Ok(Box::pin(stream::iter(["a", "b", "c", ""]).then(move |text| {
            let sleep = clock.sleep(SECOND);
            async move {
                sleep.await;
                let delta = Delta::new(text);
                let end = Completion::default().usage(Usage::new(3, 3)).finish_reason("stop");
                Ok(if text.is_empty() { delta.end(end) } else { delta })
            }
        })))
    })
}

fn next(stream: &mut ropewalk_llm::AskStream<'_>) -> std::task::Poll<Option<Result<String, AskError>>> {
    poll(&mut Box::pin(stream.next()))
}

#[test]
fn pieces_arrive_as_they_are_made_and_the_whole_fills_the_cache() {
    let clock = Clock::virtual_();
    let fake = abc(&clock);
    let llm = fake.llm().build().unwrap();
    let mut stream = llm.ask_stream(chat("q"));
    assert!(next(&mut stream).is_pending());
    clock.advance(SECOND);
    assert!(next(&mut stream).is_pending());
    for text in ["a", "b", "c"] {
        clock.advance(SECOND);
        assert_eq!(ready(next(&mut stream)), Some(Ok(text.to_owned())));
    }
    assert!(stream.reply().is_none() && next(&mut stream).is_pending());
    clock.advance(SECOND);
    assert_eq!(ready(next(&mut stream)), None);
    let reply = stream.reply().unwrap();
    assert_eq!((&*reply.text, reply.source, reply.usage), ("abc", Source::Backend, Usage::new(3, 3)));
    assert_eq!(reply.latency, 5 * SECOND);
    assert_eq!(ready(next(&mut stream)), None);
    assert_eq!(ready(poll(&mut llm.ask(chat("q")).into_future())).unwrap().source, Source::Cache);
    // From the cache it comes in one piece.
    let mut again = llm.ask_stream(chat("q"));
    assert_eq!(ready(next(&mut again)), Some(Ok("abc".to_owned())));
    assert_eq!(ready(next(&mut again)), None);
    assert_eq!(again.reply().unwrap().source, Source::Cache);
    assert_eq!(fake.calls(), 1);
}

#[test]
fn a_slow_consumer_holds_no_permit() {
    let clock = Clock::virtual_();
    let fake = abc(&clock);
    let llm = fake.llm().concurrency(1).build().unwrap();
    let mut stream = llm.ask_stream(chat("q"));
    assert!(next(&mut stream).is_pending());
    clock.advance(10 * SECOND);
    assert_eq!(llm.stats().in_flight, 0);
    let reply = ready(poll(&mut Box::pin(stream.finish()))).unwrap();
    assert_eq!(&*reply.text, "abc");
}

#[test]
fn a_consumer_that_goes_ends_the_call() {
    let clock = Clock::virtual_();
    let fake = abc(&clock);
    let llm = fake.llm().build().unwrap();
    for wait in 0..5 {
        let mut stream = llm.ask(chat("q")).stream();
        assert!(next(&mut stream).is_pending());
        clock.advance(wait * SECOND);
        drop(stream);
        clock.settle();
        assert_eq!((fake.log(|log| log.in_flight), llm.stats().in_flight), (0, 0), "after {wait}");
    }
    assert!(poll(&mut llm.ask(chat("q")).into_future()).is_pending(), "half an answer is not cached");
}

#[test]
fn streams_wait_for_their_turn_and_may_be_dropped_there() {
    let clock = Clock::virtual_();
    let fake = abc(&clock);
    let llm = fake.llm().concurrency(1).build().unwrap();
    let mut busy = llm.ask(chat("busy")).into_future();
    let mut stream = llm.ask_stream(chat("q"));
    assert!(poll(&mut busy).is_pending() && next(&mut stream).is_pending());
    assert_eq!(llm.stats().queued, 1);
    drop(stream);
    assert_eq!(llm.stats().queued, 0);
    clock.advance(SECOND);
    ready(poll(&mut busy)).unwrap();
    assert_eq!(fake.calls(), 1);
}

fn broken(clock: &Clock, pieces: &'static [&'static str], times: u32) -> Fake {
    Fake::new(clock).streaming(move |call| {
        let fails = call.attempt <= times;
        let texts = stream::iter(pieces).map(|&text| Ok(Delta::new(text)));
        let last: Option<Result<Delta, BackendError>> =
            if fails { None } else { Some(Ok(Delta::new("!").end(Completion::default()))) };
        Ok(Box::pin(texts.chain(stream::iter(last))) as Deltas)
    })
}

#[test]
fn an_answer_that_breaks_off_is_an_error_and_not_begun_again() {
    let clock = Clock::virtual_();
    let fake = broken(&clock, &["one ", "two"], 9);
    let llm = fake.llm().build().unwrap();
    let mut stream = llm.ask_stream(chat("q"));
    assert!(next(&mut stream).is_pending());
    clock.advance(100 * SECOND);
    assert_eq!(ready(next(&mut stream)), Some(Ok("one ".to_owned())));
    assert_eq!(ready(next(&mut stream)), Some(Ok("two".to_owned())));
    let error = ready(next(&mut stream)).unwrap().unwrap_err();
    assert!(matches!(error, AskError::Backend { error, attempts: 1 } if error.kind == ErrorKind::Cut));
    assert_eq!(ready(next(&mut stream)), None);
    assert!(stream.reply().is_none());
    assert!(poll(&mut llm.ask(chat("q")).into_future()).is_pending());
}

#[test]
fn one_that_fails_before_its_first_piece_is_tried_again() {
    let clock = Clock::virtual_();
    let fake = broken(&clock, &[], 2);
    let llm = fake.llm().build().unwrap();
    let mut stream = llm.ask_stream(chat("q"));
    assert!(next(&mut stream).is_pending());
    clock.advance(100 * SECOND);
    assert_eq!(ready(next(&mut stream)), Some(Ok("!".to_owned())));
    assert_eq!(ready(next(&mut stream)), None);
    assert_eq!(stream.reply().unwrap().attempts, 3);
}

#[test]
fn silence_between_pieces_is_a_timeout() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock).streaming(|_| {
        let one = stream::iter([Ok(Delta::new("one"))]);
        Ok(Box::pin(one.chain(stream::pending())) as Deltas)
    });
    let llm = fake.llm().stall_timeout(7 * SECOND).build().unwrap();
    let mut stream = llm.ask_stream(chat("q"));
    assert!(next(&mut stream).is_pending());
    clock.advance(SECOND);
    assert_eq!(ready(next(&mut stream)), Some(Ok("one".to_owned())));
    clock.advance(6 * SECOND);
    assert!(next(&mut stream).is_pending());
    clock.advance(SECOND);
    let error = ready(next(&mut stream)).unwrap().unwrap_err();
    assert!(matches!(error, AskError::Backend { error, .. } if error.kind == ErrorKind::Timeout));
    assert_eq!(fake.log(|log| log.in_flight), 0);
}

#[test]
fn a_stream_has_a_deadline_too() {
    let clock = Clock::virtual_();
    let fake = abc(&clock);
    let llm = fake.llm().build().unwrap();
    let mut stream = llm.ask(chat("q")).deadline(Duration::from_millis(2_500)).stream();
    assert!(next(&mut stream).is_pending());
    clock.advance(10 * SECOND);
    // What is here is handed out first.
    let mut got = String::new();
    let error = loop {
        match ready(next(&mut stream)).unwrap() {
            Ok(text) => got.push_str(&text),
            Err(error) => break Some(error),
        }
        if got == "abc" {
            break None;
        }
    };
    // Nobody polled until all had arrived, and an answer that is there wins over a deadline.
    assert_eq!((got.as_str(), error), ("abc", None));

    let mut stream = llm.ask(chat("r")).deadline(Duration::from_millis(2_500)).stream();
    assert!(next(&mut stream).is_pending());
    clock.advance(Duration::from_millis(2_500));
    assert_eq!(ready(next(&mut stream)), Some(Ok("a".to_owned())));
    assert!(matches!(ready(next(&mut stream)), Some(Err(AskError::Deadline { .. }))));
    clock.settle();
    assert_eq!(fake.log(|log| log.in_flight), 0, "the call is given up");
}

#[test]
fn a_backend_without_streams_gives_one_piece() {
    struct Plain;
    impl ropewalk_llm::Backend for Plain {
        async fn complete(&self, call: ropewalk_llm::Call) -> Result<Completion, BackendError> {
            Ok(Completion::new(crate::fake::said(&call)))
        }
    }
    let llm = ropewalk_llm::Llm::builder(Plain).build().unwrap();
    let mut stream = llm.ask_stream(chat("whole"));
    assert_eq!(stream.next_blocking(), Some(Ok("whole".to_owned())));
    assert_eq!(stream.next_blocking(), None);
}
