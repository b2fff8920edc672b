//! Atomic all-or-nothing leases on sets of named resources, for threads and tasks, first come first served, with deadlocks named.
