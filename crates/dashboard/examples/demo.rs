//! Serves a dashboard of this process and a small busy pool.
//!
//! `cargo run -p ropewalk-dashboard --example demo [-- ADDRESS]`; the address is `127.0.0.1:0` unless given.

use ropewalk_monitor::{AlertKind, Monitor, Rule, Samples, Section, Severity, Unit, gauge};
use ropewalk_sync::{Clock, Semaphore};
use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Threads that take one of four slots, work, and give it back; the wait is what the dashboard shows.
fn busy(
    monitor: &Monitor,
    slots: &Arc<Semaphore>,
    run: &Arc<AtomicBool>,
) -> Result<(), Box<dyn std::error::Error>> {
    let (done, wait) = (
        monitor.counter("tasks_done", [("kind", "demo")])?,
        monitor.histogram("slot_wait_seconds", [("pool", "demo")])?,
    );
    let clock = Clock::system();
    for worker in 0..6_u64 {
        let (slots, run, done, wait, clock) =
            (slots.clone(), run.clone(), done.clone(), wait.clone(), clock.clone());
        std::thread::spawn(move || {
            let mut turn = worker;
            while run.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let Ok(slot) = slots.acquire_blocking() else { return };
                wait.record_duration(begun.elapsed());
                turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                clock.block_on(clock.sleep(Duration::from_millis(1 + (turn >> 33) % 40)));
                drop(slot);
                done.incr();
            }
        });
    }
    Ok(())
}

async fn run(address: &str) -> Result<(), Box<dyn std::error::Error>> {
    let slots = Arc::new(Semaphore::new(4));
    let seen = slots.clone();
    let monitor = Monitor::builder()
        .system()
        .collect("slots", move || {
            let stats = seen.stats();
            Samples::new()
                .section(Section::Concurrency)
                .gauge("in use", stats.capacity.saturating_sub(stats.available))
                .gauge("waiting", stats.waiting)
                .section(Section::Agents)
                .gauge("workers", 6)
                .text("kind", "demo threads")
        })
        .rule(
            Rule::new("slots contended")
                .kind(AlertKind::LockContention)
                .severity(Severity::Warning)
                .when(gauge("slots_waiting").above(1.5))
                .for_(Duration::from_secs(3))
                .act_named("look at the limit", |firing| {
                    format!("{} wait, 6 workers share 4 slots", firing.value)
                }),
        )
        .rule(
            Rule::new("memory")
                .kind(AlertKind::ResourceExhaustion)
                .severity(Severity::Critical)
                .when(gauge("machine_memory_ratio").above(0.97))
                .clear_below(0.95),
        )
        .build()?;
    monitor.show_as("slot_wait_seconds", Section::Performance, Some("wait for a slot"), Some(Unit::Seconds));
    monitor.show("tasks_done", Section::Tasks);
    let work = Arc::new(AtomicBool::new(true));
    busy(&monitor, &slots, &work)?;
    let server = ropewalk_dashboard::serve(address, monitor.handle()).await?;
    println!("http://{}/   (Ctrl-C ends it)", server.address());
    tokio::signal::ctrl_c().await?;
    work.store(false, Ordering::Relaxed);
    server.shutdown().await;
    Ok(())
}

fn main() -> ExitCode {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&address)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{address}: {error}");
            ExitCode::FAILURE
        }
    }
}
