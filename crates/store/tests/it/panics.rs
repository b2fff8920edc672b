//! User code that panics beside the closures of transactions: conversions, and wakers.

use crate::{Set, family, hold_writer};
use ropewalk_store::{rusqlite::ToSql, *};
use ropewalk_sync::Event;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

struct Bad;

impl FromRow for Bad {
    fn from_row(_row: &Row<'_>) -> Result<Self, RowError> {
        panic!("in a conversion of a row")
    }
}

impl ToSql for Bad {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        panic!("in a conversion of a parameter")
    }
}

#[test]
fn a_conversion_that_panics_holds_no_connection_and_writes_nothing() {
    let store = Store::builder(Sqlite::memory()).readers(1).open().unwrap();
    store.migrate_blocking(&[crate::SCHEMA]).unwrap();
    store.write_blocking("insert into parent values (1, 'a')", []).unwrap();
    let panics = |call: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
    for _ in 0..3 {
        panics(&|| drop(store.query_blocking::<Bad>("select * from parent", [])));
        panics(&|| drop(store.query_all_blocking::<Bad>("select * from parent", [])));
        panics(&|| drop(ropewalk_sync::block_on(store.query::<Bad>("select * from parent", []))));
        panics(&|| {
            drop(
                store.query_map_blocking("select * from parent", [], |_| -> Result<(), _> {
                    panic!("in map")
                }),
            )
        });
        panics(&|| {
            drop(store.query_rows_blocking("select ?1", [&Bad as &(dyn ToSql + Send + Sync)].as_slice()))
        });
        let params = || [&Bad as &(dyn ToSql + Send + Sync)];
        panics(&|| drop(store.write_blocking("insert into parent values (?1, null)", params().as_slice())));
        panics(&|| drop(store.try_write("insert into parent values (?1, null)", params().as_slice())));
    }
    let stats = store.stats();
    assert_eq!((stats.connections.in_use, stats.queued), (0, 0));
    store.write_blocking("insert into parent values (2, 'b')", []).unwrap();
    assert_eq!(store.query_blocking::<i64>("select count(*) from parent", []).unwrap(), 2);
}

struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("in a waker");
    }
}

#[test]
fn a_waker_that_panics_costs_nobody_an_answer_or_the_writer() {
    let store = family();
    let bomb = Waker::from(Arc::new(Bomb));
    let acks = hold_writer(&store, || {
        let mut acks: Vec<Ack> = (0..6_i64)
            .map(|id| store.try_write("insert into parent values (?1, null)", [id]).unwrap())
            .collect();
        for ack in acks.iter_mut().step_by(2) {
            assert!(Pin::new(ack).poll(&mut Context::from_waker(&bomb)).is_pending());
        }
        acks
    });
    store.flush_blocking();
    for mut ack in acks {
        let answer = Pin::new(&mut ack).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(&answer, Poll::Ready(Ok(written)) if written.changes == 1), "{answer:?}");
    }
    store.transaction_blocking(|tx| tx.write("insert into parent values (9, 'after')", [])).unwrap();
    assert_eq!(store.query_blocking::<i64>("select count(*) from parent", []).unwrap(), 7);
}

/// Somebody in line whose waker panics.
fn stand_in_line<F: Future>(future: F) -> Pin<Box<F>> {
    let bomb = Waker::from(Arc::new(Bomb));
    let mut future = Box::pin(future);
    assert!(future.as_mut().poll(&mut Context::from_waker(&bomb)).is_pending());
    future
}

#[test]
fn a_commit_that_wakes_a_waker_that_panics_is_answered_all_the_same() {
    let store = family();
    let insert = |id: i64| move |tx: &mut Tx<'_>| tx.write("insert into parent values (?1, null)", [id]);
    // The holder of the writer is a transaction, then a batch, then whoever stood in line.
    let (batch, waiting) = hold_writer(&store, || {
        let first = stand_in_line(store.transaction(insert(1)));
        let batch = store.try_write("insert into parent values (2, null)", []).unwrap();
        while store.waits().waiters.len() < 2 {
            std::thread::yield_now();
        }
        (batch, (first, stand_in_line(store.transaction(insert(3))), stand_in_line(store.checkpoint())))
    });
    let (first, third, checkpoint) = waiting;
    assert_eq!(ropewalk_sync::block_on(first).unwrap().changes, 1);
    assert_eq!(batch.wait_blocking().unwrap().changes, 1, "the batch woke the third, and was answered");
    assert_eq!(ropewalk_sync::block_on(third).unwrap().changes, 1);
    ropewalk_sync::block_on(checkpoint).unwrap();
    assert_eq!(store.query_blocking::<i64>("select count(*) from parent", []).unwrap(), 3);
}

#[test]
fn migrations_and_checkpoints_that_wake_a_waker_that_panics_are_answered_all_the_same() {
    let store = family();
    let steps = [crate::SCHEMA, "create table more (a)"];
    let checks: [fn(&Store, &[&str]); 4] = [
        |store, steps| assert_eq!(store.migrate_blocking(steps).unwrap().to, 2),
        |store, steps| assert_eq!(ropewalk_sync::block_on(store.migrate(steps)).unwrap().to, 2),
        |store, _| assert!(!store.checkpoint_blocking().unwrap().busy),
        |store, _| assert!(!ropewalk_sync::block_on(store.checkpoint()).unwrap().busy),
    ];
    for check in checks {
        std::thread::scope(|scope| {
            let (caller, bomb) = hold_writer(&store, || {
                let caller = scope.spawn(|| check(&store, &steps));
                while store.waits().waiters.is_empty() {
                    std::thread::yield_now();
                }
                (caller, stand_in_line(store.transaction(|_| Ok::<(), ()>(()))))
            });
            caller.join().unwrap();
            ropewalk_sync::block_on(bomb).unwrap();
        });
    }
}

#[test]
fn a_query_that_wakes_a_waker_that_panics_is_answered_all_the_same() {
    let (armed, held, go) =
        (Arc::new(AtomicBool::new(false)), Arc::new(Event::new()), Arc::new(Event::new()));
    let hook = (armed.clone(), held.clone(), go.clone());
    let sqlite = Sqlite::memory().on_connect(move |conn| {
        let (armed, held, go) = hook.clone();
        let pause = move || {
            if armed.swap(false, SeqCst) {
                held.set();
                go.wait_blocking();
            }
            false
        };
        conn.progress_handler(1, Some(pause))
    });
    let store = Store::builder(sqlite).readers(1).watch_every(std::time::Duration::MAX).open().unwrap();
    let queries: [fn(&Store) -> i64; 2] = [
        |store| store.query_blocking("select 1 + 1", []).unwrap(),
        |store| ropewalk_sync::block_on(store.query("select 1 + 1 + 0", [])).unwrap(),
    ];
    for query in queries {
        held.reset();
        go.reset();
        armed.store(true, SeqCst);
        std::thread::scope(|scope| {
            let caller = scope.spawn(|| query(&store));
            held.wait_blocking();
            let release = Set(&go);
            let next = stand_in_line(store.query::<i64>("select random() * 0", []));
            drop(release);
            assert_eq!(caller.join().unwrap(), 2);
            assert_eq!(ropewalk_sync::block_on(next).unwrap(), 0);
        });
    }
}

#[test]
fn a_hook_that_panics_costs_the_query_its_connection_and_nobody_else_anything() {
    let angry = Arc::new(AtomicBool::new(false));
    let hook = angry.clone();
    let sqlite = Sqlite::memory().on_connect(move |_| {
        assert!(!hook.load(SeqCst), "in a hook");
        Ok(())
    });
    let store = Store::open(sqlite).unwrap();
    angry.store(true, SeqCst);
    let error = store.query_blocking::<i64>("select 1", []).unwrap_err();
    assert!(matches!(&error, QueryError::Connection(_)), "{error:?}");
    store.write_blocking("create table t (a)", []).unwrap();
    angry.store(false, SeqCst);
    assert_eq!(store.query_blocking::<i64>("select count(*) from t", []).unwrap(), 0);
}
