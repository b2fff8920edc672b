use ropewalk_connections::*;
use std::time::Duration;

fn count(conn: &rusqlite::Connection) -> i64 {
    conn.query_row("select count(*) from t", [], |row| row.get(0)).unwrap()
}

#[test]
fn one_writer_and_readers_on_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let pool = Pool::builder(Sqlite::file(dir.path().join("app.db"))).size(1..=5).build().unwrap();
    let writer = pool.get_writer_blocking().unwrap();
    writer.execute_batch("create table t (a integer primary key)").unwrap();
    let pragma = |conn: &rusqlite::Connection, name| -> String {
        conn.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
            .map(|value| match value {
                rusqlite::types::Value::Text(text) => text,
                other => format!("{other:?}"),
            })
            .unwrap()
    };
    assert_eq!(pragma(&writer, "journal_mode"), "wal");
    assert_eq!(pragma(&writer, "synchronous"), "Integer(2)");
    assert_eq!(pragma(&writer, "foreign_keys"), "Integer(1)");
    assert_eq!(pragma(&writer, "busy_timeout"), "Integer(5000)");
    // The one writer is out; readers are not.
    assert_eq!(pool.try_get_writer().map(drop), Err(TryGetError::Busy));
    let readers: Vec<_> = (0..4).map(|_| pool.get_blocking().unwrap()).collect();
    assert!(readers.iter().all(|reader| reader.execute("insert into t values (1)", []).is_err()));
    assert!(readers.iter().all(|reader| reader.execute_batch("begin immediate").is_err()));
    writer.execute("insert into t values (1)", []).unwrap();
    assert!(readers.iter().all(|reader| count(reader) == 1));
    let stats = pool.stats_of(Role::Writer);
    assert_eq!((stats.size, stats.max), (1, 1));
    assert_eq!((pool.stats_of(Role::Any).max, pool.stats().max), (4, 5));
    drop((writer, readers));
    pool.close_blocking().unwrap();
}

#[test]
fn a_dangling_transaction_is_rolled_back_before_the_next() {
    let pool = Pool::builder(Sqlite::memory()).size(2..=2).build().unwrap();
    let writer = pool.get_writer_blocking().unwrap();
    writer.execute_batch("create table t (a); begin immediate; insert into t values (1)").unwrap();
    drop(writer);
    let writer = pool.get_writer_blocking().unwrap();
    assert!(writer.is_autocommit());
    // The rollback undid the table too? No: it was made before the transaction.
    assert_eq!(count(&writer), 0);
    drop(writer);
    assert_eq!(pool.stats().resets, 1);
    // And one that a cancelled `run` left.
    let mut writer = pool.get_writer_blocking().unwrap();
    {
        let mut run =
            Box::pin(writer.run(|conn| conn.execute_batch("begin; insert into t values (2)").unwrap()));
        let _ = crate::line::poll(run.as_mut());
    }
    drop(writer);
    let writer = pool.get_writer_blocking().unwrap();
    assert!(writer.is_autocommit());
    assert_eq!(count(&writer), 0);
}

#[test]
fn the_writers_transactions_are_immediate() {
    let dir = tempfile::tempdir().unwrap();
    let pool = Pool::builder(Sqlite::file(dir.path().join("app.db")).busy_timeout(Duration::ZERO))
        .size(2..=2)
        .build()
        .unwrap();
    let mut writer = pool.get_writer_blocking().unwrap();
    let tx = writer.transaction().unwrap();
    let other = rusqlite::Connection::open(dir.path().join("app.db")).unwrap();
    other.busy_timeout(Duration::ZERO).unwrap();
    assert!(other.execute_batch("begin immediate").is_err(), "the lock is taken by BEGIN");
    tx.commit().unwrap();
}

#[test]
fn a_pool_of_one_reads_and_writes_with_it() {
    let pool = Pool::builder(Sqlite::memory()).size(1..=1).build().unwrap();
    pool.get_blocking().unwrap().execute_batch("create table t (a); insert into t values (1)").unwrap();
    assert_eq!(count(&pool.get_writer_blocking().unwrap()), 1);
    assert_eq!(pool.resize(1..=4).unwrap_err(), ResizeError::OneForBoth);
    let split = Pool::builder(Sqlite::memory()).size(2..=2).build().unwrap();
    assert_eq!(split.resize(1..=1).unwrap_err(), ResizeError::NeedsReader);
    split.resize(1..=9).unwrap();
    assert_eq!(split.stats().max, 9);
}

#[test]
fn databases_in_memory_are_shared_by_a_pool_and_by_nobody_else() {
    let one = Pool::builder(Sqlite::memory()).size(0..=3).build().unwrap();
    let two = Pool::builder(Sqlite::memory()).size(0..=3).build().unwrap();
    one.get_writer_blocking().unwrap().execute_batch("create table t (a); insert into t values (1)").unwrap();
    // All connections may go; the data stays.
    one.retain(|_, _| false);
    assert_eq!(count(&one.get_blocking().unwrap()), 1);
    assert!(two.get_blocking().unwrap().prepare("select * from t").is_err());
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let pool = Pool::builder(Sqlite::file("/nonexistent/dir/app.db"))
        .on_connect_failure(OnConnectFailure::Fail)
        .build()
        .unwrap();
    let error = pool.get_blocking().unwrap_err();
    assert!(error.to_string().contains("/nonexistent/dir/app.db"), "{error}");
}

#[test]
fn setup_runs_on_each_connection() {
    let manager = Sqlite::memory()
        .synchronous(Synchronous::Normal)
        .without_foreign_keys()
        .statements(8)
        .on_connect(|conn| conn.pragma_update(None, "cache_size", -4_096));
    let pool = Pool::builder(manager).size(2..=2).build().unwrap();
    let [reader, writer] = [pool.get_blocking().unwrap(), pool.get_writer_blocking().unwrap()];
    for conn in [&reader, &writer] {
        let size: i64 = conn.pragma_query_value(None, "cache_size", |row| row.get(0)).unwrap();
        let keys: i64 = conn.pragma_query_value(None, "foreign_keys", |row| row.get(0)).unwrap();
        assert_eq!((size, keys), (-4_096, 0));
    }
}

#[test]
fn many_writers_and_readers_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let pool = Pool::builder(Sqlite::file(dir.path().join("app.db")).synchronous(Synchronous::Normal))
        .size(1..=4)
        .acquire_timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    pool.get_writer_blocking().unwrap().execute_batch("create table t (a)").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for turn in 0..50 {
                    ropewalk_sync::block_on(async {
                        let mut writer = pool.get_writer().await.unwrap();
                        writer
                            .run(move |conn| {
                                let tx = conn.transaction()?;
                                tx.execute("insert into t values (?1)", [turn])?;
                                tx.commit()
                            })
                            .await
                            .unwrap();
                    });
                    count(&pool.get_blocking().unwrap());
                }
            });
        }
    });
    assert_eq!(count(&pool.get_blocking().unwrap()), 200);
}

#[test]
fn the_writers_line_is_its_own_and_bounded() {
    let pool = Pool::builder(Sqlite::memory()).size(2..=2).build().unwrap();
    let writer = pool.get_writer_blocking().unwrap();
    let timed_out = |result: Result<_, _>| matches!(result.map(drop), Err(GetError::Timeout { .. }));
    assert!(timed_out(pool.get_writer_blocking_timeout(Duration::ZERO)));
    assert!(timed_out(ropewalk_sync::block_on(pool.get_writer_timeout(Duration::ZERO))));
    let mut first = Box::pin(pool.get_writer());
    let mut second = Box::pin(pool.get_writer());
    assert!(
        crate::line::poll(first.as_mut()).is_pending() && crate::line::poll(second.as_mut()).is_pending()
    );
    drop(pool.get_blocking().unwrap());
    drop(writer);
    assert_eq!(pool.try_get_writer().map(drop), Err(TryGetError::Busy), "the writer is the first one's");
    drop(first);
    assert!(crate::line::poll(second.as_mut()).is_ready(), "it passed on");
    assert!(pool.try_get_writer().is_ok());
}
