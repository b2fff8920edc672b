//! One FIFO wait queue for threads and tasks, a clock that can be virtual, timers, a semaphore: the waiting kernel of Ropewalk.
