//! A manager whose every step can be watched, failed, held up or made to panic.

use parking_lot::{Condvar, Mutex};
use ropewalk_connections::Manager;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
};

#[derive(Clone, Default)]
pub(crate) struct Fake(pub(crate) Arc<State>);

#[derive(Default)]
pub(crate) struct State {
    pub(crate) live: AtomicUsize,
    /// Most connections alive at once.
    pub(crate) peak: AtomicUsize,
    pub(crate) opened: AtomicU64,
    pub(crate) attempts: AtomicU64,
    pub(crate) checks: AtomicU64,
    pub(crate) resets: AtomicU64,
    pub(crate) refuse_above: AtomicUsize,
    pub(crate) fail_connect: AtomicBool,
    pub(crate) fail_check: AtomicBool,
    pub(crate) fail_reset: AtomicBool,
    /// Panics at the n-th call of any method from now on, counting from 1; 0 for never.
    pub(crate) panic_in: AtomicU64,
    pub(crate) connect_gate: Gate,
    pub(crate) check_gate: Gate,
    /// The thread of each step.
    pub(crate) threads: Mutex<Vec<String>>,
}

/// Holds up whoever passes while it is shut.
#[derive(Default)]
pub(crate) struct Gate {
    shut: Mutex<bool>,
    waiting: Mutex<usize>,
    changed: Condvar,
}

impl Gate {
    pub(crate) fn shut(&self) {
        *self.shut.lock() = true;
    }

    pub(crate) fn open(&self) {
        *self.shut.lock() = false;
        self.changed.notify_all();
    }

    fn pass(&self) {
        *self.waiting.lock() += 1;
        self.changed.notify_all();
        let mut shut = self.shut.lock();
        while *shut {
            self.changed.wait(&mut shut);
        }
        drop(shut);
        *self.waiting.lock() -= 1;
    }

    /// Waits until somebody stands at the gate.
    pub(crate) fn wait_for_arrival(&self) {
        let mut waiting = self.waiting.lock();
        while *waiting == 0 {
            self.changed.wait(&mut waiting);
        }
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum FakeError {
    #[error("the server is down")]
    Down,
    #[error("too many connections")]
    TooMany,
    #[error("the connection is dead")]
    Dead,
}

pub(crate) struct FakeConn {
    pub(crate) id: u64,
    pub(crate) broken: bool,
    pub(crate) dirty: bool,
    state: Arc<State>,
}

impl Drop for FakeConn {
    fn drop(&mut self) {
        self.state.live.fetch_sub(1, SeqCst);
    }
}

impl Fake {
    fn step(&self) {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        self.0.threads.lock().push(name);
        self.maybe_panic();
    }

    fn maybe_panic(&self) {
        let left = self.0.panic_in.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        if left == Ok(1) {
            panic!("injected");
        }
    }

    pub(crate) fn live(&self) -> usize {
        self.0.live.load(SeqCst)
    }

    pub(crate) fn opened(&self) -> u64 {
        self.0.opened.load(SeqCst)
    }
}

impl Manager for Fake {
    type Conn = FakeConn;
    type Error = FakeError;

    fn connect(&self) -> Result<FakeConn, FakeError> {
        self.0.attempts.fetch_add(1, SeqCst);
        self.step();
        self.0.connect_gate.pass();
        if self.0.fail_connect.load(SeqCst) {
            return Err(FakeError::Down);
        }
        let most = self.0.refuse_above.load(SeqCst);
        let live = self.0.live.fetch_add(1, SeqCst) + 1;
        if most > 0 && live > most {
            self.0.live.fetch_sub(1, SeqCst);
            return Err(FakeError::TooMany);
        }
        self.0.peak.fetch_max(live, SeqCst);
        let id = self.0.opened.fetch_add(1, SeqCst) + 1;
        Ok(FakeConn { id, broken: false, dirty: false, state: self.0.clone() })
    }

    fn check(&self, conn: &mut FakeConn) -> Result<(), FakeError> {
        self.step();
        self.0.check_gate.pass();
        self.0.checks.fetch_add(1, SeqCst);
        if self.0.fail_check.load(SeqCst) || conn.broken { Err(FakeError::Dead) } else { Ok(()) }
    }

    fn reset(&self, conn: &mut FakeConn) -> Result<(), FakeError> {
        self.step();
        self.0.resets.fetch_add(1, SeqCst);
        if self.0.fail_reset.load(SeqCst) {
            return Err(FakeError::Dead);
        }
        conn.dirty = false;
        Ok(())
    }

    fn close(&self, conn: FakeConn) {
        self.step();
        drop(conn);
    }

    fn needs_reset(&self, conn: &FakeConn) -> bool {
        self.maybe_panic();
        conn.dirty
    }

    fn is_broken(&self, conn: &FakeConn) -> bool {
        self.maybe_panic();
        conn.broken
    }

    fn is_refusal(&self, error: &FakeError) -> bool {
        self.maybe_panic();
        *error == FakeError::TooMany
    }
}
