//! A dashboard that stands alone.

use crate::routes::routes;
use ropewalk_monitor::Handle;
use ropewalk_sync::Event;
use std::{fmt, io, net::SocketAddr, sync::Arc};

/// A dashboard that is being served; it stops when this drops.
pub struct Server {
    address: SocketAddr,
    stop: Arc<Event>,
    stopped: Arc<Event>,
}

/// Serves the [`router`](crate::router) at `address`, on the tokio runtime that this runs on. A port alone,
/// `"8080"`, is one of the loopback; other machines reach it only when told so: `"0.0.0.0:8080"`. Port 0 is
/// a free one.
///
/// # Errors
///
/// When the address cannot be bound.
///
/// # Panics
///
/// Outside a tokio runtime.
pub async fn serve(address: &str, monitor: Handle) -> io::Result<Server> {
    let listener = match address.parse::<u16>() {
        Ok(port) => tokio::net::TcpListener::bind(("127.0.0.1", port)).await?,
        Err(_) => tokio::net::TcpListener::bind(address).await?,
    };
    let address = listener.local_addr()?;
    let (stop, stopped) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let ended = Ended(stopped.clone());
    let (stops, asked) = (stop.clone(), stop.clone());
    tokio::spawn(async move {
        let _ended = ended;
        let app = routes(monitor, Some(stops));
        // Accepting does not fail for good; what a connection meets is its own.
        let _ = axum::serve(listener, app).with_graceful_shutdown(async move { asked.wait().await }).await;
    });
    Ok(Server { address, stop, stopped })
}

/// Says that the server is gone, also when its runtime ends first.
struct Ended(Arc<Event>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.set();
    }
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it: no new connection is taken, streams of events end, answers under way are finished.
    pub fn stop(&self) {
        self.stop.set();
    }

    /// Stops it and waits until the last connection is closed. A reader that takes no data holds that up, so
    /// bound it where that matters.
    ///
    /// # Cancel safety
    ///
    /// Stopping goes on when the future is dropped.
    pub async fn shutdown(&self) {
        self.stop();
        self.stopped.wait().await;
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
