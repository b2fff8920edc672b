//! `kill -9`: what was answered is there.

use ropewalk_store::*;
use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

const DATABASE: &str = "ROPEWALK_STORE_TEST_DATABASE";

/// Not a test: the child of the test below, which runs this binary again.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(DATABASE) else { return };
    let store = Store::open(Sqlite::file(path)).unwrap();
    store.migrate_blocking(&["create table t (id integer primary key, worker integer)"]).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..4_i64 {
            let store = &store;
            scope.spawn(move || {
                loop {
                    let written =
                        store.write_blocking("insert into t (worker) values (?1)", [worker]).unwrap();
                    let id = written.last_insert_id.unwrap();
                    // One line at a time, at once: whoever reads it has been answered.
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "answered {id}").unwrap();
                    out.flush().unwrap();
                }
            });
        }
    });
}

#[test]
fn what_was_answered_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let mut answered = Vec::new();
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "durability::child_that_writes_until_it_is_killed", "--nocapture"])
            .env(DATABASE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut seen = 0;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in &mut lines {
            let Ok(line) = line else { break };
            if let Some((_, id)) = line.split_once("answered ") {
                answered.push(id.parse::<i64>().unwrap());
                seen += 1;
            }
            if seen == 40 * round {
                // SIGKILL: nothing of the child's runs any more.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= 40 * round, "the child ended early");

        let store = Store::open(Sqlite::file(&path)).unwrap();
        let ok: String = store.query_blocking("pragma integrity_check", []).unwrap();
        assert_eq!(ok, "ok");
        for id in &answered {
            let found = store.query_opt_blocking::<i64>("select id from t where id = ?1", [*id]).unwrap();
            assert_eq!(found, Some(*id), "answered and lost");
        }
        let mut ids = answered.clone();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), answered.len(), "no id was given twice");
        store.close_blocking().unwrap();
    }
}
