//! Boarding a flight: the steps of every loading operation.
//!
//! [`Core::board`] finds the key's entry, or a flight to wait for, or makes the caller the leader of a
//! new one. Threads and tasks do it alike; a thread drives [`Core::aboard`] by parking.

use crate::{
    LoadError,
    core::{Core, Placing},
    entry::Held,
    flight::{Flight, Landing, Phase},
    nest::{Edges, Inside},
    raw::contained::contain,
};
use ropewalk_sync::{Cancelled, Polled, Ticket};
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

/// Where a caller stands that found no entry at first.
pub(crate) enum Aboard<'a, K: Eq, V> {
    /// Somebody else brought the value.
    Value(Held<K, V>),
    /// Somebody else found that there is none.
    Nothing,
    /// The caller loads it.
    Lead(Lead<'a, K, V>),
}

enum Boarding<'a, K: Eq, V> {
    Found(Held<K, V>),
    Lead(Lead<'a, K, V>),
    Wait(Wait<'a, K, V>),
}

impl<K: Eq, V> Core<K, V> {
    /// Waits until the key's value is here or the caller is to load it. `optional` callers take the
    /// answer that there is none; others load again, for theirs may find one.
    pub(crate) async fn aboard<E: Send + Sync + 'static>(
        &self,
        hash: u64,
        key: &K,
        optional: bool,
    ) -> Result<Aboard<'_, K, V>, LoadError<E>>
    where
        K: Clone,
    {
        loop {
            let wait = match self.board(hash, key) {
                None => return Err(LoadError::Recursive),
                Some(Boarding::Found(held)) => return Ok(Aboard::Value(held)),
                Some(Boarding::Lead(lead)) => return Ok(Aboard::Lead(lead)),
                Some(Boarding::Wait(wait)) => wait,
            };
            match wait.await {
                Waited::Lead(lead) => return Ok(Aboard::Lead(lead)),
                Waited::Landed(Landing::Value(held)) => {
                    self.tally.shared_loads.incr();
                    return Ok(Aboard::Value(held));
                }
                Waited::Landed(Landing::Nothing) if optional => {
                    self.tally.shared_loads.incr();
                    return Ok(Aboard::Nothing);
                }
                Waited::Landed(Landing::Failed(error)) => {
                    // Callers of one key may use different error types; then each loads by itself.
                    if let Ok(error) = error.downcast::<E>() {
                        self.tally.shared_loads.incr();
                        return Err(LoadError::Failed(error));
                    }
                }
                Waited::Landed(Landing::Nothing | Landing::Lead) => {}
            }
        }
    }

    /// `None` when the caller would wait for itself.
    fn board(&self, hash: u64, key: &K) -> Option<Boarding<'_, K, V>>
    where
        K: Clone,
    {
        let mut prepared = None;
        loop {
            let now = self.now();
            let mut shard = self.lock(hash);
            let (chain, flights) = (shard.chain(hash), shard.flights(hash).to_vec());
            if chain.is_empty() && flights.is_empty() {
                if let Some(flight) = prepared {
                    shard.register(hash, Arc::clone(&flight));
                    drop(shard);
                    return Some(Boarding::Lead(Lead { core: self, flight, hash, landed: false }));
                }
            }
            drop(shard);
            if let Some(link) = chain.iter().find(|link| *link.held.key == *key) {
                if link.deadline > now {
                    return Some(Boarding::Found(link.held.clone()));
                }
            }
            if let Some(flight) = flights.iter().find(|flight| flight.is_of(key)) {
                match Wait::new(self, flight, hash) {
                    Ok(wait) => return Some(Boarding::Wait(wait)),
                    Err(NoWait::Recursive) => return None,
                    // It landed between the two looks, so it is registered no more.
                    Err(NoWait::Landed) => continue,
                }
            }
            let flight = prepared.take().unwrap_or_else(|| Flight::new(key.clone()));
            let mut shard = self.lock(hash);
            let same_flights = {
                let present = shard.flights(hash);
                present.len() == flights.len()
                    && present.iter().zip(&flights).all(|(one, other)| Arc::ptr_eq(one, other))
            };
            if same_flights && shard.chain_is(hash, &chain) {
                shard.register(hash, Arc::clone(&flight));
                drop(shard);
                return Some(Boarding::Lead(Lead { core: self, flight, hash, landed: false }));
            }
            drop(shard);
            prepared = Some(flight);
        }
    }
}

/// A place in a flight's line. Dropping it leaves the line; a lead handed over already passes on.
struct Wait<'a, K: Eq, V> {
    core: &'a Core<K, V>,
    flight: Arc<Flight<K, V>>,
    hash: u64,
    ticket: Option<Ticket<(), Landing<K, V>>>,
    edges: Edges,
}

enum NoWait {
    /// It would wait for itself.
    Recursive,
    /// The flight is over.
    Landed,
}

enum Waited<'a, K: Eq, V> {
    Lead(Lead<'a, K, V>),
    Landed(Landing<K, V>),
}

impl<'a, K: Eq, V> Wait<'a, K, V> {
    fn new(core: &'a Core<K, V>, flight: &Arc<Flight<K, V>>, hash: u64) -> Result<Self, NoWait> {
        let edges = core.waits.enter(flight.id()).ok_or(NoWait::Recursive)?;
        let mut wait = Self { core, flight: Arc::clone(flight), hash, ticket: None, edges };
        let mut line = flight.line.lock();
        if *line == Phase::Landed {
            drop(line);
            return Err(NoWait::Landed);
        }
        wait.ticket = Some(line.join(()));
        drop(line);
        Ok(wait)
    }

    fn lead(&self) -> Lead<'a, K, V> {
        Lead { core: self.core, flight: Arc::clone(&self.flight), hash: self.hash, landed: false }
    }
}

impl<'a, K: Eq, V> Future for Wait<'a, K, V> {
    type Output = Waited<'a, K, V>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(ticket) = &this.ticket else { return Poll::Pending };
        loop {
            match this.flight.line.poll(ticket, cx) {
                Polled::Pending => return Poll::Pending,
                // Flights take no grant back, so there is nothing to serve before looking again.
                Polled::Rejoined => {}
                Polled::Ready(landing) => {
                    this.ticket = None;
                    return Poll::Ready(match landing {
                        Landing::Lead => Waited::Lead(this.lead()),
                        landed @ (Landing::Value(_) | Landing::Nothing | Landing::Failed(_)) => {
                            Waited::Landed(landed)
                        }
                    });
                }
            }
        }
    }
}

impl<K: Eq, V> Drop for Wait<'_, K, V> {
    fn drop(&mut self) {
        self.core.waits.leave(&self.edges);
        let Some(ticket) = self.ticket.take() else { return };
        match self.flight.line.cancel(ticket) {
            Cancelled::Granted(Landing::Lead) => drop(self.lead()),
            // Perhaps the last share of the user's error.
            Cancelled::Granted(landed @ (Landing::Value(_) | Landing::Nothing | Landing::Failed(_))) => {
                contain(|| drop(landed));
            }
            Cancelled::Removed => {}
        }
    }
}

/// The duty to land a flight. Dropping it hands the lead to the next in line.
pub(crate) struct Lead<'a, K: Eq, V> {
    core: &'a Core<K, V>,
    flight: Arc<Flight<K, V>>,
    hash: u64,
    landed: bool,
}

impl<K: Eq, V> Lead<'_, K, V> {
    /// Runs a closure as this flight's loader.
    pub(crate) fn run<R>(&self, load: impl FnOnce() -> R) -> R {
        let _inside = Inside::of(self.flight.id());
        load()
    }

    /// Runs a future as this flight's loader.
    pub(crate) async fn drive<F: Future>(&self, load: impl FnOnce() -> F) -> F::Output {
        let mut future = pin!(self.run(load));
        poll_fn(|cx| self.run(|| future.as_mut().poll(cx))).await
    }

    /// Brings the loader's answer to everybody, and into the cache.
    pub(crate) fn land<E: Send + Sync + 'static>(
        mut self,
        key: K,
        loaded: Result<Option<V>, E>,
    ) -> Result<Option<Held<K, V>>, LoadError<E>> {
        let core = self.core;
        match loaded {
            Ok(Some(value)) => {
                let weight = core.weigh(&key, &value);
                let lifetime = core.lifetime(&key, &value);
                let held = Held::new(key, value, self.hash, weight);
                if core.is_too_heavy(weight) {
                    core.refuse(held.clone());
                } else {
                    core.place(held.clone(), lifetime, &Placing::Load(&self.flight));
                }
                self.finish(&Landing::Value(held.clone()));
                core.tally.loads.incr();
                Ok(Some(held))
            }
            Ok(None) => {
                self.finish(&Landing::Nothing);
                core.tally.loads.incr();
                Ok(None)
            }
            Err(error) => {
                let error = Arc::new(error);
                self.finish(&Landing::Failed(error.clone()));
                drop(key);
                core.tally.load_failures.incr();
                Err(LoadError::Failed(error))
            }
        }
    }

    fn finish(&mut self, landing: &Landing<K, V>) {
        self.core.lock(self.hash).deregister(self.hash, &self.flight);
        self.landed = true;
        let mut line = self.flight.line.lock();
        *line = Phase::Landed;
        line.grant_all(|| landing.clone());
    }
}

impl<K: Eq, V> Drop for Lead<'_, K, V> {
    fn drop(&mut self) {
        if self.landed {
            return;
        }
        self.core.tally.load_failures.incr();
        let mut shard = self.core.lock(self.hash);
        let mut line = self.flight.line.lock();
        if line.grant_front(Landing::Lead).is_err() {
            *line = Phase::Landed;
            shard.deregister(self.hash, &self.flight);
        }
        // The shard first: the line fires a wake-up, which is user code, when it opens.
        drop(shard);
        drop(line);
    }
}
