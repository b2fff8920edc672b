//! Concurrency crates for services that drive many workers against few resources, laid into one rope.
