//! Each feature of each published crate, checked alone: a feature must not stand on what another one switches on.

use super::{
    Outcome,
    scope::Scope,
    tally::{Kind, Tally},
};
use crate::{
    command::{cargo, stream},
    error::Result,
};

pub(super) fn run(scope: &Scope<'_>, tally: &mut Tally) -> Result<Outcome> {
    for package in scope.published() {
        for (name, flags) in builds(package.features.keys().map(String::as_str)) {
            let mut command = cargo(&scope.workspace.root);
            // In the shared target folder: what clippy has checked of the dependencies is found again.
            command.args(["check", "--quiet", "--lib", "--package", &package.name]).args(&flags);
            let mut warnings = 0;
            let ok = stream(&mut command, |line| warnings += usize::from(line.starts_with("warning: ")))?;
            if ok && warnings == 0 {
                tally.pass(&package.name, Kind::Feature);
            } else {
                let how = if ok { "warns" } else { "does not compile" };
                tally.fail(&package.name, Kind::Feature, format!("{how} with {name}"));
            }
        }
    }
    Ok(Outcome::Done)
}

/// What to build of a crate with these features: a name and cargo's flags.
fn builds<'a>(features: impl Iterator<Item = &'a str>) -> Vec<(String, Vec<String>)> {
    let mut builds = vec![
        ("no default features".to_owned(), vec!["--no-default-features".to_owned()]),
        ("default features".to_owned(), vec![]),
    ];
    for feature in features.filter(|&feature| feature != "default") {
        let flags = ["--no-default-features", "--features", feature].map(str::to_owned);
        builds.push((format!("`{feature}` alone"), flags.into()));
    }
    builds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_is_built_once_and_each_other_feature_alone() {
        let builds = builds(["default", "serde"].into_iter());
        let names: Vec<_> = builds.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["no default features", "default features", "`serde` alone"]);
        assert_eq!(builds[2].1, ["--no-default-features", "--features", "serde"]);
    }
}
