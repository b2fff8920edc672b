//! A live page for the monitor: server-sent events, one self-contained page, `/metrics` and
//! `/health`, as an axum router.
//!
//! ```
//! use ropewalk_monitor::Monitor;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let monitor = Monitor::builder().system().build()?;
//! // beside routes of your own
//! let app: axum::Router = axum::Router::new().nest("/ops", ropewalk_dashboard::router(monitor.handle()));
//! // or alone, on a free port of the loopback
//! let server = ropewalk_dashboard::serve("127.0.0.1:0", monitor.handle()).await?;
//! println!("http://{}/", server.address());
//! server.shutdown().await;
//! # let _ = app;
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! | path | what |
//! |---|---|
//! | `/` | the page: six sections, always there, and the alerts with a button to acknowledge them |
//! | `/events` | a snapshot as a server-sent event, at once and then at each tick |
//! | `/api/snapshot` | the same as JSON |
//! | `/api/alerts/{id}/acknowledge` | `POST` with a header `x-ropewalk` |
//! | `/metrics` | Prometheus text |
//! | `/health` | JSON; 503 when the health is critical, or nothing was collected yet |
//!
//! # Guarantees
//!
//! * The page makes no request but to its own router, by relative addresses, and puts every text that it
//!   shows in as text. Its content security policy says so to the browser as well.
//! * [`serve`] binds the address that it is given and no other; a port alone means the loopback.
//! * There is no login here: who reaches the address reads all metrics and acknowledges alerts. A page of
//!   another origin can do neither.
//! * Reading costs the monitor a snapshot for each reader and tick, and nothing when nobody reads.

#![forbid(unsafe_code)]

mod events;
mod routes;
mod server;

pub use routes::router;
pub use server::{Server, serve};

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
