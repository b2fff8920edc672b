//! Medians, ratios, and the three forms in which they are told: table, JSON, page.

use std::fmt::Write as _;

use serde_json::json;

use super::area::{Entry, Sample};
use crate::{
    error::{Context as _, Result},
    test::align,
};

/// The contestant whose rows the others are compared with.
const OURS: &str = "ropewalk";

/// Metrics of which more is better; of all others less is.
const MORE_IS_BETTER: &[&str] = &["fairness", "hit_ratio", "ops_per_s"];

/// One metric of one contestant at one work.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) work: String,
    pub(super) contestant: String,
    metric: String,
    unit: String,
    values: Vec<f64>,
}

impl Row {
    fn sorted(&self) -> Vec<f64> {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        values
    }

    /// The middle value, or the mean of the two middle ones.
    fn median(&self) -> f64 {
        let values = self.sorted();
        match values.len() {
            0 => f64::NAN,
            n if n.is_multiple_of(2) => f64::midpoint(values[n / 2 - 1], values[n / 2]),
            n => values[n / 2],
        }
    }

    fn min(&self) -> f64 {
        self.sorted().first().copied().unwrap_or(f64::NAN)
    }

    fn max(&self) -> f64 {
        self.sorted().last().copied().unwrap_or(f64::NAN)
    }

    /// How many times better we are than this row: above 1 we win, below 1 we lose.
    fn ratio(&self, rows: &[Row]) -> Option<f64> {
        let ours = rows
            .iter()
            .find(|row| row.contestant == OURS && row.work == self.work && row.metric == self.metric)?;
        let (ours, theirs) = (ours.median(), self.median());
        if ours == theirs {
            return Some(1.0);
        }
        let ratio =
            if MORE_IS_BETTER.contains(&self.metric.as_str()) { ours / theirs } else { theirs / ours };
        (!ratio.is_nan()).then_some(ratio)
    }

    fn loses(&self, rows: &[Row]) -> bool {
        self.contestant != OURS && self.ratio(rows).is_some_and(|ratio| ratio < 1.0)
    }
}

pub(super) fn add(rows: &mut Vec<Row>, entry: &Entry, sample: &Sample) {
    let is_same = |row: &&mut Row| {
        row.work == entry.work && row.contestant == entry.contestant && row.metric == sample.metric
    };
    if let Some(row) = rows.iter_mut().find(is_same) {
        row.values.push(sample.value);
        return;
    }
    rows.push(Row {
        work: entry.work.clone(),
        contestant: entry.contestant.clone(),
        metric: sample.metric.clone(),
        unit: sample.unit.clone(),
        values: vec![sample.value],
    });
}

const COLUMNS: [&str; 8] =
    ["work", "metric", "contestant", "median", "min", "max", "runs", "we are better by"];

fn cells(row: &Row, rows: &[Row]) -> Vec<String> {
    let ratio = match row.ratio(rows) {
        _ if row.contestant == OURS => "-".to_owned(),
        Some(ratio) if ratio.is_infinite() => "∞".to_owned(),
        Some(ratio) => format!("{ratio:.2}"),
        None => "?".to_owned(),
    };
    vec![
        row.work.clone(),
        format!("{} ({})", row.metric, row.unit),
        row.contestant.clone(),
        number(row.median()),
        number(row.min()),
        number(row.max()),
        row.values.len().to_string(),
        ratio,
    ]
}

/// Four digits that count.
fn number(value: f64) -> String {
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    let digits = (3 - magnitude).clamp(0, 9) as usize;
    format!("{value:.digits$}")
}

pub(super) fn table(rows: &[Row]) -> String {
    let mut lines = vec![COLUMNS.map(str::to_owned).to_vec()];
    lines.extend(rows.iter().map(|row| cells(row, rows)));
    align(&lines)
}

pub(super) fn json(rows: &[Row]) -> Result<String> {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "work": row.work,
                "contestant": row.contestant,
                "metric": row.metric,
                "unit": row.unit,
                "median": row.median(),
                "min": row.min(),
                "max": row.max(),
                "runs": row.values.len(),
            })
        })
        .collect();
    serde_json::to_string_pretty(&rows).context("cannot write JSON")
}

/// The page `docs/benchmarks/AREA.md`.
pub(super) fn page(area: &str, machine: &str, is_full: bool, rows: &[Row]) -> String {
    let mut text = String::new();
    let kind = if is_full { "The last full run" } else { "A short run, to be replaced by a full one" };
    write!(text, "# Race: {area}\n\n{kind} of `cargo xtask race {area}`. {machine}.\n\n").unwrap();
    text.push_str("Contestants took turns; every sample is a process of its own. The last column says how many times better our median is: below 1 we lose.\n\n");
    markdown(&mut text, rows.iter(), rows);
    let lost: Vec<_> = rows.iter().filter(|row| row.loses(rows)).collect();
    if lost.is_empty() {
        text.push_str("\nWe lose no row.\n");
    } else {
        text.push_str("\n## Rows we lose\n\n");
        markdown(&mut text, lost.into_iter(), rows);
    }
    text
}

fn markdown<'a>(text: &mut String, shown: impl Iterator<Item = &'a Row>, all: &[Row]) {
    writeln!(text, "| {} |", COLUMNS.join(" | ")).unwrap();
    text.push_str("|---|---|---|---:|---:|---:|---:|---:|\n");
    for row in shown {
        writeln!(text, "| {} |", cells(row, all).join(" | ")).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn rows(values: &[(&str, &str, &[f64])]) -> Vec<Row> {
        let mut rows = Vec::new();
        for (contestant, metric, values) in values {
            let entry =
                Entry { work: "w".to_owned(), contestant: (*contestant).to_owned(), program: PathBuf::new() };
            for &value in *values {
                add(&mut rows, &entry, &Sample { metric: (*metric).to_owned(), unit: "u".to_owned(), value });
            }
        }
        rows
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(rows(&[("a", "cpu_ns", &[9.0, 1.0, 2.0])])[0].median(), 2.0);
        assert_eq!(rows(&[("a", "cpu_ns", &[9.0, 1.0, 2.0, 4.0])])[0].median(), 3.0);
    }

    #[test]
    fn four_digits_count() {
        let told = [0.0, 0.000_123_44, 1.0, 12.344, 123.44, 12_345.6].map(number);
        assert_eq!(told, ["0.000", "0.0001234", "1.000", "12.34", "123.4", "12346"]);
    }

    #[test]
    fn the_ratio_knows_which_direction_is_better() {
        let times = rows(&[(OURS, "cpu_ns", &[10.0]), ("peer", "cpu_ns", &[20.0])]);
        assert_eq!(times[1].ratio(&times), Some(2.0));
        let rates = rows(&[(OURS, "ops_per_s", &[10.0]), ("peer", "ops_per_s", &[20.0])]);
        assert_eq!(rates[1].ratio(&rates), Some(0.5));
        assert!(rates[1].loses(&rates) && !times[1].loses(&times));
    }

    #[test]
    fn nothing_can_be_compared_with_nothing() {
        let lost = rows(&[(OURS, "lost", &[0.0]), ("even", "lost", &[0.0]), ("peer", "lost", &[3.0])]);
        assert_eq!(lost[1].ratio(&lost), Some(1.0));
        assert_eq!(cells(&lost[2], &lost)[7], "∞");
        let lost = rows(&[(OURS, "lost", &[3.0]), ("peer", "lost", &[0.0])]);
        assert!(lost[1].loses(&lost));
    }

    #[test]
    fn lost_rows_stand_on_the_page() {
        let rows = rows(&[(OURS, "cpu_ns", &[20.0]), ("peer", "cpu_ns", &[10.0])]);
        let page = page("x", "machine", true, &rows);
        assert!(page.contains("## Rows we lose") && page.matches("| peer |").count() == 2, "{page}");
    }

    #[test]
    fn json_has_the_agreed_fields() {
        let rows = rows(&[(OURS, "cpu_ns", &[20.0, 30.0, 10.0])]);
        let value: serde_json::Value = serde_json::from_str(&json(&rows).unwrap()).unwrap();
        let expected = json!([{ "work": "w", "contestant": "ropewalk", "metric": "cpu_ns", "unit": "u", "median": 20.0, "min": 10.0, "max": 30.0, "runs": 3 }]);
        assert_eq!(value, expected);
    }
}
