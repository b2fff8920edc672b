//! One bad operation fails alone.

use crate::{family, in_one_batch};
use ropewalk_store::*;
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::SeqCst},
};

fn names(store: &Store) -> Vec<String> {
    store.query_all_blocking("select name from parent order by id", []).unwrap()
}

/// Writes all in one batch and gives what became of each.
fn batch(store: &Store, statements: &[&str]) -> Vec<Result<Written, WriteError>> {
    let before = store.stats();
    let acks =
        in_one_batch(store, || statements.iter().map(|sql| store.try_write(sql, []).unwrap()).collect());
    let answers = acks.into_iter().map(Ack::wait_blocking).collect();
    let batches = store.stats().batches - before.batches;
    assert_eq!(batches, 2, "the decoy's and one for all");
    answers
}

#[test]
fn a_batch_is_one_commit_and_each_gets_its_own_answer() {
    let store = family();
    let commits = store.stats().commit.count();
    let answers = batch(
        &store,
        &[
            "insert into parent values (5, 'a')",
            "update parent set name = 'b' where id = 5",
            "insert into parent values (3, 'c'), (4, 'd')",
            "delete from parent where id = 99",
        ],
    );
    let got: Vec<_> =
        answers.into_iter().map(|answer| answer.map(|w| (w.changes, w.last_insert_id)).unwrap()).collect();
    assert_eq!(got, [(1, Some(5)), (1, None), (2, Some(4)), (0, None)]);
    assert_eq!(names(&store), ["c", "d", "b"]);
    // The holder's, the decoy's and the batch's.
    assert_eq!(store.stats().commit.count() - commits, 3);
}

#[test]
fn a_constraint_fails_its_own_operation_only() {
    let store = family();
    let answers = batch(
        &store,
        &[
            "insert into parent values (1, 'a')",
            "insert into parent values (1, 'again')",
            "insert into nowhere values (1)",
            "insert into parent values (2, 'b')",
            "syntax error",
        ],
    );
    let ok: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(ok, [true, false, false, true, false]);
    assert!(matches!(&answers[1], Err(error) if error.sqlite().is_some()));
    assert_eq!(names(&store), ["a", "b"]);
    assert_eq!(store.stats().rerun_batches, 0, "savepoints are enough");
}

#[test]
fn a_deferred_foreign_key_fails_its_own_operation_and_not_the_commit() {
    let store = family();
    let answers = batch(
        &store,
        &[
            "insert into parent values (1, 'a')",
            "insert into child values (1, 77)",
            "insert into child values (2, 1)",
            // It would satisfy the key of the second, but each operation stands for itself.
            "insert into parent values (77, 'late')",
        ],
    );
    let ok: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(ok, [true, false, true, true]);
    assert!(matches!(answers[1], Err(WriteError::ForeignKey)));
    assert_eq!(store.query_all_blocking::<i64>("select id from child", []).unwrap(), [2]);
    assert_eq!(store.stats().rerun_batches, 0);
    // Alone it is the same, and within one operation the key may be satisfied later.
    let alone = store.write_blocking("insert into child values (3, 88)", []);
    assert!(matches!(alone, Err(WriteError::ForeignKey)));
    let both = Operation::new()
        .then("insert into child values (3, 88)", [])
        .and_then(|op| op.then("insert into parent values (88, 'x')", []))
        .unwrap();
    store.write_all_blocking(both).unwrap();
}

#[test]
fn a_statement_that_ends_the_transaction_fails_alone() {
    for evil in
        ["insert or rollback into parent values (1, 'again')", "insert into parent values (9, 'evil')"]
    {
        let store = family();
        let answers = batch(
            &store,
            &["insert into parent values (1, 'a')", evil, "insert into parent values (2, 'b')"],
        );
        let ok: Vec<_> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(ok, [true, false, true], "{evil}");
        assert_eq!(names(&store), ["a", "b"], "{evil}");
        assert_eq!(store.stats().rerun_batches, 1, "{evil}");
        // Alone it fails too, and what comes after is written.
        assert!(store.write_blocking(evil, []).is_err());
        store.write_blocking("insert into parent values (3, 'c')", []).unwrap();
    }
}

#[test]
fn a_batch_of_failures_commits_nothing() {
    let store = family();
    let commits = store.stats().commit.count();
    let answers = batch(&store, &["insert into nowhere values (1)", "insert into child values (1, 5)"]);
    assert!(answers.iter().all(Result::is_err));
    assert_eq!(store.stats().commit.count() - commits, 2, "the holder's and the decoy's");
}

#[test]
fn operations_are_written_in_the_order_they_were_queued() {
    let store = family();
    let acks = in_one_batch(&store, || {
        (0..200)
            .map(|n: i64| store.try_write("insert into parent (name) values (?1)", [n.to_string()]).unwrap())
            .collect()
    });
    let ids: Vec<_> =
        acks.into_iter().map(|ack| ack.wait_blocking().unwrap().last_insert_id.unwrap()).collect();
    assert_eq!(ids, (1..=200).collect::<Vec<_>>());
    assert_eq!(store.stats().batch_size.max(), Some(200));
}

/// A store whose n-th commit from now on is refused by SQLite; 0 for none.
fn with_veto() -> (Store, Arc<AtomicI64>) {
    let veto = Arc::new(AtomicI64::new(0));
    let hook = veto.clone();
    let sqlite = Sqlite::memory().on_connect(move |conn| {
        let veto = hook.clone();
        conn.commit_hook(Some(move || veto.fetch_sub(1, SeqCst) == 1))
    });
    let store = Store::open(sqlite).unwrap();
    store.migrate_blocking(&[crate::SCHEMA]).unwrap();
    (store, veto)
}

#[test]
fn a_batch_whose_commit_fails_is_run_again_one_by_one() {
    let (store, veto) = with_veto();
    let acks = in_one_batch(&store, || {
        let ack = |id: i64| store.try_write("insert into parent values (?1, null)", [id]).unwrap();
        let acks = vec![ack(1), ack(2), ack(3)];
        // After the holder's and the decoy's.
        veto.store(3, SeqCst);
        acks
    });
    for ack in acks {
        assert_eq!(ack.wait_blocking().unwrap().changes, 1);
    }
    assert_eq!(store.query_blocking::<i64>("select count(*) from parent", []).unwrap(), 3);
    assert_eq!(store.stats().rerun_batches, 1);
}

#[test]
fn one_of_a_batch_whose_own_commit_fails_fails_alone() {
    let (store, veto) = with_veto();
    let known = || store.query_blocking::<i64>("select count(*) from parent", []).unwrap();
    assert_eq!(known(), 0);
    veto.store(1, SeqCst);
    let error = store.write_blocking("insert into parent values (1, null)", []).unwrap_err();
    assert!(matches!(error, WriteError::Commit(_)) && !error.is_unknown(), "{error:?}");
    assert_eq!(known(), 0);
    let error = store.transaction_blocking(|tx| {
        veto.store(1, SeqCst);
        tx.write("insert into parent values (1, null)", [])
    });
    assert!(matches!(error, Err(TransactionError::Store(WriteError::Commit(_)))), "{error:?}");
    store.write_blocking("insert into parent values (1, null)", []).unwrap();
    assert_eq!(known(), 1);
}
