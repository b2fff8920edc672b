//! Futures dropped after each of their polls, among others that wait.

use crate::support::{ready, waits};
use ropewalk_balance::{Balancer, Need, Node, Outcome, Pick, PickError};
use ropewalk_sync::{Clock, Elapsed};
use std::{pin::Pin, time::Duration};

const SECOND: Duration = Duration::from_secs(1);

type Waiting = Pin<Box<dyn Future<Output = Result<Pick, PickError>>>>;

/// What happens to the future before it drops, one step after the other.
const STEPS: [fn(&mut Waiting, &mut Vec<Pick>, &Clock); 5] = [
    |one, _, _| assert!(waits(one), "it joins"),
    |one, _, _| assert!(waits(one)),
    // Granted, and not polled any more.
    |_, held, _| drop(held.pop()),
    |_, _, clock| clock.advance(SECOND),
    // Taken back by the one behind.
    |_, _, clock| clock.advance(SECOND),
];

fn run(make: impl Fn(&Balancer) -> Waiting) {
    for steps in 0..=STEPS.len() {
        let clock = Clock::virtual_();
        let nodes =
            Balancer::builder().max_in_flight(1).regrant_after(SECOND).clock(clock.clone()).build().unwrap();
        nodes.insert(Node::new("a")).unwrap();
        let mut held = vec![nodes.pick(Need::any()).unwrap()];
        let (mut one, mut behind) = (make(&nodes), nodes.pick_wait(Need::any()));
        for (i, step) in STEPS[..steps].iter().enumerate() {
            step(&mut one, &mut held, &clock);
            if i > 0 && i + 1 < STEPS.len() {
                assert!(waits(&mut behind), "step {i} of {steps}");
            }
        }
        if steps == STEPS.len() {
            // It drops while another has its slot.
            let pick = ready(&mut behind).unwrap();
            drop(one);
            drop(pick);
        } else {
            drop(one);
            held.clear();
            drop(ready(&mut behind).unwrap());
        }
        let stats = nodes.stats();
        assert_eq!((stats.in_flight, stats.waiting), (0, 0), "after {steps} steps");
        drop(nodes.pick(Need::any()).unwrap());
    }
}

#[test]
fn pick_wait_dropped_after_any_step_loses_nothing() {
    run(|nodes| Box::pin(nodes.pick_wait(Need::any())));
}

#[test]
fn pick_timeout_dropped_after_any_step_loses_nothing() {
    run(|nodes| {
        let bounded = nodes.pick_timeout(Need::any(), 100 * SECOND);
        Box::pin(async move { bounded.await.map_err(|_| PickError::Closed) })
    });
}

#[test]
fn waits_for_a_drain_may_drop_at_any_poll() {
    let clock = Clock::virtual_();
    for polls in 0..3 {
        let nodes = Balancer::builder().clock(clock.clone()).build().unwrap();
        let id = nodes.insert(Node::new("a")).unwrap();
        let pick = nodes.pick(Need::any()).unwrap();
        let drain = nodes.drain(id).unwrap();
        let mut stays = Box::pin(drain.done());
        assert!(waits(&mut stays));
        let (mut done, mut bounded) = (Box::pin(drain.done()), Box::pin(drain.done_timeout(SECOND)));
        for _ in 0..polls {
            assert!(waits(&mut done) && waits(&mut bounded));
        }
        drop((done, bounded));
        let mut late = Box::pin(drain.done_timeout(SECOND));
        assert!(waits(&mut late));
        clock.advance(SECOND);
        assert_eq!(ready(&mut late), Err(Elapsed));
        pick.complete(Outcome::Success);
        ready(&mut stays);
    }
}
