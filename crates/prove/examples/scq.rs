//! SCQ, Nikolaev's lock-free ring (DISC 2019), written on the shim: proved lock-free.
//!
//! A ring hands out tickets by fetch-and-add, as the infinite array queue does (see the example of that name, which
//! livelocks). Three things make it lock-free and finite: slots carry the cycle in which they were filled, a ring of `n` entries
//! has `2n` slots, and a threshold says after how many failed tickets a pop may take the ring for empty. Two rings of indices,
//! of free and of filled places, around an array make a queue of anything.
//!
//! ```text
//! cargo run --example scq                                        # real threads
//! RUSTFLAGS="--cfg ropewalk_loom -C debug-assertions" \
//!     cargo run --release -p ropewalk-prove --example scq        # the proof
//! ```

use ropewalk_prove::{
    cell::UnsafeCell,
    sync::atomic::{
        AtomicI64, AtomicU64,
        Ordering::{AcqRel, Acquire, Release},
    },
};
use std::process::ExitCode;

/// No index.
const NONE: u64 = 0xFFFF;
/// Whether a slot may be filled by a push whose ticket is older than some pop's.
const SAFE: u64 = 1 << 16;
/// One cycle: a slot is the cycle, the safe bit and the index, from high to low.
const CYCLE: u32 = 17;

/// A ring of indices, at most `n` of them at a time.
struct Ring {
    slots: Box<[AtomicU64]>,
    head: AtomicU64,
    tail: AtomicU64,
    /// How many tickets may still fail before the ring counts as empty; negative: it is.
    threshold: AtomicI64,
    /// Whether pops heed the threshold. Without it the ring is the infinite array queue again.
    gives_up: bool,
}

impl Ring {
    fn empty(n: usize) -> Self {
        let slots = 2 * n;
        Self {
            slots: (0..slots).map(|_| AtomicU64::new(SAFE | NONE)).collect(),
            // Cycle 0 is that of slots never filled, so tickets begin in cycle 1.
            head: AtomicU64::new(slots as u64),
            tail: AtomicU64::new(slots as u64),
            threshold: AtomicI64::new(-1),
            gives_up: true,
        }
    }

    /// Holds the indices below `n`.
    fn full(n: usize) -> Self {
        let ring = Self::empty(n);
        (0..n as u64).for_each(|index| ring.push(index));
        ring
    }

    /// Half of the slots may be unusable, and as many entries may lie behind a ticket.
    fn patience(&self) -> i64 {
        3 * (self.slots.len() as i64 / 2) - 1
    }

    fn slot(&self, ticket: u64) -> &AtomicU64 {
        &self.slots[ticket as usize % self.slots.len()]
    }

    fn cycle(&self, ticket: u64) -> u64 {
        ticket / self.slots.len() as u64
    }

    fn push(&self, index: u64) {
        loop {
            // AcqRel: pairs with itself and with the Acquire of `tail` in `pop`.
            let ticket = self.tail.fetch_add(1, AcqRel);
            let (slot, cycle) = (self.slot(ticket), self.cycle(ticket));
            // Acquire: pairs with the AcqRel of whoever emptied the slot.
            let mut seen = slot.load(Acquire);
            loop {
                let is_free = seen >> CYCLE < cycle && seen & NONE == NONE;
                // Acquire: pairs with the AcqRel on `head` in `pop`.
                if !is_free || (seen & SAFE == 0 && self.head.load(Acquire) > ticket) {
                    break;
                }
                // AcqRel: pairs with the Acquire of the slot in `pop`, which hands the index on.
                match slot.compare_exchange(seen, cycle << CYCLE | SAFE | index, AcqRel, Acquire) {
                    Ok(_) => {
                        // Acquire, Release: pair with each other and with the accesses in `pop`.
                        if self.threshold.load(Acquire) != self.patience() {
                            self.threshold.store(self.patience(), Release);
                        }
                        return;
                    }
                    Err(now) => seen = now,
                }
            }
        }
    }

    fn pop(&self) -> Option<u64> {
        // Acquire: pairs with the Release in `push`.
        if self.gives_up && self.threshold.load(Acquire) < 0 {
            return None;
        }
        loop {
            // AcqRel: pairs with itself and with the Acquire of `head` in `push`.
            let ticket = self.head.fetch_add(1, AcqRel);
            let (slot, cycle) = (self.slot(ticket), self.cycle(ticket));
            // Acquire: pairs with the AcqRel in `push`.
            let mut seen = slot.load(Acquire);
            loop {
                if seen >> CYCLE == cycle {
                    // AcqRel: pairs with the Acquire in `push`, which fills the slot next. One step by the paper; a loop on
                    // machines without such an instruction.
                    slot.fetch_or(NONE, AcqRel);
                    return Some(seen & NONE);
                }
                if seen >> CYCLE > cycle {
                    break;
                }
                let spoiled =
                    if seen & NONE == NONE { cycle << CYCLE | (seen & SAFE) | NONE } else { seen & !SAFE };
                // AcqRel: pairs with the Acquire in `push`, which must not use the slot for this cycle any more.
                match slot.compare_exchange(seen, spoiled, AcqRel, Acquire) {
                    Ok(_) => break,
                    Err(now) => seen = now,
                }
            }
            // Acquire: pairs with the AcqRel on `tail` in `push`.
            let tail = self.tail.load(Acquire);
            if tail <= ticket + 1 {
                self.catch_up(tail, ticket + 1);
                self.lose_patience();
                return None;
            }
            if self.lose_patience() {
                return None;
            }
        }
    }

    fn lose_patience(&self) -> bool {
        // AcqRel: pairs with the accesses in `push`.
        self.gives_up && self.threshold.fetch_sub(1, AcqRel) <= 0
    }

    /// Pops that came too early have moved the head past the tail.
    fn catch_up(&self, mut tail: u64, mut head: u64) {
        // AcqRel: pairs with the tickets of `push`; Acquire: with the AcqRel on `head`.
        while self.tail.compare_exchange(tail, head, AcqRel, Acquire).is_err() {
            head = self.head.load(Acquire);
            tail = self.tail.load(Acquire);
            if tail >= head {
                return;
            }
        }
    }
}

/// A bounded queue.
struct Queue<T> {
    free: Ring,
    filled: Ring,
    places: Box<[UnsafeCell<Option<T>>]>,
}

// SAFETY: a place is reached by whoever has its index, and an index is in one of the rings or in one hand.
unsafe impl<T: Send> Sync for Queue<T> {}

impl<T> Queue<T> {
    fn new(capacity: usize) -> Self {
        Self {
            free: Ring::full(capacity),
            filled: Ring::empty(capacity),
            places: (0..capacity).map(|_| UnsafeCell::new(None)).collect(),
        }
    }

    /// Gives the value back when there is no room.
    fn push(&self, value: T) -> Result<(), T> {
        let Some(index) = self.free.pop() else { return Err(value) };
        // SAFETY: the index is in our hand.
        self.places[index as usize].with_mut(|place| unsafe { *place = Some(value) });
        self.filled.push(index);
        Ok(())
    }

    fn pop(&self) -> Option<T> {
        let index = self.filled.pop()?;
        // SAFETY: the index is in our hand.
        let value = self.places[index as usize].with_mut(|place| unsafe { (*place).take() });
        self.free.push(index);
        value
    }
}

#[cfg(ropewalk_loom)]
fn main() -> ExitCode {
    proof::main()
}

#[cfg(ropewalk_loom)]
mod proof {
    use super::{Queue, Ring};
    use ropewalk_prove::{Explorer, History, Sequential, Verdict, linearizable, model, sync::Arc, thread};
    use std::{collections::VecDeque, process::ExitCode};

    /// `threads` push their index into the same ring and pop one, `rounds` times.
    fn ring_client(threads: u64, rounds: usize) -> impl Fn() + Send + Sync + 'static {
        move || {
            let ring = Arc::new(Ring::empty(threads as usize));
            let turns = move |ring: &Ring, mut index| {
                for _ in 0..rounds {
                    ring.push(index);
                    index = ring.pop().expect("nobody pops more than was pushed before");
                }
                index
            };
            let others: Vec<_> = (1..threads)
                .map(|index| {
                    let ring = ring.clone();
                    thread::spawn(move || turns(&ring, index))
                })
                .collect();
            let mut seen = vec![turns(&ring, 0)];
            seen.extend(others.into_iter().map(|other| other.join().unwrap()));
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..threads), "no index is lost or doubled");
        }
    }

    /// Two push into a ring, and one pops it, early or late.
    fn early_pops(gives_up: bool, pushes: u64) -> impl Fn() + Send + Sync + 'static {
        move || {
            let ring = Arc::new(Ring { gives_up, ..Ring::empty(2) });
            let others: Vec<_> = (1..pushes)
                .map(|index| {
                    let ring = ring.clone();
                    thread::spawn(move || ring.push(index))
                })
                .collect();
            let theirs = ring.clone();
            let popper = thread::spawn(move || theirs.pop());
            ring.push(0);
            others.into_iter().for_each(|other| other.join().unwrap());
            let mut seen: Vec<_> =
                popper.join().unwrap().into_iter().chain(std::iter::from_fn(|| ring.pop())).collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..pushes), "no index is lost or doubled");
        }
    }

    /// A push beside a pop that may come too early.
    fn queue_client() {
        let queue = Arc::new(Queue::new(1));
        let theirs = queue.clone();
        let other = thread::spawn(move || theirs.pop());
        assert_eq!(queue.push(7), Ok(()));
        let seen = other.join().unwrap().or_else(|| queue.pop());
        assert_eq!(seen, Some(7), "the value is there, once");
    }

    #[derive(Clone, Debug)]
    enum Op {
        Push(u64),
        Pop,
    }

    #[derive(Clone, Default)]
    struct Fifo(VecDeque<u64>);

    impl Sequential for Fifo {
        type Op = Op;
        type Return = Option<u64>;
        fn apply(&mut self, op: &Op) -> Option<u64> {
            match op {
                Op::Push(value) => {
                    self.0.push_back(*value);
                    None
                }
                Op::Pop => self.0.pop_front(),
            }
        }
    }

    fn history_client(history: &History<Fifo>) {
        let push = |ring: &Ring, history: &History<Fifo>, value| {
            history.call(Op::Push(value), || {
                ring.push(value);
                None
            });
        };
        let ring = Arc::new(Ring::empty(2));
        let (theirs, other_history) = (ring.clone(), history.clone());
        let other = thread::spawn(move || push(&theirs, &other_history, 1));
        push(&ring, history, 0);
        history.call(Op::Pop, || ring.pop());
        other.join().unwrap();
    }

    pub(crate) fn main() -> ExitCode {
        println!("Orderings and data races, under loom:");
        model(queue_client);
        println!("    a value is handed over without a race, in every execution");
        linearizable(Fifo::default(), history_client);
        println!("    the ring is linearizable, in every execution of push beside push; pop\n");

        println!("Progress, in every schedule:");
        let claims = [
            ("2 threads push and pop", Explorer::new().lock_free(ring_client(2, 1))),
            ("2 threads push, pop, push, pop", Explorer::new().lock_free(ring_client(2, 2))),
            ("2 push, 1 pops", Explorer::new().lock_free(early_pops(true, 2))),
            ("a push beside a pop, the whole queue", Explorer::new().lock_free(queue_client)),
        ];
        let mut as_expected = true;
        for (client, verdict) in claims {
            println!("    {client}: {verdict}");
            as_expected &= matches!(verdict, Verdict::Proved(_));
        }
        if !as_expected {
            println!("\nSCQ was to be lock-free: this is not what its paper says.");
            return ExitCode::FAILURE;
        }
        let control = Explorer::new().idle_steps(100).lock_free(early_pops(false, 1));
        println!("\nThe control, without the threshold:\n{control}");
        if !matches!(&control, Verdict::Refuted(refutation) if refutation.is_livelock()) {
            println!("\nA livelock was to be found.");
            return ExitCode::FAILURE;
        }
        println!(
            "\nLock-free: whoever is suspended for good before whichever step, the others finish. A push that lost its\n\
             ticket takes another; pops can spoil tickets only until the threshold sends them away."
        );
        ExitCode::SUCCESS
    }
}

#[cfg(not(ropewalk_loom))]
fn main() -> ExitCode {
    use ropewalk_prove::{sync::Arc, thread};
    const EACH: u64 = 10_000;

    let queue = Arc::new(Queue::new(64));
    let producers: Vec<_> = (0..2)
        .map(|_| {
            let queue = queue.clone();
            thread::spawn(move || {
                for mut value in 1..=EACH {
                    while let Err(back) = queue.push(value) {
                        value = back;
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let consumers: Vec<_> = (0..2)
        .map(|_| {
            let queue = queue.clone();
            thread::spawn(move || {
                let mut sum = 0;
                for _ in 0..EACH {
                    sum += loop {
                        match queue.pop() {
                            Some(value) => break value,
                            None => thread::yield_now(),
                        }
                    };
                }
                sum
            })
        })
        .collect();
    producers.into_iter().for_each(|t| t.join().expect("a producer does not panic"));
    let sum: u64 = consumers.into_iter().map(|t| t.join().expect("a consumer does not panic")).sum();
    println!("{} values through a queue of 64, their sum is {sum}", 2 * EACH);
    println!(
        "The proof: RUSTFLAGS=\"--cfg ropewalk_loom -C debug-assertions\" \
         cargo run --release -p ropewalk-prove --example scq"
    );
    if sum == EACH * (EACH + 1) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
