//! Any serialisable statistics as samples: the numbers in it, named by their path.

use crate::metric::{Metrics, Samples, Unit, Value};
use serde::ser::{self, Serialize};
use std::fmt;

/// Reports every number in a serialisable value as a gauge named by its path: `open` in `PoolStats` of
/// the collector `pool` is `pool_open`, `wait.p99` is `pool_wait_p99`. Booleans are 0 or 1, durations are
/// seconds, words are texts of the dashboard; lists and what is `None` are left out.
///
/// ```
/// use ropewalk_monitor::{Monitor, Stats, gauge};
///
/// #[derive(serde::Serialize)]
/// struct PoolStats { open: usize, idle: usize }
///
/// let monitor = Monitor::builder().collect("pool", || Stats(PoolStats { open: 5, idle: 2 })).build()?;
/// monitor.ticked_blocking(0);
/// assert_eq!(monitor.value(&gauge("pool_idle")), Some(2.0));
/// # Ok::<(), ropewalk_monitor::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Stats<T>(pub T);

impl<T: Serialize> Metrics for Stats<T> {
    fn into_samples(self) -> Result<Samples, String> {
        let mut flat = Flat { path: String::new(), samples: Samples::new() };
        self.0.serialize(&mut flat).map_err(|Unserialisable(why)| why)?;
        Ok(flat.samples)
    }
}

struct Flat {
    path: String,
    samples: Samples,
}

#[derive(Debug)]
struct Unserialisable(String);

impl fmt::Display for Unserialisable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unserialisable {}

impl ser::Error for Unserialisable {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self(why.to_string())
    }
}

type Done = Result<(), Unserialisable>;

impl Flat {
    fn add(&mut self, value: Value, unit: Unit) -> Done {
        if !self.path.is_empty() {
            let samples = std::mem::take(&mut self.samples);
            self.samples = samples.push(self.path.clone(), value).unit(unit);
        }
        Ok(())
    }

    fn number(&mut self, value: f64) -> Done {
        self.add(Value::Gauge(value), Unit::None)
    }

    /// Runs `inner` one step down the path.
    fn under(&mut self, name: &str, inner: impl FnOnce(&mut Self) -> Done) -> Done {
        let before = self.path.len();
        if before > 0 {
            self.path.push('_');
        }
        self.path.push_str(name);
        let done = inner(self);
        self.path.truncate(before);
        done
    }
}

macro_rules! as_numbers {
    ($($method:ident: $type:ty),*) => { $(fn $method(self, value: $type) -> Done {
        self.number(value as f64)
    })* };
}

impl<'a> ser::Serializer for &'a mut Flat {
    type Ok = ();
    type Error = Unserialisable;
    type SerializeSeq = Skipped;
    type SerializeTuple = Skipped;
    type SerializeTupleStruct = Skipped;
    type SerializeTupleVariant = Skipped;
    type SerializeMap = Entries<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Fields<'a>;

    as_numbers!(serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
        serialize_f32: f32, serialize_f64: f64);

    fn serialize_bool(self, value: bool) -> Done {
        self.number(f64::from(u8::from(value)))
    }

    fn serialize_char(self, value: char) -> Done {
        self.add(Value::Text(value.to_string()), Unit::None)
    }

    fn serialize_str(self, value: &str) -> Done {
        self.add(Value::Text(value.to_owned()), Unit::None)
    }

    fn serialize_bytes(self, _: &[u8]) -> Done {
        Ok(())
    }

    fn serialize_none(self) -> Done {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Done {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Done {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Done {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Done {
        self.under(variant, |flat| value.serialize(flat))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Skipped, Unserialisable> {
        Ok(Skipped)
    }

    fn serialize_tuple(self, _: usize) -> Result<Skipped, Unserialisable> {
        Ok(Skipped)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Skipped, Unserialisable> {
        Ok(Skipped)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Skipped, Unserialisable> {
        Ok(Skipped)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries<'a>, Unserialisable> {
        Ok(Entries { flat: self, key: String::new() })
    }

    fn serialize_struct(self, name: &'static str, fields: usize) -> Result<Fields<'a>, Unserialisable> {
        // How serde writes `std::time::Duration`.
        let duration = (name == "Duration" && fields == 2).then_some(0.0);
        Ok(Fields { flat: self, duration })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Fields<'a>, Unserialisable> {
        Ok(Fields { flat: self, duration: None })
    }
}

struct Fields<'a> {
    flat: &'a mut Flat,
    /// The seconds so far, in a duration.
    duration: Option<f64>,
}

impl ser::SerializeStruct for Fields<'_> {
    type Ok = ();
    type Error = Unserialisable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Done {
        let Some(seconds) = &mut self.duration else {
            return self.flat.under(name, |flat| value.serialize(flat));
        };
        let mut part = Flat { path: "part".into(), samples: Samples::new() };
        value.serialize(&mut part)?;
        if let Some(Value::Gauge(value)) = part.samples.list.first().map(|sample| &sample.value) {
            *seconds += if name == "nanos" { value * 1e-9 } else { *value };
        }
        Ok(())
    }

    fn end(self) -> Done {
        match self.duration {
            Some(seconds) => self.flat.add(Value::Gauge(seconds), Unit::Seconds),
            None => Ok(()),
        }
    }
}

impl ser::SerializeStructVariant for Fields<'_> {
    type Ok = ();
    type Error = Unserialisable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Done {
        ser::SerializeStruct::serialize_field(self, name, value)
    }

    fn end(self) -> Done {
        Ok(())
    }
}

struct Entries<'a> {
    flat: &'a mut Flat,
    key: String,
}

impl ser::SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = Unserialisable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Done {
        let mut part = Flat { path: "key".into(), samples: Samples::new() };
        key.serialize(&mut part)?;
        self.key = match part.samples.list.into_iter().next().map(|sample| sample.value) {
            Some(Value::Text(text)) => text,
            Some(Value::Gauge(number) | Value::Counter(number)) => number.to_string(),
            Some(Value::Histogram(..)) | None => String::new(),
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        let key = std::mem::take(&mut self.key);
        if key.is_empty() { Ok(()) } else { self.flat.under(&key, |flat| value.serialize(flat)) }
    }

    fn end(self) -> Done {
        Ok(())
    }
}

struct Skipped;

macro_rules! skip {
    ($($trait:ident::$method:ident),*) => { $(impl ser::$trait for Skipped {
        type Ok = ();
        type Error = Unserialisable;

        fn $method<T: Serialize + ?Sized>(&mut self, _: &T) -> Done {
            Ok(())
        }

        fn end(self) -> Done {
            Ok(())
        }
    })* };
}

skip!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);
