//! The tool itself: what it must report, count, resume and replay.

use crate::specimens::{SpinLock, Stack};
use ropewalk_prove::{
    Cancel, Explorer, Latch, Panics, Replay, Verdict, Witness, cancel_everywhere, model, panic_everywhere,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};
use std::{
    future::poll_fn,
    task::{Poll, Waker},
};

fn stacks() {
    let stack = Arc::new(Stack::new(2));
    let theirs = stack.clone();
    let t = thread::spawn(move || theirs.push(1));
    stack.push(0);
    t.join().unwrap();
    stack.pop();
}

fn states(verdict: Verdict) -> u64 {
    verdict.proved().states
}

#[test]
fn explorer_is_deterministic() {
    let runs: Vec<_> = (0..3).map(|_| states(Explorer::new().lock_free(stacks))).collect();
    assert!(runs[0] > 10 && runs.iter().all(|&run| run == runs[0]), "{runs:?}");
}

#[test]
fn explorer_counts_two_by_two_stores_exactly() {
    let proof = Explorer::new()
        .lock_free(|| {
            let (a, b) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
            let theirs = b.clone();
            let t = thread::spawn(move || (1..3).for_each(|i| theirs.store(i, Relaxed)));
            (1..3).for_each(|i| a.store(i, Relaxed));
            t.join().unwrap();
        })
        .proved();
    // A grid of 3 by 3 positions, and a path for each way to leave what was seen.
    assert_eq!((proof.states, proof.executions), (9, 5));
}

#[test]
fn control_an_unfinished_search_is_no_pass() {
    let verdict = Explorer::new().executions(2).lock_free(stacks);
    let Verdict::Unfinished { resume, .. } = verdict else { panic!("{verdict}") };
    let rest = Explorer::new().resume(&resume).lock_free(stacks).proved();
    assert!(rest.executions > 2, "goes on where it stopped: {rest:?}");
    let verdict = Explorer::new().states(2).lock_free(stacks);
    assert!(matches!(verdict, Verdict::Unfinished { .. }), "{verdict}");
}

#[test]
fn explorer_shards_cover_the_whole() {
    let whole = states(Explorer::new().lock_free(stacks));
    let parts: Vec<_> = (0..3).map(|i| states(Explorer::new().shard(i, 3).lock_free(stacks))).collect();
    assert!(
        parts.iter().all(|&part| part < whole) && parts.iter().sum::<u64>() >= whole,
        "{whole} {parts:?}"
    );
}

#[test]
fn control_a_fault_in_one_schedule_is_found_in_a_shard() {
    let racy = || {
        let word = Arc::new(AtomicU32::new(0));
        let theirs = word.clone();
        let add = |word: &AtomicU32| {
            let seen = word.load(Relaxed);
            word.store(seen + 1, Relaxed);
        };
        let t = thread::spawn(move || add(&theirs));
        add(&word);
        t.join().unwrap();
        assert_eq!(word.load(Relaxed), 2, "an update was lost");
    };
    let refuted =
        (0..2).filter(|&i| matches!(Explorer::new().shard(i, 2).safe(racy), Verdict::Refuted(_))).count();
    assert!(refuted > 0);
    assert!(Explorer::new().safe(racy).refuted().to_string().contains("an update was lost"));
}

#[test]
fn control_a_refutation_replays() {
    let client = || {
        let lock = Arc::new(SpinLock::new());
        let theirs = lock.clone();
        let t = thread::spawn(move || {
            theirs.lock();
            theirs.unlock();
        });
        lock.lock();
        lock.unlock();
        t.join().unwrap();
    };
    let refuted = Explorer::new().lock_free(client).refuted();
    let again = Explorer::new().replay(refuted.schedule(), Replay::LOCK_FREE, client).refuted();
    assert_eq!(refuted.to_string(), again.to_string());
    assert_eq!(refuted.trace(), again.trace());
}

#[test]
fn control_spurious_failures_are_injected() {
    let client = || {
        let word = AtomicU32::new(0);
        assert!(word.compare_exchange_weak(0, 1, Relaxed, Relaxed).is_ok(), "failed for no reason");
    };
    model(client);
    Explorer::new().safe(client).refuted();
    Explorer::new().spurious_failures(0).safe(client).proved();
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_a_race_on_a_cell_is_found() {
    model(|| {
        let datum = Arc::new(Witness::new());
        let theirs = datum.clone();
        let t = thread::spawn(move || theirs.write());
        datum.write();
        t.join().unwrap();
    });
}

/// A flag and the waker to call once it is up.
#[derive(Default)]
struct Gate(Latch<(bool, Option<Waker>)>);

impl Gate {
    fn open(&self) {
        let waker = {
            let mut gate = self.0.lock();
            gate.0 = true;
            gate.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn pass(&self) {
        poll_fn(|cx| {
            let mut gate = self.0.lock();
            if gate.0 {
                return Poll::Ready(());
            }
            gate.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

#[test]
fn gate_pass_vs_open_cancelled_everywhere() {
    let cut = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let seen = cut.clone();
    cancel_everywhere(move |cancel: &Cancel| {
        let gate = Arc::new(Gate::default());
        let opener = gate.clone();
        let t = thread::spawn(move || opener.open());
        if cancel.run(gate.pass()).is_none() {
            seen.fetch_add(1, Relaxed);
        }
        t.join().unwrap();
        assert!(gate.0.lock().0);
    });
    assert!(cut.load(Relaxed) > 1, "dropped before the first poll and after it");
}

#[test]
#[should_panic(expected = "nobody can go on")]
fn control_a_forgotten_wake_up_is_found() {
    cancel_everywhere(|cancel: &Cancel| {
        let gate = Arc::new(Gate::default());
        let opener = gate.clone();
        let t = thread::spawn(move || opener.0.lock().0 = true);
        let _ = cancel.run(gate.pass());
        t.join().unwrap();
    });
}

#[test]
fn latch_survives_panics_everywhere() {
    panic_everywhere(|panics: &Panics| {
        let calls = Arc::new(Latch::new(0));
        let theirs = calls.clone();
        let t = thread::spawn(move || *theirs.lock() += 1);
        let done = panics.catch(|| {
            let mut count = calls.lock();
            panics.here();
            *count += 1;
            panics.here();
        });
        t.join().unwrap();
        let expected = 1 + i32::from(done.is_some() || panics_after_the_first(panics));
        assert_eq!(*calls.lock(), expected);
    });
}

/// The panic came after the count was raised.
fn panics_after_the_first(panics: &Panics) -> bool {
    panics.calls() == 2
}

#[test]
fn thread_locals_are_each_threads_own() {
    ropewalk_prove::thread_local! {
        static MINE: AtomicUsize = AtomicUsize::new(0);
    }
    let client = || {
        let add = || MINE.with(|mine| mine.fetch_add(1, Relaxed));
        let t = thread::spawn(move || assert_eq!((add(), add()), (0, 1)));
        assert_eq!(add(), 0);
        t.join().unwrap();
    };
    model(client);
    Explorer::new().safe(client).proved();
}
