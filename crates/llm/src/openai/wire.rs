//! The JSON of requests, answers, pieces and errors.

use crate::{Allowance, BackendError, Completion, Delta, ErrorKind, Usage, chat::Body};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Longer messages of servers are cut.
const MAX_MESSAGE: usize = 500;

pub(super) fn request(body: &Body, stream: bool) -> Vec<u8> {
    let messages = body.messages.iter().map(|m| json!({ "role": m.role.name(), "content": m.content }));
    let mut fields = Map::new();
    fields.insert("model".into(), (*body.model).into());
    fields.insert("messages".into(), messages.collect());
    // Through its shortest decimal form, so that 0.7 is sent as 0.7 and not as the nearest double.
    let decimal = |value: f32| value.to_string().parse::<f64>().unwrap_or(value.into());
    if let Some(temperature) = body.temperature {
        fields.insert("temperature".into(), decimal(temperature).into());
    }
    if let Some(share) = body.top_p {
        fields.insert("top_p".into(), decimal(share).into());
    }
    if let Some(tokens) = body.max_tokens {
        fields.insert("max_tokens".into(), tokens.into());
    }
    if let Some(seed) = body.seed {
        fields.insert("seed".into(), seed.into());
    }
    if !body.stop.is_empty() {
        fields.insert("stop".into(), body.stop.clone().into());
    }
    for (name, value) in &body.options {
        fields.insert(name.clone(), value.clone());
    }
    if stream {
        fields.insert("stream".into(), true.into());
        fields.insert("stream_options".into(), json!({ "include_usage": true }));
    }
    Value::Object(fields).to_string().into_bytes()
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    model: Option<String>,
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Counted>,
}

#[derive(Deserialize)]
struct Choice {
    /// In a whole answer.
    #[serde(default)]
    message: Option<Text>,
    /// In a piece.
    #[serde(default)]
    delta: Option<Text>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Text {
    #[serde(default)]
    content: Option<String>,
}

#[derive(Deserialize)]
struct Counted {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

impl From<Counted> for Usage {
    fn from(counted: Counted) -> Self {
        Self::new(counted.prompt_tokens, counted.completion_tokens)
    }
}

#[derive(Deserialize)]
struct Failure {
    error: Value,
}

pub(super) fn completion(body: &[u8]) -> Result<Completion, BackendError> {
    let answer: Answer = read(body)?;
    let choice = answer.choices.into_iter().next().ok_or_else(|| malformed("the answer holds no choice"))?;
    let text = choice.message.ok_or_else(|| malformed("the answer's choice holds no message"))?;
    let mut completion = Completion::new(text.content.unwrap_or_default());
    completion.model = answer.model;
    completion.usage = answer.usage.map(Usage::from).unwrap_or_default();
    completion.finish_reason = choice.finish_reason;
    Ok(completion)
}

/// A streamed answer, from the data of its events.
pub(super) struct Streamed {
    end: Completion,
}

impl Streamed {
    pub(super) fn new(allowance: Allowance) -> Self {
        Self { end: Completion::default().allowance(allowance) }
    }

    /// The pieces in `events`. The answer ends with `[DONE]`, or where a server leaves that out, at the
    /// end of the bytes once the model has said why it stopped.
    pub(super) fn take(&mut self, events: &[String], last: bool) -> Result<Vec<Delta>, BackendError> {
        let mut deltas = Vec::new();
        for event in events {
            if event.trim() == "[DONE]" {
                deltas.push(Delta::new("").end(std::mem::take(&mut self.end)));
                return Ok(deltas);
            }
            if let Ok(Failure { error }) = serde_json::from_str::<Failure>(event) {
                if !error.is_null() {
                    return Err(BackendError::new(ErrorKind::Unavailable, said(&error)));
                }
            }
            let piece: Answer = read(event.as_bytes())?;
            if piece.model.is_some() {
                self.end.model = piece.model;
            }
            if let Some(usage) = piece.usage {
                self.end.usage = usage.into();
            }
            if let Some(choice) = piece.choices.into_iter().next() {
                if choice.finish_reason.is_some() {
                    self.end.finish_reason = choice.finish_reason;
                }
                let text = choice.delta.and_then(|delta| delta.content).unwrap_or_default();
                if !text.is_empty() {
                    deltas.push(Delta::new(text));
                }
            }
        }
        if last {
            if self.end.finish_reason.is_none() {
                return Err(BackendError::new(ErrorKind::Cut, "the stream ended before the answer did"));
            }
            deltas.push(Delta::new("").end(std::mem::take(&mut self.end)));
        }
        Ok(deltas)
    }
}

/// An answer with a status that is no success.
pub(super) fn error(status: u16, body: &[u8]) -> BackendError {
    let error = serde_json::from_slice::<Failure>(body).map(|failure| failure.error).unwrap_or_default();
    let code = error.get("code").or_else(|| error.get("type")).and_then(Value::as_str).unwrap_or_default();
    let kind = match status {
        // No waiting helps against an empty account.
        429 if code == "insufficient_quota" => ErrorKind::Unauthorized,
        429 => ErrorKind::RateLimited,
        401..=403 => ErrorKind::Unauthorized,
        404 => ErrorKind::NotFound,
        408 | 504 => ErrorKind::Timeout,
        // Another request with the same key is on its way, or the server is not ready for it yet.
        409 | 425 => ErrorKind::Unavailable,
        400..=499 => ErrorKind::Rejected,
        500..=599 => ErrorKind::Unavailable,
        _ => ErrorKind::Malformed,
    };
    let message = if error.is_null() { cut(&String::from_utf8_lossy(body)) } else { said(&error) };
    let message = if message.trim().is_empty() { "the server gave no reason".into() } else { message };
    BackendError::new(kind, message).status(status)
}

/// What an error object says: its message, or all of it.
fn said(error: &Value) -> String {
    match error.get("message").or(Some(error)) {
        Some(Value::String(message)) => cut(message),
        Some(other) => cut(&other.to_string()),
        None => String::new(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_MESSAGE) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, BackendError> {
    serde_json::from_slice(body)
        .map_err(|error| malformed(&format!("the server's JSON does not fit: {error}")))
}

fn malformed(message: &str) -> BackendError {
    BackendError::new(ErrorKind::Malformed, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Chat;

    #[test]
    fn a_request_holds_what_was_set_and_nothing_else() {
        let chat = Chat::model("m").system("s").user("u").temperature(0.7);
        let sent: Value = serde_json::from_slice(&request(chat.body(), false)).unwrap();
        assert_eq!(
            sent,
            json!({
                "model": "m",
                "messages": [{ "role": "system", "content": "s" }, { "role": "user", "content": "u" }],
                "temperature": 0.7,
            })
        );
        let chat = Chat::model("m").assistant("a").top_p(0.5).max_tokens(9).seed(1).stop("x").option("n", 1);
        let sent: Value = serde_json::from_slice(&request(chat.body(), true)).unwrap();
        assert_eq!(
            sent,
            json!({
                "model": "m", "messages": [{ "role": "assistant", "content": "a" }], "top_p": 0.5,
                "max_tokens": 9, "seed": 1, "stop": ["x"], "n": 1,
                "stream": true, "stream_options": { "include_usage": true },
            })
        );
    }

    #[test]
    fn answers_are_read_and_others_refused() {
        let body = json!({
            "model": "m-1", "usage": { "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7 },
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": "hi" }, "finish_reason": "stop" }],
        });
        let answer = completion(body.to_string().as_bytes()).unwrap();
        assert_eq!(answer, Completion::new("hi").model("m-1").usage(Usage::new(3, 4)).finish_reason("stop"));
        for wrong in ["", "{}", "[]", r#"{"choices":[]}"#, r#"{"choices":[{}]}"#, "<html>"] {
            assert_eq!(completion(wrong.as_bytes()).unwrap_err().kind, ErrorKind::Malformed, "{wrong}");
        }
    }

    #[test]
    fn statuses_become_kinds() {
        let kind = |status, body: &str| error(status, body.as_bytes()).kind;
        assert_eq!(kind(429, "{}"), ErrorKind::RateLimited);
        assert_eq!(kind(429, r#"{"error":{"code":"insufficient_quota"}}"#), ErrorKind::Unauthorized);
        assert_eq!(kind(500, ""), ErrorKind::Unavailable);
        assert_eq!(kind(400, ""), ErrorKind::Rejected);
        assert_eq!(kind(404, ""), ErrorKind::NotFound);
        assert_eq!(kind(302, ""), ErrorKind::Malformed);
        assert_eq!(error(500, br#"{"error":{"message":"oops"}}"#).message, "oops");
        assert_eq!(error(500, br#"{"error":"oops"}"#).message, "oops");
        assert_eq!(error(500, b"plain").message, "plain");
        assert_eq!(error(500, b"").message, "the server gave no reason");
        assert!(error(500, "ä".repeat(2_000).as_bytes()).message.chars().count() <= MAX_MESSAGE + 1);
    }

    #[test]
    fn a_stream_ends_by_done_or_by_a_reason_and_is_cut_otherwise() {
        let piece = |text: &str| json!({ "choices": [{ "delta": { "content": text } }] }).to_string();
        let reason = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] }).to_string();
        let usage =
            json!({ "model": "m", "choices": [], "usage": { "prompt_tokens": 1, "completion_tokens": 2 } });

        let mut streamed = Streamed::new(Allowance::default());
        let deltas =
            streamed.take(&[piece("a"), reason.clone(), usage.to_string(), "[DONE]".into()], false).unwrap();
        assert_eq!(deltas.len(), 2);
        let end = deltas[1].end.clone().unwrap();
        assert_eq!((end.usage, end.finish_reason.as_deref()), (Usage::new(1, 2), Some("stop")));

        let mut streamed = Streamed::new(Allowance::default());
        assert!(streamed.take(&[piece("a"), reason], true).unwrap()[1].end.is_some());
        let mut streamed = Streamed::new(Allowance::default());
        assert_eq!(streamed.take(&[piece("a")], true).unwrap_err().kind, ErrorKind::Cut);
        let mut streamed = Streamed::new(Allowance::default());
        let failure = r#"{"error":{"message":"overloaded"}}"#.to_owned();
        assert_eq!(streamed.take(&[failure], false).unwrap_err().message, "overloaded");
    }
}
