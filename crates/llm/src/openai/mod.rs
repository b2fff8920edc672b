//! The OpenAI wire format over HTTP: any server that speaks it.

mod client;
mod headers;
mod sse;
mod wire;

use crate::{Backend, BackendError, Call, Completion, Deltas, ErrorKind, Nodes};
use client::{Core, Posted};
use reqwest::Url;
use ropewalk_balance::Balancer;
use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{runtime::Handle, task::JoinHandle};

/// Where the models of OpenAI are.
const OPENAI: &str = "https://api.openai.com/v1";

/// A server that speaks the OpenAI wire format: chat completions, whole and streamed.
///
/// HTTP needs a tokio runtime. Unless it is given one by [`runtime`](Self::runtime), the first call
/// starts a thread with a small one, which ends when the last clone drops. Clones share connections.
///
/// The API key is sent to the server and shown nowhere: not in `Debug`, not in errors, also where a
/// server repeats it. TLS is rustls with the certificates of the system; if the process has no default
/// crypto provider, the first client installs ring as that. Loopback servers are never asked through a proxy.
///
/// ```no_run
/// use ropewalk_llm::{Chat, Llm, OpenAi};
///
/// let llm = Llm::builder(OpenAi::new("http://127.0.0.1:8000/v1")).build()?;
/// let reply = llm.ask_blocking(Chat::model("some-model").user("hello"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct OpenAi {
    base: Result<Url, BackendError>,
    key: Option<Secret>,
    settings: Settings,
    core: Arc<OnceLock<Result<Core, BackendError>>>,
}

#[derive(Clone)]
struct Settings {
    connect_timeout: Duration,
    runtime: Option<Handle>,
}

impl OpenAi {
    /// The server whose paths start with `base_url`, version included: `http://host:port/v1`. An address
    /// without a scheme means that: `host:port` is `http://host:port/v1`. What is wrong with it is
    /// said when the processor is built.
    pub fn new(base_url: impl AsRef<str>) -> Self {
        Self {
            base: parse(base_url.as_ref()),
            key: None,
            settings: Settings { connect_timeout: Duration::from_secs(10), runtime: None },
            core: Arc::default(),
        }
    }

    /// The server and the key that the environment names: `OPENAI_BASE_URL` (OpenAI's own by default) and
    /// `OPENAI_API_KEY` (none by default).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Setup`] when a variable is not text or the URL is none.
    pub fn from_env() -> Result<Self, BackendError> {
        let variable = |name: &str| match std::env::var(name) {
            Ok(value) if value.trim().is_empty() => Ok(None),
            Ok(value) => Ok(Some(value)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(setup(format!("{name} is not valid text"))),
        };
        let mut server = Self::new(variable("OPENAI_BASE_URL")?.as_deref().unwrap_or(OPENAI));
        if let Err(error) = &server.base {
            return Err(setup(format!("OPENAI_BASE_URL: {}", error.message)));
        }
        if let Some(key) = variable("OPENAI_API_KEY")? {
            server = server.api_key(key);
        }
        Ok(server)
    }

    /// The key to send.
    #[must_use]
    pub fn api_key(mut self, key: impl AsRef<str>) -> Self {
        self.key = Some(Secret(key.as_ref().trim().into()));
        self
    }

    /// How long a connection may take to open; ten seconds by default.
    #[must_use]
    pub fn connect_timeout(mut self, duration: Duration) -> Self {
        self.settings.connect_timeout = duration;
        self.core = Arc::default();
        self
    }

    /// Runs HTTP on a runtime of yours, whose I/O and time drivers must be enabled, instead of a thread of
    /// its own.
    #[must_use]
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.settings.runtime = Some(runtime);
        self.core = Arc::default();
        self
    }

    /// The same key, settings and connections for another server.
    #[must_use]
    pub fn at(&self, base_url: impl AsRef<str>) -> Self {
        Self { base: parse(base_url.as_ref()), ..self.clone() }
    }

    /// Many servers: each node's address is a base URL, as in [`new`](Self::new). See [`Nodes`].
    pub fn balanced(balancer: Balancer) -> Nodes<Self> {
        Self::new(OPENAI).over(balancer)
    }

    /// Many servers with this one's key and settings: each node's address is a base URL.
    pub fn over(self, balancer: Balancer) -> Nodes<Self> {
        Nodes::new(balancer, move |address| self.at(address))
    }

    fn core(&self) -> Result<&Core, BackendError> {
        self.core.get_or_init(|| Core::start(&self.settings)).as_ref().map_err(Clone::clone)
    }

    fn post(&self, call: &Call, stream: bool) -> Result<(&Core, Posted), BackendError> {
        let base = self.base.as_ref().map_err(Clone::clone)?;
        let posted = Posted {
            url: endpoint(base),
            key: self.key.clone(),
            idempotency_key: call.idempotency_key.clone(),
            body: wire::request(call.chat.body(), stream),
        };
        Ok((self.core()?, posted))
    }
}

impl Backend for OpenAi {
    async fn complete(&self, call: Call) -> Result<Completion, BackendError> {
        let (core, posted) = self.post(&call, false)?;
        let client = core.client(&posted.url);
        let job = core.handle().spawn(async move { client::complete(client, posted).await });
        joined(job).await
    }

    async fn stream(&self, call: Call) -> Result<Deltas, BackendError> {
        let (core, posted) = self.post(&call, true)?;
        let client = core.client(&posted.url);
        let handle = core.handle().clone();
        let reader = handle.clone();
        let job = handle.spawn(async move { client::stream(client, posted, &reader).await });
        joined(job).await
    }

    fn validate(&self) -> Result<(), BackendError> {
        self.base.as_ref().map_err(Clone::clone)?;
        match &self.key {
            Some(key) => client::bearer(key).map(|_| ()),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = self.base.as_ref().map_or("(invalid)", |url| url.as_str());
        f.debug_struct("OpenAi").field("base_url", &base).field("api_key", &self.key).finish_non_exhaustive()
    }
}

/// A text that nobody is shown.
#[derive(Clone)]
struct Secret(Arc<str>);

impl Secret {
    /// `text` with every appearance of the secret taken out.
    fn scrub(&self, text: &str) -> String {
        if self.0.is_empty() { text.to_owned() } else { text.replace(&*self.0, "***") }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn setup(message: impl Into<String>) -> BackendError {
    BackendError::new(ErrorKind::Setup, message)
}

/// The message never repeats the URL, which may hold a password.
fn parse(text: &str) -> Result<Url, BackendError> {
    let text = text.trim();
    let complete;
    let text = if text.is_empty() || text.contains("://") {
        text
    } else {
        let versioned = text.contains('/');
        complete = format!("http://{text}{}", if versioned { "" } else { "/v1" });
        &complete
    };
    let url = Url::parse(text).map_err(|error| setup(format!("the base URL is not valid: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(setup(format!("the base URL starts with `{}`; use http or https", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(setup("the base URL holds a user name or password; give the key by api_key()"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(setup("the base URL has a query or fragment; it ends with its path"));
    }
    Ok(url)
}

fn endpoint(base: &Url) -> Url {
    let mut url = base.clone();
    let path = format!("{}/chat/completions", base.path().trim_end_matches('/'));
    url.set_path(&path);
    url
}

/// Awaits a task of the runtime, and aborts it when nobody awaits it any more.
async fn joined<T>(job: JoinHandle<Result<T, BackendError>>) -> Result<T, BackendError> {
    struct Abort<T>(JoinHandle<T>);
    impl<T> Drop for Abort<T> {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let mut job = Abort(job);
    match (&mut job.0).await {
        Ok(answer) => answer,
        Err(error) if error.is_panic() => {
            Err(BackendError::new(ErrorKind::Panicked, "the HTTP client panicked"))
        }
        Err(_) => Err(BackendError::new(ErrorKind::Stopped, "the runtime of the HTTP client was shut down")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_become_endpoints() {
        let endpoint = |base: &str| parse(base).map(|url| endpoint(&url).to_string());
        assert_eq!(endpoint("https://a.b/v1").unwrap(), "https://a.b/v1/chat/completions");
        assert_eq!(endpoint(" https://a.b/v1/ ").unwrap(), "https://a.b/v1/chat/completions");
        assert_eq!(endpoint("http://a.b").unwrap(), "http://a.b/chat/completions");
        assert_eq!(endpoint("10.0.0.7:8000").unwrap(), "http://10.0.0.7:8000/v1/chat/completions");
        assert_eq!(endpoint("host:81/api").unwrap(), "http://host:81/api/chat/completions");
        for wrong in
            ["", "http://", "ftp://a.b", "http://me:secret@a.b", "http://a.b/?key=secret", "http://a b"]
        {
            let error = endpoint(wrong).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Setup);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_key_is_shown_nowhere() {
        let server = OpenAi::new("http://a.b").api_key("sk-123");
        assert!(!format!("{server:?}").contains("sk-123"));
        assert_eq!(server.key.unwrap().scrub("wrong key sk-123!"), "wrong key ***!");
        let broken = OpenAi::new("http://a.b").api_key("sk\n123");
        let error = broken.validate().unwrap_err();
        assert!(!error.to_string().contains("123"), "{error}");
        assert_eq!(Secret("".into()).scrub("x"), "x");
    }
}
