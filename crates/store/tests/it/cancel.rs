//! Futures that are dropped after a poll, and time that runs out.

use crate::{family, hold_writer};
use ropewalk_store::*;
use std::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn count(store: &Store) -> i64 {
    store.query_blocking("select count(*) from parent", []).unwrap()
}

/// Waits until a batch or a transaction stands in line for the writer.
fn until_somebody_waits(store: &Store) {
    while store.waits().waiters.is_empty() {
        std::thread::yield_now();
    }
}

#[test]
fn a_close_that_is_dropped_takes_no_more_writes_and_writes_what_is_queued() {
    let store = family();
    let acks = hold_writer(&store, || {
        let first = store.try_write("insert into parent values (1, 'a')", []).unwrap();
        let second = store.try_write("insert into parent values (2, 'b')", []).unwrap();
        drop(store.close());
        let third = store.try_write("insert into parent values (3, 'c')", []).unwrap();
        {
            let mut close = pin!(store.close());
            assert!(poll(close.as_mut()).is_pending());
        }
        let refused = store.try_write("insert into parent values (4, 'd')", []);
        assert!(matches!(refused, Err(TryWriteError::Closed(_))), "{refused:?}");
        [first, second, third]
    });
    for ack in acks {
        ack.wait_blocking().unwrap();
    }
    assert_eq!(count(&store), 3, "queries are answered until the connections are closed");
    store.close_blocking().unwrap();
    assert!(matches!(store.query_blocking::<i64>("select 1", []), Err(QueryError::Connection(_))));
}

#[test]
fn a_flush_waits_for_all_that_is_queued_and_may_be_dropped() {
    let store = family();
    let flushed = hold_writer(&store, || {
        let acks: Vec<Ack> = (0..5_i64)
            .map(|id| store.try_write("insert into parent values (?1, null)", [id]).unwrap())
            .collect();
        for polls in 0..3 {
            let mut dropped = pin!(store.flush());
            (0..polls).for_each(|_| assert!(poll(dropped.as_mut()).is_pending()));
        }
        let mut flush = Box::pin(store.flush());
        assert!(poll(flush.as_mut()).is_pending());
        (flush, acks)
    });
    let (flush, acks) = flushed;
    ropewalk_sync::block_on(flush);
    let mut acks = acks.into_iter();
    assert!(acks.all(|mut ack| matches!(poll(Pin::new(&mut ack)), Poll::Ready(Ok(_)))), "answered by now");
    assert_eq!(count(&store), 5);
}

#[test]
fn a_write_whose_time_runs_out_says_whether_it_had_begun() {
    let store = family();
    // Nothing ends the holder's transaction, so the time does run out; it is looked at in polls only.
    let limit = Duration::from_millis(300);
    let (begun, queued) = hold_writer(&store, || {
        let mut begun = Box::pin(store.write_timeout("insert into parent values (1, 'begun')", [], limit));
        assert!(poll(begun.as_mut()).is_pending());
        until_somebody_waits(&store);
        let mut queued = Box::pin(store.write_timeout("insert into parent values (2, 'queued')", [], limit));
        assert!(poll(queued.as_mut()).is_pending());
        (ropewalk_sync::block_on(begun), ropewalk_sync::block_on(queued))
    });
    assert!(matches!(&begun, Err(error) if error.is_unknown()), "{begun:?}");
    assert!(matches!(&queued, Err(WriteError::TimedOut(_))), "{queued:?}");
    store.flush_blocking();
    let names: Vec<String> = store.query_all_blocking("select name from parent", []).unwrap();
    assert_eq!(names, ["begun"]);
}

#[test]
fn who_waits_for_the_writer_and_goes_leaves_it_to_others() {
    let store = family();
    hold_writer(&store, || {
        for polls in 0..3 {
            let mut transaction = pin!(store.transaction(|tx| tx.write("delete from parent", [])));
            let mut migration = pin!(store.migrate(&["", "create table late (a)"]));
            let mut checkpoint = pin!(store.checkpoint());
            for _ in 0..polls {
                assert!(poll(transaction.as_mut()).is_pending());
                assert!(poll(migration.as_mut()).is_pending());
                assert!(poll(checkpoint.as_mut()).is_pending());
            }
        }
        assert!(store.waits().waiters.is_empty());
    });
    store.write_blocking("insert into parent values (1, 'a')", []).unwrap();
    let late: i64 =
        store.query_blocking("select count(*) from sqlite_master where name = 'late'", []).unwrap();
    assert_eq!((count(&store), late), (1, 0), "nothing of them was begun");
}

#[test]
fn a_migration_that_is_dropped_once_begun_runs_on() {
    let steps = [crate::SCHEMA, "insert into parent values (1, 'a')", "insert into parent values (2, 'b')"];
    for polls in 1..6 {
        let store = Store::open(Sqlite::memory()).unwrap();
        {
            let mut migration = pin!(store.migrate(&steps));
            for _ in 0..polls {
                if poll(migration.as_mut()).is_ready() {
                    break;
                }
                std::thread::yield_now();
            }
        }
        // The writer comes back when the steps are made, or was never taken.
        store.migrate_blocking(&steps).unwrap();
        assert_eq!(count(&store), 2, "each step once, after {polls} polls");
    }
}

#[test]
fn a_write_dropped_at_any_poll_is_taken_back_unless_begun() {
    let store = family();
    hold_writer(&store, || {
        let mut begun = Box::pin(store.write("insert into parent values (1, 'begun')", []));
        assert!(poll(begun.as_mut()).is_pending());
        until_somebody_waits(&store);
        for polls in 0..3 {
            let mut queued = pin!(store.write("insert into parent values (2, 'queued')", []));
            (0..polls).for_each(|_| assert!(poll(queued.as_mut()).is_pending()));
        }
        drop(begun);
    });
    store.flush_blocking();
    let names: Vec<String> = store.query_all_blocking("select name from parent", []).unwrap();
    assert_eq!(names, ["begun"]);
}

#[test]
fn a_query_dropped_at_any_poll_leaves_its_reader_to_others() {
    let store = Store::builder(Sqlite::memory()).readers(1).open().unwrap();
    for polls in 0..6 {
        {
            let mut query = pin!(store.query::<i64>("select random() * 0", []));
            for _ in 0..polls {
                if poll(query.as_mut()).is_ready() {
                    break;
                }
                std::thread::yield_now();
            }
        }
        // The only reader.
        assert_eq!(store.query_blocking::<i64>("select random() * 0 + ?1", [polls]).unwrap(), polls);
    }
    assert!(store.waits().waiters.is_empty());
}
