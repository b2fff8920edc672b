//! Live metrics, alert rules with corrective actions, trend and anomaly analysis, deadlock and
//! contention watch, Prometheus text.
//!
//! ```
//! use ropewalk_monitor::{AlertKind, Monitor, Rule, Samples, Section, Severity, gauge};
//! use std::time::Duration;
//!
//! let monitor = Monitor::builder()
//!     .every(Duration::from_secs(1))
//!     .collect("pool", || Samples::new().section(Section::Concurrency).gauge("open", 5).gauge("waiting", 0))
//!     .rule(Rule::new("pool waits").kind(AlertKind::LockContention).when(gauge("pool_waiting").above(10.0)))
//!     .on_alert(|event| eprintln!("{event}"))
//!     .build()?; // its threads end when it drops
//! let served = monitor.counter("requests", [("route", "/")])?; // recorders of your own
//! served.incr();
//! monitor.ticked_blocking(1); // two ticks, the first is at once
//! assert_eq!(monitor.value(&gauge("pool_open")), Some(5.0));
//! assert!(monitor.prometheus().contains("requests_total{route=\"/\"} 1"));
//! println!("{}\n{}", monitor.health(), monitor.performance());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! * **Collecting**: a [`Builder::collect`]or returns [`Samples`], or any serialisable statistics as
//!   `Stats` (feature `serde`); [`Builder::system`] reads CPU and memory; the monitor's own recorders are
//!   [`Handle::counter`] and its kin.
//! * **Alerting**: a [`Rule`] has a condition ([`gauge`], [`counter`], [`histogram`], [`raised`],
//!   [`deadlock`]), times, a clear threshold and corrective actions; each set of labels has an [`Alert`]
//!   of its own, to [acknowledge](Handle::acknowledge), [resolve](Handle::resolve),
//!   [silence](Handle::silence). [`Phase`] is the state machine alone.
//! * **Waiting**: [`Builder::watch_waits`] reads the wait-for graphs that pools publish and names
//!   [`Deadlock`]s; contention is the histogram of the waits, as a sample like others.
//! * **Looking back**: [`Handle::trends`], [`Handle::anomalies`], [`Handle::performance`],
//!   [`Handle::health`].
//! * **Showing**: [`Handle::dashboard`] as plain data, [`Handle::prometheus`] as text.
//!
//! # Guarantees
//!
//! * **Isolation**: a collector that panics or fails takes nothing with it; one that does not return costs its
//!   time limit once, then it is skipped until it does. Callbacks and actions run on threads of their own
//!   behind bounded queues: neither can stall the monitor or each other. What is dropped is counted.
//! * **Alerts**: identity is the rule and the labels, so a condition that goes on is one alert. Missing data
//!   and NaN resolve nothing. Between threshold and clear threshold nothing changes. A corrective action runs
//!   once for each firing, and what came of it is recorded.
//! * **No false deadlock**: each wait of a reported cycle was there, unbroken, from one look to the next. A
//!   deadlock of the published waits is reported at the second tick after it began.
//! * **Bounded**: series, points, alerts kept, queues, stuck threads.
//! * User code (collectors, callbacks, actions) runs under no lock of this crate.
//! * By a virtual clock ticks, rules and silences are exact.
//! * Cancel safety: dropping any future of the monitor changes nothing.
//!
//! # Features
//!
//! * `system` (default): CPU and memory through `sysinfo`.
//! * `serde`: `Serialize` for everything that is shown, and `Stats`.

#![forbid(unsafe_code)]

mod alert;
mod analyse;
mod builder;
mod collect;
mod condition;
mod deliver;
mod error;
#[cfg(feature = "serde")]
mod flatten;
mod handle;
mod health;
mod machine;
mod manager;
mod metric;
mod monitor;
mod prometheus;
mod registry;
mod rule;
#[cfg(feature = "system")]
mod system;
mod table;
mod view;
mod waits;

pub use alert::{
    Acknowledgement, ActionRecord, ActionState, Alert, AlertEvent, AlertId, AlertState, AlertSummary,
    Happened, Resolution, Silence, SilenceId,
};
pub use analyse::{PerformanceSummary, SeriesSummary, SeriesTrend};
pub use builder::Builder;
pub use collect::CollectorStatus;
pub use condition::{Expr, Select, When, counter, deadlock, gauge, histogram, raised};
pub use error::{AlertError, BuildError, RaiseError, RegisterError, RuleError};
#[cfg(feature = "serde")]
pub use flatten::Stats;
pub use handle::Handle;
pub use health::{Health, HealthState};
pub use machine::{Phase, Signal, Step, Timing};
pub use metric::{Labels, Metrics, Number, Sample, Samples, Section, Unit, Value};
pub use monitor::Monitor;
pub use rule::{AlertKind, Category, Firing, Outcome, Rule, Severity};
pub use table::Anomaly;
pub use view::{AlertView, Card, CardValue, Dashboard, SectionView};
pub use waits::{Deadlock, Member, WaitEdge};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
