//! A FIFO of waiters behind one latch.
//!
//! # Protocol
//!
//! Every waiter is a slab node that goes through these phases, all of them changed under the latch:
//!
//! ```text
//!           join            grant              poll
//! (free) ---------> Waiting ------> Granted ---------> (free), the grant is the waiter's
//!                    |  ^              |
//!             cancel |  | poll         | revoke_stale: nobody polled it for a whole epoch
//!                    v  |              v
//!                 (free) +---------- Dormant --cancel--> (free)
//! ```
//!
//! * A node is linked in the list exactly while it is `Waiting`.
//! * The granter takes the waker out *before* it leaves the latch and fires it after; it never
//!   touches the node again. A grant that no waiter polled stays in the node, and `cancel` hands it
//!   back to whoever cancels, so that it can be passed on: nothing is lost.
//! * Sections are bounded: list surgery and slab bookkeeping. Wakers are cloned before the latch
//!   closes and dropped or woken after it opens, because they are user code.
//!
//! Joining, granting the front and cancelling take O(1) steps under the latch.

use ropewalk_prove::{Latch, LatchGuard, thread::panicking};
use std::{
    fmt,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    task::{Context, Waker},
};

const NONE: u32 = u32::MAX;

/// A FIFO queue in which threads and tasks wait for a direct hand-off.
///
/// `D` is what a waiter demands, `G` what it is handed, `S` state of the owner that must change
/// together with the queue. All three are the owner's own plain types: their `Drop` may run under
/// the latch, so it must not run user code.
///
/// A thread waits as a task whose waker unparks it, so both stand in one line.
pub struct WaitQueue<D, G, S = ()> {
    latch: Latch<Inner<D, G, S>>,
}

struct Inner<D, G, S> {
    nodes: Vec<Node<D, G>>,
    free: u32,
    head: u32,
    tail: u32,
    len: usize,
    granted: usize,
    epoch: u64,
    state: S,
}

struct Node<D, G> {
    generation: u32,
    prev: u32,
    next: u32,
    demand: Option<D>,
    waker: Option<Waker>,
    phase: Phase<G>,
}

enum Phase<G> {
    Free,
    Waiting,
    Granted(G, u64),
    Dormant,
}

/// A place in the queue. Give it back by [`WaitQueue::poll`] until it is ready, or by
/// [`WaitQueue::cancel`].
#[must_use = "a ticket that is neither polled nor cancelled keeps its place for ever"]
pub struct Ticket<D, G> {
    index: u32,
    generation: u32,
    kind: PhantomData<fn(D) -> G>,
}

/// What [`WaitQueue::poll`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Polled<G> {
    /// The grant; the ticket is spent.
    Ready(G),
    /// Still in line; the waker is registered.
    Pending,
    /// An earlier grant was taken back because nobody polled; the waiter stands at the head again.
    /// The owner must now run its granting step, then poll once more.
    Rejoined,
}

/// What [`WaitQueue::cancel`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Cancelled<G> {
    /// The waiter left the line. Those behind it may be servable now.
    Removed,
    /// It had been handed this already: pass it on.
    Granted(G),
}

/// The latched queue. Wake-ups of granted waiters are collected and fired when this drops, after
/// the latch has opened.
pub struct Locked<'a, D, G, S = ()> {
    guard: Option<LatchGuard<'a, Inner<D, G, S>>>,
    wakes: Wakes,
}

impl<D, G> WaitQueue<D, G> {
    /// An empty queue.
    pub fn new() -> Self {
        Self::with_state(())
    }
}

impl<D, G, S> WaitQueue<D, G, S> {
    /// An empty queue around `state`.
    pub fn with_state(state: S) -> Self {
        Self {
            latch: Latch::new(Inner {
                nodes: Vec::new(),
                free: NONE,
                head: NONE,
                tail: NONE,
                len: 0,
                granted: 0,
                epoch: 0,
                state,
            }),
        }
    }

    /// Closes the latch. Keep the section short: no user code, no waiting.
    pub fn lock(&self) -> Locked<'_, D, G, S> {
        Locked { guard: Some(self.latch.lock()), wakes: Wakes::default() }
    }

    /// Asks whether `ticket` has been granted, and registers `cx`'s waker if not.
    ///
    /// # Panics
    ///
    /// When the ticket is spent or belongs to another queue.
    pub fn poll(&self, ticket: &Ticket<D, G>, cx: &Context<'_>) -> Polled<G> {
        // A look first: mostly it is granted, or registered already, and then no waker need be cloned.
        let mut inner = self.latch.lock();
        let node = inner.node(ticket);
        match &node.phase {
            Phase::Granted(..) => return Polled::Ready(inner.take_grant(ticket.index)),
            Phase::Waiting if node.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) => {
                return Polled::Pending;
            }
            Phase::Waiting | Phase::Dormant => drop(inner),
            Phase::Free => unreachable!("a live ticket names a live node"),
        }
        let mut waker = Some(cx.waker().clone());
        let mut inner = self.latch.lock();
        let node = inner.node(ticket);
        let polled = match node.phase {
            Phase::Waiting => {
                std::mem::swap(&mut node.waker, &mut waker);
                Polled::Pending
            }
            Phase::Dormant => {
                node.phase = Phase::Waiting;
                std::mem::swap(&mut node.waker, &mut waker);
                inner.link_front(ticket.index);
                Polled::Rejoined
            }
            Phase::Granted(..) => Polled::Ready(inner.take_grant(ticket.index)),
            Phase::Free => unreachable!("a live ticket names a live node"),
        };
        drop(inner);
        drop(waker);
        polled
    }

    /// Leaves the queue in O(1).
    ///
    /// # Panics
    ///
    /// When the ticket is spent or belongs to another queue.
    #[must_use = "a grant that was already handed over must be passed on"]
    pub fn cancel(&self, ticket: Ticket<D, G>) -> Cancelled<G> {
        let mut inner = self.latch.lock();
        let node = inner.node(&ticket);
        let waker = node.waker.take();
        let cancelled = match node.phase {
            Phase::Waiting => {
                inner.unlink(ticket.index);
                inner.release(ticket.index);
                Cancelled::Removed
            }
            Phase::Dormant => {
                inner.release(ticket.index);
                Cancelled::Removed
            }
            Phase::Granted(..) => Cancelled::Granted(inner.take_grant(ticket.index)),
            Phase::Free => unreachable!("a live ticket names a live node"),
        };
        drop(inner);
        drop(waker);
        cancelled
    }
}

impl<D, G, S: Default> Default for WaitQueue<D, G, S> {
    fn default() -> Self {
        Self::with_state(S::default())
    }
}

impl<D, G, S> fmt::Debug for WaitQueue<D, G, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue").finish_non_exhaustive()
    }
}

impl<D, G> fmt::Debug for Ticket<D, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({}.{})", self.index, self.generation)
    }
}

impl<D, G, S> fmt::Debug for Locked<'_, D, G, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locked").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<D, G, S> Locked<'_, D, G, S> {
    fn inner(&self) -> &Inner<D, G, S> {
        self.guard.as_deref().expect("the latch is held until drop")
    }

    fn inner_mut(&mut self) -> &mut Inner<D, G, S> {
        self.guard.as_deref_mut().expect("the latch is held until drop")
    }

    /// Joins at the tail.
    pub fn join(&mut self, demand: D) -> Ticket<D, G> {
        let inner = self.inner_mut();
        let ticket = inner.allocate(demand);
        inner.link_back(ticket.index);
        ticket
    }

    /// Joins at the tail, to be woken by `waker`: the first [`WaitQueue::poll`] is then due when it has been.
    pub fn join_waking(&mut self, demand: D, waker: Waker) -> Ticket<D, G> {
        let ticket = self.join(demand);
        self.inner_mut().node(&ticket).waker = Some(waker);
        ticket
    }

    /// Joins at the head, before everybody.
    pub fn join_front(&mut self, demand: D) -> Ticket<D, G> {
        let inner = self.inner_mut();
        let ticket = inner.allocate(demand);
        inner.link_front(ticket.index);
        ticket
    }

    /// The demand of the oldest waiter.
    pub fn front(&self) -> Option<&D> {
        self.iter().next()
    }

    /// The demands in order, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &D> {
        let inner = self.inner();
        std::iter::successors((inner.head != NONE).then_some(inner.head), |&at| {
            let next = inner.nodes[at as usize].next;
            (next != NONE).then_some(next)
        })
        .filter_map(|at| inner.nodes[at as usize].demand.as_ref())
    }

    /// Hands `grant` to the oldest waiter.
    ///
    /// # Errors
    ///
    /// Gives the grant back when nobody waits.
    pub fn grant_front(&mut self, grant: G) -> Result<(), G> {
        match self.inner().head {
            NONE => Err(grant),
            head => {
                self.grant_node(head, grant);
                Ok(())
            }
        }
    }

    /// Offers to each waiter in order until `choose` makes a grant for one; tells whether it did.
    pub fn grant_first(&mut self, mut choose: impl FnMut(&mut S, &mut D) -> Option<G>) -> bool {
        let inner = self.inner_mut();
        let mut at = inner.head;
        while at != NONE {
            let node = &mut inner.nodes[at as usize];
            let next = node.next;
            if let Some(demand) = node.demand.as_mut() {
                if let Some(grant) = choose(&mut inner.state, demand) {
                    self.grant_node(at, grant);
                    return true;
                }
            }
            at = next;
        }
        false
    }

    /// Grants every waiter what `make` gives, in order; tells how many.
    pub fn grant_all(&mut self, mut make: impl FnMut() -> G) -> usize {
        let mut granted = 0;
        while self.inner().head != NONE {
            let head = self.inner().head;
            self.grant_node(head, make());
            granted += 1;
        }
        granted
    }

    /// Takes back each grant that has lain unpolled since before the call before this one, in the
    /// order of the slab, and puts its waiter to rest until it is polled again. Call it at a steady
    /// interval: a grant survives at least one and at most two of them.
    pub fn revoke_stale(&mut self) -> Vec<(D, G)>
    where
        D: Clone,
    {
        let inner = self.inner_mut();
        inner.epoch += 1;
        if inner.granted == 0 {
            return Vec::new();
        }
        let mut revoked = Vec::new();
        for node in &mut inner.nodes {
            if matches!(node.phase, Phase::Granted(_, epoch) if epoch + 1 < inner.epoch) {
                let demand = node.demand.clone().expect("a node keeps its demand until it is free");
                if let Phase::Granted(grant, _) = std::mem::replace(&mut node.phase, Phase::Dormant) {
                    revoked.push((demand, grant));
                }
            }
        }
        inner.granted -= revoked.len();
        revoked
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.inner().len
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.inner().len == 0
    }

    fn grant_node(&mut self, at: u32, grant: G) {
        let inner = self.inner_mut();
        inner.unlink(at);
        inner.granted += 1;
        let epoch = inner.epoch;
        let node = &mut inner.nodes[at as usize];
        node.phase = Phase::Granted(grant, epoch);
        if let Some(waker) = node.waker.take() {
            self.wakes.push(waker);
        }
    }
}

/// The owner's state.
impl<D, G, S> Deref for Locked<'_, D, G, S> {
    type Target = S;
    fn deref(&self) -> &S {
        &self.inner().state
    }
}

impl<D, G, S> DerefMut for Locked<'_, D, G, S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.inner_mut().state
    }
}

impl<D, G, S> Drop for Locked<'_, D, G, S> {
    fn drop(&mut self) {
        drop(self.guard.take());
        self.wakes.fire();
    }
}

impl<D, G, S> Inner<D, G, S> {
    fn node(&mut self, ticket: &Ticket<D, G>) -> &mut Node<D, G> {
        let node = &mut self.nodes[ticket.index as usize];
        assert_eq!(node.generation, ticket.generation, "a ticket was used after it was spent");
        node
    }

    fn allocate(&mut self, demand: D) -> Ticket<D, G> {
        let index = if self.free == NONE {
            let index =
                u32::try_from(self.nodes.len()).ok().filter(|&i| i != NONE).expect("under 2^32 waiters");
            self.nodes.push(Node {
                generation: 0,
                prev: NONE,
                next: NONE,
                demand: None,
                waker: None,
                phase: Phase::Free,
            });
            index
        } else {
            let index = self.free;
            self.free = self.nodes[index as usize].next;
            index
        };
        let node = &mut self.nodes[index as usize];
        node.demand = Some(demand);
        node.phase = Phase::Waiting;
        Ticket { index, generation: node.generation, kind: PhantomData }
    }

    fn release(&mut self, at: u32) {
        let free = self.free;
        let node = &mut self.nodes[at as usize];
        node.generation = node.generation.wrapping_add(1);
        node.demand = None;
        node.phase = Phase::Free;
        node.next = free;
        self.free = at;
    }

    fn take_grant(&mut self, at: u32) -> G {
        let Phase::Granted(grant, _) = std::mem::replace(&mut self.nodes[at as usize].phase, Phase::Free)
        else {
            unreachable!("only called on a granted node")
        };
        self.granted -= 1;
        self.release(at);
        grant
    }

    fn link_back(&mut self, at: u32) {
        let tail = self.tail;
        let node = &mut self.nodes[at as usize];
        (node.prev, node.next) = (tail, NONE);
        match tail {
            NONE => self.head = at,
            tail => self.nodes[tail as usize].next = at,
        }
        self.tail = at;
        self.len += 1;
    }

    fn link_front(&mut self, at: u32) {
        let head = self.head;
        let node = &mut self.nodes[at as usize];
        (node.prev, node.next) = (NONE, head);
        match head {
            NONE => self.tail = at,
            head => self.nodes[head as usize].prev = at,
        }
        self.head = at;
        self.len += 1;
    }

    fn unlink(&mut self, at: u32) {
        let node = &self.nodes[at as usize];
        let (prev, next) = (node.prev, node.next);
        match prev {
            NONE => self.head = next,
            prev => self.nodes[prev as usize].next = next,
        }
        match next {
            NONE => self.tail = prev,
            next => self.nodes[next as usize].prev = prev,
        }
        self.len -= 1;
    }
}

/// Wakers to fire after the latch has opened; the first needs no allocation.
#[derive(Default)]
struct Wakes {
    first: Option<Waker>,
    rest: Vec<Waker>,
}

impl Wakes {
    fn push(&mut self, waker: Waker) {
        if self.first.is_none() { self.first = Some(waker) } else { self.rest.push(waker) }
    }

    /// Wakes all. A waker is user code: one that panics must not take the wake-ups behind it along, so
    /// its panic goes on when all are done.
    fn fire(&mut self) {
        let mut panic = None;
        for waker in self.first.take().into_iter().chain(self.rest.drain(..)) {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                panic.get_or_insert(payload);
            }
        }
        // A second panic while unwinding would abort.
        if let Some(payload) = panic.filter(|_| !panicking()) {
            resume_unwind(payload);
        }
    }
}
