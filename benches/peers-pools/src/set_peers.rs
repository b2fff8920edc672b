//! The ways to have several resources at once without us.

use frame::sets::SetLocks;
use lockable::LockPool;
use parking_lot::{Condvar, Mutex, MutexGuard};
use ropewalk_sync::block_on;
use tokio::sync::Semaphore;

/// More than any set of the race has.
const MOST: usize = 5;

fn lock_all<'a>(locks: &'a [Mutex<()>], set: &[usize]) -> [Option<MutexGuard<'a, ()>>; MOST] {
    let mut guards = [const { None }; MOST];
    for (guard, &one) in guards.iter_mut().zip(set) {
        *guard = Some(locks[one].lock());
    }
    guards
}

/// A parking_lot lock for each, taken in order.
pub(crate) struct Ordered(Vec<Mutex<()>>);

impl SetLocks for Ordered {
    type Set = Vec<usize>;

    fn build(resources: usize) -> Self {
        Self((0..resources).map(|_| Mutex::new(())).collect())
    }

    fn prepare(&self, _: usize, resources: &[usize]) -> Vec<usize> {
        resources.to_vec()
    }

    fn with(&self, set: &Vec<usize>, hold: impl FnOnce()) {
        let guards = lock_all(&self.0, set);
        hold();
        drop(guards);
    }
}

/// The same, but each lock is handed to who waits for it.
pub(crate) struct OrderedFair(Vec<Mutex<()>>);

impl SetLocks for OrderedFair {
    type Set = Vec<usize>;

    fn build(resources: usize) -> Self {
        Self((0..resources).map(|_| Mutex::new(())).collect())
    }

    fn prepare(&self, _: usize, resources: &[usize]) -> Vec<usize> {
        resources.to_vec()
    }

    fn with(&self, set: &Vec<usize>, hold: impl FnOnce()) {
        let guards = lock_all(&self.0, set);
        hold();
        guards.into_iter().flatten().for_each(MutexGuard::unlock_fair);
    }
}

/// lockable's pool, its keys taken in order.
pub(crate) struct Lockable(LockPool<usize>);

impl SetLocks for Lockable {
    type Set = Vec<usize>;

    fn build(_: usize) -> Self {
        Self(LockPool::new())
    }

    fn prepare(&self, _: usize, resources: &[usize]) -> Vec<usize> {
        resources.to_vec()
    }

    fn with(&self, set: &Vec<usize>, hold: impl FnOnce()) {
        let mut guards = [const { None }; MOST];
        for (guard, &one) in guards.iter_mut().zip(set) {
            *guard = Some(self.0.blocking_lock(one));
        }
        hold();
        drop(guards);
    }
}

/// A semaphore of tokio's with one permit for each, taken in order.
pub(crate) struct Semaphores(Vec<Semaphore>);

impl SetLocks for Semaphores {
    type Set = Vec<usize>;

    fn build(resources: usize) -> Self {
        Self((0..resources).map(|_| Semaphore::new(1)).collect())
    }

    fn prepare(&self, _: usize, resources: &[usize]) -> Vec<usize> {
        resources.to_vec()
    }

    fn with(&self, set: &Vec<usize>, hold: impl FnOnce()) {
        let mut permits = [const { None }; MOST];
        block_on(async {
            for (permit, &one) in permits.iter_mut().zip(set) {
                *permit = Some(self.0[one].acquire().await.expect("nobody closes it"));
            }
        });
        hold();
        drop(permits);
    }
}

/// One lock and one condition variable for all: whoever gives back wakes everybody.
pub(crate) struct Global {
    taken: Mutex<Vec<bool>>,
    given_back: Condvar,
}

impl SetLocks for Global {
    type Set = Vec<usize>;

    fn build(resources: usize) -> Self {
        Self { taken: Mutex::new(vec![false; resources]), given_back: Condvar::new() }
    }

    fn prepare(&self, _: usize, resources: &[usize]) -> Vec<usize> {
        resources.to_vec()
    }

    fn with(&self, set: &Vec<usize>, hold: impl FnOnce()) {
        let mut taken = self.taken.lock();
        self.given_back.wait_while(&mut taken, |taken| set.iter().any(|&one| taken[one]));
        set.iter().for_each(|&one| taken[one] = true);
        drop(taken);
        hold();
        let mut taken = self.taken.lock();
        set.iter().for_each(|&one| taken[one] = false);
        drop(taken);
        self.given_back.notify_all();
    }
}
