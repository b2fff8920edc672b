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
