//! What the monitor watches in a system, and what it does about it.
