//! Active health: asking a node whether it is well.

use crate::{BuildError, Node, ProbeError};
use ropewalk_prove::sync::atomic::{AtomicUsize, Ordering};
use ropewalk_sync::oneshot;
use std::{
    fmt,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    pin::Pin,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// The answer of a [`Check`], to come.
pub type CheckFuture<'a> = Pin<Box<dyn Future<Output = Result<(), ProbeError>> + Send + 'a>>;

/// A way to find out whether a node is well.
pub trait Check: Send + Sync + 'static {
    /// Asks `node`. An answer that takes longer than `timeout` counts as a failure and the future is
    /// dropped; work that blocks a thread should end itself by then. A panic counts as a failure.
    fn check<'a>(&'a self, node: &'a Node, timeout: Duration) -> CheckFuture<'a>;
}

/// Active health checking: how nodes are asked, how often, and what the answers mean.
///
/// ```
/// use ropewalk_balance::{Balancer, Probe};
/// use std::time::Duration;
///
/// let nodes = Balancer::builder()
///     .health(Probe::http("/health").interval(Duration::from_secs(2)).unhealthy_threshold(2))
///     .build()?;
/// # Ok::<(), ropewalk_balance::BuildError>(())
/// ```
#[derive(Clone)]
pub struct Probe {
    pub(crate) check: Arc<dyn Check>,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) healthy_threshold: u32,
    pub(crate) unhealthy_threshold: u32,
    pub(crate) parallel: usize,
}

impl Probe {
    /// Asks by `check`: every 5 s, for at most 1 s, down after 3 failures in a row and up after 2
    /// successes in a row (1 for a node never asked before), 32 nodes at a time.
    pub fn new(check: impl Check) -> Self {
        Self {
            check: Arc::new(check),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            healthy_threshold: 2,
            unhealthy_threshold: 3,
            parallel: 32,
        }
    }

    /// A node is well when it accepts a TCP connection at its address (`host:port`).
    ///
    /// Each check is made on a thread started for it. Threads that the operating system keeps beyond their
    /// time, in a name look-up for instance, are at most 256; beyond that, checks fail.
    pub fn tcp() -> Self {
        Self::new(Tcp { threads: Threads::default() })
    }

    /// A node is well when it answers `GET path` at its address (`host:port`) with a status of 200 to
    /// 299, in plain HTTP/1.1.
    ///
    /// Each check is made on a thread started for it. Threads that the operating system keeps beyond their
    /// time, in a name look-up for instance, are at most 256; beyond that, checks fail.
    pub fn http(path: impl Into<String>) -> Self {
        Self::new(Http { path: path.into(), threads: Threads::default() })
    }

    /// Time between two checks of a node.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long an answer may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// A node that is down comes up after so many good answers in a row.
    #[must_use]
    pub fn healthy_threshold(mut self, answers: u32) -> Self {
        self.healthy_threshold = answers;
        self
    }

    /// A node that is up goes down after so many bad answers in a row.
    #[must_use]
    pub fn unhealthy_threshold(mut self, answers: u32) -> Self {
        self.unhealthy_threshold = answers;
        self
    }

    /// How many nodes are asked at a time.
    #[must_use]
    pub fn parallel(mut self, nodes: usize) -> Self {
        self.parallel = nodes;
        self
    }

    pub(crate) fn check_settings(&self) -> Result<(), BuildError> {
        for (what, zero) in [
            ("the probe interval", self.interval.is_zero()),
            ("the probe timeout", self.timeout.is_zero()),
            ("healthy_threshold", self.healthy_threshold == 0),
            ("unhealthy_threshold", self.unhealthy_threshold == 0),
            ("the number of parallel probes", self.parallel == 0),
        ] {
            if zero {
                return Err(BuildError::Zero { what, way_out: "" });
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe")
            .field("interval", &self.interval)
            .field("timeout", &self.timeout)
            .field("healthy_threshold", &self.healthy_threshold)
            .field("unhealthy_threshold", &self.unhealthy_threshold)
            .field("parallel", &self.parallel)
            .finish_non_exhaustive()
    }
}

struct Tcp {
    threads: Threads,
}

impl Check for Tcp {
    fn check<'a>(&'a self, node: &'a Node, timeout: Duration) -> CheckFuture<'a> {
        let address = node.address().to_owned();
        self.threads.run(move || {
            let connected = connect(&address, deadline(timeout));
            connected.map(drop).map_err(|e| ProbeError::new(e.to_string()))
        })
    }
}

struct Http {
    path: String,
    threads: Threads,
}

impl Check for Http {
    fn check<'a>(&'a self, node: &'a Node, timeout: Duration) -> CheckFuture<'a> {
        let (address, path) = (node.address().to_owned(), self.path.clone());
        self.threads.run(move || {
            let status =
                get(&address, &path, deadline(timeout)).map_err(|e| ProbeError::new(e.to_string()))?;
            if (200..300).contains(&status) {
                Ok(())
            } else {
                Err(ProbeError::new(format!("status {status}")))
            }
        })
    }
}

/// Threads of blocking checks, counted, because one may hang longer than its check's time.
#[derive(Clone, Default)]
struct Threads(Arc<AtomicUsize>);

/// How many there may be.
const MAX_THREADS: usize = 256;

impl Threads {
    fn run<'a>(&self, job: impl FnOnce() -> Result<(), ProbeError> + Send + 'static) -> CheckFuture<'a> {
        let seat = Seat(self.0.clone());
        // Relaxed: a count.
        let full = self.0.fetch_add(1, Ordering::Relaxed) >= MAX_THREADS;
        Box::pin(async move {
            if full {
                return Err(ProbeError::new("too many earlier checks hang"));
            }
            let (answer, promise) = oneshot();
            thread::Builder::new()
                .name("ropewalk-probe".to_owned())
                .spawn(move || {
                    let _seat = seat;
                    // The watcher may have given up by now.
                    let _ = answer.send(job());
                })
                .map_err(|e| ProbeError::new(format!("no thread for the probe: {e}")))?;
            promise.await.unwrap_or_else(|_| Err(ProbeError::new("the probe's thread panicked")))
        })
    }
}

/// One of [`Threads`]; counted out on drop.
struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sockets live in real time, whatever clock the balancer follows. `None` for never.
fn deadline(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

fn left(deadline: Option<Instant>) -> io::Result<Duration> {
    let Some(deadline) = deadline else { return Ok(Duration::MAX) };
    match deadline.checked_duration_since(Instant::now()) {
        Some(left) if !left.is_zero() => Ok(left),
        _ => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
    }
}

fn connect(address: &str, deadline: Option<Instant>) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the address names no host");
    for address in address.to_socket_addrs()? {
        match connect_one(&address, deadline) {
            Ok(stream) => return Ok(stream),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn connect_one(address: &SocketAddr, deadline: Option<Instant>) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(address, left(deadline)?)
}

/// The status of `GET path`.
fn get(address: &str, path: &str, deadline: Option<Instant>) -> io::Result<u16> {
    let mut stream = connect(address, deadline)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    // "HTTP/1.1 200 ...": the first 12 bytes say it all.
    let mut head = [0_u8; 12];
    let mut read = 0;
    while read < head.len() {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut head[read..]) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed without an answer")),
            Ok(n) => read += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let status = std::str::from_utf8(&head)
        .ok()
        .filter(|head| head.starts_with("HTTP/1."))
        .and_then(|head| head.get(9..12)?.parse().ok());
    status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP/1.1"))
}
