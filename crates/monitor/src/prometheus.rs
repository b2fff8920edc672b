//! The Prometheus text format, version 0.0.4.

use crate::{
    Handle,
    metric::{Labels, Unit, Value, words},
    table::{Key, Series},
};
use std::{collections::BTreeMap, fmt::Write as _};

/// Upper ends of buckets in seconds and other small numbers: 1, 2.5, 5 for each power of ten.
const DECADES: std::ops::RangeInclusive<i32> = -6..=2;
/// The same for plain numbers: powers of 4.
const POWERS: u32 = 16;

pub(crate) fn text(handle: &Handle) -> String {
    let state = handle.0.state.lock();
    let tick = state.table.tick;
    let mut families: BTreeMap<&str, Vec<(&Key, &Series)>> = BTreeMap::new();
    // What was not reported at the last tick is not there.
    for (key, series) in
        state.table.sorted().into_iter().filter(|(_, series)| series.seen == tick && tick > 0)
    {
        families.entry(&key.name).or_default().push((key, series));
    }
    let mut out = String::new();
    for (name, family) in families {
        write_family(&mut out, name, &family);
    }
    out
}

fn write_family(out: &mut String, name: &str, family: &[(&Key, &Series)]) {
    let Some((_, first)) = family.first() else { return };
    let (kind, suffix) = match &first.last {
        Value::Counter(_) => ("counter", if name.ends_with("_total") { "" } else { "_total" }),
        Value::Gauge(_) => ("gauge", ""),
        Value::Histogram(..) => ("histogram", ""),
        Value::Text(_) => return,
    };
    let help = first.help.clone().unwrap_or_else(|| words(name));
    line(out, format_args!("# HELP {name}{suffix} {}", escaped(&help, false)));
    line(out, format_args!("# TYPE {name}{suffix} {kind}"));
    for (key, series) in family {
        let labels = &key.labels;
        match &series.last {
            Value::Counter(value) if kind == "counter" => sample(out, name, suffix, labels, None, *value),
            Value::Gauge(value) if kind == "gauge" => sample(out, name, "", labels, None, *value),
            Value::Histogram(all, scale) if kind == "histogram" => {
                for bound in bounds(series.unit) {
                    let count = all.count_at_most(saturated(bound / scale));
                    sample(out, name, "_bucket", labels, Some(bound), count as f64);
                }
                sample(out, name, "_bucket", labels, Some(f64::INFINITY), all.count() as f64);
                sample(out, name, "_sum", labels, None, all.sum() as f64 * scale);
                sample(out, name, "_count", labels, None, all.count() as f64);
            }
            // One name, two kinds: the first counts, a scraper would refuse the rest.
            Value::Counter(_) | Value::Gauge(_) | Value::Histogram(..) | Value::Text(_) => {}
        }
    }
}

fn bounds(unit: Unit) -> Vec<f64> {
    match unit {
        Unit::Seconds | Unit::Ratio => DECADES
            .flat_map(|power| [1.0, 2.5, 5.0].map(|by| format!("{by}e{power}").parse().unwrap_or(by)))
            .collect(),
        Unit::None | Unit::Bytes => (0..POWERS).map(|power| 4_f64.powi(power as i32)).collect(),
    }
}

/// The cast saturates; rounding keeps 0.001 s at a million nanoseconds.
fn saturated(value: f64) -> u64 {
    value.round() as u64
}

fn sample(out: &mut String, name: &str, suffix: &str, labels: &Labels, le: Option<f64>, value: f64) {
    out.push_str(name);
    out.push_str(suffix);
    let mut pairs: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value, true))).collect();
    pairs.extend(le.map(|bound| format!("le=\"{}\"", number(bound))));
    if !pairs.is_empty() {
        out.push('{');
        out.push_str(&pairs.join(","));
        out.push('}');
    }
    line(out, format_args!(" {}", number(value)));
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}

fn escaped(text: &str, quotes: bool) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => clean.push_str("\\\\"),
            '\n' => clean.push_str("\\n"),
            '"' if quotes => clean.push_str("\\\""),
            c => clean.push(c),
        }
    }
    clean
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}
