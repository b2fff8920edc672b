//! A language model server in the OpenAI wire format, whose answers are extractive reviews.
//!
//! It behaves as a real one does under load: a number of slots, latency that grows when more calls
//! than slots are in flight, `429` with `Retry-After` when far too many are, and failures at a
//! chosen rate. Latencies and failures come from a seed and the request, not from a clock.

use crate::review::{Review, summarize};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    hash::{Hash, Hasher},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

/// How a server behaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Behaviour {
    /// Latency of a call on an idle server.
    pub latency: Duration,
    /// Share of calls that fail with a 500 or a 429, from 0 to 1.
    pub fail_rate: f64,
    /// Calls that are answered at full speed at once.
    pub slots: usize,
    /// Seeds latencies and failures.
    pub seed: u64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { latency: Duration::from_millis(200), fail_rate: 0.0, slots: 4, seed: 0 }
    }
}

/// The server as an axum router.
pub fn router(behaviour: Behaviour) -> Router {
    let model = Arc::new(Model { behaviour, in_flight: AtomicU64::new(0), served: AtomicU64::new(0) });
    Router::new()
        .route("/health", get(health))
        .route("/v1/chat/completions", post(complete))
        .with_state(model)
}

/// Serves on a free port of the loopback until `until` completes.
///
/// # Errors
///
/// When the port cannot be bound or the server breaks.
pub async fn serve(
    behaviour: Behaviour,
    ready: impl FnOnce(SocketAddr),
    until: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    ready(listener.local_addr()?);
    axum::serve(listener, router(behaviour)).with_graceful_shutdown(until).await
}

struct Model {
    behaviour: Behaviour,
    in_flight: AtomicU64,
    served: AtomicU64,
}

/// One call in flight, as long as it lives: a client that goes away ends it too.
struct Call(Arc<Model>);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Deserialize)]
struct Request {
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: String,
}

async fn health(State(model): State<Arc<Model>>) -> Json<Value> {
    Json(
        json!({ "status": "ok", "in_flight": model.in_flight.load(Ordering::Relaxed), "served": model.served.load(Ordering::Relaxed) }),
    )
}

async fn complete(
    State(model): State<Arc<Model>>,
    headers: HeaderMap,
    Json(request): Json<Request>,
) -> Response {
    let in_flight = model.in_flight.fetch_add(1, Ordering::Relaxed) as usize + 1;
    let _call = Call(model.clone());
    let behaviour = &model.behaviour;
    let nth = model.served.fetch_add(1, Ordering::Relaxed);
    let prompt: String = request.messages.iter().map(|m| m.content.as_str()).collect::<Vec<_>>().join("\n");

    // A retry of the same request must be able to fare better, so the count is part of the draw.
    let draw =
        unit(&(behaviour.seed, &prompt, nth, headers.get("idempotency-key").map(|key| key.as_bytes())));
    if in_flight > behaviour.slots * 8 {
        return refuse(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_exceeded",
            "too many calls in flight",
            Some(1),
        );
    }
    let overload = in_flight.saturating_sub(behaviour.slots) as f64 / behaviour.slots.max(1) as f64;
    let spread = 0.75 + 0.5 * unit(&(behaviour.seed, &prompt));
    tokio::time::sleep(behaviour.latency.mul_f64(spread * (1.0 + overload))).await;
    if draw < behaviour.fail_rate / 2.0 {
        return refuse(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_exceeded",
            "try again a little later",
            Some(0),
        );
    }
    if draw < behaviour.fail_rate {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "the model stumbled", None);
    }

    let text = answer(&request.messages);
    let usage = json!({
        "prompt_tokens": tokens(&prompt), "completion_tokens": tokens(&text), "total_tokens": tokens(&prompt) + tokens(&text),
    });
    let id = format!("chatcmpl-{nth}");
    if request.stream {
        return Sse::new(Chunks::new(&id, &request.model, &text, usage)).into_response();
    }
    Json(json!({
        "id": id, "object": "chat.completion", "created": 0, "model": request.model, "usage": usage,
        "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": text } }],
    }))
    .into_response()
}

fn refuse(status: StatusCode, code: &str, message: &str, retry_after: Option<u32>) -> Response {
    let mut response = (status, Json(json!({ "error": { "message": message, "type": code, "code": code } })))
        .into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// The review or the summary that the last user message asks for.
fn answer(messages: &[Message]) -> String {
    let Some(ask) = messages.iter().rev().find(|m| m.role == "user") else {
        return "There is no user message to answer.".into();
    };
    let (task, material) = ask.content.split_once('\n').unwrap_or((&ask.content, ""));
    if let Some(code) = fenced(material) {
        return Review::of(code).to_string();
    }
    let subject = task.split('`').nth(1).unwrap_or("this");
    if material.contains("## ") {
        return summarize(subject, material);
    }
    let words = ask.content.split_whitespace().count();
    format!("The request has {words} words and no source code; its first line reads: {task}")
}

/// What stands between the first code fence and the last.
fn fenced(text: &str) -> Option<&str> {
    let start = text.find("```")?;
    let body = &text[start..];
    let body = &body[body.find('\n')? + 1..];
    Some(body.rfind("```").map_or(body, |end| &body[..end]))
}

/// About four characters a token.
fn tokens(text: &str) -> usize {
    text.len().div_ceil(4)
}

/// A number in 0..1 that depends on `key` alone.
fn unit(key: &impl Hash) -> f64 {
    let mut hasher = std::hash::DefaultHasher::new();
    key.hash(&mut hasher);
    (hasher.finish() >> 11) as f64 / (1u64 << 53) as f64
}

/// The answer in chunks of a line, then the usage, then `[DONE]`.
struct Chunks(std::vec::IntoIter<String>);

impl Chunks {
    fn new(id: &str, model: &str, text: &str, usage: Value) -> Self {
        let chunk = |delta: Value, finish: Value, usage: Value| {
            json!({
                "id": id, "object": "chat.completion.chunk", "created": 0, "model": model, "usage": usage,
                "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
            })
            .to_string()
        };
        let mut chunks: Vec<String> = text
            .split_inclusive('\n')
            .map(|line| chunk(json!({ "content": line }), Value::Null, Value::Null))
            .collect();
        chunks.push(chunk(json!({}), json!("stop"), usage));
        chunks.push("[DONE]".into());
        Self(chunks.into_iter())
    }
}

impl futures_core::Stream for Chunks {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.next().map(|data| Ok(Event::default().data(data))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(content: &str) -> String {
        answer(&[Message { role: "user".into(), content: content.into() }])
    }

    #[test]
    fn reviews_the_fenced_source_and_sums_up_reviews() {
        let review = ask("Review the file `a.rs`:\n```rust\npub fn f() {}\n```");
        assert!(review.contains("public items: 1, without docs: 1 (1:f)"), "{review}");
        let summary = ask(&format!("Sum up the package `demo`:\n## a.rs\n{review}"));
        assert!(summary.contains("in 1 parts of demo"), "{summary}");
        assert!(ask("Hello").contains("1 words"));
    }

    #[test]
    fn source_with_fences_of_its_own_is_kept_whole() {
        let source = "//! ```\n//! f();\n//! ```\npub fn f() {}\n";
        assert_eq!(fenced(&format!("x\n```rust\n{source}```")), Some(source));
    }
}
