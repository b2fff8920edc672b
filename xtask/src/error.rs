//! One error for the whole tool: a sentence for the person at the terminal.

use std::fmt;

/// What went wrong, in words.
#[derive(Debug)]
pub(crate) struct Error(String);

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Puts the name of the attempt before a foreign error.
pub(crate) trait Context<T> {
    fn context(self, attempt: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, attempt: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Error(format!("{attempt}: {error}")))
    }
}
