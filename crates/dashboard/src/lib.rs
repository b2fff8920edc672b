//! A live page for the monitor: server-sent events, one self-contained page, /metrics and /health, as an axum router.
