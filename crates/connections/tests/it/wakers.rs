//! Wakers that panic, and errors that panic when they go: nobody loses a connection, a place or a wake-up.

use crate::{fake::Fake, line::poll};
use ropewalk_connections::*;
use ropewalk_sync::{BoxFuture, Clock, Spawn, Threads};
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

type Get = Pin<Box<dyn Future<Output = Result<Conn<Fake>, GetError<crate::fake::FakeError>>> + Send>>;

const HOUR: Duration = Duration::from_secs(3600);

/// Counts, and panics then if it is a bomb.
struct Bell {
    rung: AtomicUsize,
    is_bomb: bool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.fetch_add(1, SeqCst);
        assert!(!self.is_bomb, "a waker of the user's");
    }
}

fn bell(is_bomb: bool) -> Arc<Bell> {
    Arc::new(Bell { rung: AtomicUsize::new(0), is_bomb })
}

fn panics<R>(step: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(step)).is_err()
}

/// Puts a caller in line.
fn join(pool: &Pool<Fake>, bell: &Arc<Bell>) -> Get {
    let mut get: Get = Box::pin(pool.get());
    let waker = Waker::from(bell.clone());
    assert!(get.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    get
}

fn served(get: &mut Get) -> Conn<Fake> {
    match poll(get.as_mut()) {
        Poll::Ready(Ok(conn)) => conn,
        Poll::Ready(Err(error)) => panic!("{error}"),
        Poll::Pending => panic!("it waits"),
    }
}

fn pool(size: usize, f: fn(Builder<Fake>) -> Builder<Fake>) -> (Fake, Clock, Pool<Fake>) {
    let (fake, clock) = (Fake::default(), Clock::virtual_());
    let builder =
        Pool::builder(fake.clone()).size(size..=size).check_after(Duration::MAX).acquire_timeout(HOUR);
    let pool = f(builder.clock(clock.clone()).seed(7)).build().unwrap();
    clock.settle();
    (fake, clock, pool)
}

/// All connections can be had, and the pool can be closed.
fn is_whole(fake: &Fake, clock: &Clock, pool: &Pool<Fake>, size: usize) {
    clock.settle();
    let all: Vec<_> = (0..size).map(|_| pool.try_get().unwrap()).collect();
    assert_eq!((fake.live(), pool.stats().waiting), (size, 0));
    drop(all);
    pool.close_blocking().unwrap();
    clock.settle();
    assert_eq!(fake.live(), 0);
    assert!(fake.0.peak.load(SeqCst) <= size);
}

#[test]
fn giving_back_to_a_waiter_whose_waker_panics() {
    let (fake, clock, pool) = pool(1, |b| b);
    let held = pool.try_get().unwrap();
    let bomb = bell(true);
    let mut first = join(&pool, &bomb);
    assert!(panics(|| drop(held)), "the holder hears of it");
    assert_eq!((bomb.rung.load(SeqCst), pool.stats().hold.count()), (1, 1));
    drop(served(&mut first));
    is_whole(&fake, &clock, &pool, 1);
}

#[test]
fn passing_on_to_a_waiter_whose_waker_panics() {
    let (fake, clock, pool) = pool(1, |b| b);
    let held = pool.try_get().unwrap();
    let (calm, bomb) = (bell(false), bell(true));
    let (first, mut second) = (join(&pool, &calm), join(&pool, &bomb));
    drop(held);
    assert!(panics(|| drop(first)));
    drop(served(&mut second));
    is_whole(&fake, &clock, &pool, 1);
}

#[test]
fn a_panic_of_a_waker_while_unwinding_does_not_abort() {
    let (fake, clock, pool) = pool(1, |b| b);
    let held = pool.try_get().unwrap();
    let mut first = join(&pool, &bell(true));
    let own = catch_unwind(AssertUnwindSafe(|| {
        let _held = held;
        panic!("the holder's own");
    }));
    assert_eq!(own.unwrap_err().downcast_ref(), Some(&"the holder's own"));
    drop(served(&mut first));
    is_whole(&fake, &clock, &pool, 1);
}

#[test]
fn work_and_retain_give_back_to_a_waiter_whose_waker_panics() {
    let (fake, clock, pool) = pool(1, |b| b);
    let mut conn = pool.try_get().unwrap();
    let mut first = join(&pool, &bell(true));
    // Work that outlives its guard gives the connection back on a thread of the pool's.
    let mut run = Box::pin(conn.run(|conn| conn.id));
    let gone = poll(run.as_mut()).is_pending();
    drop(run);
    let told = panics(|| drop(conn));
    assert!(gone || told);
    clock.settle();
    drop(served(&mut first));
    // A connection in the hands of `retain` is missed by who comes meanwhile.
    let mut second = None;
    assert!(panics(|| pool.retain(|_, _| {
        second = Some(join(&pool, &bell(true)));
        true
    })));
    drop(served(second.as_mut().unwrap()));
    is_whole(&fake, &clock, &pool, 1);
}

#[test]
fn steps_on_the_pools_threads_hand_over_to_a_waiter_whose_waker_panics() {
    // Opened.
    let (fake, clock, pool) = pool(1, |b| b);
    fake.0.connect_gate.shut();
    pool.try_get().unwrap().discard();
    let mut opened = join(&pool, &bell(true));
    fake.0.connect_gate.open();
    clock.settle();
    let mut conn = served(&mut opened);
    // Reset.
    conn.dirty = true;
    let mut reset = join(&pool, &bell(true));
    drop(conn);
    clock.settle();
    drop(served(&mut reset));
    assert_eq!(pool.stats().resets, 1);
    is_whole(&fake, &clock, &pool, 1);
    // Checked, and opened anew after a check that failed.
    for fails in [false, true] {
        let (fake, clock, pool) = self::pool(1, |b| b.check_after(Duration::ZERO));
        fake.0.fail_check.store(fails, SeqCst);
        fake.0.check_gate.shut();
        let mut checked = join(&pool, &bell(true));
        fake.0.check_gate.open();
        clock.settle();
        assert_eq!(served(&mut checked).id, if fails { 2 } else { 1 });
        assert_eq!(pool.stats().checks, 1);
        fake.0.fail_check.store(false, SeqCst);
        pool.close_blocking().unwrap();
        assert_eq!(fake.live(), 0);
    }
}

#[test]
fn a_failure_is_told_to_all_behind_a_waker_that_panics() {
    let (fake, clock, pool) = pool(1, |b| b.on_connect_failure(OnConnectFailure::Fail));
    fake.0.fail_connect.store(true, SeqCst);
    fake.0.connect_gate.shut();
    pool.try_get().unwrap().discard();
    let (bomb, behind) = (bell(true), bell(false));
    let (mut first, mut second) = (join(&pool, &bomb), join(&pool, &behind));
    fake.0.connect_gate.open();
    clock.settle();
    assert_eq!((bomb.rung.load(SeqCst), behind.rung.load(SeqCst)), (1, 1));
    for get in [&mut first, &mut second] {
        assert!(matches!(poll(get.as_mut()), Poll::Ready(Err(GetError::Connect { .. }))));
    }
    fake.0.fail_connect.store(false, SeqCst);
    clock.advance(Duration::from_secs(2));
    is_whole(&fake, &clock, &pool, 1);
}

#[test]
fn the_keeper_outlives_a_waker_that_panics() {
    let (fake, clock, pool) = pool(1, |b| b.idle_timeout(Duration::from_secs(60)));
    let held = pool.try_get().unwrap();
    let (sleeper, bomb) = (bell(false), bell(true));
    let (first, mut second) = (join(&pool, &sleeper), join(&pool, &bomb));
    drop(held);
    // The sleeper does not look; the keeper takes its grant back and hands it to the second.
    clock.advance(Duration::from_secs(1));
    assert_eq!((bomb.rung.load(SeqCst), pool.stats().regrants), (1, 1));
    drop((served(&mut second), first));
    // It still keeps.
    pool.resize(0..=1).unwrap();
    clock.advance(Duration::from_secs(61));
    assert_eq!((pool.stats().size, pool.stats().closed.idle), (0, 1));
    assert!(clock.block_on(pool.get()).is_ok());
    is_whole(&fake, &clock, &pool, 1);
}

#[test]
fn a_sleeper_that_returned_stands_before_one_whose_waker_panics() {
    let (fake, clock, pool) = pool(2, |b| b);
    let mut held = vec![pool.try_get().unwrap(), pool.try_get().unwrap()];
    let (calm, bomb) = (bell(false), bell(true));
    let mut sleeper = join(&pool, &calm);
    drop(held.pop());
    clock.advance(Duration::from_secs(1));
    assert_eq!((pool.stats().regrants, pool.stats().idle), (1, 1));
    // Nobody is in line, so one who comes takes what lies idle; the next has to wait.
    held.push(pool.try_get().unwrap());
    let mut second = join(&pool, &bomb);
    assert!(poll(sleeper.as_mut()).is_pending());
    let told: Vec<_> = held.into_iter().map(|conn| panics(|| drop(conn))).collect();
    assert_eq!(told, [false, true]);
    drop((served(&mut sleeper), served(&mut second)));
    is_whole(&fake, &clock, &pool, 2);
}

#[test]
fn closing_tells_all_behind_a_waker_that_panics() {
    let closes: [fn(&Clock, Pool<Fake>); 2] = [
        |clock, pool| assert!(clock.block_on(pool.close()).is_ok()),
        |_, pool| assert!(pool.close_blocking_timeout(Duration::ZERO).is_ok()),
    ];
    for close in closes {
        let (fake, clock, pool) = pool(1, |b| b);
        let held = pool.try_get().unwrap();
        let (bomb, behind) = (bell(true), bell(false));
        let (mut first, mut second) = (join(&pool, &bomb), join(&pool, &behind));
        assert!(panics(|| close(&clock, pool.clone())));
        assert!(pool.is_closed(), "it is closed all the same");
        assert_eq!((bomb.rung.load(SeqCst), behind.rung.load(SeqCst)), (1, 1));
        for get in [&mut first, &mut second] {
            assert!(matches!(poll(get.as_mut()), Poll::Ready(Err(GetError::Closed))));
        }
        drop(held);
        pool.close_blocking().unwrap();
        assert_eq!(fake.live(), 0);
    }
}

#[test]
fn a_closers_waker_that_panics_ends_the_pool_all_the_same() {
    let (fake, clock, pool) = pool(1, |b| b);
    let held = pool.try_get().unwrap();
    let (bomb, behind) = (bell(true), bell(false));
    let mut closes: Vec<_> = [&bomb, &behind]
        .into_iter()
        .map(|bell| {
            let mut close = Box::pin(pool.close());
            assert!(close.as_mut().poll(&mut Context::from_waker(&Waker::from(bell.clone()))).is_pending());
            close
        })
        .collect();
    drop(held);
    clock.settle();
    assert_eq!((bomb.rung.load(SeqCst), behind.rung.load(SeqCst), fake.live()), (1, 1, 0));
    assert!(closes.iter_mut().all(|close| poll(close.as_mut()) == Poll::Ready(Ok(()))));
    assert_eq!(pool.stats().threads, 0, "the pool's threads have ended");
}

#[test]
fn detaching_the_last_one_beside_a_closer_whose_waker_panics() {
    let (fake, _clock, pool) = pool(1, |b| b);
    let held = pool.try_get().unwrap();
    let bomb = bell(true);
    let mut close = Box::pin(pool.close());
    assert!(close.as_mut().poll(&mut Context::from_waker(&Waker::from(bomb.clone()))).is_pending());
    let conn = held.detach();
    assert_eq!((conn.id, bomb.rung.load(SeqCst)), (1, 1));
    assert_eq!(poll(close.as_mut()), Poll::Ready(Ok(())));
    drop(conn);
    assert_eq!((fake.live(), pool.stats().closed.detached), (0, 1));
}

/// Polls each job on a thread of its own; its wakers wake and then panic.
struct Rude(Arc<Mood>);

#[derive(Default)]
struct Mood {
    is_armed: AtomicBool,
    is_parked: AtomicBool,
}

struct RudeWaker(Thread, Arc<Mood>);

impl Wake for RudeWaker {
    fn wake(self: Arc<Self>) {
        self.1.is_parked.store(false, SeqCst);
        self.0.unpark();
        assert!(!self.1.is_armed.load(SeqCst), "a waker of the spawner's");
    }
}

impl Spawn for Rude {
    fn spawn(&self, _name: &str, mut job: BoxFuture) {
        let mood = self.0.clone();
        thread::spawn(move || {
            let waker = Waker::from(Arc::new(RudeWaker(thread::current(), mood.clone())));
            while job.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                mood.is_parked.store(true, SeqCst);
                thread::park();
            }
        });
    }
}

#[test]
fn a_keepers_waker_that_panics_costs_nobody_a_connection() {
    let (fake, mood) = (Fake::default(), Arc::new(Mood::default()));
    let pool = Pool::builder(fake.clone())
        .size(1..=1)
        .check_after(Duration::MAX)
        .leak_after(Duration::from_secs(1))
        .spawner(Rude(mood.clone()))
        .build()
        .unwrap();
    while pool.stats().idle == 0 {
        thread::yield_now();
    }
    mood.is_armed.store(true, SeqCst);
    for _ in 0..100 {
        while !mood.is_parked.load(SeqCst) {
            thread::yield_now();
        }
        // A hold may set an earlier alarm, and a new size always rings.
        assert_eq!(pool.get_blocking().unwrap().id, 1);
        pool.resize(1..=1).unwrap();
    }
    mood.is_armed.store(false, SeqCst);
    pool.close_blocking().unwrap();
    assert_eq!(fake.live(), 0);
}

/// An error that panics when it goes, and a manager that has nothing else.
#[derive(Debug)]
struct Touchy;

impl fmt::Display for Touchy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("touchy")
    }
}

impl std::error::Error for Touchy {}

impl Drop for Touchy {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("the drop of an error of the user's");
        }
    }
}

#[derive(Clone, Default)]
struct Sulky {
    is_down: Arc<AtomicBool>,
    fails_checks: Arc<AtomicBool>,
}

impl Sulky {
    fn answer(down: &AtomicBool) -> Result<(), Touchy> {
        if down.load(SeqCst) { Err(Touchy) } else { Ok(()) }
    }
}

impl Manager for Sulky {
    type Conn = ();
    type Error = Touchy;

    fn connect(&self) -> Result<(), Touchy> {
        Self::answer(&self.is_down)
    }

    fn check(&self, (): &mut ()) -> Result<(), Touchy> {
        Self::answer(&self.fails_checks)
    }
}

impl AsyncManager for Sulky {
    type Conn = ();
    type Error = Touchy;

    async fn connect(&self) -> Result<(), Touchy> {
        Self::answer(&self.is_down)
    }

    async fn check(&self, (): &mut ()) -> Result<(), Touchy> {
        Self::answer(&self.fails_checks)
    }
}

fn sulk<M: Managed>(sulky: &Sulky, clock: &Clock, builder: Builder<M>) {
    let pool = builder.size(0..=1).check_after(Duration::ZERO).acquire_timeout(HOUR).clock(clock.clone());
    let pool = pool.build().unwrap();
    sulky.is_down.store(true, SeqCst);
    let mut get = Box::pin(pool.get());
    assert!(poll(get.as_mut()).is_pending());
    // Each attempt replaces, and so drops, the error before it.
    clock.advance(Duration::from_secs(10));
    assert!(pool.stats().connect_failures > 5);
    sulky.is_down.store(false, SeqCst);
    clock.advance(Duration::from_secs(2));
    // Taken back from who did not look meanwhile, so it is checked before it is handed out again.
    drop(clock.block_on(get).unwrap());
    sulky.fails_checks.store(true, SeqCst);
    // The one that fails its check is replaced.
    drop(clock.block_on(pool.get()).unwrap());
    let stats = pool.stats();
    assert_eq!((stats.size, stats.checks_failed, stats.closed.check_failed), (1, 1, 1));
    pool.close_blocking().unwrap();
    assert_eq!(pool.stats().size, 0);
}

#[test]
fn errors_that_panic_when_they_go_lose_no_step() {
    let (sulky, clock) = (Sulky::default(), Clock::virtual_());
    sulk(&sulky, &clock, Pool::builder(sulky.clone()));
    let (sulky, clock) = (Sulky::default(), Clock::virtual_());
    sulk(&sulky, &clock, Pool::builder_async(sulky.clone()).spawner(Threads::new(&clock)));
}
