//! Algorithms that wait: refuted as lock-free, and proved to wait for an owner only where that is true.

use crate::specimens::{Livelock, SeqLock, SpinLock, TicketLock};
use ropewalk_prove::{
    Explorer, Holders, Latch, Witness, holding, model, stall_sweep,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread, waits_only_for,
};

fn two(f: impl Fn() + Send + Sync + 'static) {
    let f = std::sync::Arc::new(f);
    let other = f.clone();
    let t = thread::spawn(move || other());
    f();
    t.join().unwrap();
}

fn spin_client() {
    let lock = Arc::new(SpinLock::new());
    two(move || {
        lock.lock();
        let _mine = holding();
        lock.increment();
        lock.unlock();
    });
}

#[test]
fn spin_lock_lock_vs_lock() {
    model(spin_client);
}

#[test]
fn spin_lock_lock_vs_lock_waits_only_for_the_owner() {
    waits_only_for(Holders::OWNERS, spin_client);
}

#[test]
fn control_spin_lock_is_not_lock_free() {
    let refuted = Explorer::new().lock_free(spin_client).refuted();
    assert!(refuted.victims().iter().any(|site| site.contains("specimens.rs")), "{refuted}");
    assert!(!refuted.is_livelock(), "{refuted}");
}

#[test]
fn control_the_sweep_sees_a_spin_lock() {
    stall_sweep(spin_client).refuted();
}

fn ticket_client() {
    let lock = Arc::new((TicketLock::new(), Witness::new()));
    two(move || {
        lock.0.lock();
        let _mine = holding();
        lock.1.write();
        lock.0.unlock();
    });
}

#[test]
fn ticket_lock_lock_vs_lock() {
    model(ticket_client);
}

#[test]
fn control_ticket_lock_waits_for_one_who_only_queues() {
    // Suspended between its ticket and its first look, a thread that owns nothing stops everybody.
    let refuted = Explorer::new().waits_only_for(Holders::OWNERS, ticket_client).refuted();
    assert!(refuted.to_string().contains("load"), "{refuted}");
}

fn latch_client() {
    let latch = Arc::new(Latch::new(0));
    two(move || *latch.lock() += 1);
}

#[test]
fn latch_lock_vs_lock() {
    model(latch_client);
}

#[test]
fn latch_lock_vs_lock_waits_only_for_sections() {
    waits_only_for(Holders::LATCHES, latch_client);
}

#[test]
fn control_latch_is_not_lock_free() {
    let refuted = Explorer::new().lock_free(latch_client).refuted();
    assert_eq!(refuted.victims().len(), 1, "the holder is named: {refuted}");
}

fn seqlock_client(read: impl Fn(&SeqLock) + Send + Sync + 'static) -> impl Fn() + Send + Sync + 'static {
    let read = std::sync::Arc::new(read);
    move || {
        let lock = Arc::new(SeqLock::new());
        let (reader, read) = (lock.clone(), read.clone());
        // The reader is the thread that is started, not the writer: loom looks for races with the last access of a
        // place only, and the writer's own load of the sequence hides the loads of a reader that came before it.
        let t = thread::spawn(move || read(&reader));
        lock.write(7);
        t.join().unwrap();
    }
}

#[test]
fn seqlock_try_read_vs_write() {
    model(seqlock_client(|lock| {
        if let Some([a, b]) = lock.try_read() {
            assert_eq!(a, b, "a torn read");
        }
    }));
}

#[test]
fn seqlock_try_read_vs_write_is_lock_free() {
    ropewalk_prove::lock_free(seqlock_client(|lock| {
        if let Some([a, b]) = lock.try_read() {
            assert_eq!(a, b, "a torn read");
        }
    }));
}

#[test]
fn control_seqlock_read_waits_for_the_writer() {
    let refuted = Explorer::new()
        .lock_free(seqlock_client(|lock| {
            lock.read();
        }))
        .refuted();
    assert!(refuted.to_string().contains("thread 1 before its step"), "{refuted}");
}

fn livelock_client() {
    let lock = Arc::new(Livelock::new());
    two(move || lock.pass());
}

#[test]
fn livelock_pass_vs_pass() {
    // loom prunes the schedule in which nobody returns, and accepts it.
    model(livelock_client);
}

#[test]
fn control_the_livelock_is_refuted() {
    let refuted = Explorer::new().lock_free(livelock_client).refuted();
    assert!(refuted.is_livelock(), "{refuted}");
    assert!(refuted.victims().is_empty(), "{refuted}");
}

#[test]
fn control_everybody_waits() {
    let verdict = Explorer::new().safe(|| {
        let (a, b) = (Arc::new(Latch::new(())), Arc::new(Latch::new(())));
        let (c, d) = (a.clone(), b.clone());
        let t = thread::spawn(move || {
            let _first = d.lock();
            let _second = c.lock();
        });
        let first = a.lock();
        let second = b.lock();
        drop((first, second));
        t.join().unwrap();
    });
    assert!(verdict.refuted().to_string().contains("nobody can go on"));
}

#[test]
fn control_a_naked_spin_is_seen_without_a_hint() {
    let refuted = Explorer::new()
        .lock_free(|| {
            let flag = Arc::new(AtomicU32::new(0));
            let setter = flag.clone();
            let t = thread::spawn(move || setter.store(1, Relaxed));
            while flag.load(Relaxed) == 0 {}
            t.join().unwrap();
        })
        .refuted();
    assert!(!refuted.is_livelock() && refuted.to_string().contains("repeat"), "{refuted}");
}
