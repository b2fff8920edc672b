use crate::family;
use ropewalk_store::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

fn count(store: &Store) -> i64 {
    store.query_blocking("select count(*) from parent", []).unwrap()
}

#[test]
fn it_commits_on_ok_and_rolls_back_on_err_and_on_a_panic() {
    let store = family();
    let sum = store
        .transaction_blocking(|tx| {
            tx.write("insert into parent values (1, 'a')", [])?;
            tx.batch("insert into parent values (2, 'b'); insert into parent values (3, 'c')")?;
            assert_eq!(tx.query::<i64>("select count(*) from parent", []).unwrap(), 3, "it sees itself");
            assert_eq!(tx.query_opt::<i64>("select 1 where 0", []).unwrap(), None);
            Ok::<i64, WriteError>(tx.query_all::<i64>("select id from parent", []).unwrap().iter().sum())
        })
        .unwrap();
    assert_eq!((sum, count(&store)), (6, 3));
    let error = store.transaction_blocking(|tx| {
        tx.write("delete from parent", []).unwrap();
        Err::<(), _>("no")
    });
    assert!(matches!(error, Err(TransactionError::Own("no"))));
    assert_eq!(count(&store), 3);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        store.transaction_blocking(|tx| -> Result<(), ()> {
            tx.write("delete from parent", []).unwrap();
            panic!("in work")
        })
    }));
    assert!(panic.is_err());
    assert_eq!(count(&store), 3);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        ropewalk_sync::block_on(store.transaction(|tx| -> Result<(), ()> {
            tx.write("delete from parent", []).unwrap();
            panic!("in work")
        }))
    }));
    assert!(panic.is_err());
    assert_eq!(count(&store), 3);
    store.write_blocking("insert into parent values (4, 'd')", []).unwrap();
}

#[test]
fn its_commit_makes_results_untrue() {
    let store = family();
    assert_eq!((count(&store), count(&store)), (0, 0));
    store.transaction_blocking(|tx| tx.write("insert into parent values (1, 'a')", [])).unwrap();
    assert_eq!(count(&store), 1);
    ropewalk_sync::block_on(store.transaction(|tx| tx.batch("insert into parent values (2, 'b')"))).unwrap();
    assert_eq!(count(&store), 2);
    // A prepared statement is known by what it does, not only when it is prepared.
    store.transaction_blocking(|tx| tx.write("insert into parent (name) values (?1)", ["c"])).unwrap();
    assert_eq!(count(&store), 3);
    store.transaction_blocking(|tx| tx.write("insert into parent (name) values (?1)", ["d"])).unwrap();
    assert_eq!(count(&store), 4);
}

#[test]
fn what_ends_it_from_inside_does_not_let_the_rest_commit_alone() {
    let store = family();
    store.write_blocking("insert into parent values (1, 'a')", []).unwrap();
    let result = store.transaction_blocking(|tx| {
        tx.write("insert into parent values (2, 'b')", [])?;
        assert!(tx.write("insert or rollback into parent values (1, 'x')", []).is_err());
        // The closure ignores the error and goes on.
        assert!(matches!(tx.write("insert into parent values (3, 'c')", []), Err(WriteError::Ended)));
        assert!(matches!(tx.batch("insert into parent values (3, 'c')"), Err(WriteError::Ended)));
        Ok::<(), WriteError>(())
    });
    assert!(matches!(result, Err(TransactionError::Store(WriteError::Ended))));
    assert_eq!(count(&store), 1);
    let result = store.transaction_blocking(|tx| tx.write("insert into child values (1, 99)", []).map(drop));
    assert!(matches!(result, Err(TransactionError::Store(WriteError::ForeignKey))));
}

#[test]
fn a_dropped_transaction_runs_on_and_commits() {
    let store = family();
    let begun = std::sync::Arc::new(ropewalk_sync::Event::new());
    let go = begun.clone();
    let mut future = Box::pin(store.transaction(move |tx| {
        go.set();
        tx.write("insert into parent values (1, 'a')", [])
    }));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    while !begun.is_set() {
        if future.as_mut().poll(&mut cx).is_ready() {
            break;
        }
        std::thread::yield_now();
    }
    drop(future);
    store.write_blocking("insert into parent values (2, 'b')", []).unwrap();
    assert_eq!(count(&store), 2);
}

#[test]
fn migrations_are_made_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let steps =
        ["create table t (a); insert into t values (1)", "alter table t add column b", "update t set b = a"];
    {
        let store = Store::open(Sqlite::file(&path)).unwrap();
        let done = store.migrate_blocking(&steps[..2]).unwrap();
        assert_eq!((done.from, done.to), (0, 2));
    }
    let store = Store::open(Sqlite::file(&path)).unwrap();
    let done = ropewalk_sync::block_on(store.migrate(&steps)).unwrap();
    assert_eq!((done.from, done.to), (2, 3));
    assert_eq!(store.query_blocking::<(i64, i64)>("select a, b from t", []).unwrap(), (1, 1));
    assert_eq!(store.migrate_blocking(&steps).unwrap().from, 3);
    // An older program, and a step that fails half-way.
    assert!(matches!(store.migrate_blocking(&steps[..1]), Err(MigrateError::Newer { found: 3, known: 1 })));
    let mut more = steps.to_vec();
    more.extend(["create table u (a)", "create table v (a); create table v (a)"]);
    let error = store.migrate_blocking(&more).unwrap_err();
    assert!(matches!(&error, MigrateError::Step { step: 5, .. }), "{error}");
    let tables: i64 = store.query_blocking("select count(*) from sqlite_master", []).unwrap();
    assert_eq!(tables, 2, "step 4 stands, step 5 left nothing");
    let sneaky = store.migrate_blocking(&["", "", "", "", "create table v (a); commit; create table w (a)"]);
    assert!(matches!(sneaky, Err(MigrateError::Step { step: 5, source: WriteError::Refused { .. } })));
}
