//! Many threads at once.

use crate::family;
use ropewalk_store::*;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

#[test]
fn readers_never_see_less_than_what_was_answered_before_they_asked() {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::file(dir.path().join("app.db")).synchronous(Synchronous::Normal);
    let store = Store::open(sqlite).unwrap();
    store.migrate_blocking(&["create table t (n integer)"]).unwrap();
    let (answered, stop) = (AtomicI64::new(0), AtomicI64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for n in 0..150 {
                    store.write_blocking("insert into t values (?1)", [n]).unwrap();
                    answered.fetch_add(1, SeqCst);
                }
                stop.fetch_add(1, SeqCst);
            });
        }
        for kind in 0..3 {
            let (store, answered, stop) = (&store, &answered, &stop);
            scope.spawn(move || {
                let mut last = 0;
                while stop.load(SeqCst) < 2 {
                    let least = answered.load(SeqCst);
                    let n: i64 = if kind == 0 {
                        ropewalk_sync::block_on(store.query("select count(*) from t", [])).unwrap()
                    } else {
                        store.query_blocking("select count(*) from t", []).unwrap()
                    };
                    assert!(n >= least, "{n} seen, {least} were answered before");
                    assert!(n >= last, "{n} seen after {last}");
                    last = n;
                }
            });
        }
    });
    assert_eq!(store.query_blocking::<i64>("select count(*) from t", []).unwrap(), 300);
    assert!(store.stats().query_hits > 0);
}

#[test]
fn good_and_bad_writes_and_transactions_of_many_threads() {
    let store = family();
    let good = AtomicI64::new(0);
    std::thread::scope(|scope| {
        for worker in 0..6_i64 {
            let (store, good) = (&store, &good);
            scope.spawn(move || {
                for n in 0..60_i64 {
                    let id = worker * 1_000 + n;
                    let sql = match n % 5 {
                        0 => "insert into parent values (?1, null)",
                        1 => "insert into child (id, parent) values (?1, -1)",
                        2 => "insert or rollback into parent values (?1 - 2, null)",
                        3 => "insert into parent values (?1, 'evil')",
                        _ => {
                            let done = store.transaction_blocking(|tx| {
                                tx.write("insert into parent values (?1, null)", [id]).map(drop)
                            });
                            good.fetch_add(i64::from(done.is_ok()), SeqCst);
                            continue;
                        }
                    };
                    let written = store.write_blocking(sql, [id]);
                    assert_eq!(written.is_ok(), n % 5 == 0, "{sql}: {written:?}");
                    good.fetch_add(i64::from(written.is_ok()), SeqCst);
                }
            });
        }
    });
    let rows: i64 = store.query_blocking("select count(*) from parent", []).unwrap();
    assert_eq!((rows, good.load(SeqCst)), (144, 144));
    let stats = store.stats();
    assert_eq!((stats.writes, stats.failed, stats.transactions), (72, 216, 73 - 1));
}

#[test]
fn a_storm_of_cancelled_writes_writes_each_once_or_not_at_all() {
    let store = family();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    for n in 0..500_i64 {
        let mut write = Box::pin(store.write("insert into parent values (?1, null)", [n]));
        for _ in 0..n % 4 {
            if write.as_mut().poll(&mut cx).is_ready() {
                break;
            }
            std::thread::yield_now();
        }
    }
    store.flush_blocking();
    let rows: i64 = store.query_blocking("select count(*) from parent", []).unwrap();
    assert_eq!(rows as u64, store.stats().writes);
    assert!(rows <= 375);
}

#[test]
fn transactions_of_many_threads_lose_no_update_between_batches() {
    let store = family();
    store.write_blocking("insert into parent values (1, 0), (2, 1000)", []).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for _ in 0..50 {
                    let add = move |tx: &mut Tx<'_>| {
                        let n: String = tx.query("select name from parent where id = 1", []).unwrap();
                        let n: i64 = n.parse().unwrap();
                        tx.write("update parent set name = ?1 where id = 1", [(n + 1).to_string()])
                    };
                    if worker % 2 == 0 {
                        store.transaction_blocking(add).unwrap();
                    } else {
                        ropewalk_sync::block_on(store.transaction(add)).unwrap();
                    }
                    store.write_blocking("update parent set name = name + 1 where id = 2", []).unwrap();
                }
            });
        }
    });
    let counts: Vec<i64> =
        store.query_all_blocking("select cast(name as integer) from parent order by id", []).unwrap();
    assert_eq!(counts, [200, 1_200]);
}

#[test]
fn of_many_who_migrate_at_once_each_step_is_made_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let steps = ["create table t (a)", "insert into t values (1)", "insert into t values (2)"];
    let shared = Store::open(Sqlite::file(&path)).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (shared, path) = (&shared, &path);
            scope.spawn(move || {
                // Of one store, and as other processes would.
                let own = (worker % 2 == 0).then(|| Store::open(Sqlite::file(path)).unwrap());
                let done = own.as_ref().unwrap_or(shared).migrate_blocking(&steps).unwrap();
                assert_eq!(done.to, 3);
            });
        }
    });
    assert_eq!(shared.query_all_blocking::<i64>("select a from t order by a", []).unwrap(), [1, 2]);
}

#[test]
fn checkpoints_and_looks_harm_no_writer_or_reader() {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::file(dir.path().join("app.db")).synchronous(Synchronous::Normal);
    let store = Store::open(sqlite).unwrap();
    store.migrate_blocking(&["create table t (n integer)"]).unwrap();
    let over = AtomicI64::new(0);
    std::thread::scope(|scope| {
        let writers = [(); 2].map(|()| {
            scope.spawn(|| {
                for n in 0..100_i64 {
                    store.write_blocking("insert into t values (?1)", [n]).unwrap();
                    store.query_blocking::<i64>("select count(*) from t", []).unwrap();
                }
            })
        });
        scope.spawn(|| {
            while over.load(SeqCst) == 0 {
                store.checkpoint_blocking().unwrap();
                ropewalk_sync::block_on(store.flush());
                let stats = store.stats();
                assert!(stats.writes <= 200 && stats.queued <= 2, "{stats:?}");
                assert!(store.waits().waiters.len() <= 3);
            }
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        over.store(1, SeqCst);
    });
    assert_eq!(
        (store.query_blocking::<i64>("select count(*) from t", []).unwrap(), store.stats().writes),
        (200, 200)
    );
}

#[test]
fn the_last_clone_gives_back_what_is_queued() {
    let store = family();
    let acks = crate::hold_writer(&store, || {
        let begun = store.try_write("insert into parent values (1, 'a')", []).unwrap();
        while store.waits().waiters.is_empty() {
            std::thread::yield_now();
        }
        [begun, store.try_write("insert into parent values (2, 'b')", []).unwrap()]
    });
    drop(store);
    let [begun, queued] = acks.map(Ack::wait_blocking);
    // Its batch may have been the last, or not have come to it any more.
    assert!(begun.is_ok(), "{begun:?}");
    assert!(matches!(&queued, Ok(_) | Err(WriteError::Closed(_))), "{queued:?}");
}

#[test]
fn closing_beside_writers_and_readers_answers_each_truly() {
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.db");
        let store = Store::open(Sqlite::file(&path).synchronous(Synchronous::Off)).unwrap();
        store.migrate_blocking(&["create table t (n integer)"]).unwrap();
        let written = AtomicI64::new(0);
        let barrier = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for worker in 0..3 {
                let (store, written, barrier) = (&store, &written, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    loop {
                        let done = match worker {
                            0 => ropewalk_sync::block_on(store.write("insert into t values (1)", [])),
                            _ => store.write_blocking("insert into t values (2)", []),
                        };
                        match done {
                            Ok(_) => written.fetch_add(1, SeqCst),
                            Err(WriteError::Closed(_)) => return,
                            Err(error) => panic!("{error}"),
                        };
                        match store.query_blocking::<i64>("select count(*) from t", []) {
                            Ok(n) => assert!(n > 0),
                            Err(QueryError::Connection(_)) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
            barrier.wait();
            store.close_blocking().unwrap();
        });
        assert_eq!(store.stats().connections.size, 0);
        let again = Store::open(Sqlite::file(&path)).unwrap();
        assert_eq!(again.query_blocking::<i64>("select count(*) from t", []).unwrap(), written.load(SeqCst));
    }
}
