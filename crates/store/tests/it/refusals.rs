//! What would break the store's transactions.

use crate::family;
use ropewalk_store::*;

#[test]
fn control_of_transactions_is_refused_with_a_clear_error() {
    let store = family();
    for sql in [
        "begin",
        "begin immediate",
        "commit",
        "end",
        "rollback",
        "savepoint a",
        "release a",
        "rollback to a",
        // The store's own text, which is prepared already.
        "COMMIT /* the store's */",
        "ROLLBACK /* the store's */",
        "SAVEPOINT ropewalk_operation",
        "RELEASE ropewalk_operation",
        "attach ':memory:' as other",
        "detach main",
        "create temp table t (a)",
        "pragma synchronous = off",
        "pragma foreign_keys = off",
        "pragma query_only = off",
        "pragma journal_mode = delete",
        "pragma wal_checkpoint",
        "pragma user_version = 7",
        "pragma writable_schema = on",
    ] {
        let error = store.write_blocking(sql, []).unwrap_err();
        assert!(matches!(&error, WriteError::Refused { .. }), "{sql}: {error:?}");
        let error = store.query_rows_blocking(sql, []).unwrap_err();
        assert!(matches!(&error, QueryError::Refused { .. }), "{sql}: {error:?}");
        let error = store.transaction_blocking(|tx| tx.batch(sql)).unwrap_err();
        assert!(matches!(&error, TransactionError::Own(WriteError::Refused { .. })), "{sql}: {error:?}");
    }
    let error = store.write_blocking("commit", []).unwrap_err();
    assert!(error.to_string().contains("transaction()"), "{error}");
    store.write_blocking("insert into parent values (1, 'still works')", []).unwrap();
    let n: i64 = store.query_blocking("pragma user_version", []).unwrap();
    assert_eq!(n, 1);
}

#[test]
fn more_than_one_statement_is_refused_and_not_passed_over() {
    let store = family();
    let two = "insert into parent values (1, 'a'); insert into parent values (2, 'b')";
    assert!(matches!(store.write_blocking(two, []), Err(WriteError::Several)));
    // Also the second time, when it has been prepared before.
    assert!(matches!(store.write_blocking(two, []), Err(WriteError::Several)));
    assert!(matches!(store.query_rows_blocking("select 1; select 2", []), Err(QueryError::Several)));
    assert_eq!(store.query_blocking::<i64>("select count(*) from parent", []).unwrap(), 0);
    store.write_blocking("insert into parent values (1, 'a'); -- a comment is no statement", []).unwrap();
    assert!(store.write_blocking("", []).is_err());
    assert!(store.write_blocking("-- nothing", []).is_err());
}

#[test]
fn a_query_that_writes_is_refused() {
    let store = family();
    let sql = "insert into parent values (1, 'a') returning id";
    assert!(matches!(store.query_rows_blocking(sql, []), Err(QueryError::Writes)));
    assert_eq!(store.query_blocking::<i64>("select count(*) from parent", []).unwrap(), 0);
}

#[test]
fn parameters_are_counted() {
    let store = family();
    assert!(store.write_blocking("insert into parent values (?1, ?2)", [1]).is_err());
    assert!(store.write_blocking("insert into parent values (1, 'a')", [1]).is_err());
    assert!(store.query_rows_blocking("select ?1", ()).is_err());
}
