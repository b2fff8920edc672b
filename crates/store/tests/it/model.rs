//! Batches of good and bad operations against the same operations one by one on a plain connection.

use crate::in_one_batch;
use proptest::prelude::*;
use ropewalk_store::*;

/// An operation: its statements' texts.
fn operation() -> impl Strategy<Value = Vec<String>> {
    let statement = prop_oneof![
        4 => (0..6_i64, 0..6_i64).prop_map(|(id, name)| format!("insert into parent values ({id}, 'n{name}')")),
        2 => (0..6_i64, 0..6_i64).prop_map(|(id, name)| format!("insert or replace into parent values ({id}, 'n{name}')")),
        2 => (0..9_i64, 0..6_i64).prop_map(|(id, parent)| format!("insert into child values ({id}, {parent})")),
        2 => (0..6_i64).prop_map(|id| format!("delete from parent where id = {id}")),
        1 => (0..6_i64).prop_map(|id| format!("update child set parent = {id}")),
        1 => (0..6_i64).prop_map(|id| format!("insert or rollback into parent values ({id}, null)")),
        1 => Just("insert into parent values (7, 'evil')".to_owned()),
        1 => Just("insert into nowhere values (1)".to_owned()),
    ];
    prop::collection::vec(statement, 1..4)
}

/// What one operation does alone.
fn alone(conn: &rusqlite::Connection, operation: &[String]) -> Option<u64> {
    conn.execute_batch("begin immediate").unwrap();
    let mut changes = 0;
    for sql in operation {
        match conn.execute(sql, []) {
            Ok(n) => changes += n as u64,
            Err(_) => {
                if !conn.is_autocommit() {
                    conn.execute_batch("rollback").unwrap();
                }
                return None;
            }
        }
    }
    if conn.execute_batch("commit").is_err() {
        conn.execute_batch("rollback").unwrap();
        return None;
    }
    Some(changes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_batch_does_what_its_operations_do_one_by_one(operations in prop::collection::vec(operation(), 1..12)) {
        let store = crate::family();
        let plain = rusqlite::Connection::open_in_memory().unwrap();
        plain.execute_batch("pragma foreign_keys = on").unwrap();
        plain.execute_batch(crate::SCHEMA).unwrap();

        let expected: Vec<_> = operations.iter().map(|operation| alone(&plain, operation)).collect();
        // All of them in one batch, by threads of their own that queue in order.
        let mut got = vec![None; operations.len()];
        std::thread::scope(|scope| {
            let mut threads = Vec::new();
            let none = in_one_batch(&store, || {
                for (at, statements) in operations.iter().enumerate() {
                    let statements: Operation = statements.iter().map(|sql| Statement::new(&**sql, []).unwrap()).collect();
                    let store = &store;
                    threads.push(scope.spawn(move || store.write_all_blocking(statements).ok().map(|written| written.iter().map(|w| w.changes).sum::<u64>())));
                    while store.stats().queued <= at {
                        std::thread::yield_now();
                    }
                }
                Vec::new()
            });
            drop(none);
            for (slot, thread) in got.iter_mut().zip(threads) {
                *slot = thread.join().unwrap();
            }
        });
        prop_assert_eq!(&got, &expected);
        for table in ["select id, name from parent order by 1", "select id, parent from child order by 1", "select text, 0 from log order by rowid"] {
            let ours: Vec<(rusqlite::types::Value, rusqlite::types::Value)> = store.query_all_blocking(table, []).unwrap();
            let mut statement = plain.prepare(table).unwrap();
            let theirs: Vec<(rusqlite::types::Value, rusqlite::types::Value)> = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
            prop_assert_eq!(ours, theirs);
        }
    }
}
