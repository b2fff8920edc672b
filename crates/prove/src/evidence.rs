//! What a model test leaves behind for those who count: a line of JSON in the file that the environment names.

use std::{fmt::Write as _, fs::OpenOptions, io::Write as _, time::Instant};

/// CPU time of this thread, or time that passed where the system does not tell.
pub(crate) struct Timer {
    cpu: Option<u64>,
    wall: Instant,
}

/// Nanoseconds of CPU time of this thread.
fn cpu() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

impl Timer {
    pub(crate) fn start() -> Self {
        Self { cpu: cpu(), wall: Instant::now() }
    }

    fn micros(&self) -> u64 {
        let wall = u64::try_from(self.wall.elapsed().as_micros()).unwrap_or(u64::MAX);
        match (self.cpu, cpu()) {
            // The system counts in ticks: a model that is over within one has the time that passed.
            (Some(before), Some(now)) if now > before => (now - before) / 1_000,
            _ => wall,
        }
    }
}

/// One claim that was checked.
pub(crate) struct Evidence {
    pub(crate) claim: &'static str,
    pub(crate) verdict: &'static str,
    pub(crate) executions: u64,
    pub(crate) states: u64,
    /// The most steps of its own that an operation took.
    pub(crate) steps: u64,
    pub(crate) cpu_us: u64,
    pub(crate) bound: String,
    pub(crate) note: String,
    /// Sites of orderings that ran: place, slot, ordering.
    pub(crate) sites: Vec<(String, &'static str, &'static str)>,
}

impl Evidence {
    pub(crate) fn new(timer: &Timer) -> Self {
        Self {
            claim: "",
            verdict: "",
            executions: 0,
            states: 0,
            steps: 0,
            cpu_us: timer.micros(),
            bound: String::new(),
            note: String::new(),
            sites: Vec::new(),
        }
    }

    /// Appends to the files named by `ROPEWALK_EVIDENCE` and `ROPEWALK_SITES`, if they are.
    pub(crate) fn write(self) {
        let test = std::thread::current().name().unwrap_or("main").to_owned();
        append(
            "ROPEWALK_EVIDENCE",
            &object(&[
                ("test", Value::Text(&test)),
                ("claim", Value::Text(self.claim)),
                ("verdict", Value::Text(self.verdict)),
                ("executions", Value::Number(self.executions)),
                ("states", Value::Number(self.states)),
                ("steps", Value::Number(self.steps)),
                ("cpu_us", Value::Number(self.cpu_us)),
                ("bound", Value::Text(&self.bound)),
                ("note", Value::Text(&self.note)),
            ]),
        );
        let sites: String = self
            .sites
            .iter()
            .map(|(site, op, ordering)| {
                object(&[
                    ("test", Value::Text(&test)),
                    ("site", Value::Text(site)),
                    ("op", Value::Text(op)),
                    ("ordering", Value::Text(ordering)),
                ])
            })
            .collect();
        append("ROPEWALK_SITES", &sites);
    }
}

enum Value<'a> {
    Text(&'a str),
    Number(u64),
}

fn object(fields: &[(&str, Value<'_>)]) -> String {
    let mut line = String::from("{");
    for (at, (name, value)) in fields.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        match value {
            Value::Number(number) => write!(line, "{comma}\"{name}\":{number}"),
            Value::Text(text) => write!(line, "{comma}\"{name}\":\"{}\"", escaped(text)),
        }
        .expect("a string takes everything");
    }
    line + "}\n"
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => write!(out, "\\u{:04x}", c as u32).expect("a string takes everything"),
            c => out.push(c),
        }
    }
    out
}

/// Whole lines, so that tests side by side do not cut each other's.
fn append(variable: &str, lines: &str) {
    let Some(path) = std::env::var_os(variable).map(std::path::PathBuf::from) else { return };
    if lines.is_empty() {
        return;
    }
    let written = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(lines.as_bytes()));
    if let Err(error) = written {
        panic!("{variable} names a file that cannot be written, {}: {error}", path.display());
    }
}
