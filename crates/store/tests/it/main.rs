//! The crate's integration tests.

mod batches;
mod cancel;
mod durability;
mod model;
mod panics;
mod queries;
mod refusals;
mod stress;
mod transactions;
mod writes;

use ropewalk_store::{Ack, Sqlite, Store};
use ropewalk_sync::Event;
use std::sync::Arc;

fn memory() -> Store {
    Store::open(Sqlite::memory()).unwrap()
}

/// A store with tables for parents, children with a deferred key, and a counter.
fn family() -> Store {
    let store = memory();
    store.migrate_blocking(&[SCHEMA]).unwrap();
    store
}

const SCHEMA: &str = "
    create table parent (id integer primary key, name text unique);
    create table child (
        id integer primary key,
        parent integer references parent (id) on delete cascade deferrable initially deferred
    );
    create table log (text text);
    create trigger parent_log after insert on parent begin insert into log values (new.name); end;
    create trigger no_evil before insert on parent when new.name = 'evil'
    begin select raise(rollback, 'evil'); end;
    create view names as select name from parent;
";

/// Runs `meanwhile` while a transaction of another thread holds the writer.
fn hold_writer<R>(store: &Store, meanwhile: impl FnOnce() -> R) -> R {
    let (held, go) = (Event::new(), Event::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let holder = store.transaction_blocking(|_| {
                held.set();
                go.wait_blocking();
                Ok::<(), ()>(())
            });
            holder.unwrap();
        });
        held.wait_blocking();
        let go = Set(&go);
        let done = meanwhile();
        drop(go);
        done
    })
}

/// Sets an event also when the test fails.
struct Set<'a>(&'a Event);

impl Drop for Set<'_> {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// Holds the writer, lets `queue` queue operations, and releases it, so that they make one batch.
/// The first of a run is taken alone, so it is a decoy.
fn in_one_batch(store: &Store, queue: impl FnOnce() -> Vec<Ack>) -> Vec<Ack> {
    let (held, go) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let (acks, decoy) = std::thread::scope(|scope| {
        scope.spawn(|| {
            store
                .transaction_blocking(|_| {
                    held.set();
                    go.wait_blocking();
                    Ok::<(), ()>(())
                })
                .unwrap();
        });
        held.wait_blocking();
        let decoy = store.try_write("select 'decoy'", []).unwrap();
        // The decoy's batch waits for the writer, whoever comes later waits for that batch.
        while store.waits().waiters.is_empty() {
            std::thread::yield_now();
        }
        let acks = queue();
        go.set();
        (acks, decoy)
    });
    decoy.wait_blocking().unwrap();
    acks
}
