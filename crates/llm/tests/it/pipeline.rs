use crate::fake::{Fake, SECOND, chat, drive, poll, ready};
use futures_util::future::join_all;
use ropewalk_llm::{Adaptive, AskError, BackendError, Budget, Chat, ErrorKind, Llm, Source};
use ropewalk_sync::Clock;
use std::{collections::HashMap, time::Duration};

async fn ask_all(llm: Llm, chats: Vec<Chat>) -> Vec<Result<ropewalk_llm::Reply, AskError>> {
    join_all(chats.into_iter().map(|chat| llm.ask(chat).into_future())).await
}

#[test]
fn a_thousand_questions_with_95_percent_duplicates_make_exactly_50_calls() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().build().unwrap();
    let chats = (0..1_000).map(|n| chat(format!("question {}", n % 50))).collect();
    let start = clock.now();
    let replies = drive(&clock, ask_all(llm.clone(), chats));
    assert_eq!(fake.calls(), 50);
    for (n, reply) in replies.iter().enumerate() {
        assert_eq!(*reply.as_ref().unwrap().text, *format!("question {}", n % 50));
    }
    let from = |source| replies.iter().filter(|reply| reply.as_ref().unwrap().source == source).count();
    assert_eq!((from(Source::Backend), from(Source::Shared), from(Source::Cache)), (50, 950, 0));
    assert_eq!(fake.log(|log| log.peak), 10);
    assert!(fake.log(|log| log.routed.iter().all(|&(_, calls)| calls <= 5)));
    // 50 calls, 10 at a time, a second each: nothing was waited for in between.
    assert!(clock.now() - start < 6 * SECOND);
    let stats = llm.stats();
    assert_eq!((stats.requests, stats.shared, stats.hits, stats.calls), (1_000, 950, 0, 50));
    assert_eq!((stats.queued, stats.in_flight, stats.limit), (0, 0, 10));
    assert_eq!(stats.backend_latency.count(), 50);
    assert_eq!(stats.answered_latency.count(), 1_000);
    assert_eq!((stats.prompt_tokens, stats.completion_tokens), (500, 500));
    assert!((stats.saved_ratio() - 0.95).abs() < 1e-9);
}

#[test]
fn a_burst_in_waves_still_makes_one_call_for_each_question() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().build().unwrap();
    let done = drive(&clock, {
        let (llm, clock) = (llm.clone(), clock.clone());
        async move {
            let waves = (0..20_u32).map(|wave| {
                let (llm, clock) = (&llm, &clock);
                async move {
                    clock.sleep(wave * Duration::from_millis(333)).await;
                    join_all((0..30).map(|n| llm.ask(chat(n.to_string())).into_future())).await
                }
            });
            join_all(waves).await.into_iter().flatten().filter(Result::is_ok).count()
        }
    });
    assert_eq!((done, fake.calls()), (600, 30));
}

#[test]
fn the_cache_answers_without_a_call_and_at_once() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().build().unwrap();
    let first = drive(&clock, ask_all(llm.clone(), vec![chat("q")])).remove(0).unwrap();
    assert_eq!((first.source, first.attempts, first.latency), (Source::Backend, 1, SECOND));
    let again = ready(poll(&mut llm.ask(chat("q")).into_future())).unwrap();
    assert_eq!((again.source, again.attempts, again.latency), (Source::Cache, 0, Duration::ZERO));
    assert_eq!((again.text, again.usage), (first.text, first.usage));
    assert_eq!(fake.calls(), 1);
    assert!((llm.stats().hit_ratio() - 0.5).abs() < 1e-9);
    // An answer lives for an hour.
    clock.advance(Duration::from_secs(3_601));
    assert!(poll(&mut llm.ask(chat("q")).into_future()).is_pending());
}

#[test]
fn without_a_cache_calls_in_flight_are_still_shared() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().cache(0).build().unwrap();
    let replies = drive(&clock, ask_all(llm.clone(), vec![chat("q"); 10]));
    assert!(replies.iter().all(Result::is_ok));
    assert_eq!(fake.calls(), 1);
    drive(&clock, ask_all(llm, vec![chat("q")]));
    assert_eq!(fake.calls(), 2);
}

#[test]
fn no_share_makes_a_call_of_its_own_and_no_cache_a_fresh_one() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().build().unwrap();
    let replies = drive(&clock, {
        let llm = llm.clone();
        async move {
            let asks = (0..3).map(|_| llm.ask(chat("q")).no_share().into_future());
            let shared = llm.ask(chat("q")).into_future();
            join_all(asks.chain([shared])).await
        }
    });
    assert!(replies.iter().all(|reply| reply.as_ref().unwrap().source == Source::Backend));
    assert_eq!(fake.calls(), 4);
    assert_eq!(ready(poll(&mut llm.ask(chat("q")).no_share().into_future())).unwrap().source, Source::Cache);
    let fresh = drive(&clock, {
        let llm = llm.clone();
        async move { llm.ask(chat("r")).no_cache().await }
    });
    assert_eq!(fresh.unwrap().source, Source::Backend);
    assert!(poll(&mut llm.ask(chat("r")).into_future()).is_pending(), "it did not fill the cache");
}

#[test]
fn all_who_share_a_call_get_its_error_and_errors_are_not_cached() {
    let clock = Clock::virtual_();
    let fake = Fake::scripted(&clock, |_| Err(BackendError::new(ErrorKind::Rejected, "no")));
    let llm = fake.llm().build().unwrap();
    let replies = drive(&clock, ask_all(llm.clone(), vec![chat("q"); 5]));
    for reply in replies {
        let AskError::Backend { error, attempts } = reply.unwrap_err() else { panic!() };
        assert_eq!((error.kind, attempts), (ErrorKind::Rejected, 1));
    }
    assert_eq!(fake.calls(), 1);
    drive(&clock, ask_all(llm.clone(), vec![chat("q")])).remove(0).unwrap_err();
    assert_eq!(fake.calls(), 2);
    let stats = llm.stats();
    assert_eq!(stats.failures, [("rejected", 2)]);
    assert_eq!(stats.failed, 6);
}

#[test]
fn one_bad_question_of_a_batch_fails_alone() {
    let clock = Clock::virtual_();
    for batches in [false, true] {
        let fake = Fake::scripted(&clock, |call| match crate::fake::said(call).as_str() {
            "bad" => Err(BackendError::new(ErrorKind::Rejected, "bad")),
            text => Ok(ropewalk_llm::Completion::new(text)),
        });
        let fake = if batches { fake.in_batches() } else { fake };
        // The first question holds the permits until the others stand in line.
        let llm = fake.llm().concurrency(4).build().unwrap();
        llm.resize(0);
        let chats = ["a", "bad", "b", "c"].map(chat);
        let asked = llm.clone();
        let replies = drive(&clock, async move {
            let asks = chats.map(|chat| asked.ask(chat).into_future());
            let resize = async {
                asked.resize(4);
            };
            let (replies, ()) = futures_util::future::join(join_all(asks), resize).await;
            replies
        });
        assert_eq!(replies.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, true]);
        assert_eq!(fake.log(|log| log.routed.clone()), [("m".to_owned(), 4)]);
        assert_eq!(fake.log(|log| log.batches.clone()), if batches { vec![4] } else { vec![] });
        assert_eq!(llm.stats().calls, if batches { 1 } else { 4 });
    }
}

#[test]
fn questions_for_one_model_leave_together_and_no_others() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().batch(3).build().unwrap();
    llm.resize(0);
    let replies = drive(&clock, {
        let llm = llm.clone();
        async move {
            let asks =
                (0..12).map(|n| llm.ask(Chat::model(["a", "b"][n % 2]).user(n.to_string())).into_future());
            let resize = async { llm.resize(10) };
            futures_util::future::join(join_all(asks), resize).await.0
        }
    });
    assert!(replies.iter().all(Result::is_ok));
    let routed = fake.log(|log| log.routed.clone());
    let mut of: HashMap<String, usize> = HashMap::new();
    for (model, calls) in &routed {
        assert!(*calls <= 3);
        *of.entry(model.clone()).or_default() += calls;
    }
    assert_eq!((of["a"], of["b"]), (6, 6));
    assert_eq!(routed[0], ("a".to_owned(), 3));
}

#[test]
fn the_budget_spreads_calls_over_time() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock).latency(Duration::from_millis(10));
    let budget = Budget::per_minute().requests(60).burst(5 * SECOND);
    let llm = fake.llm().budget(budget).build().unwrap();
    let start = clock.now();
    let chats = (0..25).map(|n| chat(n.to_string())).collect();
    drive(&clock, ask_all(llm, chats)).into_iter().for_each(|reply| drop(reply.unwrap()));
    let times: Vec<Duration> = fake.log(|log| log.calls.iter().map(|&(_, _, at)| at - start).collect());
    assert!(times[4] < SECOND, "a burst of five: {times:?}");
    for (n, &at) in times.iter().enumerate().skip(5) {
        let due = Duration::from_secs(n as u64 - 4);
        assert!(at >= due && at < due + Duration::from_millis(100), "{n}: {at:?}");
    }
}

#[test]
fn the_token_budget_is_settled_by_what_answers_cost() {
    let clock = Clock::virtual_();
    let fake = Fake::scripted(&clock, |_| {
        Ok(ropewalk_llm::Completion::new("x").usage(ropewalk_llm::Usage::new(0, 1_000)))
    })
    .latency(Duration::from_millis(1));
    // 100 tokens a second; answers are thought to cost little and cost 1,000.
    let llm = fake.llm().budget(Budget::per_minute().tokens(6_000)).concurrency(1).build().unwrap();
    let start = clock.now();
    let chats = (0..4).map(|n| chat(n.to_string()).max_tokens(10)).collect();
    drive(&clock, ask_all(llm, chats)).into_iter().for_each(|reply| drop(reply.unwrap()));
    let last = fake.log(|log| log.calls.last().unwrap().2 - start);
    assert!(last > 19 * SECOND && last < 22 * SECOND, "{last:?}");
}

#[test]
fn adaptive_concurrency_grows_while_latency_is_flat() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().concurrency(Adaptive::new(1..=64).start(2)).build().unwrap();
    let chats = (0..1_500).map(|n| chat(n.to_string())).collect();
    drive(&clock, ask_all(llm.clone(), chats)).into_iter().for_each(|reply| drop(reply.unwrap()));
    assert!(llm.stats().limit >= 32, "{}", llm.stats().limit);
    assert!(fake.log(|log| log.peak) <= 64);
}

#[test]
fn flawed_questions_are_refused_with_a_reason() {
    let clock = Clock::virtual_();
    let llm = Fake::new(&clock).llm().build().unwrap();
    let flawed = [
        Chat::model("").user("q"),
        Chat::model("m"),
        chat("q").temperature(f32::NAN),
        chat("q").temperature(-1.0),
        chat("q").top_p(f32::INFINITY),
        chat("q").max_tokens(0),
    ];
    for chat in flawed {
        let error = ready(poll(&mut llm.ask(chat).into_future())).unwrap_err();
        assert!(matches!(error, AskError::Invalid(_)), "{error}");
        assert!(!error.is_retryable());
    }
    assert_eq!(llm.stats().invalid, 6);
}
