//! What benches and races share. The Criterion benches of our own operations stand in `benches/`; the races against
//! peers are run by `cargo xtask race AREA`, and [`contest`] is the side of them that measures.

pub mod contest;
