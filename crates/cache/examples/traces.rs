//! Hit ratios of the policies on recorded request traces, beside Belady's optimum.
//!
//! `cargo run -p ropewalk-cache --release --example traces -- DIR [NAME-PART]`
//!
//! `DIR` holds files `NAME.txt` or `NAME.txt.zst` (read through the `zstd` program): one decimal id a
//! line, in request order. Each is run at capacities of 0.5, 2, 10 and 30 % of its distinct ids (50 at
//! least), as a cache-aside user would: a miss is followed by an insert. Without `DIR` it says so and
//! runs a small trace of its own: a loop beside random reads.

use ropewalk_cache::{Cache, Policy};
use std::{
    collections::{BTreeSet, HashMap},
    error::Error,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

const POLICIES: [(&str, Policy); 4] = [
    ("adaptive", Policy::Adaptive),
    ("lru", Policy::Lru),
    ("s3-fifo", Policy::S3Fifo),
    ("sieve", Policy::Sieve),
];
const PER_MILLE: [u64; 4] = [5, 20, 100, 300];
const LEAST_CAPACITY: u64 = 50;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("traces: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let traces = match arguments.next() {
        None => {
            println!("no directory of traces given, so here is a made-up one; see the example's head\n");
            vec![("made-up".to_owned(), Source::MadeUp)]
        }
        Some(dir) => find(Path::new(&dir), arguments.next().and_then(|part| part.into_string().ok()))?,
    };
    let mut out = std::io::stdout().lock();
    write!(out, "{:20} {:>9} {:>9} {:>8}", "trace", "requests", "capacity", "optimum")?;
    POLICIES.iter().try_for_each(|(name, _)| write!(out, " {name:>9}"))?;
    writeln!(out)?;
    let mut cells = Vec::new();
    for (name, source) in traces {
        let trace = source.read()?;
        let unique = trace.iter().collect::<BTreeSet<_>>().len() as u64;
        let capacities: BTreeSet<u64> =
            PER_MILLE.iter().map(|share| (unique * share / 1_000).max(LEAST_CAPACITY)).collect();
        for capacity in capacities {
            let optimum = optimum(&trace, capacity);
            write!(out, "{name:20} {:>9} {capacity:>9} {:>7.2}%", trace.len(), percent(optimum, &trace))?;
            let mut shares = [0.0; POLICIES.len()];
            for ((_, policy), share) in POLICIES.iter().zip(&mut shares) {
                let hits = hits(&trace, capacity, *policy)?;
                write!(out, " {:>8.2}%", percent(hits, &trace))?;
                *share = hits as f64 / optimum.max(1) as f64;
            }
            writeln!(out)?;
            cells.push(shares);
        }
    }
    let mean = |column: usize| cells.iter().map(|cell| cell[column]).sum::<f64>() / cells.len().max(1) as f64;
    write!(out, "{:48} ", format!("mean share of the optimum, {} cells", cells.len()))?;
    (0..POLICIES.len()).try_for_each(|column| write!(out, " {:>9.3}", mean(column)))?;
    writeln!(out)?;
    Ok(())
}

fn percent(hits: u64, trace: &[u64]) -> f64 {
    100.0 * hits as f64 / trace.len().max(1) as f64
}

/// The hits of one of our caches.
fn hits(trace: &[u64], capacity: u64, policy: Policy) -> Result<u64, Box<dyn Error>> {
    let cache: Cache<u64, ()> = Cache::builder(capacity).policy(policy).time_to_live(None).seed(1).build()?;
    for &id in trace {
        if cache.get(&id).is_none() {
            cache.insert(id, ());
        }
    }
    Ok(cache.stats().hits)
}

/// Belady's optimum with bypass: of the kept ids and the new one, the one used next farthest in the
/// future goes, and no cache of this capacity can hit more.
fn optimum(trace: &[u64], capacity: u64) -> u64 {
    let mut next = vec![usize::MAX; trace.len()];
    let mut last = HashMap::new();
    for (at, &id) in trace.iter().enumerate().rev() {
        next[at] = last.insert(id, at).unwrap_or(usize::MAX);
    }
    let mut kept = BTreeSet::new();
    let mut hits = 0;
    for (at, &next) in next.iter().enumerate() {
        // What is kept is named by its next use, so a use finds itself.
        if kept.remove(&at) {
            hits += 1;
        }
        if next == usize::MAX {
            continue;
        }
        kept.insert(next);
        if kept.len() as u64 > capacity {
            kept.pop_last();
        }
    }
    hits
}

enum Source {
    File(PathBuf),
    MadeUp,
}

fn find(dir: &Path, part: Option<String>) -> Result<Vec<(String, Source)>, Box<dyn Error>> {
    let entries = std::fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(name) = file.strip_suffix(".txt.zst").or_else(|| file.strip_suffix(".txt")) {
            if part.as_ref().is_none_or(|part| name.contains(part)) {
                found.push((name.to_owned(), Source::File(path)));
            }
        }
    }
    if found.is_empty() {
        return Err(format!("{}: no NAME.txt or NAME.txt.zst there", dir.display()).into());
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}

impl Source {
    fn read(&self) -> Result<Vec<u64>, Box<dyn Error>> {
        let path = match self {
            Self::MadeUp => return Ok(made_up()),
            Self::File(path) => path,
        };
        if path.extension().is_some_and(|extension| extension == "txt") {
            return ids(BufReader::new(std::fs::File::open(path)?));
        }
        let mut zstd = Command::new("zstd")
            .arg("-dc")
            .arg(path)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("zstd, which unpacks {}: {error}", path.display()))?;
        let stdout = zstd.stdout.take().ok_or("zstd has no output")?;
        let ids = ids(BufReader::new(stdout))?;
        if !zstd.wait()?.success() {
            return Err(format!("zstd could not unpack {}", path.display()).into());
        }
        Ok(ids)
    }
}

fn ids(lines: impl BufRead) -> Result<Vec<u64>, Box<dyn Error>> {
    lines.lines().map(|line| Ok(line?.trim().parse()?)).collect()
}

fn made_up() -> Vec<u64> {
    let mut state = 1_u64;
    (0..200_000)
        .map(|at| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if at % 2 == 0 { at / 2 % 2_000 } else { 10_000 + ((state >> 40) * (state >> 52)) % 2_000 }
        })
        .collect()
}
