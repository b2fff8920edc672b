//! Recording primitives: striped counters, gauges, log-linear histograms that merge and window.
//!
//! ```
//! use ropewalk_measure::{Counter, Gauge, Histogram};
//!
//! let served = Counter::new();
//! let in_flight = Gauge::new();
//! let latency = Histogram::new();
//! std::thread::scope(|threads| {
//!     for worker in 0..4_u64 {
//!         let (served, in_flight, latency) = (&served, &in_flight, &latency);
//!         threads.spawn(move || {
//!             in_flight.add(1);
//!             latency.record(1_000 * (worker + 1));
//!             served.incr();
//!             in_flight.sub(1);
//!         });
//!     }
//! });
//! assert_eq!((served.value(), in_flight.value(), latency.snapshot().max()), (4, 0, Some(4_000)));
//! ```
//!
//! # Overview
//!
//! * [`Counter`] only grows; [`Gauge`] and [`FloatGauge`] go up and down, the first with its peak.
//! * [`Histogram`] counts values by size within 1.6 % (or what you choose), over all of `u64`, in fixed
//!   memory. Its [`Snapshot`] answers quantiles, merges with others and subtracts earlier ones.
//! * [`Windowed`], [`Rate`] and [`Ewma`] forget: a histogram and a counter over a sliding window, and a
//!   rate with a half-life, by a [`Clock`](ropewalk_sync::Clock) that a test can turn.
//!
//! All are handles: clones record into the same place, and all are `Send + Sync`.
//!
//! # Guarantees
//!
//! | operation | progress | beside others |
//! |---|---|---|
//! | `Counter::add` | wait-free, one `fetch_add` | exact once all adds are over |
//! | `Counter::value` | wait-free | intermediate value; never shrinks for one reader; not linearizable |
//! | `Gauge::set`, `add`, `sub`, `value` | lock-free (`fetch_max` may loop), usually one `fetch_add` | the level is linearizable, the peak follows |
//! | `FloatGauge::add` | lock-free | linearizable |
//! | `Histogram::record` | lock-free, two `fetch_add`s once the extremes are known | exact once all records are over |
//! | `Histogram::snapshot` | wait-free | holds all records before it, none after it, any of those beside it; what it counts, it sums |
//! | `Windowed::record`, `Rate::add` | never wait; the first of a part copies the recorder | records beside a boundary may count to its other side |
//! | `Windowed::snapshot`, `Rate::count`, `Ewma::rate` | wait for one another | |
//!
//! No user code runs in this crate. Nothing on a recording path allocates, but for the copy at the
//! boundary of a window. A thread that is being torn down records as any other.
//!
//! # Features
//!
//! * `serde`: `Serialize` for values and snapshots.

#![forbid(unsafe_code)]

mod counter;
mod error;
mod ewma;
mod gauge;
mod histogram;
#[doc(hidden)]
pub mod raw;
mod snapshot;
mod stripe;
mod window;

pub use counter::Counter;
pub use error::BuildError;
pub use ewma::{Ewma, EwmaBuilder};
pub use gauge::{FloatGauge, Gauge};
pub use histogram::{Histogram, HistogramBuilder};
pub use snapshot::{Bucket, Snapshot};
pub use window::{Rate, WindowBuilder, Windowed};

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
