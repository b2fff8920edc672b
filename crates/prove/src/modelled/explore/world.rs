//! One execution of a client: its threads, what memory holds, and who runs next.
//!
//! A thread stops before each step and asks [`World::decide`] who goes on. Memory is one hash, the exclusive-or over all
//! places of a mix of the place and what it holds, kept up to date by each change. A thread's local state is a function
//! of what its steps have returned, so the hash of those stands for it. Both together name a state of the client.

use super::{
    Claim, Holders,
    refute::{Event, Refutation, Standing, Why},
    search::{Search, Turn},
};
use crate::modelled::step::{Kind, Site};
use std::{
    any::Any,
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

/// What a thread is about to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) kind: Kind,
    pub(crate) site: Site,
    /// Where, or whom a join waits for.
    pub(crate) place: u64,
    /// A spin that has seen nothing new since this many changes of memory.
    pub(crate) unchanged: Option<u64>,
}

pub(crate) type Job = Box<dyn FnOnce()>;

/// One thread of the client.
#[derive(Default)]
pub(crate) struct Thread {
    pub(crate) pending: Option<Pending>,
    pub(crate) job: Option<Job>,
    finished: bool,
    /// Hash of what its steps have returned.
    history: u128,
    steps: u64,
    places: u64,
    /// What it owns that others may wait for.
    holding: u32,
    latches: u32,
    unfailed: u32,
    /// Changes of memory up to its last spin hint.
    hinted: Option<u64>,
    /// The operation it is in, and its steps since then.
    operation: Option<(&'static str, u64)>,
    locals: HashMap<usize, Rc<dyn Any>>,
}

/// How an execution ended before its threads did.
pub(crate) enum Stop {
    Refuted(Box<Refutation>),
    /// The search may not go on; the text says why.
    Unfinished(String),
}

/// The search and the execution it is in.
pub(crate) struct World {
    pub(crate) search: Search,
    pub(crate) threads: Vec<Thread>,
    pub(crate) current: usize,
    /// Who is to be resumed; nobody when the execution is over.
    pub(crate) next: Option<usize>,
    /// The current thread has not used its turn: it was chosen before anybody knew its first step.
    granted: bool,
    pub(crate) stop: Option<Stop>,
    memory: u128,
    /// Content of latches, cells and park tokens.
    contents: HashMap<u64, u64>,
    holders: BTreeMap<u64, usize>,
    pointers: HashMap<usize, u64>,
    /// Steps that changed a place.
    changes: u64,
    trace: Vec<Event>,
    /// Length of the trace when an operation was last completed.
    completed: usize,
    turn: usize,
}

/// A finaliser over 128 bits: a multiplication (the constant is PCG's) and a fold of the high half.
pub(crate) fn mix(hash: u128, value: u64) -> u128 {
    let x = (hash ^ u128::from(value)).wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645);
    x ^ (x >> 71)
}

fn holds(place: u64, value: u64) -> u128 {
    mix(mix(0x9E37_79B9_7F4A_7C15, place), value)
}

/// Steps of one thread in a row while an execution is led to its end.
const QUANTUM: usize = 24;

impl World {
    pub(crate) fn new(search: Search) -> Self {
        Self {
            search,
            threads: Vec::new(),
            current: 0,
            next: None,
            granted: false,
            stop: None,
            memory: 0,
            contents: HashMap::new(),
            holders: BTreeMap::new(),
            pointers: HashMap::new(),
            changes: 0,
            trace: Vec::new(),
            completed: 0,
            turn: 0,
        }
    }

    /// A new execution, whose first thread runs `main`.
    pub(crate) fn begin(&mut self, main: Job) {
        self.search.begin();
        self.threads.clear();
        self.memory = 0;
        self.contents.clear();
        self.holders.clear();
        self.pointers.clear();
        self.changes = 0;
        self.trace.clear();
        self.completed = 0;
        self.turn = 0;
        self.stop = None;
        self.current = self.spawn(main);
        self.next = Some(self.current);
        self.granted = true;
    }

    /// The current thread announces its next step; tells whether it may take it at once.
    pub(crate) fn announce(&mut self, pending: Pending) -> bool {
        let me = self.current;
        self.me().pending = Some(pending);
        let granted = std::mem::take(&mut self.granted) && self.is_enabled(me);
        if !granted {
            self.decide();
        }
        self.next == Some(me)
    }

    pub(crate) fn spawn(&mut self, job: Job) -> usize {
        let index = self.threads.len();
        self.granted = false; // there is a choice now
        let history = match self.threads.get_mut(self.current) {
            Some(parent) => mix(parent.history, u64::MAX),
            None => 1,
        };
        self.threads.push(Thread {
            job: Some(job),
            history: mix(history, index as u64),
            unfailed: self.search.limits.spurious,
            ..Thread::default()
        });
        index
    }

    pub(crate) fn me(&mut self) -> &mut Thread {
        &mut self.threads[self.current]
    }

    /// A place made by this thread, holding `value`. Its number depends on the thread's own history alone.
    pub(crate) fn place(&mut self, value: u64) -> u64 {
        let current = self.current as u64;
        let me = self.me();
        me.places += 1;
        let place = (mix(mix(3, current + 1), me.places) as u64) | 1;
        self.memory ^= holds(place, value);
        place
    }

    pub(crate) fn forget(&mut self, place: u64, value: u64) {
        self.memory ^= holds(place, value);
    }

    pub(crate) fn pointer(&mut self, address: usize) -> u64 {
        if address == 0 {
            return 0;
        }
        let fresh = {
            let current = self.current as u64;
            let me = self.me();
            (mix(mix(7, current + 1), me.places ^ me.steps.rotate_left(32)) as u64) | 1
        };
        *self.pointers.entry(address).or_insert(fresh)
    }

    pub(crate) fn changed(&mut self, place: u64, old: u64, new: u64) {
        if old != new {
            self.memory ^= holds(place, old) ^ holds(place, new);
            self.changes += 1;
        }
    }

    /// The hash of what the place of a latch or a cell holds.
    pub(crate) fn content(&self, place: u64) -> u64 {
        self.contents.get(&place).copied().unwrap_or(0)
    }

    /// This thread wrote something into a latch or cell: a function of its history so far.
    pub(crate) fn overwrite(&mut self, place: u64) {
        let history = self.me().history;
        let new = mix(history, place) as u64;
        let old = self.contents.insert(place, new).unwrap_or(0);
        self.changed(place.rotate_left(17), old, new);
    }

    pub(crate) fn set_content(&mut self, place: u64, new: u64) {
        let old = self.contents.insert(place, new).unwrap_or(0);
        self.changed(place.rotate_left(17), old, new);
    }

    pub(crate) fn lock(&mut self, place: u64) {
        let me = self.current;
        self.holders.insert(place, me);
        self.me().latches += 1;
        self.changed(place, 0, me as u64 + 1);
    }

    pub(crate) fn unlock(&mut self, place: u64) {
        if let Some(holder) = self.holders.remove(&place) {
            self.threads[holder].latches -= 1;
            self.changed(place, holder as u64 + 1, 0);
        }
    }

    pub(crate) fn hold(&mut self, by: i32) {
        let me = self.me();
        me.holding = me.holding.saturating_add_signed(by);
    }

    /// Records that this thread takes the step it announced, and what the step returned.
    pub(crate) fn took(&mut self, kind: Kind, site: Site, observed: u64) {
        let thread = self.current;
        let counted = kind.is_shared();
        let me = self.me();
        me.pending = None;
        me.history = mix(mix(me.history, site.line() as u64 | u64::from(site.column()) << 32), observed);
        if counted {
            me.steps += 1;
            if let Some((_, steps)) = &mut me.operation {
                *steps += 1;
            }
            self.trace.push(Event { thread, kind, site, observed });
            self.search.totals.steps += 1;
        }
    }

    /// The mark for a spin: blocked when nothing has changed since the one before.
    pub(crate) fn spins(&mut self) -> Option<u64> {
        let changes = self.changes;
        let before = self.me().hinted.replace(changes);
        before.filter(|&before| before == changes)
    }

    pub(crate) fn enter(&mut self, operation: &'static str) {
        self.me().operation = Some((operation, 0));
    }

    pub(crate) fn leave(&mut self) {
        if let Some((name, steps)) = self.me().operation.take() {
            let most = self.search.totals.operations.entry(name).or_default();
            *most = (*most).max(steps);
        }
        self.completed = self.trace.len();
    }

    pub(crate) fn local(&mut self, key: usize) -> Option<Rc<dyn Any>> {
        self.me().locals.get(&key).cloned()
    }

    pub(crate) fn put_local(&mut self, key: usize, value: Rc<dyn Any>) {
        self.me().locals.insert(key, value);
    }

    pub(crate) fn take_locals(&mut self) -> HashMap<usize, Rc<dyn Any>> {
        std::mem::take(&mut self.me().locals)
    }

    pub(crate) fn is_finished(&self, thread: usize) -> bool {
        self.threads[thread].finished
    }

    pub(crate) fn history_of(&self, thread: usize) -> u64 {
        self.threads[thread].history as u64
    }

    /// The current thread is done.
    pub(crate) fn finish(&mut self, panic: Option<String>) {
        self.me().finished = true;
        self.completed = self.trace.len();
        if let Some(message) = panic {
            let me = self.standing(self.current);
            self.refute(Why::Panic { message }, Vec::new(), vec![me]);
        } else {
            self.decide();
        }
    }

    /// Chooses among `n` outcomes of a step.
    pub(crate) fn choose(&mut self, n: usize) -> usize {
        if self.search.is_leading() { 0 } else { self.search.choose(n) }
    }

    /// Whether a weak compare-exchange that would succeed fails here.
    pub(crate) fn fails_spuriously(&mut self) -> bool {
        if self.me().unfailed == 0 || self.choose(2) == 0 {
            return false;
        }
        self.me().unfailed -= 1;
        true
    }

    fn is_enabled(&self, thread: usize) -> bool {
        let t = &self.threads[thread];
        let Some(pending) = &t.pending else { return !t.finished };
        !t.finished
            && match pending.kind {
                Kind::Lock => !self.holders.contains_key(&pending.place),
                Kind::Park => self.content(pending.place) != 0,
                Kind::Join => self.threads[pending.place as usize].finished,
                Kind::Spin => pending.unchanged.is_none_or(|at| at != self.changes),
                _ => true,
            }
    }

    /// Sets who runs next.
    pub(crate) fn decide(&mut self) {
        let mut enabled = Vec::with_capacity(self.threads.len());
        if self.is_enabled(self.current) {
            enabled.push(self.current);
        }
        enabled.extend((0..self.threads.len()).filter(|&t| t != self.current && self.is_enabled(t)));
        if self.threads.iter().all(|t| t.finished) {
            self.next = None;
            return;
        }
        if let Some((why, victims, stuck)) = self.judge(&enabled) {
            return self.refute(why, victims, stuck);
        }
        let idle = self.trace.len() - self.completed;
        if idle > self.search.limits.idle_steps && !self.search.is_leading() && !self.endless() {
            return;
        }
        let chosen = if self.search.is_leading() {
            self.lead(&enabled)
        } else {
            let hash = self.hash();
            match self.search.turn(hash, enabled.len()) {
                Turn::Take(choice) => enabled.get(choice).copied(),
                Turn::Lead => self.lead(&enabled),
            }
        };
        match chosen {
            Some(chosen) => {
                self.granted = self.threads[chosen].pending.is_none();
                self.current = chosen;
                self.next = Some(chosen);
            }
            None if self.stop.is_none() => {
                self.unfinished(
                    "the model is not deterministic: a replayed step found another set of threads",
                );
            }
            None => {}
        }
    }

    /// Round robin, a quantum each: no branching any more.
    fn lead(&mut self, enabled: &[usize]) -> Option<usize> {
        self.turn += 1;
        if self.turn > self.search.limits.lead_steps {
            self.unfinished("an execution did not end, though every thread had its turn");
            return None;
        }
        if self.turn % QUANTUM != 0 && enabled.first() == Some(&self.current) {
            return Some(self.current);
        }
        enabled.iter().copied().filter(|&t| t > self.current).min().or_else(|| enabled.iter().copied().min())
    }

    fn unfinished(&mut self, why: impl Into<String>) {
        self.stop = Some(Stop::Unfinished(why.into()));
        self.next = None;
    }

    fn hash(&self) -> u128 {
        self.threads.iter().fold(self.memory, |hash, thread| {
            let hash = mix(hash, thread.history as u64);
            mix(hash, (thread.history >> 64) as u64 ^ u64::from(thread.finished))
        })
    }

    fn refute(&mut self, why: Why, victims: Vec<Standing>, stuck: Vec<Standing>) {
        self.stop = Some(Stop::Refuted(Box::new(Refutation {
            claim: self.search.claim,
            why,
            victims,
            stuck,
            schedule: self.search.schedule(),
            trace: self.trace.clone(),
        })));
        self.next = None;
    }

    fn standing(&self, thread: usize) -> Standing {
        let t = &self.threads[thread];
        Standing {
            thread,
            step: t.steps + 1,
            operation: t.operation.map(|(name, _)| name),
            before: t.pending.map(|pending| (pending.kind, pending.site)),
        }
    }

    fn waits(&self, thread: usize) -> bool {
        let t = &self.threads[thread];
        !t.finished && !self.is_enabled(thread) && t.pending.is_some_and(|pending| pending.kind != Kind::Join)
    }

    fn is_excused_by(&self, holders: Holders, thread: usize) -> bool {
        let t = &self.threads[thread];
        !t.finished && (holders.owners && t.holding > 0 || holders.latches && t.latches > 0)
    }

    /// Whether the claim fails in this state.
    fn judge(&self, enabled: &[usize]) -> Option<(Why, Vec<Standing>, Vec<Standing>)> {
        let all = 0..self.threads.len();
        let waiting = || all.clone().filter(|&t| self.waits(t));
        if enabled.is_empty() {
            let stuck =
                all.clone().filter(|&t| !self.threads[t].finished).map(|t| self.standing(t)).collect();
            return Some((Why::Deadlock, Vec::new(), stuck));
        }
        let excused = match self.search.claim {
            Claim::Safe => return None,
            Claim::LockFree | Claim::WaitFree => false,
            Claim::Waits(holders) => all.clone().any(|t| self.is_excused_by(holders, t)),
        };
        if excused || self.search.is_leading() {
            return None;
        }
        let stuck: Vec<_> = waiting().map(|t| self.standing(t)).collect();
        if stuck.is_empty() {
            return None;
        }
        // Whoever could still move is suspended; a lock names its holder.
        let holder = waiting()
            .find_map(|t| self.threads[t].pending.filter(|p| p.kind == Kind::Lock))
            .and_then(|pending| self.holders.get(&pending.place).copied());
        let victims = match holder {
            Some(holder) => vec![self.standing(holder)],
            None => enabled.iter().map(|&t| self.standing(t)).collect(),
        };
        Some((Why::Waits, victims, stuck))
    }

    /// Too many steps without a completion: tells whether the execution may go on.
    fn endless(&mut self) -> bool {
        let tail = &self.trace[self.completed..];
        let Some((end, period)) = period(tail) else {
            let steps = tail.len();
            self.unfinished(format!("{steps} steps without a completed operation, and no pattern in them"));
            return false;
        };
        let pattern: Vec<Event> = tail[end - period..end].to_vec();
        let moving = |t: usize| pattern.iter().any(|event| event.thread == t);
        let all = 0..self.threads.len();
        let resting: Vec<usize> = all.clone().filter(|&t| !self.threads[t].finished && !moving(t)).collect();
        let excused = match self.search.claim {
            Claim::Safe => true,
            Claim::LockFree | Claim::WaitFree => false,
            Claim::Waits(holders) => resting.iter().any(|&t| self.is_excused_by(holders, t)),
        };
        if excused {
            self.search.lead();
            return true;
        }
        let victims =
            resting.iter().copied().filter(|&t| self.is_enabled(t)).map(|t| self.standing(t)).collect();
        let stuck = all.filter(|&t| moving(t)).map(|t| self.standing(t)).collect();
        self.refute(Why::Endless { pattern }, victims, stuck);
        false
    }
}

/// How often a pattern must repeat to be called one.
const REPEATS: usize = 6;

/// How many steps may follow the pattern: a search that is about to leave it has tried some.
const LEAVING: usize = 16;

/// The shortest pattern of threads and places in the code that the end of a trace repeats: where it ends, and how
/// long it is.
fn period(tail: &[Event]) -> Option<(usize, usize)> {
    (1..=tail.len() / REPEATS).find_map(|p| {
        (0..LEAVING).map(|left| tail.len().saturating_sub(left)).find_map(|end| {
            let repeats = &tail[end.checked_sub(p * REPEATS)?..end];
            repeats.iter().zip(&repeats[p..]).all(|(a, b)| a.is_same_place(b)).then_some((end, p))
        })
    })
}
