//! User code that panics beside the closures of transactions: conversions, and wakers.

use crate::{family, hold_writer};
use ropewalk_store::{rusqlite::ToSql, *};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
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
