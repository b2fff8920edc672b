use crate::fake::{Fake, SECOND, chat, poll, ready, said};
use ropewalk_llm::{AskError, BackendError, Completion, ErrorKind, Retry, Source};
use ropewalk_sync::Clock;
use std::time::Duration;

fn failing(clock: &Clock, times: u32, kind: ErrorKind) -> Fake {
    Fake::scripted(clock, move |call| {
        if call.attempt <= times {
            Err(BackendError::new(kind, "not yet"))
        } else {
            Ok(Completion::new(said(call)))
        }
    })
}

#[test]
fn failures_in_passing_are_tried_again_and_others_are_not() {
    let kinds = [
        (ErrorKind::RateLimited, 3),
        (ErrorKind::Unavailable, 3),
        (ErrorKind::Timeout, 3),
        (ErrorKind::Connect, 3),
        (ErrorKind::Cut, 3),
        (ErrorKind::Rejected, 1),
        (ErrorKind::Unauthorized, 1),
        (ErrorKind::NotFound, 1),
        (ErrorKind::Malformed, 1),
    ];
    for (kind, calls) in kinds {
        let clock = Clock::virtual_();
        let fake = failing(&clock, 9, kind);
        let llm = fake.llm().build().unwrap();
        let mut ask = llm.ask(chat("q")).into_future();
        assert!(poll(&mut ask).is_pending());
        clock.advance(100 * SECOND);
        let error = ready(poll(&mut ask)).unwrap_err();
        assert!(
            matches!(&error, AskError::Backend { attempts, .. } if *attempts == calls),
            "{kind:?}: {error}"
        );
        assert_eq!(fake.calls() as u32, calls);
        assert_eq!(llm.stats().retries, u64::from(calls - 1));
    }
}

#[test]
fn an_attempt_that_succeeds_answers_everybody() {
    let clock = Clock::virtual_();
    let fake = failing(&clock, 2, ErrorKind::Unavailable);
    let llm = fake.llm().build().unwrap();
    let mut asks = [llm.ask(chat("q")).into_future(), llm.ask(chat("q")).into_future()];
    asks.iter_mut().for_each(|ask| assert!(poll(ask).is_pending()));
    clock.advance(100 * SECOND);
    let replies = asks.map(|mut ask| ready(poll(&mut ask)).unwrap());
    assert_eq!([replies[0].attempts, replies[1].attempts], [3, 3]);
    assert_eq!([replies[0].source, replies[1].source], [Source::Backend, Source::Shared]);
    // All attempts carry the same key, so that a server can do the work once.
    let keys = fake.log(|log| log.keys.clone());
    assert!(keys.len() == 3 && keys[0] == keys[1] && keys[1] == keys[2] && !keys[0].is_empty());
}

#[test]
fn retry_after_is_honoured() {
    let clock = Clock::virtual_();
    let start = clock.now();
    let fake = Fake::scripted(&clock, |call| match call.attempt {
        1 => Err(BackendError::new(ErrorKind::RateLimited, "slow down").retry_after(Duration::from_secs(77))),
        _ => Ok(Completion::new("ok")),
    });
    let llm = fake.llm().build().unwrap();
    let mut ask = llm.ask(chat("q")).into_future();
    assert!(poll(&mut ask).is_pending());
    clock.advance(200 * SECOND);
    ready(poll(&mut ask)).unwrap();
    let second = fake.log(|log| log.calls[1].2 - start);
    assert_eq!(second, Duration::from_secs(78));
}

#[test]
fn a_resting_question_holds_no_permit_and_keeps_its_age() {
    let clock = Clock::virtual_();
    let fake = Fake::scripted(&clock, |call| {
        if said(call) == "old" && call.attempt == 1 {
            return Err(BackendError::new(ErrorKind::RateLimited, "later").retry_after(SECOND / 2));
        }
        Ok(Completion::new(said(call)))
    });
    let retry = Retry::attempts(2).backoff(Duration::ZERO..=Duration::ZERO);
    let llm = fake.llm().concurrency(1).retry(retry).build().unwrap();
    let mut asks: Vec<_> = ["old", "a", "b", "c"].map(|text| llm.ask(chat(text)).into_future()).into();
    for ask in &mut asks {
        assert!(poll(ask).is_pending());
        clock.advance(Duration::from_millis(1));
    }
    clock.advance(10 * SECOND);
    // "a" went while "old" rested; then "old", the oldest, was next.
    assert_eq!(fake.asked(), ["old", "a", "old", "b", "c"]);
    asks.iter_mut().for_each(|ask| drop(ready(poll(ask)).unwrap()));
    assert_eq!(fake.log(|log| log.peak), 1);
}

#[test]
fn a_question_that_everybody_left_is_not_tried_again() {
    let clock = Clock::virtual_();
    let fake = failing(&clock, 1, ErrorKind::Unavailable);
    let llm = fake.llm().build().unwrap();
    let mut ask = llm.ask(chat("q")).into_future();
    assert!(poll(&mut ask).is_pending());
    clock.advance(SECOND);
    drop(ask);
    clock.advance(100 * SECOND);
    assert_eq!(fake.calls(), 1);
    llm.close_blocking();
}

#[test]
fn a_key_of_the_callers_own_is_sent() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().build().unwrap();
    let mut ask = llm.ask(chat("q")).idempotency_key("task-17").into_future();
    assert!(poll(&mut ask).is_pending());
    let mut other = llm.ask(chat("r")).into_future();
    assert!(poll(&mut other).is_pending());
    clock.advance(SECOND);
    let keys = fake.log(|log| log.keys.clone());
    assert_eq!(&*keys[0], "task-17");
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn refused_calls_give_their_budget_back() {
    let clock = Clock::virtual_();
    let fake = failing(&clock, 1, ErrorKind::RateLimited);
    let retry = Retry::attempts(2).backoff(Duration::ZERO..=Duration::ZERO);
    let budget = ropewalk_llm::Budget::per_minute().requests(1).burst(Duration::ZERO);
    let llm = fake.llm().budget(budget).retry(retry).build().unwrap();
    let mut ask = llm.ask(chat("q")).into_future();
    assert!(poll(&mut ask).is_pending());
    clock.advance(3 * SECOND);
    assert_eq!(ready(poll(&mut ask)).unwrap().attempts, 2);
}
