//! Async managers, on tokio and on plain threads.

use ropewalk_connections::*;
use ropewalk_sync::{BoxFuture, Clock, Spawn, Threads};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

#[derive(Clone, Default)]
struct Remote(Arc<State>);

#[derive(Default)]
struct State {
    opened: AtomicU64,
    closed: AtomicU64,
    hang_checks: AtomicBool,
    panic_checks: AtomicBool,
}

impl AsyncManager for Remote {
    type Conn = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        yield_once().await;
        Ok(self.0.opened.fetch_add(1, SeqCst) + 1)
    }

    async fn check(&self, _conn: &mut u64) -> Result<(), Infallible> {
        yield_once().await;
        if self.0.hang_checks.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        assert!(!self.0.panic_checks.load(SeqCst), "injected");
        Ok(())
    }

    async fn close(&self, _conn: u64) {
        self.0.closed.fetch_add(1, SeqCst);
    }
}

async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

struct OnTokio(tokio::runtime::Handle);

impl Spawn for OnTokio {
    fn spawn(&self, _name: &str, job: BoxFuture) {
        self.0.spawn(job);
    }
}

#[test]
fn an_async_manager_needs_a_spawner() {
    assert_eq!(Pool::builder_async(Remote::default()).build().map(drop).unwrap_err(), BuildError::NoSpawner);
}

#[test]
fn a_check_that_hangs_or_panics_is_replaced() {
    let (remote, clock) = (Remote::default(), Clock::virtual_());
    let pool = Pool::builder_async(remote.clone())
        .size(1..=1)
        .check_after(Duration::ZERO)
        .check_every(Duration::MAX)
        .clock(clock.clone())
        .spawner(Threads::new(&clock))
        .build()
        .unwrap();
    clock.settle();
    assert_eq!(*clock.block_on(pool.get()).unwrap(), 1);
    remote.0.hang_checks.store(true, SeqCst);
    assert_eq!(pool.try_get().map(drop), Err(TryGetError::Checking));
    clock.advance(Duration::from_secs(5));
    remote.0.hang_checks.store(false, SeqCst);
    assert_eq!(*clock.block_on(pool.get()).unwrap(), 2);
    let stats = pool.stats();
    assert_eq!((stats.closed.stuck, stats.stuck), (1, 0), "a future is dropped, no thread is lost");
    remote.0.panic_checks.store(true, SeqCst);
    assert_eq!(*clock.block_on(pool.get()).unwrap(), 3);
    pool.close_blocking().unwrap();
    assert_eq!(remote.0.closed.load(SeqCst), 3);
}

#[tokio::test]
async fn it_runs_on_tokio() {
    let remote = Remote::default();
    let pool = Pool::builder_async(remote.clone())
        .size(2..=4)
        .spawner(OnTokio(tokio::runtime::Handle::current()))
        .build()
        .unwrap();
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { *pool.get().await.unwrap() })
        })
        .collect();
    for task in tasks {
        assert!((1..=4).contains(&task.await.unwrap()));
    }
    pool.close().await.unwrap();
    assert_eq!(remote.0.opened.load(SeqCst), remote.0.closed.load(SeqCst));
}

#[test]
fn a_runtime_that_ends_loses_its_steps_and_nobody_hangs() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let pool = Pool::builder_async(Remote::default())
        .size(1..=2)
        .acquire_timeout(Duration::from_millis(50))
        .spawner(OnTokio(runtime.handle().clone()))
        .build()
        .unwrap();
    let held = pool.get_blocking_timeout(Duration::from_secs(60)).unwrap();
    drop(runtime);
    // Nothing can be opened any more; the caller learns why.
    let error = pool.get_blocking().unwrap_err();
    assert!(matches!(&error, GetError::Timeout { last_error: Some(ConnectError::Lost), .. }), "{error:?}");
    // What comes back still serves, and is dropped without a runtime.
    drop(held);
    assert_eq!(*pool.get_blocking().unwrap(), 1);
    pool.close_blocking().unwrap();
    assert_eq!(pool.stats().size, 0);
}
