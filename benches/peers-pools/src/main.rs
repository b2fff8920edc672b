//! Pools of connections and sets of resources: ours against the named peers.

use std::process::ExitCode;

use frame::{bare_task_entries, limit_entries, sets, task_entries, threads};
use ropewalk_benches::contest::OURS;

mod bb8_pool;
mod deadpool_pool;
mod floors;
mod mobc_pool;
mod ours;
mod r2d2_pool;
mod set_peers;

fn main() -> ExitCode {
    let mut entries = task_entries::<ours::Tasks>(OURS);
    entries.extend(threads::entries::<ours::Threads>(OURS));
    entries.extend(sets::entries::<ours::Resources>(OURS));
    entries.extend(task_entries::<deadpool_pool::Deadpool>("deadpool"));
    entries.extend(task_entries::<bb8_pool::Bb8>("bb8"));
    entries.extend(task_entries::<mobc_pool::Mobc>("mobc"));
    entries.extend(threads::entries::<r2d2_pool::R2d2>("r2d2"));
    entries.extend(bare_task_entries::<floors::QueueAndSemaphore>("array-queue-semaphore"));
    entries.extend(threads::bare_entries::<floors::MutexAndCondvar>("mutex-condvar"));
    entries.extend(limit_entries("two-cas"));
    entries.extend(sets::entries::<set_peers::Ordered>("parking-lot-ordered"));
    entries.extend(sets::entries::<set_peers::OrderedFair>("parking-lot-ordered-fair"));
    entries.extend(sets::entries::<set_peers::Lockable>("lockable"));
    entries.extend(sets::entries::<set_peers::Semaphores>("tokio-semaphores"));
    entries.extend(sets::entries::<set_peers::Global>("global-mutex-condvar"));
    frame::main(entries)
}
