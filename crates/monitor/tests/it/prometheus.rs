//! The exposition, read back by a parser of its own.

use ropewalk_monitor::{Monitor, Samples};
use ropewalk_sync::Clock;
use std::collections::BTreeMap;

const NASTY: &str = "a \"quoted\" \\ path\nand a line";

/// `name{labels} value` lines, with the labels unescaped.
fn parse(text: &str) -> BTreeMap<(String, Vec<(String, String)>), f64> {
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, mut rest) = series.split_once('{').unwrap_or((series, ""));
        let mut labels = Vec::new();
        while let Some((key, quoted)) = rest.split_once("=\"") {
            let (mut value, mut chars) = (String::new(), quoted.char_indices());
            let end = loop {
                match chars.next().unwrap() {
                    (_, '\\') => value.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        other => other,
                    }),
                    (at, '"') => break at,
                    (_, other) => value.push(other),
                }
            };
            labels.push((key.trim_start_matches(',').to_owned(), value));
            rest = &quoted[end + 1..];
        }
        let value = if value == "+Inf" { f64::INFINITY } else { value.parse().unwrap() };
        assert!(samples.insert((name.to_owned(), labels), value).is_none(), "twice: {line}");
    }
    samples
}

#[test]
fn what_is_written_is_what_was_recorded() {
    let clock = Clock::virtual_();
    let monitor = Monitor::builder()
        .clock(clock.clone())
        .collect("pool", || Samples::new().gauge("open", 5).label("place", NASTY).counter("gets", 7))
        .build()
        .unwrap();
    let wait = monitor.histogram("wait", [("pool", "a")]).unwrap();
    (1..=100).for_each(|n| wait.record(n));
    clock.settle();
    clock.advance(monitor.every());
    let text = monitor.prometheus();
    let samples = parse(&text);
    let of = |name: &str| {
        samples.iter().filter(|((n, _), _)| n == name).map(|(k, v)| (k.1.clone(), *v)).collect::<Vec<_>>()
    };
    assert_eq!(of("pool_open"), [(vec![("place".into(), NASTY.into())], 5.0)], "{text}");
    assert_eq!(of("pool_gets_total"), [(vec![], 7.0)], "{text}");
    assert_eq!(of("wait_count")[0].1, 100.0, "{text}");
    assert_eq!(of("wait_sum")[0].1, 5_050.0, "{text}");
    let mut last = 0.0;
    for line in text.lines().filter(|line| line.starts_with("wait_bucket")) {
        let count: f64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
        assert!(count >= last, "buckets add up: {text}");
        last = count;
    }
    assert_eq!(last, 100.0);
    for name in ["pool_open gauge", "pool_gets_total counter", "wait histogram"] {
        assert!(text.contains(&format!("# TYPE {name}")), "{name} in {text}");
    }
}
