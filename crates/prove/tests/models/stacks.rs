//! Treiber's stack.

use crate::specimens::Stack;
use ropewalk_prove::{Explorer, lock_free, model, operation, sync::Arc, thread};

fn pop_and_push(stack: &Stack) {
    if let Some(index) = stack.pop() {
        // SAFETY: a popped index is ours until it is pushed.
        stack.values[index as usize].with_mut(|value| unsafe { *value += 1 });
        stack.push(index);
    }
}

fn client() {
    let stack = Arc::new(Stack::new(2));
    (0..2).for_each(|index| stack.push(index));
    let theirs = stack.clone();
    let t = thread::spawn(move || pop_and_push(&theirs));
    pop_and_push(&stack);
    t.join().unwrap();
    let mut left: Vec<_> = std::iter::from_fn(|| stack.pop()).collect();
    left.sort_unstable();
    assert_eq!(left, [0, 1], "no index is lost or doubled");
}

#[test]
fn stack_pop_vs_push() {
    model(client);
}

#[test]
fn stack_pop_vs_push_is_lock_free() {
    lock_free(client);
}

#[test]
fn stack_pop_vs_pop_pop_push_owns_each_index_once() {
    model(|| {
        let stack = Arc::new(Stack::new(2));
        (0..2).for_each(|index| stack.push(index));
        let theirs = stack.clone();
        let t = thread::spawn(move || {
            let first = theirs.pop();
            let second = theirs.pop();
            // The index comes back with another one, or none, below it.
            first.iter().for_each(|&index| theirs.push(index));
            second
        });
        let mine: Vec<_> = [stack.pop(), stack.pop()].into_iter().flatten().collect();
        let theirs = t.join().unwrap();
        let left: Vec<_> = std::iter::from_fn(|| stack.pop()).collect();
        let mut all: Vec<_> = mine.into_iter().chain(theirs).chain(left).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1], "each index has one owner");
    });
}

#[test]
fn stack_push_vs_push_of_three() {
    Explorer::new()
        .lock_free(|| {
            let stack = Arc::new(Stack::new(3));
            let threads: Vec<_> = (1..3)
                .map(|index| {
                    let stack = stack.clone();
                    thread::spawn(move || stack.push(index))
                })
                .collect();
            stack.push(0);
            threads.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!(std::iter::from_fn(|| stack.pop()).count(), 3);
        })
        .proved();
}

#[test]
fn control_stack_pop_is_not_wait_free() {
    let grows = Explorer::new()
        .spurious_failures(0)
        .wait_free("pop", |n| {
            move || {
                let stack = Arc::new(Stack::new(n + 1));
                stack.push(n as u32);
                let theirs = stack.clone();
                let t = thread::spawn(move || (0..n).for_each(|index| theirs.push(index as u32)));
                operation("pop", || stack.pop());
                t.join().unwrap();
            }
        })
        .unwrap_err();
    assert_eq!(grows.steps, [5, 7, 9, 11]);
}
