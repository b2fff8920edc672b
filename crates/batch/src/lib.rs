//! A work-conserving micro-batcher: up to N items or T time, bounded concurrency, one answer per item, backpressure, drain on close.
