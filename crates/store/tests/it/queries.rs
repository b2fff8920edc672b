//! Results from memory, and when they are true no more.

use crate::SCHEMA;
use ropewalk_store::*;
use std::time::Duration;

/// A store that never looks for other processes' writes: the first look makes all untrue, whenever it comes.
fn alone() -> Store {
    let store = Store::builder(Sqlite::memory()).watch_every(Duration::MAX).open().unwrap();
    store.migrate_blocking(&[SCHEMA]).unwrap();
    store
}

/// Runs the query and tells whether it came from memory.
fn from_memory(store: &Store, sql: &str) -> (Rows, bool) {
    let before = store.stats().query_hits;
    let rows = store.query_rows_blocking(sql, []).unwrap();
    (rows, store.stats().query_hits > before)
}

/// Whether `write` makes the result of `query` untrue.
#[track_caller]
fn check(store: &Store, query: &str, write: &str, invalidates: bool) {
    // Twice: if the schema has changed, the first only learns of it.
    from_memory(store, query);
    from_memory(store, query);
    let (before, hit) = from_memory(store, query);
    assert!(hit, "`{query}` is repeated");
    store.write_blocking(write, []).unwrap_or_else(|error| panic!("{write}: {error}"));
    let (after, hit) = from_memory(store, query);
    assert_eq!(hit, !invalidates, "`{query}` after `{write}`");
    if invalidates {
        let fresh = store.query_rows_blocking(&format!("/* a text of its own */ {query}"), []).unwrap();
        assert_eq!(after, fresh);
    } else {
        assert_eq!(before, after);
    }
}

#[test]
fn a_write_to_a_table_makes_results_from_it_untrue_and_no_others() {
    let store = alone();
    check(&store, "select count(*) from parent", "insert into parent values (1, 'a')", true);
    check(&store, "select count(*) from child", "insert into parent values (2, 'b')", false);
    check(&store, "select name from parent", "update parent set name = 'c' where id = 1", true);
    check(&store, "select count(*) from parent", "delete from parent where id = 2", true);
    check(&store, "select max(id) from parent", "delete from parent", true);
    check(&store, "select 1", "insert into parent values (3, 'x')", false);
    // Through a view, a trigger and a cascade.
    check(&store, "select * from names", "insert into parent values (4, 'd')", true);
    check(&store, "select count(*) from log", "insert into parent values (5, 'e')", true);
    store.write_blocking("insert into child values (1, 5)", []).unwrap();
    check(&store, "select count(*) from child", "delete from parent where id = 5", true);
    check(
        &store,
        "with p as (select * from parent) select count(*) from p join log on log.text = p.name",
        "delete from log",
        true,
    );
    check(&store, "select (select count(*) from child)", "insert into child values (9, null)", true);
    // A write that fails changes nothing, whether it is known or not.
    let (_, _) = from_memory(&store, "select count(*) from parent");
    assert!(store.write_blocking("insert into parent values (4, 'again')", []).is_err());
    let (rows, _) = from_memory(&store, "select count(*) from parent");
    assert_eq!(rows.get(0).unwrap().get::<i64>(0).unwrap(), 2);
}

#[test]
fn a_change_of_the_schema_makes_everything_untrue() {
    let store = alone();
    store.write_blocking("insert into child values (1, null)", []).unwrap();
    check(&store, "select * from child", "alter table child add column note text default 'new'", true);
    check(&store, "select count(*) from parent", "create table other (a)", true);
    check(&store, "select count(*) from sqlite_master", "create index child_note on child (note)", true);
    store.write_blocking("drop view names", []).unwrap();
    store.write_blocking("create view names as select text as name from log", []).unwrap();
    store.write_blocking("insert into parent values (1, 'a')", []).unwrap();
    check(&store, "select * from names", "delete from log", true);
}

#[test]
fn results_that_depend_on_more_than_tables_are_not_kept() {
    let store = alone();
    for sql in [
        "select random()",
        "select datetime('now')",
        "select current_timestamp",
        "select date('now')",
        "select changes()",
        "select last_insert_rowid()",
        "select * from pragma_table_info('sqlite_master')",
        "pragma user_version",
    ] {
        from_memory(&store, sql);
        assert!(!from_memory(&store, sql).1, "{sql}");
    }
    from_memory(&store, "select upper(hex('a'))");
    assert!(from_memory(&store, "select upper(hex('a'))").1);
    assert!(store.stats().query_volatile >= 16);
}

#[test]
fn parameters_are_part_of_the_key() {
    let store = alone();
    store.write_blocking("insert into parent values (1, 'a'), (2, 'b')", []).unwrap();
    let name =
        |id: i64| store.query_blocking::<String>("select name from parent where id = ?1", [id]).unwrap();
    assert_eq!((name(1), name(2), name(1)), ("a".into(), "b".into(), "a".into()));
    assert_eq!(store.stats().query_hits, 1);
    // Equal as numbers, but not the same values.
    let kind = |value: rusqlite::types::Value| {
        store.query_blocking::<String>("select typeof(?1)", (value,)).unwrap()
    };
    assert_eq!(kind(1.into()), "integer");
    assert_eq!(kind(1.0.into()), "real");
    assert_eq!(kind("1".to_owned().into()), "text");
}

#[test]
fn another_process_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    // A connection outside the store is what another process would be.
    let store = Store::builder(Sqlite::file(&path)).watch_every(Duration::ZERO).open().unwrap();
    store.migrate_blocking(&["create table t (a)"]).unwrap();
    let count = || store.query_blocking::<i64>("select count(*) from t", []).unwrap();
    assert_eq!((count(), count()), (0, 0));
    assert_eq!(store.stats().query_hits, 1);
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute("insert into t values (1)", []).unwrap();
    assert_eq!(count(), 1);
    assert_eq!(ropewalk_sync::block_on(store.query::<i64>("select count(*) from t", [])).unwrap(), 1);
    other.execute("insert into t values (2)", []).unwrap();
    assert_eq!(ropewalk_sync::block_on(store.query::<i64>("select count(*) from t", [])).unwrap(), 2);
    // The store's own writes are not taken for another's.
    let foreign = store.stats().foreign_changes;
    store.write_blocking("insert into t values (3)", []).unwrap();
    assert_eq!((count(), store.stats().foreign_changes), (3, foreign));
}

#[test]
fn within_the_lag_another_process_may_go_unseen_and_a_write_of_ours_finds_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let clock = ropewalk_sync::Clock::virtual_();
    let store = Store::builder(Sqlite::file(&path))
        .watch_every(Duration::from_secs(1))
        .clock(clock.clone())
        .open()
        .unwrap();
    store.migrate_blocking(&["create table t (a)", "create table u (a)"]).unwrap();
    let count = || store.query_blocking::<i64>("select count(*) from t", []).unwrap();
    count();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute("insert into t values (1)", []).unwrap();
    assert_eq!(count(), 0);
    clock.advance(Duration::from_secs(1));
    assert_eq!(count(), 1);
    other.execute("insert into t values (1)", []).unwrap();
    assert_eq!(count(), 1);
    store.write_blocking("insert into u values (1)", []).unwrap();
    assert_eq!(count(), 2);
}

#[test]
fn rows_become_what_is_asked_for() {
    struct Parent {
        id: i64,
        name: Option<String>,
    }
    impl FromRow for Parent {
        fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
            Ok(Self { id: row.get("ID")?, name: row.get("name")? })
        }
    }
    let store = alone();
    store.write_blocking("insert into parent values (1, 'a'), (2, null)", []).unwrap();
    let parents: Vec<Parent> = store.query_all_blocking("select * from parent order by id", []).unwrap();
    assert_eq!((parents[0].id, parents[0].name.as_deref(), parents[1].name.as_deref()), (1, Some("a"), None));
    let pair: (i64, Option<String>) = store.query_blocking("select * from parent", []).unwrap();
    assert_eq!(pair, (1, Some("a".into())));
    let null: Option<String> = store.query_blocking("select name from parent where id = 2", []).unwrap();
    assert_eq!(null, None);
    assert_eq!(store.query_opt_blocking::<i64>("select id from parent where id = 9", []).unwrap(), None);
    let none = store.query_blocking::<i64>("select id from parent where id = 9", []);
    assert!(matches!(none, Err(QueryError::NoRow)));
    let wrong = store.query_blocking::<i64>("select name from parent where id = 1", []).unwrap_err();
    assert!(matches!(&wrong, QueryError::Row(RowError::Type { column, .. }) if column == "name"), "{wrong}");
    let ids =
        store.query_map_blocking("select id from parent", [], |row| Ok(row.get::<i64>(0)? * 10)).unwrap();
    assert_eq!(ids, [10, 20]);
    let missing = store.query_map_blocking("select id from parent", [], |row| row.get::<i64>("nope"));
    assert!(matches!(missing, Err(QueryError::Row(RowError::NoColumn { .. }))));
    let rows = store.query_rows_blocking("select id, name from parent", []).unwrap();
    assert_eq!((rows.len(), rows.columns().collect::<Vec<_>>()), (2, vec!["id", "name"]));
    assert!(rows.get(2).is_none() && rows.get(usize::MAX).is_none());
    let blob: Vec<u8> = store.query_blocking("select x'00ff'", []).unwrap();
    assert_eq!(blob, [0, 255]);
    assert!(store.query_rows_blocking("select cast(x'ff' as text)", []).is_err(), "not UTF-8");
}

#[test]
fn without_a_cache_every_query_reads() {
    let store = Store::builder(Sqlite::memory()).cache(0).open().unwrap();
    for _ in 0..3 {
        store.query_blocking::<i64>("select 1", []).unwrap();
    }
    let stats = store.stats();
    assert_eq!((stats.query_hits, stats.query_misses), (0, 3));
    assert!(stats.cache.is_none());
}

#[test]
fn the_cache_is_bounded() {
    let store = Store::builder(Sqlite::memory()).cache(100_000).open().unwrap();
    for n in 0..500_i64 {
        let text: String = store.query_blocking("select printf('%.*c', 1000, 'x') || ?1", [n]).unwrap();
        assert!(text.ends_with(&n.to_string()));
    }
    let cache = store.stats().cache.unwrap();
    assert!(cache.weight <= 100_000 && cache.len > 10, "{cache:?}");
}

#[test]
fn a_query_runs_out_of_time() {
    let store = Store::builder(Sqlite::memory()).readers(1).open().unwrap();
    let slow = "with recursive n (i) as (select 1 union all select i + 1 from n where i < 300000) select max(i) from n";
    let result = ropewalk_sync::block_on(store.query_timeout::<i64>(slow, [], Duration::ZERO));
    assert!(matches!(result, Err(QueryError::TimedOut(_))), "{result:?}");
    // It ran on, and the connection came back.
    assert_eq!(store.query_blocking::<i64>("select 7", []).unwrap(), 7);
}
