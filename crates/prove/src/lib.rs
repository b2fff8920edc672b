//! A std/loom shim for concurrent code: one set of atomics, cells, latches and threads for the program and for its models.
