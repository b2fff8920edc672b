//! Model servers as child processes.
//!
//! A program that calls [`run_if_asked`] first thing in `main` can start copies of itself as model
//! servers. A server lives until its standard input closes, so it ends with its parent however the
//! parent ends, `kill -9` included.

use crate::server::{Behaviour, serve};
use std::{io, net::SocketAddr, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdin, Command},
};

/// The environment variable that makes a copy of the program a server; it holds the behaviour.
const ASKED: &str = "ROPEWALK_MODEL_SERVER";

/// Runs a model server instead of the program if this process was started as one, and then exits.
/// Call it before anything else in `main`.
pub fn run_if_asked() {
    let Ok(asked) = std::env::var(ASKED) else { return };
    let served = serde_json::from_str(&asked).map_err(io::Error::other).and_then(|behaviour: Behaviour| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(serve(behaviour, |address| println!("{address}"), until_stdin_closes()))
    });
    match served {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("model server: {error}");
            std::process::exit(1);
        }
    }
}

async fn until_stdin_closes() {
    let mut byte = [0];
    // An error means that the parent is gone too.
    while tokio::io::stdin().read(&mut byte).await.is_ok_and(|n| n > 0) {}
}

/// A running server.
#[derive(Debug)]
pub struct ModelServer {
    address: SocketAddr,
    child: Child,
    // The server lives while this is open.
    stdin: Option<ChildStdin>,
}

impl ModelServer {
    /// Starts one and waits until it listens.
    ///
    /// # Errors
    ///
    /// When this program cannot be started again or the server does not come up.
    pub async fn start(behaviour: &Behaviour) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .env(ASKED, serde_json::to_string(behaviour)?)
            // Whatever the parent was given to talk to a real model is none of its business.
            .env_remove("OPENAI_API_KEY")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // An interrupt of the terminal is the parent's to handle: it drains, then closes stdin.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take();
        let stdout =
            child.stdout.take().ok_or_else(|| io::Error::other("the server has no standard output"))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await?;
        let address = line
            .trim()
            .parse()
            .map_err(|_| io::Error::other(format!("the server said {line:?} instead of its address")))?;
        Ok(Self { address, child, stdin })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL in the OpenAI sense, with the version.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Lets it finish the calls in flight, then waits for its end.
    ///
    /// # Errors
    ///
    /// When its exit cannot be awaited.
    pub async fn stop(mut self) -> io::Result<()> {
        drop(self.stdin.take());
        self.child.wait().await.map(|_| ())
    }
}
