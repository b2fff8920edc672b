//! A queue fills up; an alert fires after its time, its corrective action adds workers, and the alert
//! resolves below its own threshold. A deadlock is named and broken.

use ropewalk::monitor::{AlertKind, Monitor, Rule, Samples, Section, Severity, WaitEdge, deadlock, gauge};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (queue, workers) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(1)));
    let (depth, hands, more) = (queue.clone(), workers.clone(), workers.clone());
    let began = Instant::now();
    let waits = Arc::new(Mutex::new(vec![
        WaitEdge::new("agent-3", "agent-7", "src/lib.rs", began),
        WaitEdge::new("agent-7", "agent-3", "src/main.rs", began),
    ]));
    let (published, broken) = (waits.clone(), waits.clone());
    let monitor = Monitor::builder()
        .every(Duration::from_millis(100))
        .system()
        .collect("queue", move || {
            // 30 come and 20 go for each worker between two looks.
            let came = depth.load(Ordering::Relaxed) + 30;
            let left = came.saturating_sub(20 * hands.load(Ordering::Relaxed));
            depth.store(left, Ordering::Relaxed);
            Samples::new().section(Section::Performance).gauge("depth", left)
        })
        .watch_waits("files", move || published.lock().unwrap_or_else(PoisonError::into_inner).clone())
        .rule(
            Rule::new("queue too long")
                .kind(AlertKind::ResourceExhaustion)
                .severity(Severity::Error)
                .when(gauge("queue_depth").above(50.0))
                .clear_below(10.0)
                .for_(Duration::from_millis(200))
                .act(move |_| format!("now {} workers", more.fetch_add(2, Ordering::Relaxed) + 2)),
        )
        .rule(
            Rule::new("deadlock")
                .kind(AlertKind::Deadlock)
                .severity(Severity::Critical)
                .when(deadlock())
                .act(move |firing| {
                    let victim =
                        firing.deadlocks().first().and_then(|found| Some(found.youngest()?.owner.clone()));
                    // A real one would end the victim's wait; here its edge goes.
                    broken
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .retain(|edge| Some(&edge.waiter) != victim.as_ref());
                    format!("{} gave up", victim.as_deref().unwrap_or("nobody"))
                }),
        )
        .on_alert(|event| println!("{event}"))
        .build()?;

    monitor.ticked_blocking(25);
    println!("queue {} with {} workers", queue.load(Ordering::Relaxed), workers.load(Ordering::Relaxed));
    println!("{}", monitor.health());
    for alert in monitor.alert_history() {
        println!("{} ended; its action: {:?}", alert.rule, alert.actions.first().map(|action| &action.state));
    }
    let text = monitor.prometheus();
    for line in text.lines().filter(|line| line.starts_with("process_") || line.starts_with("queue_")) {
        println!("  {line}");
    }
    Ok(())
}
