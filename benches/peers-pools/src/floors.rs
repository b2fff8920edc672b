//! The shortest pools that one can write by hand.

use crossbeam_queue::ArrayQueue;
use frame::{SIZE, Setup, TaskPool, ThreadPool, connections::Nothing};
use parking_lot::{Condvar, Mutex};
use tokio::sync::{Semaphore, SemaphorePermit};

/// For tasks: a queue of connections and a semaphore that counts them.
pub(crate) struct QueueAndSemaphore {
    idle: ArrayQueue<Nothing>,
    permits: Semaphore,
}

pub(crate) struct QueueGuard {
    pool: &'static QueueAndSemaphore,
    conn: Option<Nothing>,
    /// Given back after the connection.
    _permit: SemaphorePermit<'static>,
}

impl Drop for QueueGuard {
    fn drop(&mut self) {
        let conn = self.conn.take().expect("it has it until now");
        self.pool.idle.push(conn).expect("there is room for all");
    }
}

impl TaskPool for QueueAndSemaphore {
    type Conn = QueueGuard;

    async fn build(_: Setup) -> Self {
        let idle = ArrayQueue::new(SIZE);
        (0..SIZE).for_each(|_| idle.push(Nothing::open()).expect("there is room for all"));
        Self { idle, permits: Semaphore::new(SIZE) }
    }

    async fn get(&'static self) -> QueueGuard {
        let permit = self.permits.acquire().await.expect("nobody closes it");
        QueueGuard { pool: self, conn: self.idle.pop(), _permit: permit }
    }
}

/// For threads: a stack of connections under a lock, and a condition variable.
pub(crate) struct MutexAndCondvar {
    idle: Mutex<Vec<Nothing>>,
    given_back: Condvar,
}

pub(crate) struct StackGuard {
    pool: &'static MutexAndCondvar,
    conn: Option<Nothing>,
}

impl Drop for StackGuard {
    fn drop(&mut self) {
        self.pool.idle.lock().extend(self.conn.take());
        self.pool.given_back.notify_one();
    }
}

impl ThreadPool for MutexAndCondvar {
    type Conn = StackGuard;

    fn build(_: Setup) -> Self {
        let idle = (0..SIZE).map(|_| Nothing::open()).collect();
        Self { idle: Mutex::new(idle), given_back: Condvar::new() }
    }

    fn get(&'static self) -> StackGuard {
        let mut idle = self.idle.lock();
        self.given_back.wait_while(&mut idle, |idle| idle.is_empty());
        StackGuard { pool: self, conn: idle.pop() }
    }

    fn try_get(&'static self) -> Option<StackGuard> {
        let conn = self.idle.lock().pop()?;
        Some(StackGuard { pool: self, conn: Some(conn) })
    }
}
