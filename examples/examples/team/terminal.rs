//! What the terminal shows while the team works.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt::Display;

/// One bar for each kind of task, and a line about the machinery.
pub(crate) struct Terminal {
    files: ProgressBar,
    packages: ProgressBar,
    report: ProgressBar,
    state: ProgressBar,
    all: MultiProgress,
}

/// The kinds of task, in the order in which they depend on one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Package,
    Report,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Package => "package",
            Self::Report => "report",
        }
    }
}

impl Terminal {
    pub(crate) fn new(quiet: bool, files: usize, packages: usize) -> Self {
        // A terminal that is none shows nothing of this by itself.
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let all = MultiProgress::with_draw_target(target);
        let style = |template: &str| {
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ")
        };
        let bar = |name: &'static str, length: usize| {
            let bar = all.add(ProgressBar::new(length as u64));
            bar.set_style(style("{prefix:>10} [{bar:36}] {pos:>4}/{len:<4} {wide_msg}"));
            bar.set_prefix(name);
            bar.tick();
            bar
        };
        let (files, packages_bar, report) =
            (bar("files", files), bar("packages", packages), bar("report", 1));
        let state = all.add(ProgressBar::new_spinner());
        state.set_style(style("{prefix:>10} {wide_msg}"));
        state.set_prefix("team");
        Self { files, packages: packages_bar, report, state, all }
    }

    fn bar(&self, kind: Kind) -> &ProgressBar {
        match kind {
            Kind::File => &self.files,
            Kind::Package => &self.packages,
            Kind::Report => &self.report,
        }
    }

    /// A task reached its end.
    pub(crate) fn done(&self, kind: Kind, name: &str) {
        self.bar(kind).inc(1);
        self.bar(kind).set_message(name.to_owned());
    }

    /// How the machinery stands.
    pub(crate) fn state(&self, line: impl Display) {
        self.state.set_message(line.to_string());
        self.state.tick();
    }

    /// A line above the bars.
    pub(crate) fn say(&self, line: impl Display) {
        if self.all.is_hidden() {
            eprintln!("{line}");
        } else {
            // The terminal went away: there is nobody to tell.
            let _ = self.all.println(line.to_string());
        }
    }

    /// Takes the bars away.
    pub(crate) fn finish(&self) {
        for bar in [&self.files, &self.packages, &self.report, &self.state] {
            bar.finish_and_clear();
        }
    }
}
