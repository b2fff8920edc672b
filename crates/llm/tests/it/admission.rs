use crate::fake::{Fake, SECOND, chat, poll, ready};
use ropewalk_llm::{AskError, Priority};
use ropewalk_sync::Clock;
use std::time::Duration;

#[test]
fn the_urgent_go_first_and_equals_in_order() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().concurrency(1).build().unwrap();
    let order = [
        ("first", Priority::Low),
        ("low", Priority::Low),
        ("normal", Priority::Normal),
        ("critical", Priority::Critical),
        ("high", Priority::High),
        ("low 2", Priority::Low),
        ("critical 2", Priority::Critical),
    ];
    let mut asks: Vec<_> =
        order.iter().map(|&(text, priority)| llm.ask(chat(text)).priority(priority).into_future()).collect();
    for ask in &mut asks {
        assert!(poll(ask).is_pending());
    }
    clock.advance(10 * SECOND);
    for ask in &mut asks {
        ready(poll(ask)).unwrap();
    }
    assert_eq!(fake.asked(), ["first", "critical", "critical 2", "high", "normal", "low", "low 2"]);
}

#[test]
fn a_low_question_is_not_starved_by_urgent_ones() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().concurrency(1).ageing(2 * SECOND).build().unwrap();
    let mut busy = llm.ask(chat("busy")).into_future();
    assert!(poll(&mut busy).is_pending());
    let mut low = llm.ask(chat("low")).priority(Priority::Low).into_future();
    assert!(poll(&mut low).is_pending());
    let mut urgent = Vec::new();
    // One urgent question for each second: the line never gets shorter.
    for n in 0..12 {
        let mut ask = llm.ask(chat(format!("urgent {n}"))).priority(Priority::Critical).into_future();
        assert!(poll(&mut ask).is_pending());
        urgent.push(ask);
        clock.advance(SECOND);
    }
    let at = fake.asked().iter().position(|text| text == "low").unwrap();
    // Three levels of two seconds: six urgent ones overtake it, and those that came with the first.
    assert!((6..=8).contains(&at), "{:?}", fake.asked());
}

#[test]
fn an_urgent_duplicate_hurries_the_call_that_it_shares() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().concurrency(1).build().unwrap();
    let mut asks: Vec<_> =
        ["busy", "a", "b", "c"].map(|text| llm.ask(chat(text)).into_future()).into_iter().collect();
    asks.push(llm.ask(chat("c")).priority(Priority::Critical).into_future());
    asks.iter_mut().for_each(|ask| assert!(poll(ask).is_pending()));
    clock.advance(5 * SECOND);
    assert_eq!(fake.asked(), ["busy", "c", "a", "b"]);
    asks.iter_mut().for_each(|ask| drop(ready(poll(ask)).unwrap()));
}

#[test]
fn a_full_queue_refuses_at_once_but_shares() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().concurrency(1).queue(2).build().unwrap();
    let mut asks: Vec<_> = (0..3).map(|n| llm.ask(chat(n.to_string())).into_future()).collect();
    asks.iter_mut().for_each(|ask| assert!(poll(ask).is_pending()));
    let refused = ready(poll(&mut llm.ask(chat("more")).into_future())).unwrap_err();
    assert_eq!(refused, AskError::Overloaded { queued: 2, limit: 2 });
    assert!(refused.is_retryable());
    let mut shared = llm.ask(chat("2")).into_future();
    assert!(poll(&mut shared).is_pending());
    clock.advance(3 * SECOND);
    ready(poll(&mut shared)).unwrap();
    assert_eq!((llm.stats().overloaded, fake.calls()), (1, 3));
}

#[test]
fn never_more_in_flight_than_permits_also_when_they_change() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock);
    let llm = fake.llm().concurrency(3).build().unwrap();
    let mut asks: Vec<_> = (0..40).map(|n| llm.ask(chat(n.to_string())).into_future()).collect();
    asks.iter_mut().for_each(|ask| assert!(poll(ask).is_pending()));
    clock.settle();
    assert_eq!(llm.stats().in_flight, 3);
    llm.resize(8);
    clock.settle();
    assert_eq!(llm.stats().in_flight, 8);
    llm.resize(2);
    clock.advance(SECOND);
    assert_eq!(fake.log(|log| log.in_flight), 2);
    llm.resize(0);
    clock.advance(10 * SECOND);
    assert_eq!((fake.log(|log| log.in_flight), llm.stats().queued), (0, 30));
    llm.resize(100);
    clock.advance(SECOND);
    asks.iter_mut().for_each(|ask| drop(ready(poll(ask)).unwrap()));
    assert_eq!(fake.log(|log| log.peak), 30);
}

#[test]
fn threads_and_tasks_ask_alike() {
    let clock = Clock::system();
    let fake = Fake::new(&clock).latency(Duration::ZERO);
    let llm = fake.llm().build().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let llm = &llm;
            scope.spawn(move || {
                for n in 0..200 {
                    let text = format!("{}", (n + thread * 13) % 100);
                    let reply = if n % 2 == 0 {
                        llm.ask_blocking(chat(text.as_str())).unwrap()
                    } else {
                        ropewalk_sync::block_on(llm.ask(chat(text.as_str())).into_future()).unwrap()
                    };
                    assert_eq!(*reply.text, *text);
                }
            });
        }
    });
    assert_eq!(fake.calls(), 100);
    assert_eq!(llm.stats().requests, 800);
}
