//! What a builder can refuse.

/// Why a histogram or a window cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Finer cells cost too much memory.
    #[error("precision of {bits} bits is too fine: use at most 12 (0.012 % error, 1.7 MB)")]
    Precision {
        /// The number asked for.
        bits: u32,
    },
    /// A window that holds no time holds no records.
    #[error("a window must be longer than 0 and have at least 1 part no shorter than 1 ns")]
    Window,
}
