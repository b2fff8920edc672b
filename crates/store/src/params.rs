//! Parameters of a statement, as values of their own.

use rusqlite::{
    Error, Result, ToSql,
    types::{ToSqlOutput, Value},
};
use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

/// What can stand for `?1`, `?2`, … of a statement: `()`, tuples, arrays, slices and vectors of what
/// rusqlite can bind.
///
/// ```
/// use ropewalk_store::Params;
/// assert_eq!((7, "done", None::<f64>).into_values()?.len(), 3);
/// assert_eq!(["a", "b"].into_values()?.len(), 2);
/// assert_eq!(().into_values()?.len(), 0);
/// # Ok::<(), ropewalk_store::rusqlite::Error>(())
/// ```
pub trait Params {
    /// The values, in order.
    ///
    /// # Errors
    ///
    /// What the conversion of a value says.
    fn into_values(self) -> Result<Vec<Value>>;
}

fn value<T: ToSql + ?Sized>(param: &T) -> Result<Value> {
    match param.to_sql()? {
        ToSqlOutput::Owned(value) => Ok(value),
        ToSqlOutput::Borrowed(value) => {
            value.try_into().map_err(|error| Error::ToSqlConversionFailure(Box::new(error)))
        }
        _ => Err(Error::ToSqlConversionFailure("only plain values can be parameters".into())),
    }
}

impl Params for () {
    fn into_values(self) -> Result<Vec<Value>> {
        Ok(Vec::new())
    }
}

/// So that `[]` means no parameters.
impl Params for [&(dyn ToSql + Send + Sync); 0] {
    fn into_values(self) -> Result<Vec<Value>> {
        Ok(Vec::new())
    }
}

impl<T: ToSql> Params for &[T] {
    fn into_values(self) -> Result<Vec<Value>> {
        self.iter().map(value).collect()
    }
}

/// The values as they are, nothing is copied.
impl Params for Vec<Value> {
    fn into_values(self) -> Result<Vec<Value>> {
        Ok(self)
    }
}

macro_rules! arrays {
    ($($n:literal)*) => {$(
        impl<T: ToSql> Params for [T; $n] {
            fn into_values(self) -> Result<Vec<Value>> {
                self.iter().map(value).collect()
            }
        }

        impl<T: ToSql> Params for &[T; $n] {
            fn into_values(self) -> Result<Vec<Value>> {
                self.iter().map(value).collect()
            }
        }
    )*};
}
arrays!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 20 24 32);

macro_rules! tuples {
    ($($name:ident)*) => {
        impl<$($name: ToSql),*> Params for ($($name,)*) {
            fn into_values(self) -> Result<Vec<Value>> {
                #[allow(non_snake_case, reason = "the type parameters name the fields")]
                let ($($name,)*) = self;
                Ok(vec![$(value(&$name)?),*])
            }
        }
    };
}
tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);
tuples!(A B C D E F G H I);
tuples!(A B C D E F G H I J);
tuples!(A B C D E F G H I J K);
tuples!(A B C D E F G H I J K L);
tuples!(A B C D E F G H I J K L M);
tuples!(A B C D E F G H I J K L M N);
tuples!(A B C D E F G H I J K L M N O);
tuples!(A B C D E F G H I J K L M N O P);

/// A statement and its parameters: one step of an operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    pub(crate) sql: Arc<str>,
    pub(crate) params: Vec<Value>,
}

impl Statement {
    /// `sql` is one statement; several are several `Statement`s.
    ///
    /// # Errors
    ///
    /// What the conversion of a parameter says.
    pub fn new(sql: impl Into<Arc<str>>, params: impl Params) -> Result<Self> {
        Ok(Self { sql: sql.into(), params: params.into_values()? })
    }

    /// The text.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The parameters.
    pub fn params(&self) -> &[Value] {
        &self.params
    }
}

/// A query as a key: equal when text and parameters are equal bit by bit.
#[derive(Clone, Debug)]
pub(crate) struct Key(pub(crate) Arc<Statement>);

impl Key {
    /// Bytes it occupies, about.
    pub(crate) fn weight(&self) -> usize {
        self.0.sql.len() + self.0.params.iter().map(weight).sum::<usize>() + 64
    }
}

/// Bytes a value occupies, about.
pub(crate) fn weight(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::Null | Value::Integer(_) | Value::Real(_) => 0,
            Value::Text(text) => text.len(),
            Value::Blob(blob) => blob.len(),
        }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let same = |(a, b): (&Value, &Value)| match (a, b) {
            (Value::Real(a), Value::Real(b)) => a.to_bits() == b.to_bits(),
            (a, b) => a == b,
        };
        self.0.sql == other.0.sql
            && self.0.params.len() == other.0.params.len()
            && self.0.params.iter().zip(&other.0.params).all(same)
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.sql.hash(state);
        for value in &self.0.params {
            std::mem::discriminant(value).hash(state);
            match value {
                Value::Null => {}
                Value::Integer(integer) => integer.hash(state),
                Value::Real(real) => real.to_bits().hash(state),
                Value::Text(text) => text.hash(state),
                Value::Blob(blob) => blob.hash(state),
            }
        }
    }
}
