//! A concurrent cache: scan-resistant eviction, expiry of three kinds, weights, one load per key for threads and tasks alike.
