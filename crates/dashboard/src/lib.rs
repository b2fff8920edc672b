//! A live page for the monitor: server-sent events, one self-contained page, `/metrics` and
//! `/health`, as an axum router.
//!
//! ```
//! use ropewalk_monitor::Monitor;
//!
//! let monitor = Monitor::builder().system().build()?;
//! let app: axum::Router = axum::Router::new().nest("/ops", ropewalk_dashboard::router(monitor.handle()));
//! # let _ = app;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Guarantees
//!
//! * The page makes no request but to its own router, and escapes every text that it shows.
//! * [`serve`] binds the address that it is given and no other.
//! * Reading costs the monitor a snapshot for each reader and tick.

#![forbid(unsafe_code)]

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{
        Html, IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::{get, post},
};
use futures_core::Stream;
use ropewalk_monitor::{AlertId, Dashboard, Handle};
use std::{
    convert::Infallible,
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

const PAGE: &str = include_str!("page.html");
const POLICY: &str =
    "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// The page at `/`, its events, `/api/snapshot`, `/metrics` and `/health`. Nest it where you like.
pub fn router(monitor: Handle) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/events", get(events))
        .route("/api/snapshot", get(snapshot))
        .route("/api/alerts/{id}/acknowledge", post(acknowledge))
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .with_state(monitor)
}

/// A dashboard that is being served; it ends when this drops.
pub struct Server {
    address: SocketAddr,
    stop: Arc<ropewalk_sync::Event>,
}

/// Serves the [`router`] at `address`, on the tokio runtime that this runs on.
///
/// # Errors
///
/// When the address cannot be bound.
pub async fn serve(address: &str, monitor: Handle) -> io::Result<Server> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let stop = Arc::new(ropewalk_sync::Event::new());
    let stopped = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            // Accepting does not fail for good; what a connection meets is its own.
            _ = async { axum::serve(listener, router(monitor)).await } => {}
            () = stopped.wait() => {}
        }
    });
    Ok(Server { address, stop })
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it.
    pub fn stop(&self) {
        self.stop.set();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn page() -> Response {
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(PAGE)).into_response()
}

async fn snapshot(State(monitor): State<Handle>) -> Json<Dashboard> {
    Json(monitor.dashboard())
}

async fn metrics(State(monitor): State<Handle>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], monitor.prometheus())
        .into_response()
}

async fn health(State(monitor): State<Handle>) -> Response {
    let critical = monitor.alert_summary().critical > 0;
    let status = if critical { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, Json(monitor.health())).into_response()
}

/// A page of another origin cannot send the header, so it cannot acknowledge in the reader's name.
async fn acknowledge(State(monitor): State<Handle>, Path(id): Path<u64>, headers: HeaderMap) -> Response {
    if !headers.contains_key("x-ropewalk") {
        return StatusCode::FORBIDDEN.into_response();
    }
    match monitor.acknowledge(AlertId(id), "dashboard") {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::NOT_FOUND, error.to_string()).into_response(),
    }
}

async fn events(State(monitor): State<Handle>) -> impl IntoResponse {
    let timer = tokio::time::interval(monitor.every().max(Duration::from_millis(100)));
    Sse::new(Ticks { monitor, timer }).keep_alive(KeepAlive::default())
}

/// A snapshot at once, then one at each tick.
struct Ticks {
    monitor: Handle,
    timer: tokio::time::Interval,
}

impl Stream for Ticks {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        ready!(self.timer.poll_tick(cx));
        let view = self.monitor.dashboard();
        let event = Event::default().id(view.tick.to_string()).retry(Duration::from_secs(1));
        // The view is plain data; if it ever fails to serialise, a comment says so.
        Poll::Ready(Some(Ok(event
            .json_data(&view)
            .unwrap_or_else(|e| Event::default().comment(e.to_string())))))
    }
}
