//! The wait-for graph against an oracle that lets everybody go on who can.

use crate::{Rig, SECOND};
use parking_lot::Mutex;
use proptest::prelude::*;
use ropewalk_monitor::{AlertKind, WaitEdge, gauge};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

type Edges = Arc<Mutex<Vec<WaitEdge>>>;

fn watched() -> (Rig, Edges) {
    let edges = Edges::default();
    let read = edges.clone();
    (Rig::new(|b| b.watch_waits("all", move || read.lock().clone())), edges)
}

fn edge(waiter: &str, holder: &str, resource: &str, at: Instant) -> WaitEdge {
    WaitEdge::new(waiter, holder, resource, at)
}

#[test]
fn the_built_in_rule_names_each_deadlock_and_resolves_it() {
    let (rig, edges) = watched();
    let at = Instant::now();
    *edges.lock() = vec![
        edge("agent-7", "agent-3", "src/main.rs", at),
        edge("agent-3", "agent-7", "src/lib.rs", at),
        edge("b", "c", "y", at),
        edge("c", "b", "x", at),
        edge("late", "b", "z", at),
    ];
    rig.tick(0.0);
    assert_eq!(rig.monitor.alerts(), []);
    rig.tick(0.0);
    let alerts = rig.monitor.alerts();
    assert_eq!(alerts.len(), 2);
    assert_eq!(alerts[0].kind, AlertKind::Deadlock);
    assert_eq!(
        alerts[0].message,
        "agent-3 holds src/main.rs, wants src/lib.rs; agent-7 holds src/lib.rs, wants src/main.rs; 1 more wait behind them"
    );
    assert_eq!(rig.monitor.value(&gauge("deadlocks")), Some(2.0));
    assert_eq!(rig.monitor.value(&gauge("waits")), Some(5.0));
    edges.lock().retain(|edge| edge.waiter != "b");
    rig.tick(0.0);
    assert_eq!(rig.monitor.alerts().len(), 1);
    edges.lock().clear();
    rig.tick(0.0);
    assert_eq!(rig.monitor.alerts(), []);
}

#[test]
fn a_pool_is_stuck_only_when_all_its_holders_are() {
    let (rig, edges) = watched();
    let at = Instant::now();
    // `a` waits for any connection; `b` holds one and waits for `a`, but `c` holds one and runs.
    let mut waits =
        vec![edge("a", "b", "pool", at).any(), edge("a", "c", "pool", at).any(), edge("b", "a", "file", at)];
    edges.lock().clone_from(&waits);
    rig.tick(0.0);
    rig.tick(0.0);
    assert_eq!(rig.monitor.deadlocks(), []);
    // Now `c` waits for `a` too.
    waits.push(edge("c", "a", "other", at));
    edges.lock().clone_from(&waits);
    rig.tick(0.0);
    assert_eq!(rig.monitor.deadlocks(), [], "one look is none");
    rig.tick(0.0);
    assert_eq!(rig.monitor.deadlocks().len(), 1);
}

#[test]
fn a_watch_that_fails_leaves_what_was_known_open() {
    let edges = Edges::default();
    let (read, fail) = (edges.clone(), Arc::new(Mutex::new(false)));
    let fails = fail.clone();
    let rig = Rig::new(|b| {
        b.watch_waits("all", move || {
            assert!(!*fails.lock(), "blind");
            read.lock().clone()
        })
    });
    let at = Instant::now();
    *edges.lock() = vec![edge("a", "b", "x", at), edge("b", "a", "y", at)];
    rig.tick(0.0);
    rig.tick(0.0);
    assert_eq!(rig.monitor.alerts().len(), 1);
    *fail.lock() = true;
    edges.lock().clear();
    rig.tick(0.0);
    assert_eq!(rig.monitor.alerts().len(), 1, "what cannot be seen is not over");
    assert_eq!(rig.monitor.value(&gauge("deadlocks")), None);
    *fail.lock() = false;
    rig.tick(0.0);
    assert_eq!(rig.monitor.alerts(), []);
}

#[test]
fn a_long_chain_and_a_large_ring_take_no_recursion() {
    let (rig, edges) = watched();
    let at = Instant::now();
    let ring = 20_000;
    *edges.lock() =
        (0..ring).map(|i| edge(&format!("{i:05}"), &format!("{:05}", (i + 1) % ring), "r", at)).collect();
    rig.tick(0.0);
    rig.clock.advance(SECOND);
    assert_eq!(rig.monitor.deadlocks()[0].members.len(), ring);
}

/// Who never goes on: owners without waits release all they hold, and so on, until nobody moves.
fn hopeless(edges: &[WaitEdge]) -> BTreeSet<&str> {
    let mut waiting: BTreeMap<&str, Vec<&WaitEdge>> = BTreeMap::new();
    edges.iter().for_each(|edge| waiting.entry(&edge.waiter).or_default().push(edge));
    loop {
        let goes_on = waiting.iter().find(|(_, waits)| {
            waits.iter().all(|wait| {
                let free = |holder: &str| !waiting.contains_key(holder);
                if wait.any {
                    waits
                        .iter()
                        .any(|other| other.any && other.resource == wait.resource && free(&other.holder))
                } else {
                    free(&wait.holder)
                }
            })
        });
        let Some((&name, _)) = goes_on else { return waiting.into_keys().collect() };
        waiting.remove(name);
    }
}

fn edges() -> impl Strategy<Value = Vec<WaitEdge>> {
    let at = Instant::now();
    // A resource is of one kind: a lock (0 to 2), or a pool (3, 4).
    prop::collection::vec((0_u8..7, 0_u8..7, 0_u8..5), 0..14).prop_map(move |edges| {
        let named = edges.into_iter().map(|(waiter, holder, resource)| {
            let edge = edge(&format!("o{waiter}"), &format!("o{holder}"), &format!("r{resource}"), at);
            if resource > 2 { edge.any() } else { edge }
        });
        named.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn prop_deadlocks_are_what_the_oracle_cannot_free(edges in edges()) {
        let (rig, watch) = watched();
        watch.lock().clone_from(&edges);
        rig.tick(0.0);
        prop_assert_eq!(rig.monitor.deadlocks(), []);
        rig.tick(0.0);
        let stuck = hopeless(&edges);
        let found = rig.monitor.deadlocks();
        prop_assert_eq!(found.is_empty(), stuck.is_empty(), "{:?} {:?}", &found, &stuck);
        for deadlock in &found {
            for (i, member) in deadlock.members.iter().enumerate() {
                prop_assert!(stuck.contains(&*member.owner));
                let next = &deadlock.members[(i + 1) % deadlock.members.len()];
                // The edge that is named is there.
                let there = edges.iter().any(|edge| {
                    edge.waiter == member.owner && edge.holder == next.owner && edge.resource == member.wants
                });
                prop_assert!(there);
                prop_assert_eq!(&next.holds, &member.wants);
            }
        }
    }
}
