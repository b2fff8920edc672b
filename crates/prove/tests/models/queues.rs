//! Queues: Michael and Scott's with and without help, and Vyukov's ring.

use crate::specimens::{Queue, Ring};
use ropewalk_prove::{
    Explorer, History, Sequential, linearizable, lock_free, model, stall_sweep, sync::Arc, thread,
};
use std::collections::VecDeque;

fn push_and_pop(queue: Queue) {
    let queue = Arc::new(queue);
    let theirs = queue.clone();
    let t = thread::spawn(move || theirs.push(1));
    queue.push(2);
    let first = queue.pop();
    t.join().unwrap();
    let second = queue.pop();
    let mut both = [first, second];
    both.sort_unstable();
    assert_eq!(both, [Some(1), Some(2)], "nothing is lost or doubled");
}

#[test]
fn queue_push_vs_push() {
    model(|| push_and_pop(Queue::new(2)));
}

#[test]
fn queue_push_vs_push_is_lock_free() {
    lock_free(|| push_and_pop(Queue::new(2)));
}

fn push_vs_pop() {
    let queue = Arc::new(Queue::new(3));
    queue.push(1);
    let theirs = queue.clone();
    let t = thread::spawn(move || theirs.pop());
    queue.push(2);
    let mine = queue.pop();
    let seen = [t.join().unwrap(), mine];
    assert!(seen.contains(&Some(1)), "{seen:?}");
}

#[test]
fn queue_pop_vs_push_sees_the_value() {
    model(|| {
        let queue = Arc::new(Queue::new(1));
        let theirs = queue.clone();
        let t = thread::spawn(move || theirs.pop());
        queue.push(7);
        assert!(matches!(t.join().unwrap(), None | Some(7)), "a value that was not pushed");
    });
}

/// One links, one helps, one pushes behind both and must find its own value or an older one.
#[test]
fn queue_push_vs_push_vs_push_and_pop() {
    model(|| {
        let queue = Arc::new(Queue::new(3));
        let threads: Vec<_> = (1..3)
            .map(|value| {
                let queue = queue.clone();
                thread::spawn(move || queue.push(value))
            })
            .collect();
        queue.push(3);
        assert!(queue.pop().is_some(), "empty after the own push");
        threads.into_iter().for_each(|t| t.join().unwrap());
    });
}

/// The one who helps is a pop.
#[test]
fn queue_push_vs_pop_vs_push_and_pop() {
    model(|| {
        let queue = Arc::new(Queue::new(2));
        let (pusher, popper) = (queue.clone(), queue.clone());
        let pusher = thread::spawn(move || pusher.push(1));
        let popper = thread::spawn(move || popper.pop());
        queue.push(2);
        let mine = queue.pop();
        pusher.join().unwrap();
        let theirs = popper.join().unwrap();
        assert!(theirs == Some(2) || mine.is_some(), "empty after the own push");
    });
}

#[test]
fn queue_push_vs_pop() {
    model(push_vs_pop);
}

#[test]
fn queue_push_vs_pop_is_lock_free() {
    lock_free(push_vs_pop);
}

#[test]
fn control_queue_without_help_waits_for_who_left_the_tail_behind() {
    let refuted = Explorer::new().lock_free(|| push_and_pop(Queue::without_help(2))).refuted();
    assert!(!refuted.is_livelock(), "{refuted}");
    assert_eq!(refuted.victims().len(), 1, "{refuted}");
}

#[test]
fn control_the_sweep_sees_the_missing_help() {
    stall_sweep(|| push_and_pop(Queue::without_help(2))).refuted();
}

fn ring_client() {
    let ring = Arc::new(Ring::new(2));
    let theirs = ring.clone();
    let t = thread::spawn(move || {
        assert!(theirs.push(1));
        theirs.pop()
    });
    assert!(ring.push(2));
    let mine = ring.pop();
    let theirs = t.join().unwrap();
    let mut seen: Vec<u32> =
        mine.into_iter().chain(theirs).chain(std::iter::from_fn(|| ring.pop())).collect();
    seen.sort_unstable();
    assert_eq!(seen, [1, 2]);
}

#[test]
fn ring_push_vs_pop() {
    model(ring_client);
}

#[test]
fn ring_try_operations_end_whoever_is_suspended() {
    lock_free(ring_client);
}

#[test]
fn control_ring_pop_some_waits_for_a_stalled_push() {
    let refuted = Explorer::new()
        .lock_free(|| {
            let ring = Arc::new(Ring::new(2));
            let theirs = ring.clone();
            let t = thread::spawn(move || theirs.push(1));
            assert_eq!(ring.pop_some(), 1);
            t.join().unwrap();
        })
        .refuted();
    assert!(refuted.to_string().contains("suspended: thread 1 before its step"), "{refuted}");
}

#[derive(Clone, Debug)]
enum Op {
    Push(u32),
    Pop,
}

#[derive(Clone, Default)]
struct Fifo(VecDeque<u32>);

impl Sequential for Fifo {
    type Op = Op;
    type Return = Option<u32>;
    fn apply(&mut self, op: &Op) -> Option<u32> {
        match op {
            Op::Push(value) => {
                self.0.push_back(*value);
                None
            }
            Op::Pop => self.0.pop_front(),
        }
    }
}

#[test]
fn queue_push_vs_pop_is_linearizable() {
    linearizable(Fifo::default(), |history: &History<Fifo>| {
        let queue = Arc::new(Queue::new(3));
        let (theirs, h) = (queue.clone(), history.clone());
        let push = |queue: &Queue, h: &History<Fifo>, value| {
            h.call(Op::Push(value), || {
                queue.push(value);
                None
            });
        };
        let t = thread::spawn(move || {
            push(&theirs, &h, 1);
            h.call(Op::Pop, || theirs.pop());
        });
        push(&queue, history, 2);
        t.join().unwrap();
    });
}

#[test]
#[should_panic(expected = "not linearizable")]
fn control_ring_pop_is_empty_after_a_finished_push() {
    linearizable(Fifo::default(), |history: &History<Fifo>| {
        let ring = Arc::new(Ring::new(2));
        let (theirs, h) = (ring.clone(), history.clone());
        let push = |ring: &Ring, h: &History<Fifo>, value| {
            h.call(Op::Push(value), || {
                ring.push(value);
                None
            });
        };
        let t = thread::spawn(move || push(&theirs, &h, 1));
        push(&ring, history, 2);
        history.call(Op::Pop, || ring.pop());
        t.join().unwrap();
    });
}
