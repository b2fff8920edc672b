//! The life of an alert against a model that remembers every look.

use proptest::prelude::*;
use ropewalk_monitor::{Phase, Signal, Step, Timing};
use std::time::{Duration, Instant};

fn signal() -> impl Strategy<Value = Signal> {
    prop_oneof![
        4 => Just(Signal::Breach),
        1 => Just(Signal::Between),
        3 => Just(Signal::Clear),
        1 => Just(Signal::Absent),
    ]
}

/// Decides from the whole past, without a state of its own but where the last life ended.
fn firing_by_history(past: &[(u64, Signal)], timing: &Timing) -> bool {
    let passed = |from: u64, to: u64, time: Duration| Duration::from_secs(to - from) >= time;
    let (mut firing, mut breach, mut clear, mut data) = (false, None, None, 0);
    for &(at, signal) in past {
        if firing {
            match signal {
                Signal::Clear => {
                    let since = *clear.get_or_insert(at);
                    firing = !passed(since, at, timing.keep_for);
                }
                Signal::Absent => {
                    clear = None;
                    firing = timing.absent_after.is_none_or(|after| !passed(data, at, after));
                }
                Signal::Breach | Signal::Between => clear = None,
            }
            if !firing {
                (breach, clear) = (None, None);
            }
        } else {
            match signal {
                Signal::Breach => firing = passed(*breach.get_or_insert(at), at, timing.for_),
                Signal::Between | Signal::Clear => breach = None,
                Signal::Absent => {}
            }
        }
        if signal != Signal::Absent {
            data = at;
        }
    }
    firing
}

proptest! {
    #[test]
    fn prop_phase_is_what_its_history_says(
        looks in proptest::collection::vec((signal(), 1u64..4), 1..60),
        for_ in 0u64..5, keep_for in 0u64..5, absent_after in proptest::option::of(1u64..6),
    ) {
        let timing = Timing {
            for_: Duration::from_secs(for_),
            keep_for: Duration::from_secs(keep_for),
            absent_after: absent_after.map(Duration::from_secs),
        };
        let start = Instant::now();
        let (mut phase, mut past, mut at) = (Phase::default(), Vec::new(), 0);
        let (mut fired, mut ended) = (0, 0);
        for (signal, pause) in looks {
            at += pause;
            past.push((at, signal));
            match phase.step(signal, start + Duration::from_secs(at), &timing) {
                Step::Fired => fired += 1,
                Step::Resolved | Step::Vanished => ended += 1,
                Step::None | Step::Started | Step::Dropped => {}
            }
            let firing = matches!(phase, Phase::Firing { .. });
            prop_assert_eq!(firing, firing_by_history(&past, &timing));
            prop_assert_eq!(fired - ended, i32::from(firing), "each firing ends once");
        }
    }
}
