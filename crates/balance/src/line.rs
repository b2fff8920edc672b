//! The line of those who wait for a slot.
//!
//! A slot given back while somebody waits who can use it is handed over under the latch without being
//! counted out, so that no newcomer comes in between. Where a slot becomes free in another way (a node
//! joins or comes up, a limit rises, nobody waited at the moment), whoever made it free, or whoever joins,
//! serves the line. That nobody sleeps beside a free slot is Dekker's argument: a joiner publishes itself,
//! fences, and looks for slots; a releaser frees its slot, fences, and looks for waiters.

use crate::{Need, PickError, inner::Inner, roster::Entry};
use ropewalk_prove::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use ropewalk_sync::{Cancelled, Polled, Ticket, WaitQueue};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    task::Context,
    thread::panicking,
};

/// What a waiter is handed: a slot counted in, or the reason why none will come.
pub(crate) type Grant = Result<Slot, PickError>;

/// A request counted in on a node.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) entry: Arc<Entry>,
    /// Whether it tries an ejected node.
    pub(crate) trial: bool,
}

pub(crate) type Place = Ticket<Need, Grant>;

pub(crate) struct Line {
    queue: WaitQueue<Need, Grant>,
    /// How many wait: a copy of the queue's length, for those who need not lock it.
    waiting: AtomicUsize,
    /// When a patrol last looked for stale grants, in nanoseconds.
    patrolled: AtomicU64,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self { queue: WaitQueue::new(), waiting: AtomicUsize::new(0), patrolled: AtomicU64::new(0) }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(crate) fn poll(&self, place: &Place, cx: &Context<'_>) -> Polled<Grant> {
        let polled = self.queue.poll(place, cx);
        if polled == Polled::Rejoined {
            let queue = self.queue.lock();
            self.waiting.store(queue.len(), Ordering::Relaxed);
        }
        polled
    }
}

/// Does several things of which each may wake others. A waker is user code: if one panics, the panic goes
/// on when all is done, so that no slot is lost on the way.
#[derive(Default)]
pub(crate) struct Later(Option<Box<dyn Any + Send>>);

impl Later {
    pub(crate) fn run(&mut self, step: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(step)) {
            self.0.get_or_insert(panic);
        }
    }

    /// Does all of `steps`, in order.
    pub(crate) fn all<const N: usize>(steps: [&dyn Fn(); N]) {
        let mut later = Self::default();
        steps.into_iter().for_each(|step| later.run(step));
        later.go_on();
    }

    pub(crate) fn go_on(self) {
        // A second panic while unwinding would abort.
        if let Some(panic) = self.0.filter(|_| !panicking()) {
            resume_unwind(panic);
        }
    }
}

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.entry, &other.entry) && self.trial == other.trial
    }
}

impl Inner {
    /// Stands at the end of the line. To be followed by [`serve`](Self::serve), once the place is where it is not
    /// lost: serving wakes others, and their wakers may panic.
    pub(crate) fn join(&self, need: Need) -> Place {
        let mut queue = self.line.queue.lock();
        let place = queue.join(need);
        self.line.waiting.store(queue.len(), Ordering::Relaxed);
        place
    }

    /// Gives every waiter what there is for it, in order.
    pub(crate) fn serve(&self) {
        fence(Ordering::SeqCst); // pairs with the fences in `give_back`
        if self.line.len() == 0 {
            return;
        }
        let now = self.now();
        let mut queue = self.line.queue.lock();
        // Of equal needs one answer is enough.
        let mut full = Vec::<Need>::new();
        loop {
            let served = queue.grant_first(|(), need| {
                if full.contains(need) {
                    return None;
                }
                match self.place(need, now) {
                    Ok((entry, trial)) => Some(Ok(Slot { entry, trial })),
                    Err(PickError::Saturated { .. }) => {
                        full.push(need.clone());
                        None
                    }
                    Err(hopeless) => Some(Err(hopeless)),
                }
            });
            if !served {
                break;
            }
        }
        self.line.waiting.store(queue.len(), Ordering::Relaxed);
    }

    /// A request is over: its slot goes to the first in line who can use it, or is free.
    pub(crate) fn give_back(&self, entry: &Arc<Entry>) {
        let shared = &entry.shared;
        if self.line.len() > 0 {
            let mut queue = self.line.queue.lock();
            // Pairs with the fence in `serve`, which a drain calls when it has shut its node: either it finds
            // somebody in line and waits for this section, or its node is seen to be shut here. So nobody who
            // joins after a drain has returned is handed its node.
            fence(Ordering::SeqCst);
            let handed = shared.is_up()
                && shared.is_within_limit()
                && queue.grant_first(|(), need| {
                    need.is_met_by(&entry.node).then(|| Ok(Slot { entry: entry.clone(), trial: false }))
                });
            self.line.waiting.store(queue.len(), Ordering::Relaxed);
            drop(queue);
            if handed {
                return;
            }
        }
        shared.leave();
        // Pairs with the fence in `serve`: either the joiner sees the free slot or we see the joiner.
        fence(Ordering::SeqCst);
        if self.line.len() > 0 {
            self.serve();
        }
    }

    pub(crate) fn leave_line(&self, place: Place) {
        match self.line.queue.cancel(place) {
            Cancelled::Removed => {
                let queue = self.line.queue.lock();
                self.line.waiting.store(queue.len(), Ordering::Relaxed);
            }
            Cancelled::Granted(grant) => self.pass_on(grant),
        }
    }

    /// Passes on slots that nobody polled for a whole interval. All who wait call this; one of them each
    /// interval looks for stale grants, so that a grant survives at least one.
    pub(crate) fn patrol(&self) {
        let (now, interval) = (self.now(), self.settings.regrant_after.as_nanos());
        let last = self.line.patrolled.load(Ordering::Relaxed);
        let due = u128::from(now.saturating_sub(last)) >= interval;
        let ours = || self.line.patrolled.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed);
        if due && ours().is_ok() {
            let revoked = self.line.queue.lock().revoke_stale();
            let mut later = Later::default();
            for (_, grant) in revoked {
                later.run(|| self.pass_on(grant));
            }
            later.run(|| self.serve());
            return later.go_on();
        }
        self.serve();
    }

    fn pass_on(&self, grant: Grant) {
        if let Ok(slot) = grant {
            if slot.trial {
                slot.entry.shared.end_trial();
                self.table().trial_at(&slot.entry, self.now());
            }
            self.give_back(&slot.entry);
        }
    }
}
