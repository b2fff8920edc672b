//! The works of the race of pools, and how they are measured: the programs of the area bring the contestants.
//!
//! A sample is a process of its own, so pools are leaked, and what managers count is counted in this process's
//! [`connections`].

use std::process::ExitCode;

use ropewalk_benches::contest::{self, Entry};

pub mod connections;
mod neighbour;
mod open;
pub mod random;
pub mod sets;
mod storm;
mod tasks;
pub mod threads;
mod uncontended;
pub mod window;

/// Connections of every pool.
pub const SIZE: usize = 10;

/// How a pool is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Nothing that can be left out: no lifetime, no timeout, no check, no hook.
    Bare,
    /// With lifetime, idle timeout, wait timeout, statistics and hooks, all that the pool has of them; nothing of it fires.
    Configured,
    /// Bare, but with a check at each checkout that awaits once.
    Checked,
}

/// A pool that tasks wait for. Each has [`SIZE`] connections.
pub trait TaskPool: Sync + 'static {
    /// A connection on loan.
    type Conn: Send + 'static;

    /// Builds it, inside a tokio runtime.
    fn build(setup: Setup) -> impl Future<Output = Self> + Send;

    /// Takes a connection.
    fn get(&'static self) -> impl Future<Output = Self::Conn> + Send;
}

/// A pool that threads wait for. Each has [`SIZE`] connections.
pub trait ThreadPool: Sync + 'static {
    /// A connection on loan.
    type Conn: Send + 'static;

    /// Builds it.
    fn build(setup: Setup) -> Self;

    /// Takes a connection.
    fn get(&'static self) -> Self::Conn;

    /// Takes a connection that is idle, where the pool has such a call of its own.
    fn try_get(&'static self) -> Option<Self::Conn>;
}

/// The works in the order in which they are told.
const WORKS: &[&str] = &[
    uncontended::TASK,
    uncontended::TASK_CONFIGURED,
    uncontended::THREAD,
    uncontended::THREAD_CONFIGURED,
    uncontended::TRY,
    tasks::NONE_2,
    tasks::NONE_8,
    tasks::NONE_32,
    tasks::NONE_128,
    tasks::YIELD_2,
    tasks::YIELD_8,
    tasks::YIELD_32,
    tasks::YIELD_128,
    tasks::YIELD_32_BUSY,
    tasks::YIELD_128_BUSY,
    threads::YIELD,
    threads::CPU,
    open::OPEN,
    storm::STORM,
    storm::STORM_CHECKED,
];

/// What a contestant for tasks enters.
pub fn task_entries<P: TaskPool>(contestant: &'static str) -> Vec<Entry> {
    let mut entries = vec![
        Entry {
            work: uncontended::TASK,
            contestant,
            run: |effort| uncontended::task::<P>(effort, Setup::Bare),
        },
        Entry {
            work: uncontended::TASK_CONFIGURED,
            contestant,
            run: |effort| uncontended::task::<P>(effort, Setup::Configured),
        },
    ];
    entries.extend(tasks::entries::<P>(contestant));
    entries.push(Entry { work: open::OPEN, contestant, run: open::open::<P> });
    entries.push(Entry {
        work: storm::STORM,
        contestant,
        run: |effort| storm::storm::<P>(effort, Setup::Bare),
    });
    entries.push(Entry {
        work: storm::STORM_CHECKED,
        contestant,
        run: |effort| storm::storm::<P>(effort, Setup::Checked),
    });
    entries
}

/// What a contestant that has no settings and no checks enters: [`task_entries`] without those works.
pub fn bare_task_entries<P: TaskPool>(contestant: &'static str) -> Vec<Entry> {
    let left_out = [uncontended::TASK_CONFIGURED, storm::STORM_CHECKED];
    task_entries::<P>(contestant).into_iter().filter(|entry| !left_out.contains(&entry.work)).collect()
}

pub use uncontended::limit_entries;

/// The program: answers `cargo xtask race`.
pub fn main(mut entries: Vec<Entry>) -> ExitCode {
    if neighbour::is_asked_for() {
        neighbour::keep_a_core_busy();
    }
    let place = |entry: &Entry| {
        let works = WORKS.iter().copied().chain(sets::works());
        works.into_iter().position(|work| work == entry.work)
    };
    // Stable: contestants keep their order within a work, and so do works that only one program has.
    entries.sort_by_key(place);
    contest::main(&entries)
}
