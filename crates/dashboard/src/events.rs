//! Snapshots as server-sent events.

use axum::response::sse::Event;
use futures_core::Stream;
use ropewalk_monitor::Handle;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// Monitors that tick faster are shown ten times a second.
const SHORTEST: Duration = Duration::from_millis(100);
/// How long a browser waits before it connects again.
const RETRY: Duration = Duration::from_secs(1);

/// The next event, and the tick it tells of; `None` when there will be no more.
type Next = Pin<Box<dyn Future<Output = Option<(u64, Event)>> + Send>>;

/// A snapshot at once, then one at each tick, until the monitor or the server stops.
pub(crate) struct Events {
    monitor: Handle,
    stop: Option<Arc<ropewalk_sync::Event>>,
    next: Option<Next>,
}

impl Events {
    /// `seen` is the last event that the reader has, when it connects again.
    pub(crate) fn new(monitor: Handle, stop: Option<Arc<ropewalk_sync::Event>>, seen: Option<u64>) -> Self {
        // A reader that was told of the present tick waits for the next. One told of a later tick than there
        // was knew another monitor.
        let after = seen.filter(|seen| *seen <= monitor.tick());
        let next = Some(after_tick(monitor.clone(), stop.clone(), after, Duration::ZERO));
        Self { monitor, stop, next }
    }
}

impl Stream for Events {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        let Poll::Ready(told) = next.as_mut().poll(cx) else { return Poll::Pending };
        let (event, next) = match told {
            Some((tick, event)) => {
                let (monitor, stop) = (self.monitor.clone(), self.stop.clone());
                (Some(Ok(event)), Some(after_tick(monitor, stop, Some(tick), SHORTEST)))
            }
            None => (None, None),
        };
        self.next = next;
        Poll::Ready(event)
    }
}

fn after_tick(
    monitor: Handle,
    stop: Option<Arc<ropewalk_sync::Event>>,
    after: Option<u64>,
    pause: Duration,
) -> Next {
    Box::pin(async move {
        let ticked = async {
            if !pause.is_zero() && monitor.every() < pause {
                tokio::time::sleep(pause).await;
            }
            if let Some(after) = after {
                if monitor.ticked(after).await <= after {
                    return None;
                }
            }
            Some(())
        };
        match &stop {
            None => ticked.await?,
            Some(stop) => first(ticked, stop.wait()).await??,
        }
        let view = monitor.dashboard();
        let event = Event::default().id(view.tick.to_string()).retry(RETRY);
        // The view is plain data; if it ever fails to serialise, a comment says so.
        Some((view.tick, event.json_data(&view).unwrap_or_else(|e| Event::default().comment(e.to_string()))))
    })
}

/// The output of `work`, or `None` when `stop` comes first.
pub(crate) async fn first<T>(work: impl Future<Output = T>, stop: impl Future<Output = ()>) -> Option<T> {
    let (mut work, mut stop) = (std::pin::pin!(work), std::pin::pin!(stop));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        stop.as_mut().poll(cx).map(|()| None)
    })
    .await
}
