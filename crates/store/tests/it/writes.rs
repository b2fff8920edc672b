use crate::{family, memory};
use ropewalk_store::*;
use std::time::Duration;

#[test]
fn public_types_are_send_and_sync() {
    fn both<T: Send + Sync>() {}
    both::<(Store, Builder, Operation, Statement, Rows, Written, StoreStats, Checkpoint, Migrated)>();
    both::<(OpenError, WriteError, TryWriteError, CheckpointError, CloseError, MigrateError, RowError)>();
    both::<TransactionError<WriteError>>();
    fn send<T: Send>() {}
    send::<(Ack, QueryError)>();
    fn future<F: Future + Send>(_: F) {}
    let store = memory();
    future(store.write("", []));
    future(store.query::<i64>("", []));
    future(store.query_map("", [], |_| Ok(())));
    future(store.transaction(|_| Ok::<(), ()>(())));
    future(store.migrate(&[]));
    future(store.close());
}

#[test]
fn each_write_is_answered_with_its_own_counts() {
    let store = family();
    let insert =
        |id: i64, name: &str| store.write_blocking("insert into parent values (?1, ?2)", (id, name)).unwrap();
    assert_eq!((insert(7, "a").changes, insert(9, "b").last_insert_id), (1, Some(9)));
    let update = store.write_blocking("update parent set name = name || '!'", []).unwrap();
    assert_eq!((update.changes, update.last_insert_id), (2, None));
    let nothing = store.write_blocking("delete from parent where id = 0", []).unwrap();
    assert_eq!((nothing.changes, nothing.last_insert_id), (0, None));
    let schema = store.write_blocking("create table more (a)", []).unwrap();
    assert_eq!((schema.changes, schema.last_insert_id), (0, None));
    // An upsert that updates inserts nothing.
    let upsert = "insert into parent values (7, 'c') on conflict do update set name = excluded.name";
    let upserted = store.write_blocking(upsert, []).unwrap();
    assert_eq!((upserted.changes, upserted.last_insert_id), (1, None));
    let ignored = store.write_blocking("insert or ignore into parent values (7, 'd')", []).unwrap();
    assert_eq!((ignored.changes, ignored.last_insert_id), (0, None));
    let returned =
        store.write_blocking("insert into parent (name) values ('e') returning id, name", []).unwrap();
    assert_eq!((returned.changes, returned.rows.len()), (1, 1));
    let row = returned.rows.get(0).unwrap();
    assert_eq!(row.get::<Option<i64>>("id").unwrap(), returned.last_insert_id);
}

#[test]
fn several_statements_are_written_together_or_not_at_all() {
    let store = family();
    let both = |name: &str| {
        Operation::new()
            .then("insert into parent (name) values (?1)", [name])
            .and_then(|op| op.then("insert into child (parent) values (last_insert_rowid())", []))
            .unwrap()
    };
    let written = store.write_all_blocking(both("a")).unwrap();
    assert_eq!(written.iter().map(|written| written.changes).collect::<Vec<_>>(), [1, 1]);
    // The second of these fails, so the first is not written either.
    let bad = both("b").then("insert into parent (name) values ('a')", []).unwrap();
    assert!(matches!(store.write_all_blocking(bad), Err(WriteError::Sql(_))));
    let n: i64 = store.query_blocking("select count(*) from parent", []).unwrap();
    assert_eq!(n, 1);
    assert!(store.write_all_blocking(Operation::new()).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_write_and_read() {
    let store = family();
    let tasks: Vec<_> = (0..50)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                store.write("insert into parent (name) values (?1)", [n.to_string()]).await.unwrap()
            })
        })
        .collect();
    let mut ids = Vec::new();
    for task in tasks {
        ids.push(task.await.unwrap().last_insert_id.unwrap());
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=50).collect::<Vec<_>>());
    let rows: Vec<(i64, String)> =
        store.query_all("select id, name from parent order by id", []).await.unwrap();
    assert_eq!(rows.len(), 50);
    store.close().await.unwrap();
}

#[test]
fn a_write_that_is_dropped_before_its_batch_is_taken_back() {
    let store = family();
    let acks = crate::in_one_batch(&store, || {
        let kept = store.try_write("insert into parent values (1, 'kept')", []).unwrap();
        drop(store.try_write("insert into parent values (2, 'dropped')", []).unwrap());
        vec![kept]
    });
    for ack in acks {
        ack.wait_blocking().unwrap();
    }
    let names: Vec<String> = store.query_all_blocking("select name from parent", []).unwrap();
    assert_eq!(names, ["kept"]);
}

#[test]
fn a_full_queue_and_a_timeout_give_the_operation_back() {
    let store = Store::builder(Sqlite::memory()).queue(2).open().unwrap();
    store.migrate_blocking(&["create table t (a)"]).unwrap();
    let acks = crate::in_one_batch(&store, || {
        let acks: Vec<_> =
            (0..2).map(|n| store.try_write("insert into t values (?1)", [n]).unwrap()).collect();
        match store.try_write("insert into t values (?1)", [2]) {
            Err(TryWriteError::Full(operation)) => {
                assert_eq!(operation.statements()[0].sql(), "insert into t values (?1)");
            }
            other => panic!("{other:?}"),
        }
        let late = store.write_blocking_timeout("insert into t values (3)", [], Duration::ZERO);
        assert!(matches!(&late, Err(WriteError::TimedOut(_))), "{late:?}");
        assert!(!late.unwrap_err().is_unknown());
        acks
    });
    for ack in acks {
        ack.wait_blocking().unwrap();
    }
    assert_eq!(store.query_blocking::<i64>("select count(*) from t", []).unwrap(), 2);
}

#[test]
fn close_writes_what_is_queued_and_refuses_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let store = Store::open(Sqlite::file(&path)).unwrap();
    store.migrate_blocking(&["create table t (a)"]).unwrap();
    let acks: Vec<_> = (0..100).map(|n| store.try_write("insert into t values (?1)", [n]).unwrap()).collect();
    store.close_blocking().unwrap();
    for ack in acks {
        ack.wait_blocking().unwrap();
    }
    assert!(matches!(store.write_blocking("insert into t values (1)", []), Err(WriteError::Closed(_))));
    assert!(matches!(store.try_write("insert into t values (1)", []), Err(TryWriteError::Closed(_))));
    assert!(matches!(store.query_blocking::<i64>("select 1", []), Err(QueryError::Connection(_))));
    store.close_blocking().unwrap();
    // The log has been emptied.
    assert!(!dir.path().join("app.db-wal").exists());
    let again = Store::open(Sqlite::file(&path)).unwrap();
    assert_eq!(again.query_blocking::<i64>("select count(*) from t", []).unwrap(), 100);
}

#[test]
fn a_database_that_cannot_be_opened_is_named() {
    let error = Store::open(Sqlite::file("/nonexistent/dir/app.db")).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/dir/app.db"), "{error}");
    assert!(matches!(Store::builder(Sqlite::memory()).max_batch(0).open(), Err(OpenError::Batch(_))));
}

#[test]
fn checkpoints_and_figures() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Sqlite::file(dir.path().join("app.db"))).unwrap();
    store.migrate_blocking(&["create table t (a)"]).unwrap();
    for n in 0..10 {
        store.write_blocking("insert into t values (?1)", [n]).unwrap();
    }
    assert!(store.write_blocking("insert into nothing values (1)", []).is_err());
    assert!(std::fs::metadata(dir.path().join("app.db-wal")).unwrap().len() > 0);
    let done = store.checkpoint_blocking().unwrap();
    assert!(!done.busy);
    assert_eq!(std::fs::metadata(dir.path().join("app.db-wal")).unwrap().len(), 0);
    let stats = store.stats();
    assert_eq!((stats.writes, stats.failed, stats.batches, stats.rerun_batches), (10, 1, 11, 0));
    assert!(stats.commit.count() >= 10);
    assert_eq!(stats.connections.in_use, 0);
}
