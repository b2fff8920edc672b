//! What is written together or not at all.

use crate::params::{Params, Statement};

/// One or more statements that are written together or not at all, with one answer.
///
/// ```
/// use ropewalk_store::Operation;
/// let operation = Operation::new()
///     .then("update account set cents = cents - ?2 where id = ?1", (1, 500))?
///     .then("update account set cents = cents + ?2 where id = ?1", (2, 500))?;
/// assert_eq!(operation.statements().len(), 2);
/// # Ok::<(), ropewalk_store::rusqlite::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operation(Vec<Statement>);

impl Operation {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a statement.
    ///
    /// # Errors
    ///
    /// What the conversion of a parameter says.
    pub fn then(mut self, sql: &str, params: impl Params) -> rusqlite::Result<Self> {
        self.0.push(Statement::new(sql, params)?);
        Ok(self)
    }

    /// Adds a statement.
    pub fn push(&mut self, statement: Statement) {
        self.0.push(statement);
    }

    /// The statements in order.
    pub fn statements(&self) -> &[Statement] {
        &self.0
    }
}

impl From<Statement> for Operation {
    fn from(statement: Statement) -> Self {
        Self(vec![statement])
    }
}

impl FromIterator<Statement> for Operation {
    fn from_iter<I: IntoIterator<Item = Statement>>(statements: I) -> Self {
        Self(statements.into_iter().collect())
    }
}
