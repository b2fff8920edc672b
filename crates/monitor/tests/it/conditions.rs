//! What conditions say about series that the test writes.

use crate::{Rig, SECOND};
use proptest::prelude::*;
use ropewalk_monitor::{
    AlertState, Expr, Happened, Labels, RaiseError, Rule, RuleError, Samples, Section, Silence, counter,
    gauge, histogram, raised,
};
use ropewalk_series::{AnomalyDetector, Direction};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

#[test]
fn rates_ratios_means_and_quantiles() {
    let rig = Rig::new(|b| b);
    let (errors, requests) = (
        rig.monitor.counter("errors", [("a", "1")]).unwrap(),
        rig.monitor.counter("requests", [("a", "1")]).unwrap(),
    );
    let wait = rig.monitor.histogram("wait_seconds", Labels::none()).unwrap();
    rig.tick(1.0);
    for _ in 0..5 {
        errors.add(3);
        requests.add(60);
        (0..100).for_each(|_| wait.record_duration(Duration::from_millis(20)));
        wait.record_duration(SECOND);
        rig.tick(3.0);
    }
    let near = |expr: Expr, wanted: f64| {
        let value = rig.monitor.value(&expr).unwrap();
        assert!((value / wanted - 1.0).abs() < 0.02, "{expr:?}: {value} and not {wanted}");
    };
    near(counter("errors").rate_over(5 * SECOND), 3.0);
    near(counter("errors").rate().over(counter("requests").rate()), 0.05);
    near(gauge("load_level").mean_over(2 * SECOND), 3.0);
    near(histogram("wait_seconds").quantile(0.5), 0.02);
    near(histogram("wait_seconds").quantile(1.0), 1.0);
    assert_eq!(rig.monitor.value(&gauge("nobody")), None);
    assert_eq!(rig.monitor.value(&gauge("errors").label("a", "2")), None);
    // A minute without a wait: a quantile of nothing is no data.
    for _ in 0..61 {
        rig.tick(3.0);
    }
    assert_eq!(rig.monitor.value(&histogram("wait_seconds").quantile(0.5)), None);
}

#[test]
fn a_counter_that_began_anew_has_no_negative_rate() {
    let count = Arc::new(Mutex::new(100_u64));
    let read = count.clone();
    let rig = Rig::new(|b| b.collect("x", move || Samples::new().counter("count", *read.lock().unwrap())));
    for next in [110, 5, 15] {
        *count.lock().unwrap() = next;
        rig.tick(0.0);
    }
    // 10, then 5 from 0, then 10, over three seconds.
    let rate = rig.monitor.value(&counter("x_count").rate_over(3 * SECOND)).unwrap();
    assert!((rate - 25.0 / 3.0).abs() < 1e-9, "{rate}");
}

#[test]
fn absence_is_a_condition_of_its_own() {
    let rig = Rig::new(|b| b.rule(Rule::new("silent").when(gauge("load_level").absent()).for_(2 * SECOND)));
    rig.tick(1.0);
    assert_eq!(rig.state(), None);
    rig.tick(None);
    assert_eq!(rig.state(), Some(AlertState::Pending));
    rig.tick(None);
    rig.tick(None);
    assert_eq!(rig.state(), Some(AlertState::Firing));
    assert!(rig.monitor.alerts()[0].message.contains("load_level"));
    rig.tick(1.0);
    assert_eq!(rig.state(), None);
}

#[test]
fn what_stands_out_and_what_goes_one_way() {
    let detector = AnomalyDetector::builder(40).threshold(0.9).build().unwrap();
    let rig = Rig::new(|b| {
        b.rule(Rule::new("odd").when(gauge("load_level").anomaly(detector)))
            .rule(Rule::new("growing").when(gauge("load_level").trend(Direction::Rising, 0.95)))
    });
    for i in 0..60 {
        rig.tick(50.0 + f64::from(i * 7 % 5));
        assert_eq!(rig.monitor.alerts(), [], "at {i}");
    }
    rig.tick(500.0);
    assert_eq!(&*rig.monitor.alerts()[0].rule, "odd");
    assert!(rig.monitor.alerts()[0].message.contains("was expected"));
    for i in 0..245 {
        rig.tick(50.0 + f64::from(i * 7 % 5) + 2.0 * f64::from(i));
    }
    let rules: Vec<String> = rig.monitor.alerts().iter().map(|alert| alert.rule.to_string()).collect();
    assert!(rules.contains(&"growing".to_owned()), "{rules:?}");
    let trends = rig.monitor.trends();
    let level = trends.iter().find(|series| &*series.name == "load_level").unwrap();
    assert_eq!(level.trend.direction, Direction::Rising);
    let performance = rig.monitor.performance();
    let level = performance.series.iter().find(|series| &*series.name == "load_level").unwrap();
    assert_eq!((level.points, level.direction), (240, Direction::Rising));
    assert!(performance.to_string().contains("load_level"));
}

#[test]
fn the_analyser_names_values_that_stand_out() {
    let rig = Rig::new(|b| b);
    for i in 0..80 {
        rig.tick(10.0 + f64::from(i % 3));
    }
    rig.tick(1e4);
    let odd = rig.monitor.anomalies();
    let odd = odd.iter().find(|odd| &*odd.name == "load_level").unwrap();
    assert_eq!((odd.value, odd.at), (1e4, 81 * SECOND));
}

#[test]
fn each_set_of_labels_has_its_own_alert() {
    let down = Arc::new(Mutex::new(vec!["a", "b"]));
    let read = down.clone();
    let rig = Rig::new(|b| {
        b.collect("node", move || {
            let down = read.lock().unwrap().clone();
            ["a", "b", "c"].into_iter().fold(Samples::new().section(Section::Agents), |samples, name| {
                samples.gauge("down", down.contains(&name)).label("node", name)
            })
        })
        .rule(Rule::new("down").label("team", "x").when(gauge("node_down").above(0.0)))
    });
    rig.tick(0.0);
    let labels =
        |rig: &Rig| rig.monitor.alerts().iter().map(|alert| alert.labels.to_string()).collect::<Vec<_>>();
    assert_eq!(labels(&rig), ["node=a, team=x", "node=b, team=x"]);
    *down.lock().unwrap() = vec!["b", "c"];
    rig.tick(0.0);
    assert_eq!(labels(&rig), ["node=b, team=x", "node=c, team=x"]);
    assert_eq!(rig.monitor.alert_summary().fired, 3, "b is one alert all along");
}

#[test]
fn raised_rules_fire_at_once_and_are_lowered() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = told.clone();
    let rig = Rig::new(|b| {
        b.rule(Rule::new("race").when(raised()))
            .on_alert(move |event| log.lock().unwrap().push(event.to_string()))
    });
    let labels = Labels::from([("file", "src/lib.rs")]);
    rig.monitor.raise("race", labels.clone(), "two writers").unwrap();
    rig.monitor.raise("race", labels.clone(), "three writers").unwrap();
    assert_eq!(rig.state(), Some(AlertState::Firing), "without a tick");
    assert_eq!(rig.monitor.alerts()[0].message, "three writers");
    assert_eq!(rig.monitor.lower("race", &labels), Ok(true));
    assert_eq!(rig.monitor.lower("race", &labels), Ok(false));
    assert_eq!(rig.state(), None);
    assert_eq!(rig.monitor.raise("no such", labels, ""), Err(RaiseError::UnknownRule("no such".into())));
    rig.clock.settle();
    assert_eq!(
        *told.lock().unwrap(),
        [
            "[warning] race (file=src/lib.rs): two writers",
            "[warning] race (file=src/lib.rs): three writers (resolved)"
        ]
    );
    for i in 0..1_000 {
        rig.monitor.raise("race", Labels::from([("i", i.to_string())]), "").unwrap();
    }
    let more = rig.monitor.raise("race", Labels::from([("i", "more")]), "");
    assert_eq!(more, Err(RaiseError::TooMany("race".into())));
}

#[test]
fn repeats_stop_at_an_acknowledgement_and_a_silence_that_ends_is_told() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = told.clone();
    let rig = Rig::new(|b| {
        b.rule(Rule::new("high").when(gauge("load_level").above(10.0)).repeat(3 * SECOND))
            .on_alert(move |event| log.lock().unwrap().push((event.at.as_secs(), event.what)))
    });
    let silence = Silence::rule("high");
    rig.monitor.silence(silence, 3 * SECOND);
    (0..8).for_each(|_| rig.tick(11.0));
    rig.clock.settle();
    assert_eq!(*told.lock().unwrap(), [(3, Happened::Fired), (6, Happened::Repeated)]);
    rig.monitor.acknowledge(rig.monitor.alerts()[0].id, "ada").unwrap();
    (0..8).for_each(|_| rig.tick(11.0));
    rig.clock.settle();
    assert_eq!(told.lock().unwrap().len(), 3, "the acknowledgement, and no more");
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    let rig = Rig::new(|b| b);
    let above = || gauge("x").above(1.0);
    let refused = [
        (Rule::new("r"), RuleError::NoCondition("r".into())),
        (Rule::new("r").when(gauge("x").above(f64::INFINITY)), RuleError::Threshold("r".into())),
        (Rule::new("r").when(gauge("x").trend(Direction::Rising, 1.5)), RuleError::Threshold("r".into())),
        (Rule::new("r").when(above()).clear_below(f64::NAN), RuleError::Threshold("r".into())),
        (Rule::new("r").when(above()).clear_below(2.0), RuleError::Clear("r".into())),
        (Rule::new("r").when(above()).clear_above(0.5), RuleError::Clear("r".into())),
        (Rule::new("r").when(gauge("x").below(1.0)).clear_above(0.5), RuleError::Clear("r".into())),
    ];
    for (rule, why) in refused {
        assert_eq!(rig.monitor.rule(rule), Err(why));
    }
    rig.monitor.rule(Rule::new("r").when(above())).unwrap();
    assert_eq!(rig.monitor.rule(Rule::new("r").when(above())), Err(RuleError::Duplicate("r".into())));
}

#[test]
fn series_are_bounded_and_old_ones_forgotten() {
    let turn = Arc::new(Mutex::new(0));
    let read = turn.clone();
    let rig = Rig::new(|b| {
        b.points(5).max_series(40).collect("churn", move || {
            let turn = *read.lock().unwrap();
            (0..10).fold(Samples::new(), |samples, i| {
                samples.gauge("x", i).label("task", format!("{turn}-{i}")).help("a task of its own")
            })
        })
    });
    let mut most = 0;
    for i in 0..40 {
        *turn.lock().unwrap() = i;
        rig.tick(1.0);
        most = most.max(rig.monitor.values(&gauge("churn_x")).len());
    }
    assert!(most <= 40, "{most}");
    let refused = rig.monitor.value(&counter("monitor_series_refused")).unwrap();
    assert!(refused > 0.0);
    *turn.lock().unwrap() = -1;
    (0..10).for_each(|_| rig.tick(1.0));
    assert_eq!(rig.monitor.values(&gauge("churn_x")).len(), 10, "those of ended tasks made room");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// With a clear threshold: on above 10, off below 5, nothing in between or without data.
    #[test]
    fn prop_hysteresis_is_a_latch(levels in prop::collection::vec(prop::option::weighted(0.85, 0.0_f64..15.0), 1..40)) {
        let rig = Rig::new(|b| b.rule(Rule::new("high").when(gauge("load_level").above(10.0)).clear_below(5.0)));
        let (mut on, mut fired) = (false, 0);
        for level in levels {
            rig.tick(level);
            let was = on;
            on = match level {
                Some(level) if level > 10.0 => true,
                Some(level) if level < 5.0 => false,
                Some(_) | None => on,
            };
            fired += u64::from(on && !was);
            prop_assert_eq!(rig.state(), on.then_some(AlertState::Firing), "{:?}", level);
        }
        prop_assert_eq!(rig.monitor.alert_summary().fired, fired);
    }
}
