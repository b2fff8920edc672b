//! The HTTP client and the runtime that it needs.

use super::{Secret, Settings, headers, setup, sse, wire};
use crate::{BackendError, Completion, Deltas, ErrorKind};
use bytes::Bytes;
use futures_core::Stream;
use reqwest::{
    Client, Response, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use ropewalk_sync::Event;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{runtime::Handle, sync::mpsc, task::AbortHandle};

/// No answer of a model is longer; a server that sends more is broken.
const MAX_BODY: usize = 64 << 20;
/// Pieces read ahead of a stream's consumer.
const READ_AHEAD: usize = 32;

/// What clones of a server share.
pub(super) struct Core {
    client: Client,
    /// For loopback servers, whatever proxy the environment names.
    direct: Client,
    runtime: Runtime,
}

enum Runtime {
    Users(Handle),
    Own(OwnRuntime),
}

struct OwnRuntime {
    handle: Handle,
    end: Arc<Event>,
    thread: Option<JoinHandle<()>>,
}

/// A request, ready to go.
pub(super) struct Posted {
    pub(super) url: Url,
    pub(super) key: Option<Secret>,
    pub(super) idempotency_key: Arc<str>,
    pub(super) body: Vec<u8>,
}

impl Core {
    pub(super) fn start(settings: &Settings) -> Result<Self, BackendError> {
        // The builder of a client looks for the process's provider. Another thread may be first; then
        // there is one, which is all that is needed.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            let _other = rustls::crypto::ring::default_provider().install_default();
        }
        let runtime = match &settings.runtime {
            Some(handle) => Runtime::Users(handle.clone()),
            None => Runtime::Own(OwnRuntime::start()?),
        };
        Ok(Self {
            client: client(settings.connect_timeout, false)?,
            direct: client(settings.connect_timeout, true)?,
            runtime,
        })
    }

    pub(super) fn client(&self, url: &Url) -> Client {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let loopback = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        if loopback { self.direct.clone() } else { self.client.clone() }
    }

    pub(super) fn handle(&self) -> &Handle {
        match &self.runtime {
            Runtime::Users(handle) => handle,
            Runtime::Own(own) => &own.handle,
        }
    }
}

fn client(connect_timeout: Duration, direct: bool) -> Result<Client, BackendError> {
    let builder = || {
        let builder = Client::builder()
            .connect_timeout(connect_timeout)
            // A redirected POST would become another request, or send the key elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("ropewalk-llm/", env!("CARGO_PKG_VERSION")));
        if direct { builder.no_proxy() } else { builder }
    };
    // A system without certificates can still talk plain HTTP; over TLS no server is trusted then.
    builder()
        .build()
        .or_else(|_| builder().tls_certs_only([]).build())
        .map_err(|error| setup(format!("the HTTP client cannot be built: {error}")))
}

impl OwnRuntime {
    fn start() -> Result<Self, BackendError> {
        let refused =
            |error: std::io::Error| setup(format!("the runtime of the HTTP client cannot start: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(refused)?;
        let handle = runtime.handle().clone();
        let end = Arc::new(Event::new());
        let ended = end.clone();
        let thread = thread::Builder::new()
            .name("ropewalk-openai".into())
            .spawn(move || runtime.block_on(ended.wait()))
            .map_err(refused)?;
        Ok(Self { handle, end, thread: Some(thread) })
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        self.end.set();
        if let Some(thread) = self.thread.take() {
            // The last clone may be dropped by a task of this very runtime.
            if thread.thread().id() != thread::current().id() {
                // A panic of the runtime has been reported by the panic hook.
                let _ = thread.join();
            }
        }
    }
}

pub(super) fn bearer(key: &Secret) -> Result<HeaderValue, BackendError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.0))
        .map_err(|_| setup("the API key holds characters that a header cannot; check for line breaks"))?;
    value.set_sensitive(true);
    Ok(value)
}

pub(super) async fn complete(client: Client, posted: Posted) -> Result<Completion, BackendError> {
    let key = posted.key.clone();
    let response = post(&client, posted).await?;
    let allowance = headers::allowance(response.headers());
    let body = body(response).await?;
    Ok(wire::completion(&body).map_err(|error| scrubbed(error, key.as_ref()))?.allowance(allowance))
}

pub(super) async fn stream(client: Client, posted: Posted, runtime: &Handle) -> Result<Deltas, BackendError> {
    let key = posted.key.clone();
    let mut response = post(&client, posted).await?;
    let allowance = headers::allowance(response.headers());
    let (pieces, receiver) = mpsc::channel(READ_AHEAD);
    let reader = runtime.spawn(async move {
        let mut events = sse::Parser::default();
        let mut answer = wire::Streamed::new(allowance);
        loop {
            let chunk: Result<Option<Bytes>, _> = response.chunk().await;
            let (chunk, last) = match chunk {
                Ok(Some(chunk)) => (chunk, false),
                Ok(None) => (Bytes::new(), true),
                Err(error) => {
                    let error = failed(&error, ErrorKind::Cut);
                    let _gone = pieces.send(Err(error)).await;
                    return;
                }
            };
            let read = if last { events.end() } else { events.feed(&chunk) };
            let read = read.and_then(|events| answer.take(&events, last));
            match read.map_err(|error| scrubbed(error, key.as_ref())) {
                Ok(deltas) => {
                    for delta in deltas {
                        let ends = delta.end.is_some();
                        // The consumer has gone, or has all.
                        if pieces.send(Ok(delta)).await.is_err() || ends {
                            return;
                        }
                    }
                }
                Err(error) => {
                    let _gone = pieces.send(Err(error)).await;
                    return;
                }
            }
            if last {
                return;
            }
        }
    });
    Ok(Box::pin(Pieces { receiver, reader: reader.abort_handle() }))
}

/// The pieces that a task of the runtime reads; it ends with this.
struct Pieces {
    receiver: mpsc::Receiver<Result<crate::Delta, BackendError>>,
    reader: AbortHandle,
}

impl Stream for Pieces {
    type Item = Result<crate::Delta, BackendError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(cx)
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Sends the request; an answer that is not a success becomes an error.
async fn post(client: &Client, posted: Posted) -> Result<Response, BackendError> {
    let Posted { url, key, idempotency_key, body } = posted;
    let mut request = client.post(url).header(CONTENT_TYPE, "application/json").body(body);
    if let Some(key) = &key {
        request = request.header(AUTHORIZATION, bearer(key)?);
    }
    if !idempotency_key.is_empty() {
        let value = HeaderValue::from_str(&idempotency_key).map_err(|_| {
            BackendError::new(
                ErrorKind::Rejected,
                "the idempotency key holds characters that a header cannot",
            )
        })?;
        request = request.header("idempotency-key", value);
    }
    let response = request.send().await.map_err(|error| failed(&error, ErrorKind::Cut))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let after = headers::retry_after(response.headers());
    // What the body says is a help; that it cannot be read changes nothing.
    let body = self::body(response).await.unwrap_or_default();
    let mut error = wire::error(status.as_u16(), &body);
    error.retry_after = after;
    Err(scrubbed(error, key.as_ref()))
}

async fn body(mut response: Response) -> Result<Vec<u8>, BackendError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error, ErrorKind::Cut))? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BODY {
            return Err(BackendError::new(
                ErrorKind::Malformed,
                format!("the answer is longer than {MAX_BODY} bytes"),
            ));
        }
    }
    Ok(body)
}

fn failed(error: &reqwest::Error, otherwise: ErrorKind) -> BackendError {
    let kind = if error.is_timeout() {
        ErrorKind::Timeout
    } else if error.is_builder() {
        ErrorKind::Setup
    } else if error.is_connect() {
        ErrorKind::Connect
    } else {
        otherwise
    };
    // The chain of causes says why; the display of the error itself names the URL, which says where.
    let mut message = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        if !message.is_empty() {
            message.push_str(": ");
        }
        message.push_str(&error.to_string());
        cause = error.source();
    }
    if message.is_empty() {
        message = "the request failed".into();
    }
    if let Some(url) = error.url() {
        if let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) {
            message = format!("{host}:{port}: {message}");
        }
    }
    BackendError::new(kind, message)
}

fn scrubbed(mut error: BackendError, key: Option<&Secret>) -> BackendError {
    if let Some(key) = key {
        error.message = key.scrub(&error.message);
    }
    error
}
