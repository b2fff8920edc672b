//! The shim behaves the same in both builds; this binary checks the normal one.

use ropewalk_prove::{
    Latch,
    cell::UnsafeCell,
    future::block_on,
    model,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

#[test]
fn types_are_send_and_sync() {
    fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Latch<u8>>();
    assert_send_sync::<Arc<AtomicUsize>>();
}

#[test]
fn latch_excludes_under_stress() {
    let total = std::sync::Arc::new(Latch::new(0usize));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let total = total.clone();
            std::thread::spawn(move || (0..10_000).for_each(|_| *total.lock() += 1))
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(*total.lock(), 40_000);
}

#[test]
fn a_panic_in_the_section_does_not_poison_the_latch() {
    let latch = std::sync::Arc::new(Latch::new(7));
    let inner = latch.clone();
    let died = std::thread::spawn(move || {
        let _guard = inner.lock();
        panic!("in the section");
    })
    .join();
    assert!(died.is_err());
    assert_eq!(*latch.lock(), 7);
}

#[test]
fn model_runs_its_body_once_in_a_normal_build() {
    let runs = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let seen = runs.clone();
    model(move || {
        seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(runs.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn block_on_parks_until_woken() {
    let ready = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = ready.clone();
    let mut helper = None;
    block_on(std::future::poll_fn(move |cx| {
        if seen.load(Ordering::Acquire) {
            return std::task::Poll::Ready(());
        }
        if helper.is_none() {
            let (waker, ready) = (cx.waker().clone(), ready.clone());
            helper = Some(thread::spawn(move || {
                ready.store(true, Ordering::Release);
                waker.wake();
            }));
        }
        std::task::Poll::Pending
    }));
}

#[test]
fn cell_gives_access_by_closure() {
    let cell = UnsafeCell::new(3);
    // The pointer comes from the cell itself and is compared, not dereferenced.
    assert!(!cell.with(|p| p.is_null()));
    assert_eq!(cell.into_inner(), 3);
}
