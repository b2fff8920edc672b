//! The background job that asks nodes how they are.

use super::{Check, CheckFuture, Probe};
use crate::{NodeId, ProbeError, inner::Inner, roster::Entry};
use std::{
    collections::{BTreeSet, HashMap},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// Asks each node every interval until the balancer is gone.
///
/// The job holds the balancer weakly between looks. It sleeps until the next node is due or until the
/// registry has changed. At most `parallel` checks are out at once; each wake-up polls those.
pub(crate) async fn watch(inner: Weak<Inner>, probe: Probe) {
    let mut due = BTreeSet::<(Instant, NodeId)>::new();
    let mut known = HashMap::<NodeId, Streak>::new();
    let mut running = Vec::<Running>::new();
    let mut seen = None;
    let Some(clock) = inner.upgrade().map(|inner| inner.clock().clone()) else { return };
    let Some(changes) = inner.upgrade().map(|inner| inner.changes.clone()) else { return };
    loop {
        {
            let Some(inner) = inner.upgrade() else { return };
            if inner.is_closed() {
                return;
            }
            let now = clock.now();
            // The version first: a change after it is seen next time.
            let version = changes.version();
            let table = inner.table();
            // Forget who left, and make newcomers due at once.
            if seen != Some(version) {
                seen = Some(version);
                let here = table.all.roster.iter().map(|e| e.id).collect::<BTreeSet<_>>();
                known.retain(|id, _| here.contains(id));
                due.retain(|(_, id)| here.contains(id));
                for &id in &here {
                    known.entry(id).or_insert_with(|| {
                        due.insert((now, id));
                        Streak::default()
                    });
                }
            }
            while running.len() < probe.parallel {
                let Some(&(at, id)) = due.first() else { break };
                if at > now {
                    break;
                }
                due.pop_first();
                let Some(entry) = inner.entry(id) else { continue };
                running.push(Running::start(&probe, entry, clock.deadline(probe.timeout), &clock));
            }
        }
        let wake_at = if running.len() < probe.parallel { due.first().map(|&(at, _)| at) } else { None };
        let finished = {
            let mut sleep = pin!(clock.sleep_until(wake_at));
            let mut changed = pin!(changes.signal.notified());
            std::future::poll_fn(|cx| {
                let finished = poll_all(&mut running, cx);
                let woken = sleep.as_mut().poll(cx).is_ready() | changed.as_mut().poll(cx).is_ready();
                if woken || !finished.is_empty() { Poll::Ready(finished) } else { Poll::Pending }
            })
            .await
        };
        let Some(inner) = inner.upgrade() else { return };
        for (entry, answer) in finished {
            let Some(streak) = known.get_mut(&entry.id) else { continue };
            if let Some(well) = streak.count(&probe, answer.is_ok()) {
                // It may serve the line, and a waker of who stands there is user code.
                let _woken = catch_unwind(AssertUnwindSafe(|| inner.probed(&entry, well)));
            }
            if let Some(next) = clock.deadline(probe.interval) {
                due.insert((next, entry.id));
            }
        }
    }
}

/// Answers in a row.
#[derive(Default)]
struct Streak {
    asked: bool,
    good: u32,
    bad: u32,
}

impl Streak {
    /// Counts an answer; says when it settles how the node stands.
    fn count(&mut self, probe: &Probe, good: bool) -> Option<bool> {
        let first = !std::mem::replace(&mut self.asked, true);
        (self.good, self.bad) = if good { (self.good + 1, 0) } else { (0, self.bad + 1) };
        if good && (first || self.good >= probe.healthy_threshold) {
            Some(true)
        } else if !good && self.bad >= probe.unhealthy_threshold {
            Some(false)
        } else {
            None
        }
    }
}

struct Running {
    entry: Arc<Entry>,
    future: Pin<Box<dyn Future<Output = Result<(), ProbeError>> + Send>>,
}

impl Running {
    fn start(
        probe: &Probe,
        entry: Arc<Entry>,
        deadline: Option<Instant>,
        clock: &ropewalk_sync::Clock,
    ) -> Self {
        let asked = Asked { check: probe.check.clone(), entry: entry.clone(), timeout: probe.timeout };
        let bounded = clock.timeout_at(deadline, asked.answer());
        let future =
            Box::pin(
                async move { bounded.await.unwrap_or_else(|_| Err(ProbeError::new("no answer in time"))) },
            );
        Self { entry, future }
    }
}

struct Asked {
    check: Arc<dyn Check>,
    entry: Arc<Entry>,
    timeout: Duration,
}

impl Asked {
    /// The check's answer. The check is user code: a panic of it, in the call, in a poll or in a drop, is a
    /// bad answer and not the end of the watch.
    async fn answer(self) -> Result<(), ProbeError> {
        let mut future = Guarded(None);
        std::future::poll_fn(|cx| {
            let polled = catch_unwind(AssertUnwindSafe(|| {
                let started = || self.check.check(&self.entry.node, self.timeout);
                future.0.get_or_insert_with(started).as_mut().poll(cx)
            }));
            polled.unwrap_or_else(|_| Poll::Ready(Err(ProbeError::new("the check panicked"))))
        })
        .await
    }
}

struct Guarded<'a>(Option<CheckFuture<'a>>);

impl Drop for Guarded<'_> {
    fn drop(&mut self) {
        // Reported by the panic hook; the check's answer is settled by now.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(self.0.take())));
    }
}

fn poll_all(running: &mut Vec<Running>, cx: &mut Context<'_>) -> Vec<(Arc<Entry>, Result<(), ProbeError>)> {
    let mut finished = Vec::new();
    running.retain_mut(|check| match check.future.as_mut().poll(cx) {
        Poll::Pending => true,
        Poll::Ready(answer) => {
            finished.push((check.entry.clone(), answer));
            false
        }
    });
    finished
}
