//! What the models left behind, as a table.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::Value;

use super::run::Ran;
use crate::{test::align, workspace::short};

/// Models with this beginning must refute something, or show what is not a pass.
pub(super) const CONTROL: &str = "control_";

/// One claim that one test checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) test: String,
    pub(super) claim: String,
    verdict: String,
    executions: u64,
    states: u64,
    cpu_us: u64,
    bound: String,
    note: String,
}

impl Line {
    pub(super) fn read(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let number = |name: &str| value[name].as_u64().unwrap_or(0);
        Some(Self {
            test: text("test"),
            claim: text("claim"),
            verdict: text("verdict"),
            executions: number("executions"),
            states: number("states"),
            cpu_us: number("cpu_us"),
            bound: text("bound"),
            note: text("note"),
        })
    }
}

/// The last part of a test's path.
pub(super) fn is_control(test: &str) -> bool {
    test.rsplit("::").next().unwrap_or(test).starts_with(CONTROL)
}

/// What is no proof although it looks like one.
pub(crate) fn problems(ran: &Ran) -> Vec<String> {
    let crate_name = short(&ran.package);
    let mut problems: Vec<_> = ran.failed.iter().map(|test| format!("{crate_name}: {test} failed")).collect();
    if ran.passed.is_empty() && ran.failed.is_empty() {
        problems.push(format!("{crate_name}: no model ran"));
    }
    for test in ran.passed.iter().filter(|test| !is_control(test)) {
        let claims: Vec<_> = ran.evidence.iter().filter(|line| line.test == *test).collect();
        if claims.is_empty() {
            problems.push(format!("{crate_name}: {test} recorded no claim"));
        }
        for line in claims.iter().filter(|line| line.verdict != "proved") {
            problems
                .push(format!("{crate_name}: {test}: {} is {} ({})", line.claim, line.verdict, line.note));
        }
    }
    problems
}

/// One line for each model, then sums.
pub(crate) fn report(ran: &[Ran]) -> String {
    let mut rows = vec![["model", "executions", "states", "cpu ms"].map(ToOwned::to_owned).to_vec()];
    let mut claimed = vec!["claims".to_owned()];
    let (mut sums, mut executions, mut cpu) = (BTreeMap::<String, usize>::new(), 0, 0);
    let (mut models, mut controls) = (0, 0);
    for ran in ran {
        for test in ran.passed.iter().chain(&ran.failed) {
            let lines: Vec<_> = ran.evidence.iter().filter(|line| line.test == *test).collect();
            if is_control(test) {
                controls += 1
            } else {
                models += 1
            }
            for line in &lines {
                *sums.entry(format!("{} {}", line.claim, line.verdict)).or_default() += 1;
            }
            let sum = |of: fn(&Line) -> u64| lines.iter().map(|line| of(line)).sum::<u64>();
            executions += sum(|line| line.executions);
            cpu += sum(|line| line.cpu_us);
            rows.push(vec![
                format!("{} {test}", short(&ran.package)),
                sum(|line| line.executions).to_string(),
                sum(|line| line.states).to_string(),
                format!("{:.1}", sum(|line| line.cpu_us) as f64 / 1e3),
            ]);
            claimed.push(claims(&lines));
        }
    }
    let mut text = String::new();
    for (line, claims) in align(&rows).lines().zip(claimed) {
        writeln!(text, "{line}  {claims}").expect("a string takes everything");
    }
    writeln!(
        text,
        "\n{models} models and {controls} controls, {executions} executions, {:.1} CPU s",
        cpu as f64 / 1e6
    )
    .expect("a string takes everything");
    for (what, count) in sums {
        writeln!(text, "  {count:>4} {what}").expect("a string takes everything");
    }
    text
}

/// `lock_free, 3x cancel, ordering (preemptions 3)`.
fn claims(lines: &[&Line]) -> String {
    let mut counts = BTreeMap::<String, usize>::new();
    for line in lines {
        let verdict = if line.verdict == "proved" { String::new() } else { format!(" {}", line.verdict) };
        let bound = if line.bound == "none" { String::new() } else { format!(" ({})", line.bound) };
        *counts.entry(format!("{}{verdict}{bound}", line.claim)).or_default() += 1;
    }
    let named =
        counts.into_iter().map(|(name, count)| if count == 1 { name } else { format!("{count}x {name}") });
    named.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(test: &str, verdict: &str) -> Ran {
        let line = format!(
            r#"{{"test":"{test}","claim":"lock_free","verdict":"{verdict}","executions":7,"states":5,"steps":0,"cpu_us":1500,"bound":"none","note":"why"}}"#
        );
        Ran {
            package: "ropewalk-x".to_owned(),
            passed: [test.to_owned()].into(),
            evidence: vec![Line::read(&line).unwrap()],
            ..Ran::default()
        }
    }

    #[test]
    fn a_proof_is_no_problem() {
        assert!(problems(&ran("a::b", "proved")).is_empty());
    }

    #[test]
    fn what_is_not_proved_is_one() {
        assert_eq!(problems(&ran("a::b", "unfinished")), ["x: a::b: lock_free is unfinished (why)"]);
        assert_eq!(problems(&ran("a::b", "refuted")).len(), 1);
    }

    #[test]
    fn a_control_may_refute() {
        assert!(problems(&ran("a::control_b", "refuted")).is_empty());
        assert!(is_control("control_x") && is_control("m::control_x") && !is_control("m::x_control_"));
    }

    #[test]
    fn a_model_without_a_claim_and_an_empty_binary_are_found() {
        let mut silent = ran("a::b", "proved");
        silent.evidence.clear();
        assert_eq!(problems(&silent), ["x: a::b recorded no claim"]);
        assert_eq!(
            problems(&Ran { package: "ropewalk-y".to_owned(), ..Ran::default() }),
            ["y: no model ran"]
        );
    }

    #[test]
    fn the_report_counts() {
        let text = report(&[ran("a::b", "proved"), ran("a::control_c", "refuted")]);
        assert!(text.contains("1 models and 1 controls, 14 executions, 0.0 CPU s"), "{text}");
        assert!(text.contains("1 lock_free proved") && text.contains("1 lock_free refuted"), "{text}");
    }
}
