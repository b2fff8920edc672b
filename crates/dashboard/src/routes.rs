//! The routes.

use crate::events::Events;
use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{
        Html, IntoResponse, Response,
        sse::{KeepAlive, Sse},
    },
    routing::{get, post},
};
use ropewalk_monitor::{AlertId, Dashboard, Handle, HealthState};
use std::sync::Arc;

const PAGE: &str = include_str!("page.html");
/// Nothing from elsewhere, nothing framed elsewhere, no form, no other base.
const POLICY: &str = "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

#[derive(Clone)]
pub(crate) struct Served {
    monitor: Handle,
    /// Ends the streams of events; a router in somebody else's server has none.
    stop: Option<Arc<ropewalk_sync::Event>>,
}

/// The page at `/`, its events, `/api/snapshot`, `/metrics` and `/health`. Nest it where you like.
pub fn router(monitor: Handle) -> Router {
    routes(monitor, None)
}

pub(crate) fn routes(monitor: Handle, stop: Option<Arc<ropewalk_sync::Event>>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/events", get(events))
        .route("/api/snapshot", get(snapshot))
        .route("/api/alerts/{id}/acknowledge", post(acknowledge))
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .with_state(Served { monitor, stop })
}

async fn page(headers: HeaderMap) -> Response {
    let tag = tag();
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let common = [
        (header::ETAG, HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"page\""))),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    // A cache on the way may have weakened the tag.
    let same = |known: &str| known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag);
    if known.is_some_and(same) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, Html(PAGE)).into_response()
}

/// Changes with the page: its length and the FNV-1a hash of its text.
fn tag() -> String {
    let hash = PAGE.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("\"{:x}-{hash:x}\"", PAGE.len())
}

async fn snapshot(
    State(Served { monitor, .. }): State<Served>,
) -> ([(header::HeaderName, &'static str); 1], Json<Dashboard>) {
    ([(header::CACHE_CONTROL, "no-store")], Json(monitor.dashboard()))
}

async fn metrics(State(Served { monitor, .. }): State<Served>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], monitor.prometheus())
        .into_response()
}

async fn health(State(Served { monitor, .. }): State<Served>) -> Response {
    let health = monitor.health();
    let status = match health.state {
        HealthState::Critical | HealthState::Unknown => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(health)).into_response()
}

/// A page of another origin cannot send the header, so it cannot acknowledge in the reader's name.
async fn acknowledge(
    State(Served { monitor, .. }): State<Served>,
    Path(id): Path<u64>,
    headers: HeaderMap,
) -> Response {
    if !headers.contains_key("x-ropewalk") {
        return (StatusCode::FORBIDDEN, "send a header x-ropewalk").into_response();
    }
    match monitor.acknowledge(AlertId(id), "dashboard") {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::NOT_FOUND, error.to_string()).into_response(),
    }
}

async fn events(State(Served { monitor, stop }): State<Served>, headers: HeaderMap) -> impl IntoResponse {
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    Sse::new(Events::new(monitor, stop, seen)).keep_alive(KeepAlive::default())
}
