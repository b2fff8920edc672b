//! The algorithms, as their papers give them, over arrays.

use ropewalk_prove::{
    cell::UnsafeCell,
    hint::spin_loop,
    sync::atomic::{
        AtomicBool, AtomicU32, AtomicU64, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
        fence,
    },
};

/// `loop { v = c.fetch_add(1) + 1; if c.load() == v { return } }`: obstruction-free, and two can keep each other
/// from returning for ever. loom's pruning accepts it.
pub(crate) struct Livelock(AtomicU32);

impl Livelock {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    pub(crate) fn pass(&self) {
        loop {
            let mine = self.0.fetch_add(1, Relaxed) + 1;
            if self.0.load(Relaxed) == mine {
                return;
            }
        }
    }
}

/// Test and test-and-set.
pub(crate) struct SpinLock {
    closed: AtomicBool,
    value: UnsafeCell<u32>,
}

// SAFETY: the value is only reached while `closed` is ours.
unsafe impl Sync for SpinLock {}

impl SpinLock {
    pub(crate) fn new() -> Self {
        Self { closed: AtomicBool::new(false), value: UnsafeCell::new(0) }
    }

    pub(crate) fn lock(&self) {
        // Acquire: pairs with the Release in `unlock`.
        while self.closed.compare_exchange(false, true, Acquire, Relaxed).is_err() {
            spin_loop();
        }
    }

    pub(crate) fn increment(&self) {
        // SAFETY: called between `lock` and `unlock`.
        self.value.with_mut(|value| unsafe { *value += 1 });
    }

    pub(crate) fn unlock(&self) {
        // Release: pairs with the Acquire in `lock`.
        self.closed.store(false, Release);
    }
}

/// First come, first served (Lamport's bakery with one counter).
pub(crate) struct TicketLock {
    next: AtomicU32,
    serving: AtomicU32,
}

impl TicketLock {
    pub(crate) fn new() -> Self {
        Self { next: AtomicU32::new(0), serving: AtomicU32::new(0) }
    }

    pub(crate) fn lock(&self) {
        let mine = self.next.fetch_add(1, Relaxed);
        // Acquire: pairs with the Release in `unlock`.
        while self.serving.load(Acquire) != mine {
            spin_loop();
        }
    }

    pub(crate) fn unlock(&self) {
        let mine = self.serving.load(Relaxed);
        // Release: pairs with the Acquire in `lock`.
        self.serving.store(mine + 1, Release);
    }
}

/// A sequence lock (Boehm, MSPC 2012) over two words.
pub(crate) struct SeqLock {
    sequence: AtomicUsize,
    words: [AtomicU32; 2],
}

impl SeqLock {
    pub(crate) fn new() -> Self {
        Self { sequence: AtomicUsize::new(0), words: [AtomicU32::new(0), AtomicU32::new(0)] }
    }

    /// One writer only.
    pub(crate) fn write(&self, value: u32) {
        let sequence = self.sequence.load(Relaxed);
        self.sequence.store(sequence + 1, Relaxed);
        // Release: pairs with the Acquire fence in `try_read`: who sees a word sees the odd sequence.
        fence(Release);
        self.words.iter().for_each(|word| word.store(value, Relaxed));
        // Release: pairs with the Acquire of the first load in `try_read`.
        self.sequence.store(sequence + 2, Release);
    }

    pub(crate) fn try_read(&self) -> Option<[u32; 2]> {
        // Acquire: pairs with the last Release in `write`.
        let before = self.sequence.load(Acquire);
        if before % 2 == 1 {
            return None;
        }
        let words = [self.words[0].load(Relaxed), self.words[1].load(Relaxed)];
        // Acquire: pairs with the Release fence in `write`.
        fence(Acquire);
        (self.sequence.load(Relaxed) == before).then_some(words)
    }

    pub(crate) fn read(&self) -> [u32; 2] {
        loop {
            if let Some(words) = self.try_read() {
                return words;
            }
            spin_loop();
        }
    }
}

/// Who brings it to zero is told, once.
pub(crate) struct Countdown {
    left: AtomicU32,
}

impl Countdown {
    pub(crate) fn new(from: u32) -> Self {
        Self { left: AtomicU32::new(from) }
    }

    pub(crate) fn done(&self) -> bool {
        // AcqRel: pairs with itself; the last sees what all others did.
        self.left.fetch_sub(1, AcqRel) == 1
    }
}

const NONE: u32 = u32::MAX;

/// Treiber's stack (1986) of array indices, its head tagged against ABA.
pub(crate) struct Stack {
    /// Tag in the high half, index in the low one.
    head: AtomicU64,
    next: Box<[AtomicU32]>,
    pub(crate) values: Box<[UnsafeCell<u32>]>,
}

// SAFETY: a cell is reached by whoever owns its index: it has popped it, or not yet pushed it.
unsafe impl Sync for Stack {}

impl Stack {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            head: AtomicU64::new(u64::from(NONE)),
            next: (0..capacity).map(|_| AtomicU32::new(NONE)).collect(),
            values: (0..capacity).map(|_| UnsafeCell::new(0)).collect(),
        }
    }

    pub(crate) fn push(&self, index: u32) {
        let mut head = self.head.load(Relaxed);
        loop {
            self.next[index as usize].store(head as u32, Relaxed);
            let new = ((head >> 32) + 1) << 32 | u64::from(index);
            // Release: pairs with the Acquire in `pop`, which reads the node.
            match self.head.compare_exchange_weak(head, new, Release, Relaxed) {
                Ok(_) => return,
                Err(seen) => head = seen,
            }
        }
    }

    pub(crate) fn pop(&self) -> Option<u32> {
        // Acquire: pairs with the Release in `push`.
        let mut head = self.head.load(Acquire);
        loop {
            let index = head as u32;
            if index == NONE {
                return None;
            }
            let next = self.next[index as usize].load(Relaxed);
            let new = ((head >> 32) + 1) << 32 | u64::from(next);
            // Relaxed: the load has acquired this very value. Acquire for the next attempt: as above.
            match self.head.compare_exchange_weak(head, new, Relaxed, Acquire) {
                Ok(_) => return Some(index),
                Err(seen) => head = seen,
            }
        }
    }
}

/// Michael and Scott's queue (PODC 1996) over an arena in which nodes are used once.
pub(crate) struct Queue {
    head: AtomicU32,
    tail: AtomicU32,
    next: Box<[AtomicU32]>,
    values: Box<[AtomicU32]>,
    fresh: AtomicU32,
    helps: bool,
}

impl Queue {
    pub(crate) fn new(capacity: usize) -> Self {
        Self::with_help(capacity, true)
    }

    /// Without help: whoever finds the tail behind waits for the one who left it there.
    pub(crate) fn without_help(capacity: usize) -> Self {
        Self::with_help(capacity, false)
    }

    fn with_help(capacity: usize, helps: bool) -> Self {
        Self {
            head: AtomicU32::new(0),
            tail: AtomicU32::new(0),
            next: (0..=capacity).map(|_| AtomicU32::new(NONE)).collect(),
            values: (0..=capacity).map(|_| AtomicU32::new(0)).collect(),
            fresh: AtomicU32::new(1),
            helps,
        }
    }

    pub(crate) fn push(&self, value: u32) {
        let node = self.fresh.fetch_add(1, Relaxed);
        self.values[node as usize].store(value, Relaxed);
        loop {
            // Acquire: pairs with the Release on `tail`: who pushes behind a node sees all links up to it, so that its own
            // pop later cannot find the queue empty. `head` may be relaxed: nodes are used once.
            let tail = self.tail.load(Acquire);
            // Relaxed: whoever acquires the tail that this one moves reads no older link than it did (coherence).
            let next = self.next[tail as usize].load(Relaxed);
            if next != NONE {
                if self.helps {
                    // Release: pairs with the Acquire above.
                    let _ = self.tail.compare_exchange(tail, next, Release, Relaxed);
                }
                continue;
            }
            // Release: pairs with the Acquire of `next` in `pop`, which reads the value.
            if self.next[tail as usize].compare_exchange(NONE, node, Release, Relaxed).is_ok() {
                // Release: pairs with the Acquire above.
                let _ = self.tail.compare_exchange(tail, node, Release, Relaxed);
                return;
            }
        }
    }

    pub(crate) fn pop(&self) -> Option<u32> {
        loop {
            let head = self.head.load(Relaxed);
            let tail = self.tail.load(Relaxed);
            // Acquire: pairs with the Release on `next` in `push`.
            let next = self.next[head as usize].load(Acquire);
            if next == NONE {
                return None;
            }
            if head == tail {
                if self.helps {
                    // Release: pairs with the Acquire in `push`.
                    let _ = self.tail.compare_exchange(tail, next, Release, Relaxed);
                }
                continue;
            }
            let value = self.values[next as usize].load(Relaxed);
            if self.head.compare_exchange(head, next, Relaxed, Relaxed).is_ok() {
                return Some(value);
            }
        }
    }
}

/// Vyukov's bounded queue: a sequence number in each slot.
pub(crate) struct Ring {
    slots: Box<[(AtomicUsize, UnsafeCell<u32>)]>,
    head: AtomicUsize,
    tail: AtomicUsize,
}

// SAFETY: a slot's cell is reached by whoever its sequence number admits.
unsafe impl Sync for Ring {}

impl Ring {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            slots: (0..capacity).map(|i| (AtomicUsize::new(i), UnsafeCell::new(0))).collect(),
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
        }
    }

    pub(crate) fn push(&self, value: u32) -> bool {
        let mut at = self.tail.load(Relaxed);
        loop {
            let (sequence, cell) = &self.slots[at % self.slots.len()];
            // Acquire: pairs with the Release in `pop`, which has read the slot.
            let seen = sequence.load(Acquire);
            if seen == at {
                match self.tail.compare_exchange_weak(at, at + 1, Relaxed, Relaxed) {
                    Ok(_) => {
                        // SAFETY: the slot is ours between the exchange and the store.
                        cell.with_mut(|cell| unsafe { *cell = value });
                        // Release: pairs with the Acquire in `pop`.
                        sequence.store(at + 1, Release);
                        return true;
                    }
                    Err(now) => at = now,
                }
            } else if (seen as isize) < at as isize {
                return false;
            } else {
                at = self.tail.load(Relaxed);
            }
        }
    }

    pub(crate) fn pop(&self) -> Option<u32> {
        let mut at = self.head.load(Relaxed);
        loop {
            let (sequence, cell) = &self.slots[at % self.slots.len()];
            // Acquire: pairs with the Release in `push`.
            let seen = sequence.load(Acquire);
            if seen == at + 1 {
                match self.head.compare_exchange_weak(at, at + 1, Relaxed, Relaxed) {
                    Ok(_) => {
                        // SAFETY: the slot is ours between the exchange and the store.
                        let value = cell.with(|cell| unsafe { *cell });
                        // Release: pairs with the Acquire in `push`.
                        sequence.store(at + self.slots.len(), Release);
                        return Some(value);
                    }
                    Err(now) => at = now,
                }
            } else if (seen as isize) < (at + 1) as isize {
                return None;
            } else {
                at = self.head.load(Relaxed);
            }
        }
    }

    /// Waits while the ring looks empty.
    pub(crate) fn pop_some(&self) -> u32 {
        loop {
            if let Some(value) = self.pop() {
                return value;
            }
            spin_loop();
        }
    }
}

/// Dekker's entry protocol: of two who raise their flag and look, at most one sees the other's lowered.
pub(crate) struct Dekker {
    flags: [AtomicBool; 2],
}

impl Dekker {
    pub(crate) fn new() -> Self {
        Self { flags: [AtomicBool::new(false), AtomicBool::new(false)] }
    }

    pub(crate) fn enter(&self, me: usize) -> bool {
        self.flags[me].store(true, Relaxed);
        // SeqCst: pairs with itself in the other thread, so that one of the two sees the other's flag.
        fence(SeqCst);
        !self.flags[1 - me].load(Relaxed)
    }
}
