use crate::fake::{Fake, SECOND, chat, poll, ready};
use ropewalk_llm::{AskError, BackendError, ErrorKind, Retry, Source, Stage};
use ropewalk_sync::Clock;
use std::time::Duration;

#[test]
fn a_deadline_in_the_queue_takes_the_question_out() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().concurrency(1).build().unwrap();
    let mut busy = llm.ask(chat("busy")).into_future();
    assert!(poll(&mut busy).is_pending());
    let mut late = llm.ask(chat("late")).deadline(SECOND / 2).into_future();
    assert!(poll(&mut late).is_pending());
    clock.advance(SECOND / 2);
    let error = ready(poll(&mut late)).unwrap_err();
    assert_eq!(error, AskError::Deadline { after: SECOND / 2, stage: Stage::Queued, last: None });
    assert_eq!(llm.stats().queued, 0);
    clock.advance(5 * SECOND);
    assert_eq!(fake.asked(), ["busy"]);
    assert_eq!(llm.stats().expired, 1);
}

#[test]
fn a_question_that_nobody_polls_does_not_leave_after_its_deadline() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().concurrency(1).build().unwrap();
    let mut busy = llm.ask(chat("busy")).into_future();
    let mut late = llm.ask(chat("late")).deadline(SECOND / 2).into_future();
    assert!(poll(&mut busy).is_pending() && poll(&mut late).is_pending());
    clock.advance(5 * SECOND);
    assert_eq!(fake.asked(), ["busy"]);
    assert!(matches!(ready(poll(&mut late)), Err(AskError::Deadline { stage: Stage::Queued, .. })));
    assert_eq!(llm.stats().in_flight, 0);
}

#[test]
fn a_deadline_during_the_call_lets_it_fill_the_cache() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().build().unwrap();
    let mut late = llm.ask(chat("q")).deadline(SECOND / 2).into_future();
    assert!(poll(&mut late).is_pending());
    clock.advance(SECOND / 2);
    assert!(matches!(ready(poll(&mut late)), Err(AskError::Deadline { stage: Stage::Running, .. })));
    // Who asks now joins the call that is on its way.
    let mut joined = llm.ask(chat("q")).into_future();
    assert!(poll(&mut joined).is_pending());
    clock.advance(SECOND / 2);
    assert_eq!(ready(poll(&mut joined)).unwrap().source, Source::Shared);
    assert_eq!(ready(poll(&mut llm.ask(chat("q")).into_future())).unwrap().source, Source::Cache);
    assert_eq!(fake.calls(), 1);
}

#[test]
fn those_who_share_a_call_keep_their_own_deadlines() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().build().unwrap();
    let mut short = llm.ask(chat("q")).deadline(SECOND / 2).into_future();
    let mut long = llm.ask(chat("q")).deadline(10 * SECOND).into_future();
    assert!(poll(&mut short).is_pending() && poll(&mut long).is_pending());
    clock.advance(SECOND);
    ready(poll(&mut long)).unwrap();
    // An answer that is there wins over a deadline that has passed.
    ready(poll(&mut short)).unwrap();
}

#[test]
fn no_attempt_is_waited_for_that_would_come_after_the_deadline() {
    let clock = Clock::virtual_();
    let fake = Fake::scripted(&clock, |_| {
        Err(BackendError::new(ErrorKind::RateLimited, "busy").retry_after(Duration::from_secs(60)))
    });
    let llm = fake.llm().build().unwrap();
    let mut ask = llm.ask(chat("q")).deadline(30 * SECOND).into_future();
    assert!(poll(&mut ask).is_pending());
    clock.advance(SECOND);
    let error = ready(poll(&mut ask)).unwrap_err();
    assert!(matches!(error, AskError::Backend { attempts: 1, .. }), "{error}");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(60)));
}

#[test]
fn a_deadline_between_attempts_says_what_failed() {
    let clock = Clock::virtual_();
    let fake = Fake::scripted(&clock, |_| Err(BackendError::new(ErrorKind::Unavailable, "down")));
    let retry = Retry::attempts(2).backoff(10 * SECOND..=10 * SECOND);
    let llm = fake.llm().retry(retry).build().unwrap();
    let mut patient = llm.ask(chat("q")).into_future();
    let mut short = llm.ask(chat("q")).deadline(5 * SECOND).into_future();
    assert!(poll(&mut patient).is_pending() && poll(&mut short).is_pending());
    clock.advance(5 * SECOND);
    let error = ready(poll(&mut short)).unwrap_err();
    let AskError::Deadline { stage: Stage::Resting, last: Some(last), .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(last.message, "down");
    assert!(error.to_string().contains("down"), "{error}");
    // The other one's next attempt is made all the same.
    clock.advance(40 * SECOND);
    assert!(matches!(ready(poll(&mut patient)), Err(AskError::Backend { attempts: 2, .. })));
}

#[test]
fn a_call_that_hangs_is_given_up() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock).latency(Duration::MAX);
    let llm = fake.llm().call_timeout(5 * SECOND).retry(Retry::never()).build().unwrap();
    let mut ask = llm.ask(chat("q")).deadline(Duration::MAX).into_future();
    assert!(poll(&mut ask).is_pending());
    clock.advance(5 * SECOND);
    let AskError::Backend { error, .. } = ready(poll(&mut ask)).unwrap_err() else { panic!() };
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert_eq!((fake.log(|log| log.in_flight), llm.stats().in_flight), (0, 0));
}

#[test]
fn no_time_at_all_is_a_deadline_and_a_hit_is_in_time() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().build().unwrap();
    let mut none = llm.ask(chat("q")).deadline(Duration::ZERO).into_future();
    assert!(matches!(ready(poll(&mut none)), Err(AskError::Deadline { .. })));
    let mut ask = llm.ask(chat("q")).into_future();
    assert!(poll(&mut ask).is_pending());
    clock.advance(SECOND);
    ready(poll(&mut ask)).unwrap();
    ready(poll(&mut llm.ask(chat("q")).deadline(Duration::ZERO).into_future())).unwrap();
}
