//! Rows as values, and how they become yours.

use crate::params::weight;
use rusqlite::types::{FromSql, FromSqlError, Value, ValueRef};
use std::{fmt, sync::Arc};

/// The rows of a query. Clones share them.
#[derive(Clone, Default)]
pub struct Rows(Arc<Inner>);

#[derive(Default)]
struct Inner {
    columns: Box<[Box<str>]>,
    /// Row by row.
    values: Box<[Value]>,
}

impl Rows {
    /// Reads all rows of `statement`, whose parameters are bound.
    pub(crate) fn read(statement: &mut rusqlite::Statement<'_>) -> rusqlite::Result<Self> {
        let names = |statement: &rusqlite::Statement<'_>| -> Box<[Box<str>]> {
            statement.column_names().into_iter().map(Box::from).collect()
        };
        let mut columns = None;
        let mut values = Vec::new();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            // Not before the first row: SQLite compiles the statement again there if the schema has
            // changed, and `select *` may be wider then.
            let width = columns.get_or_insert_with(|| names(row.as_ref())).len();
            for at in 0..width {
                let value = row.get_ref(at)?;
                values.push(value.try_into().map_err(|error| {
                    rusqlite::Error::FromSqlConversionFailure(at, value.data_type(), Box::new(error))
                })?);
            }
        }
        drop(rows);
        let columns = columns.unwrap_or_else(|| names(statement));
        Ok(Self(Arc::new(Inner { columns, values: values.into() })))
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.0.values.len().checked_div(self.0.columns.len()).unwrap_or(0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.values.is_empty()
    }

    /// The names of the columns.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.columns.iter().map(|name| &**name)
    }

    /// One row.
    pub fn get(&self, index: usize) -> Option<Row<'_>> {
        let width = self.0.columns.len();
        let values = self.0.values.get(index.checked_mul(width)?..)?.get(..width)?;
        (width > 0).then_some(Row { columns: &self.0.columns, values })
    }

    /// The rows in order.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        let width = self.0.columns.len().max(1);
        self.0.values.chunks_exact(width).map(|values| Row { columns: &self.0.columns, values })
    }

    /// Bytes they occupy, about.
    pub(crate) fn weight(&self) -> usize {
        self.0.values.iter().map(weight).sum::<usize>()
            + self.0.columns.iter().map(|name| name.len() + 16).sum::<usize>()
            + 64
    }
}

impl PartialEq for Rows {
    fn eq(&self, other: &Self) -> bool {
        self.0.columns == other.0.columns && self.0.values == other.0.values
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// One row.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    columns: &'a [Box<str>],
    values: &'a [Value],
}

impl Row<'_> {
    /// The value of a column, by its place (from 0) or its name.
    ///
    /// # Errors
    ///
    /// [`RowError`] when there is no such column or it holds something else.
    pub fn get<T: FromSql>(&self, column: impl ColumnIndex) -> Result<T, RowError> {
        let at = column.find(self)?;
        T::column_result(ValueRef::from(&self.values[at]))
            .map_err(|source| RowError::Type { column: self.columns[at].to_string(), source })
    }

    /// How many columns.
    pub fn width(&self) -> usize {
        self.values.len()
    }

    /// The values.
    pub fn values(&self) -> &[Value] {
        self.values
    }
}

impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.columns.iter().zip(self.values)).finish()
    }
}

/// A column's place or name. Sealed.
pub trait ColumnIndex: sealed::Sealed {
    #[doc(hidden)]
    fn find(&self, row: &Row<'_>) -> Result<usize, RowError>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for usize {}
    impl Sealed for &str {}
}

impl ColumnIndex for usize {
    fn find(&self, row: &Row<'_>) -> Result<usize, RowError> {
        if *self < row.values.len() {
            return Ok(*self);
        }
        Err(RowError::NoColumn { column: self.to_string(), width: row.values.len() })
    }
}

impl ColumnIndex for &str {
    fn find(&self, row: &Row<'_>) -> Result<usize, RowError> {
        row.columns
            .iter()
            .position(|name| name.eq_ignore_ascii_case(self))
            .ok_or_else(|| RowError::NoColumn { column: (*self).to_owned(), width: row.values.len() })
    }
}

/// A row is not what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// There is no such column.
    #[error("there is no column {column} among the row's {width}")]
    NoColumn {
        /// The place or name asked for.
        column: String,
        /// How many columns there are.
        width: usize,
    },
    /// The column holds something else.
    #[error("column {column} does not hold what was asked for: {source}")]
    Type {
        /// Its name.
        column: String,
        /// What it holds.
        source: FromSqlError,
    },
    /// Said by your own [`FromRow`].
    #[error("{0}")]
    Other(String),
}

/// What a row can become: a plain value (its first column), a tuple (its first columns), or a type of
/// your own.
///
/// ```
/// use ropewalk_store::{FromRow, Row, RowError};
/// struct Task { id: i64, state: String }
/// impl FromRow for Task {
///     fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
///         Ok(Self { id: row.get("id")?, state: row.get("state")? })
///     }
/// }
/// ```
pub trait FromRow: Sized {
    /// Reads the row.
    ///
    /// # Errors
    ///
    /// [`RowError`] when the row is something else.
    fn from_row(row: &Row<'_>) -> Result<Self, RowError>;
}

macro_rules! plain {
    ($($type:ty)*) => {$(
        impl FromRow for $type {
            fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
                row.get(0)
            }
        }
    )*};
}
plain!(i8 i16 i32 i64 isize u8 u16 u32 f32 f64 bool String Box<str> Arc<str> Vec<u8> Value);

impl<T: FromSql> FromRow for Option<T> {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        row.get(0)
    }
}

macro_rules! tuples {
    ($($name:ident $at:literal)*) => {
        impl<$($name: FromSql),*> FromRow for ($($name,)*) {
            fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
                Ok(($(row.get::<$name>($at)?,)*))
            }
        }
    };
}
tuples!(A 0);
tuples!(A 0 B 1);
tuples!(A 0 B 1 C 2);
tuples!(A 0 B 1 C 2 D 3);
tuples!(A 0 B 1 C 2 D 3 E 4);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11);
