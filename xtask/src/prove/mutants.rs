//! Orderings weakened one at a time: some model must fail.
//!
//! A model run records the sites whose orderings it executes; a mutant is one of them with a weaker ordering, told to
//! the shim by the environment, so nothing is built again. Only models of orderings may kill: the clock of a history
//! orders more than the code does.

mod sites;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::Value;

use self::sites::Functions;
use super::{
    evidence::is_control,
    run::{Models, Ran, lines, side_by_side},
};
use crate::{
    command::capture,
    error::{Context as _, Result},
    workspace::Workspace,
};

/// Longer than any model takes: a mutant that spins is ended.
const LIMIT: Duration = Duration::from_secs(60);
/// Of all sites of orderings, this many percent may be waived.
const WAIVED: usize = 5;

/// One ordering of one place in the code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Site {
    /// `crates/sync/src/raw/permits.rs:88:30`
    place: String,
    op: String,
    ordering: String,
}

/// A site with a weaker ordering; `none` leaves a fence out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mutant {
    package: String,
    site: Site,
    to: &'static str,
    /// What a waiver calls it: survives changes elsewhere in the file.
    key: String,
    tests: BTreeSet<String>,
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.key, self.site.place)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Killed { endless: bool },
    Survived,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waivers {
    #[serde(default)]
    waiver: Vec<Waiver>,
}

/// A mutant that no model kills, and the happens-before argument why the code is right.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiver {
    mutant: String,
    why: String,
}

/// The orderings weaker than this one.
fn weaker(op: &str, ordering: &str) -> &'static [&'static str] {
    match (op, ordering) {
        ("fence", "SeqCst") => &["AcqRel", "none"],
        ("fence", "AcqRel") => &["Acquire", "Release", "none"],
        ("fence", _) => &["none"],
        // loom cannot tell SeqCst accesses from AcqRel ones, so that step is not judged.
        (_, "AcqRel" | "SeqCst") if op == "rmw" || op == "cas-ok" => &["Acquire", "Release", "Relaxed"],
        (_, "Acquire" | "Release" | "SeqCst") => &["Relaxed"],
        _ => &[],
    }
}

pub(super) fn run(
    workspace: &Workspace,
    models: &[Models],
    ran: &[Ran],
    only: Option<&str>,
    budget: Option<Duration>,
) -> Result<bool> {
    let started = Instant::now();
    let mut mutants = Vec::new();
    for models in models {
        let Some(ran) = ran.iter().find(|ran| ran.package == models.package) else { continue };
        mutants.extend(of_crate(workspace, models, ran)?);
    }
    if let Some(only) = only {
        mutants.retain(|mutant| mutant.package.contains(only) || mutant.key.contains(only));
    }
    let all = mutants.len();
    let first = if budget.is_some() && all > 0 { start(workspace)? % all } else { 0 };
    mutants.rotate_left(first);
    let fates = side_by_side(&mutants, |mutant| {
        if budget.is_some_and(|budget| started.elapsed() >= budget) {
            return Ok(None);
        }
        let models = models.iter().find(|models| models.package == mutant.package);
        models.map(|models| judge(models, mutant)).transpose()
    })?;
    let waivers = waivers(workspace, models)?;
    let judged: Vec<_> =
        mutants.iter().zip(fates).filter_map(|(mutant, fate)| Some((mutant, fate?))).collect();
    Ok(conclude(&judged, &waivers, all, first, budget.is_none() && only.is_none(), started.elapsed()))
}

/// Prints what came of them; true when all that was judged is killed or waived.
fn conclude(
    judged: &[(&Mutant, Fate)],
    waivers: &[(String, Waiver)],
    all: usize,
    first: usize,
    whole: bool,
    took: Duration,
) -> bool {
    let is_waived = |mutant: &Mutant| {
        waivers.iter().any(|(package, w)| *package == mutant.package && w.mutant == mutant.key)
    };
    let survivors: Vec<_> = judged.iter().filter(|(_, fate)| *fate == Fate::Survived).collect();
    let (waived, loose): (Vec<_>, Vec<_>) =
        survivors.iter().copied().partition(|(mutant, _)| is_waived(mutant));
    let endless = judged.iter().filter(|(_, fate)| *fate == Fate::Killed { endless: true }).count();
    let range = match judged.len() {
        ran if ran == all => "all".to_owned(),
        ran => format!("{} to {} of", first + 1, first + ran),
    };
    println!(
        "\nordering mutants: {range} {all}; {} killed ({endless} by running without end), {} waived, {} survive; {:.1} s",
        judged.len() - survivors.len(),
        waived.len(),
        loose.len(),
        took.as_secs_f64()
    );
    for (mutant, _) in &loose {
        println!(
            "  survives: {mutant}\n    run by: {}",
            mutant.tests.iter().cloned().collect::<Vec<_>>().join(", ")
        );
    }
    let mut good = loose.is_empty();
    if whole {
        for (package, waiver) in waivers {
            if !survivors.iter().any(|(mutant, _)| mutant.package == *package && mutant.key == waiver.mutant)
            {
                println!("  {package}: waiver for a mutant that does not survive: {}", waiver.mutant);
                good = false;
            }
        }
        let sites: BTreeSet<_> = judged.iter().map(|(mutant, _)| &mutant.site).collect();
        let waived_sites: BTreeSet<_> = waived.iter().map(|(mutant, _)| &mutant.site).collect();
        let share = 100 * waived_sites.len();
        println!("  {} of {} sites waived; at most {WAIVED} % may be", waived_sites.len(), sites.len());
        good &= share <= WAIVED * sites.len().max(1);
        println!(
            "  orderings that could be weaker under all models: {}",
            if loose.is_empty() { "none unwaived" } else { "the survivors" }
        );
    }
    for (package, waiver) in waivers {
        if waiver.why.trim().len() < 40 {
            println!("  {package}: the waiver of {} has no argument", waiver.mutant);
            good = false;
        }
    }
    good
}

/// The mutants of the orderings that a crate's own models execute in its own source.
fn of_crate(workspace: &Workspace, models: &Models, ran: &Ran) -> Result<Vec<Mutant>> {
    let histories: BTreeSet<&str> =
        ran.evidence.iter().filter(|line| line.claim != "ordering").map(|line| line.test.as_str()).collect();
    // The tool's own cores are its specimens; the rest of it carries out other code's orderings.
    let part = if models.short() == "prove" { "tests" } else { "src" };
    let own = format!("crates/{}/{part}/", models.short());
    let mut touched = BTreeMap::<Site, BTreeSet<String>>::new();
    for line in lines(&models.file("sites"))? {
        let Ok(value) = serde_json::from_str::<Value>(&line) else { continue };
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let test = text("test");
        let site = Site { place: text("site"), op: text("op"), ordering: text("ordering") };
        let kills = ran.passed.contains(&test) && !is_control(&test) && !histories.contains(test.as_str());
        if site.place.starts_with(&own) {
            let tests = touched.entry(site).or_default();
            if kills {
                tests.insert(test);
            }
        }
    }
    let mut functions = Functions::new(&workspace.root);
    let mut mutants = Vec::new();
    let mut seen = BTreeMap::<String, usize>::new();
    for (site, tests) in touched {
        let name = functions.name(&site.place)?;
        for &to in weaker(&site.op, &site.ordering) {
            let base = format!("{name} {} {} to {to}", site.op, site.ordering);
            let count = seen.entry(base.clone()).or_default();
            *count += 1;
            let key = if *count == 1 { base } else { format!("{base} #{count}") };
            let package = models.package.clone();
            mutants.push(Mutant { package, site: site.clone(), to, key, tests: tests.clone() });
        }
    }
    Ok(mutants)
}

fn judge(models: &Models, mutant: &Mutant) -> Result<Fate> {
    if mutant.tests.is_empty() {
        return Ok(Fate::Survived);
    }
    let mut command = models.command();
    command.arg("--exact").args(&mutant.tests).stdout(Stdio::null()).stderr(Stdio::null());
    let Site { place, op, .. } = &mutant.site;
    command.env("ROPEWALK_MUTANT", format!("{place}|{op}|{}", mutant.to));
    Ok(match ended_well(command)? {
        Some(true) => Fate::Survived,
        Some(false) => Fate::Killed { endless: false },
        None => Fate::Killed { endless: true },
    })
}

/// `None` when it had to be ended.
fn ended_well(mut command: Command) -> Result<Option<bool>> {
    let mut child: Child = command.spawn().context("cannot start a mutant")?;
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a mutant")? {
            return Ok(Some(status.success()));
        }
        if started.elapsed() > LIMIT {
            child.kill().context("cannot end a mutant")?;
            child.wait().context("cannot wait for a mutant")?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn waivers(workspace: &Workspace, models: &[Models]) -> Result<Vec<(String, Waiver)>> {
    let mut all = Vec::new();
    for models in models {
        let file = workspace.root.join("crates").join(models.short()).join("waivers.toml");
        let text = lines(&file)?.join("\n");
        let parsed: Waivers = toml::from_str(&text).context(format_args!("{}", file.display()))?;
        all.extend(parsed.waiver.into_iter().map(|waiver| (models.package.clone(), waiver)));
    }
    Ok(all)
}

/// A number that differs from commit to commit, so that in time all mutants have their turn.
fn start(workspace: &Workspace) -> Result<usize> {
    let mut command = Command::new("git");
    command.current_dir(&workspace.root).args(["rev-parse", "--short=7", "HEAD"]);
    let Ok(commit) = capture(&mut command) else { return Ok(0) };
    Ok(usize::from_str_radix(commit.trim(), 16).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(key: &str) -> Mutant {
        Mutant {
            package: "ropewalk-x".to_owned(),
            site: Site {
                place: format!("crates/x/src/raw/a.rs:{}:1", key.len()),
                op: "load".to_owned(),
                ordering: "Acquire".to_owned(),
            },
            to: "Relaxed",
            key: key.to_owned(),
            tests: BTreeSet::new(),
        }
    }

    fn waiver(key: &str) -> (String, Waiver) {
        let why = "the value was written by this thread itself, which is in order".to_owned();
        ("ropewalk-x".to_owned(), Waiver { mutant: key.to_owned(), why })
    }

    #[test]
    fn a_survivor_fails_unless_it_is_waived() {
        let (a, b) = (mutant("a"), mutant("bb"));
        let killed = || Fate::Killed { endless: false };
        let verdict = |judged: &[(&Mutant, Fate)], waivers: &[(String, Waiver)]| {
            conclude(judged, waivers, judged.len(), 0, false, Duration::ZERO)
        };
        assert!(verdict(&[(&a, killed()), (&b, killed())], &[]));
        assert!(!verdict(&[(&a, killed()), (&b, Fate::Survived)], &[]));
        assert!(verdict(&[(&a, killed()), (&b, Fate::Survived)], &[waiver("bb")]));
    }

    #[test]
    fn a_waiver_must_be_used_and_argued_and_rare() {
        let (a, b) = (mutant("a"), mutant("bb"));
        let killed = Fate::Killed { endless: true };
        assert!(!conclude(&[(&a, killed)], &[waiver("a")], 1, 0, true, Duration::ZERO), "not needed");
        let survived = || Fate::Survived;
        assert!(!conclude(&[(&b, survived())], &[waiver("bb")], 1, 0, true, Duration::ZERO), "all waived");
        let mut bare = waiver("bb");
        bare.1.why = "trust me".to_owned();
        assert!(!conclude(&[(&b, survived())], &[bare], 1, 0, false, Duration::ZERO));
    }

    #[test]
    fn weaker_orderings_go_step_by_step() {
        assert_eq!(weaker("rmw", "AcqRel"), ["Acquire", "Release", "Relaxed"]);
        assert_eq!(weaker("load", "Acquire"), ["Relaxed"]);
        assert_eq!(weaker("cas-err", "Acquire"), ["Relaxed"]);
        assert_eq!(weaker("fence", "SeqCst"), ["AcqRel", "none"]);
        assert!(weaker("load", "Relaxed").is_empty());
    }
}
