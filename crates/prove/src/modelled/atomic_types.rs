//! Atomics whose every access is a step.

use super::{
    explore::{self, Place},
    ordered::{self, Slot},
    step::{Driver, Kind, Site, driver},
};
use loom::sync::atomic as checked;
pub use std::sync::atomic::Ordering;
use std::{
    fmt,
    marker::PhantomData,
    panic::Location,
    sync::atomic::{AtomicU64 as Bits, Ordering::SeqCst},
};

/// A value that fits a word.
trait Word: Copy {
    fn bits(self) -> u64;
    fn from_bits(bits: u64) -> Self;
    /// What stands for it in the hash of a state.
    fn print(bits: u64) -> u64 {
        bits
    }
}

macro_rules! word {
    ($($int:ident)*) => { $(
        impl Word for $int {
            fn bits(self) -> u64 {
                self as u64
            }
            fn from_bits(bits: u64) -> Self {
                bits as $int
            }
        }
    )* };
}
word!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

impl Word for bool {
    fn bits(self) -> u64 {
        u64::from(self)
    }
    fn from_bits(bits: u64) -> Self {
        bits != 0
    }
}

impl<T> Word for *mut T {
    fn bits(self) -> u64 {
        self.expose_provenance() as u64
    }
    fn from_bits(bits: u64) -> Self {
        std::ptr::with_exposed_provenance_mut(bits as usize)
    }
    /// Addresses differ from run to run; the order in which they appear does not.
    fn print(bits: u64) -> u64 {
        explore::pointer(bits as usize)
    }
}

/// A word of the explorer's, or of nobody's when it was made outside of a model.
struct Own<T: Word> {
    bits: Bits,
    place: Place,
    kind: PhantomData<fn() -> T>,
}

impl<T: Word> Own<T> {
    fn new(value: T) -> Self {
        let bits = value.bits();
        Self { bits: Bits::new(bits), place: Place::new(|| T::print(bits)), kind: PhantomData }
    }

    fn put(&self, old: u64, new: T) {
        self.bits.store(new.bits(), SeqCst);
        self.place.changed(T::print(old), T::print(new.bits()));
    }

    fn load(&self, site: Site) -> T {
        if !self.place.is_tracked() {
            return T::from_bits(self.bits.load(SeqCst));
        }
        explore::step(Kind::Load, site, &self.place, || {
            let bits = self.bits.load(SeqCst);
            (T::from_bits(bits), T::print(bits))
        })
    }

    fn store(&self, site: Site, value: T) {
        if !self.place.is_tracked() {
            return self.bits.store(value.bits(), SeqCst);
        }
        explore::step(Kind::Store, site, &self.place, || {
            self.put(self.bits.load(SeqCst), value);
            ((), 0)
        });
    }

    /// Replaces the value by `change` of it and returns what was there.
    fn rmw(&self, site: Site, change: impl Fn(T) -> T) -> T {
        if !self.place.is_tracked() {
            let change = |bits| Some(change(T::from_bits(bits)).bits());
            let (Ok(bits) | Err(bits)) = self.bits.fetch_update(SeqCst, SeqCst, change);
            return T::from_bits(bits);
        }
        explore::step(Kind::Rmw, site, &self.place, || {
            let bits = self.bits.load(SeqCst);
            let seen = T::from_bits(bits);
            self.put(bits, change(seen));
            (seen, T::print(bits))
        })
    }

    fn exchange(&self, site: Site, current: T, new: T, weak: bool) -> Result<T, T> {
        if !self.place.is_tracked() {
            let done = self.bits.compare_exchange(current.bits(), new.bits(), SeqCst, SeqCst);
            return done.map(T::from_bits).map_err(T::from_bits);
        }
        explore::step(Kind::CompareExchange, site, &self.place, || {
            let bits = self.bits.load(SeqCst);
            let seen = T::from_bits(bits);
            if bits == current.bits() && !(weak && explore::fails_spuriously()) {
                self.put(bits, new);
                (Ok(seen), T::print(bits))
            } else {
                // A spurious failure must not look like a success in the thread's history.
                (Err(seen), !T::print(bits))
            }
        })
    }
}

impl<T: Word> Drop for Own<T> {
    fn drop(&mut self) {
        if self.place.is_tracked() {
            self.place.forget(T::print(self.bits.load(SeqCst)));
        }
    }
}

enum Imp<L, T: Word> {
    Checked(L),
    Own(Own<T>),
}

macro_rules! atomic {
    ($name:ident, $value:ty, $doc:literal $(, $generic:ident)?) => {
        #[doc = $doc]
        pub struct $name$(<$generic>)?(Imp<checked::$name$(<$generic>)?, $value>);

        impl$(<$generic>)? $name$(<$generic>)? {
            /// Holds `value`.
            pub fn new(value: $value) -> Self {
                Self(if driver() == Driver::Loom { Imp::Checked(checked::$name::new(value)) } else { Imp::Own(Own::new(value)) })
            }

            /// Reads the value.
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                let site = Location::caller();
                match &self.0 {
                    Imp::Checked(a) => a.load(ordered::step(site, Slot::Load, order)),
                    Imp::Own(a) => a.load(site),
                }
            }

            /// Writes a value.
            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                let site = Location::caller();
                match &self.0 {
                    Imp::Checked(a) => a.store(value, ordered::step(site, Slot::Store, order)),
                    Imp::Own(a) => a.store(site, value),
                }
            }

            /// Writes a value and returns what was there.
            #[track_caller]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                let site = Location::caller();
                match &self.0 {
                    Imp::Checked(a) => a.swap(value, ordered::step(site, Slot::Rmw, order)),
                    Imp::Own(a) => a.rmw(site, |_| value),
                }
            }

            /// Writes `new` if the value is `current`.
            ///
            /// # Errors
            ///
            /// Gives the value that was there instead.
            #[track_caller]
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                let site = Location::caller();
                match &self.0 {
                    Imp::Checked(a) => {
                        let (success, failure) = ordered::exchange(site, success, failure);
                        a.compare_exchange(current, new, success, failure)
                    }
                    Imp::Own(a) => a.exchange(site, current, new, false),
                }
            }

            /// As `compare_exchange`, and may fail for no reason, which the explorer makes it do.
            ///
            /// # Errors
            ///
            /// Gives the value that was there.
            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                let site = Location::caller();
                match &self.0 {
                    Imp::Checked(a) => {
                        let (success, failure) = ordered::exchange(site, success, failure);
                        a.compare_exchange_weak(current, new, success, failure)
                    }
                    Imp::Own(a) => a.exchange(site, current, new, true),
                }
            }

            /// Replaces the value by what `change` makes of it, in a loop of compare-exchanges.
            ///
            /// # Errors
            ///
            /// Gives the value for which `change` made none.
            #[track_caller]
            pub fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                mut change: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut seen = self.load(failure);
                while let Some(new) = change(seen) {
                    match self.compare_exchange_weak(seen, new, success, failure) {
                        Ok(old) => return Ok(old),
                        Err(now) => seen = now,
                    }
                }
                Err(seen)
            }
        }

        impl$(<$generic>)? fmt::Debug for $name$(<$generic>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }

        impl$(<$generic>)? From<$value> for $name$(<$generic>)? {
            fn from(value: $value) -> Self {
                Self::new(value)
            }
        }
    };
}

macro_rules! fetch {
    ($name:ident, $value:ty, $($(#[$doc:meta])* $op:ident = $change:expr;)*) => {
        impl $name {
            $(
                $(#[$doc])*
                #[track_caller]
                pub fn $op(&self, by: $value, order: Ordering) -> $value {
                    let site = Location::caller();
                    match &self.0 {
                        Imp::Checked(a) => a.$op(by, ordered::step(site, Slot::Rmw, order)),
                        Imp::Own(a) => {
                            let change: fn($value, $value) -> $value = $change;
                            a.rmw(site, |seen| change(seen, by))
                        }
                    }
                }
            )*
        }
    };
}

macro_rules! integers {
    ($($name:ident, $value:ty, $doc:literal;)*) => { $(
        atomic!($name, $value, $doc);
        fetch! { $name, $value,
            /// Adds, wrapping; returns what was there.
            fetch_add = |seen, by| seen.wrapping_add(by);
            /// Subtracts, wrapping; returns what was there.
            fetch_sub = |seen, by| seen.wrapping_sub(by);
            /// Clears the bits that `by` has not; returns what was there.
            fetch_and = |seen, by| seen & by;
            /// Sets the bits that `by` has; returns what was there.
            fetch_or = |seen, by| seen | by;
            /// Flips the bits that `by` has; returns what was there.
            fetch_xor = |seen, by| seen ^ by;
            /// Raises the value to `by`; returns what was there.
            fetch_max = |seen, by| seen.max(by);
            /// Lowers the value to `by`; returns what was there.
            fetch_min = |seen, by| seen.min(by);
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new(0)
            }
        }
    )* };
}

integers! {
    AtomicU8, u8, "An atomic `u8`.";
    AtomicU16, u16, "An atomic `u16`.";
    AtomicU32, u32, "An atomic `u32`.";
    AtomicU64, u64, "An atomic `u64`.";
    AtomicUsize, usize, "An atomic `usize`.";
    AtomicI8, i8, "An atomic `i8`.";
    AtomicI16, i16, "An atomic `i16`.";
    AtomicI32, i32, "An atomic `i32`.";
    AtomicI64, i64, "An atomic `i64`.";
    AtomicIsize, isize, "An atomic `isize`.";
}

atomic!(AtomicBool, bool, "An atomic `bool`.");
fetch! { AtomicBool, bool,
    /// And; returns what was there.
    fetch_and = |seen, by| seen & by;
    /// Or; returns what was there.
    fetch_or = |seen, by| seen | by;
    /// Exclusive or; returns what was there.
    fetch_xor = |seen, by| seen ^ by;
}

impl Default for AtomicBool {
    fn default() -> Self {
        Self::new(false)
    }
}

atomic!(AtomicPtr, *mut T, "An atomic pointer.", T);

/// A fence.
#[track_caller]
pub fn fence(order: Ordering) {
    let site = Location::caller();
    match driver() {
        Driver::Loom => {
            if let Some(order) = ordered::fence(site, order) {
                checked::fence(order);
            }
        }
        // Sequentially consistent anyway.
        Driver::Explorer => explore::own_step(Kind::Fence, site),
        Driver::None => std::sync::atomic::fence(order),
    }
}
