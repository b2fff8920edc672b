//! Models of the core in `raw/`.
#![cfg(ropewalk_loom)]

use ropewalk_balance::raw::door::Door;
use ropewalk_prove::{
    Explorer, History, Sequential, Witness, linearizable, lock_free, model, operation,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread, wait_free,
};

fn request(door: &Door, slot: &Witness) -> bool {
    if !door.enter() {
        return false;
    }
    slot.write();
    let _ended = door.leave();
    true
}

#[test]
fn door_enter_vs_leave_hands_the_slot_over() {
    model(|| {
        let node = Arc::new((Door::new(Some(1)), Witness::new()));
        let theirs = node.clone();
        let t = thread::spawn(move || request(&theirs.0, &theirs.1));
        let mine = request(&node.0, &node.1);
        assert!(mine | t.join().unwrap(), "one finds room");
        assert_eq!(node.0.inside(), 0);
    });
}

#[test]
fn door_enter_vs_enter_keeps_the_limit() {
    lock_free(|| {
        let door = Arc::new(Door::new(Some(1)));
        let theirs = door.clone();
        let t = thread::spawn(move || theirs.enter());
        let mine = door.enter();
        assert!(mine ^ t.join().unwrap(), "one is inside");
    });
}

#[test]
fn door_enter_vs_leave_is_lock_free() {
    lock_free(|| {
        let door = Arc::new(Door::new(Some(2)));
        let theirs = door.clone();
        let pass = |door: &Door| {
            assert!(door.enter(), "two fit");
            assert!(!door.leave(), "nobody drains");
        };
        let t = thread::spawn(move || pass(&theirs));
        pass(&door);
        t.join().unwrap();
    });
}

#[test]
fn door_leave_vs_shut_is_announced_and_shows_what_was_done() {
    model(|| {
        let node = Arc::new((Door::new(None), Witness::new()));
        assert!(node.0.enter());
        let theirs = node.clone();
        let t = thread::spawn(move || {
            theirs.1.write();
            theirs.0.leave()
        });
        node.0.shut();
        let drained = node.0.is_drained();
        if drained {
            node.1.read();
        }
        let ended = t.join().unwrap();
        assert!(drained | ended, "one of the two sees the end");
        assert!(node.0.is_drained());
    });
}

#[test]
fn door_leave_vs_leave_of_a_shut_door_shows_what_both_did() {
    model(|| {
        let node = Arc::new((Door::new(None), [Witness::new(), Witness::new()]));
        assert!(node.0.enter() && node.0.enter());
        node.0.shut();
        let finish = |node: &(Door, [Witness; 2]), me: usize| {
            node.1[me].write();
            let ended = node.0.leave();
            if ended {
                node.1.iter().for_each(Witness::read);
            }
            ended
        };
        let theirs = node.clone();
        let t = thread::spawn(move || finish(&theirs, 1));
        let mine = finish(&node, 0);
        assert!(mine ^ t.join().unwrap(), "one ends the drain");
    });
}

#[test]
fn door_enter_vs_shut_lets_nobody_in_afterwards() {
    lock_free(|| {
        let door = Arc::new(Door::new(None));
        let theirs = door.clone();
        let t = thread::spawn(move || {
            let entered = theirs.enter();
            (entered, entered && theirs.leave())
        });
        door.shut();
        let drained = door.is_drained();
        assert!(!door.enter());
        let (entered, ended) = t.join().unwrap();
        assert!(drained || entered && ended, "drained at once, or by who was inside");
    });
}

#[test]
fn door_open_vs_leave_ends_no_drain_twice() {
    Explorer::new()
        .lock_free(|| {
            let door = Arc::new(Door::new(None));
            assert!(door.enter());
            door.shut();
            let theirs = door.clone();
            let ends = Arc::new(AtomicUsize::new(0));
            let told = ends.clone();
            let t = thread::spawn(move || {
                if theirs.leave() {
                    told.fetch_add(1, Relaxed);
                }
            });
            door.open();
            let came_back = door.enter();
            t.join().unwrap();
            assert!(came_back, "it is open again");
            assert!(ends.load(Relaxed) <= 1 && !door.is_drained());
        })
        .proved();
}

#[test]
fn door_limit_to_vs_enter() {
    model(|| {
        let door = Arc::new(Door::new(Some(1)));
        assert!(door.enter());
        let theirs = door.clone();
        let t = thread::spawn(move || theirs.limit_to(Some(2)));
        let entered = door.enter();
        t.join().unwrap();
        assert!(entered || door.enter(), "a raised limit is seen at last");
        assert!(door.is_within_limit());
    });
}

#[test]
fn door_leave_vs_enter_is_wait_free() {
    wait_free("leave", |n| {
        move || {
            let door = Arc::new(Door::new(None));
            assert!(door.enter());
            let theirs = door.clone();
            let t = thread::spawn(move || (0..n).for_each(|_| assert!(theirs.enter())));
            operation("leave", || door.leave());
            t.join().unwrap();
        }
    });
}

#[test]
fn door_looks_and_switches_vs_enter_are_wait_free() {
    type Call = fn(&Door);
    let calls: [(&str, Call); 7] = [
        ("inside", |door| assert!(door.inside() > 0)),
        ("has_room", |door| assert!(door.has_room())),
        ("is_within_limit", |door| assert!(door.is_within_limit())),
        ("is_drained", |door| assert!(!door.is_drained())),
        ("limit_to", |door| door.limit_to(Some(1))),
        ("shut", Door::shut),
        ("open", Door::open),
    ];
    for (name, call) in calls {
        wait_free(name, |n| {
            move || {
                let door = Arc::new(Door::new(None));
                assert!(door.enter(), "one stays inside");
                let theirs = door.clone();
                let t = thread::spawn(move || {
                    (0..n).for_each(|_| {
                        theirs.enter();
                    });
                });
                operation(name, || call(&door));
                t.join().unwrap();
            }
        });
    }
}

#[test]
fn door_has_room_vs_enter_and_leave_is_a_hint() {
    model(|| {
        let door = Arc::new(Door::new(Some(1)));
        let theirs = door.clone();
        let t = thread::spawn(move || theirs.enter() && !theirs.leave());
        let (room, within) = (door.has_room(), door.is_within_limit());
        assert!(within, "nobody enters beyond the limit");
        let entered = door.enter();
        assert!(t.join().unwrap() || entered, "one of them found it, whatever the look said");
        assert!(door.inside() == u32::from(entered), "room seen: {room}");
    });
}

#[test]
fn control_enter_is_not_wait_free() {
    let grows = Explorer::new()
        .spurious_failures(0)
        .wait_free("enter", |n| {
            move || {
                let door = Arc::new(Door::new(None));
                let theirs = door.clone();
                let t = thread::spawn(move || (0..n).for_each(|_| assert!(theirs.enter())));
                operation("enter", || door.enter());
                t.join().unwrap();
            }
        })
        .unwrap_err();
    assert_eq!(grows.steps, [4, 5, 6, 7]);
}

#[derive(Clone, Debug)]
enum Op {
    Enter,
    Leave,
    Shut,
}

#[derive(Clone)]
struct Room {
    inside: u32,
    limit: u32,
    shut: bool,
}

impl Sequential for Room {
    type Op = Op;
    type Return = bool;
    fn apply(&mut self, op: &Op) -> bool {
        match op {
            Op::Enter => {
                let enters = !self.shut && self.inside < self.limit;
                self.inside += u32::from(enters);
                enters
            }
            Op::Leave => {
                self.inside -= 1;
                self.shut && self.inside == 0
            }
            Op::Shut => {
                self.shut = true;
                true
            }
        }
    }
}

#[test]
fn door_enter_vs_leave_vs_shut_is_linearizable() {
    linearizable(Room { inside: 0, limit: 1, shut: false }, |history: &History<Room>| {
        let door = Arc::new(Door::new(Some(1)));
        let (theirs, h) = (door.clone(), history.clone());
        let t = thread::spawn(move || {
            if h.call(Op::Enter, || theirs.enter()) {
                h.call(Op::Leave, || theirs.leave());
            }
        });
        history.call(Op::Enter, || door.enter());
        history.call(Op::Shut, || {
            door.shut();
            true
        });
        t.join().unwrap();
    });
}
