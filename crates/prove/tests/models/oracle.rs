//! The explorer against an oracle: small random programs, all interleavings written out.

use ropewalk_prove::{
    Explorer, Verdict,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
};
use std::{
    collections::BTreeSet,
    sync::{Arc as StdArc, Mutex},
};

const PLACES: u64 = 2;

/// One step of a random program; each returns what it saw.
#[derive(Clone, Copy, Debug)]
enum Step {
    Load(usize),
    Store(usize, u32),
    Add(usize, u32),
    /// From, to.
    Exchange(usize, u32, u32),
}

type Program = Vec<Vec<Step>>;
/// What each thread saw, and what memory holds at the end.
type Outcome = (Vec<Vec<u32>>, Vec<u32>);

/// SplitMix64 (Steele, Lea, Flood 2014).
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn program(seed: u64) -> Program {
    let mut state = seed;
    let threads = 2 + draw(&mut state) % 2;
    let steps = if threads == 2 { 4 } else { 3 };
    let mut step = || {
        let at = (draw(&mut state) % PLACES) as usize;
        let value = (draw(&mut state) % 3) as u32;
        match draw(&mut state) % 4 {
            0 => Step::Load(at),
            1 => Step::Store(at, value),
            2 => Step::Add(at, value),
            _ => Step::Exchange(at, value, (value + 1) % 3),
        }
    };
    (0..threads).map(|_| (0..steps).map(|_| step()).collect()).collect()
}

/// All outcomes of all interleavings, without any cleverness.
fn outcomes(program: &Program) -> BTreeSet<Outcome> {
    fn go(program: &Program, seen: &mut Vec<Vec<u32>>, memory: &mut Vec<u32>, all: &mut BTreeSet<Outcome>) {
        let mut over = true;
        for thread in 0..program.len() {
            let Some(&step) = program[thread].get(seen[thread].len()) else { continue };
            over = false;
            let (Step::Load(at) | Step::Store(at, _) | Step::Add(at, _) | Step::Exchange(at, ..)) = step;
            let before = memory[at];
            let (saw, after) = match step {
                Step::Load(_) => (before, before),
                Step::Store(_, value) => (0, value),
                Step::Add(_, by) => (before, before + by),
                Step::Exchange(_, from, to) => (before, if before == from { to } else { before }),
            };
            memory[at] = after;
            seen[thread].push(saw);
            go(program, seen, memory, all);
            seen[thread].pop();
            memory[at] = before;
        }
        if over {
            all.insert((seen.clone(), memory.clone()));
        }
    }
    let mut all = BTreeSet::new();
    go(program, &mut vec![Vec::new(); program.len()], &mut vec![0; PLACES as usize], &mut all);
    all
}

fn run(steps: &[Step], memory: &[AtomicU32]) -> Vec<u32> {
    let step = |step: &Step| match *step {
        Step::Load(at) => memory[at].load(Relaxed),
        Step::Store(at, value) => {
            memory[at].store(value, Relaxed);
            0
        }
        Step::Add(at, by) => memory[at].fetch_add(by, Relaxed),
        Step::Exchange(at, from, to) => {
            let (Ok(saw) | Err(saw)) = memory[at].compare_exchange(from, to, Relaxed, Relaxed);
            saw
        }
    };
    steps.iter().map(step).collect()
}

fn explored(program: &Program) -> (BTreeSet<Outcome>, Verdict) {
    let all = StdArc::new(Mutex::new(BTreeSet::new()));
    let (program, found) = (program.clone(), all.clone());
    let verdict = Explorer::new().lock_free(move || {
        let memory: Arc<Vec<AtomicU32>> = Arc::new((0..PLACES).map(|_| AtomicU32::new(0)).collect());
        let threads: Vec<_> = program
            .iter()
            .cloned()
            .map(|steps| {
                let memory = memory.clone();
                thread::spawn(move || run(&steps, &memory))
            })
            .collect();
        let seen = threads.into_iter().map(|t| t.join().unwrap()).collect();
        let memory = memory.iter().map(|place| place.load(Relaxed)).collect();
        found.lock().unwrap().insert((seen, memory));
    });
    let outcomes = all.lock().unwrap().clone();
    (outcomes, verdict)
}

#[test]
fn explorer_finds_every_outcome_and_no_other() {
    let mut different = 0;
    for seed in 0..300 {
        let program = program(seed);
        let expected = outcomes(&program);
        let (found, verdict) = explored(&program);
        verdict.proved();
        assert_eq!(found, expected, "seed {seed}: {program:?}");
        different += expected.len();
    }
    assert!(different > 5_000, "the programs are not trivial: {different}");
}
