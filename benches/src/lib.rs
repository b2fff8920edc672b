//! Criterion benches of the family's own operations; races against peers are run by `cargo xtask race`.
