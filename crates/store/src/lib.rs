//! A SQL store: writes grouped into one transaction with one answer each, reads cached until a table they read changes.
