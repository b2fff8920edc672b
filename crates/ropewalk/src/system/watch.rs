//! What the monitor watches in a system, and what it does about it.

use ropewalk_agents::{Coordinator, Status};
use ropewalk_balance::Balancer;
use ropewalk_llm::Llm;
use ropewalk_monitor::{
    AlertKind, BuildError, Monitor, Rule, Samples, Section, Severity, WaitEdge, counter, deadlock, gauge,
};
use ropewalk_resources::ResourcePool;
use ropewalk_scale::AutoScaler;
use ropewalk_store::Store;
use ropewalk_sync::Clock;
use std::time::Duration;

/// The parts that are watched.
pub(super) struct Watched<'a> {
    pub(super) team: &'a Coordinator,
    pub(super) resources: &'a ResourcePool,
    pub(super) llm: &'a Llm,
    pub(super) nodes: &'a Balancer,
    pub(super) scaler: Option<&'a AutoScaler>,
    pub(super) store: &'a Store,
    pub(super) clock: &'a Clock,
    pub(super) stuck_after: Duration,
}

/// Alerts that fire now.
pub(super) fn firing(monitor: &Monitor) -> usize {
    let summary = monitor.handle().alert_summary();
    summary.info + summary.warning + summary.error + summary.critical
}

/// Alerts that have fired since the start.
pub(super) fn raised(monitor: &Monitor) -> u64 {
    monitor.handle().alert_summary().fired
}

/// A monitor over all parts, with rules that act.
pub(super) fn monitor(watched: &Watched<'_>) -> Result<Monitor, BuildError> {
    let Watched { resources, llm, nodes, store, stuck_after, .. } = watched;
    let (pool, waits) = ((*resources).clone(), (*resources).clone());
    let (asked, slowed, picked, stored) =
        ((*llm).clone(), (*llm).clone(), (*nodes).clone(), (*store).clone());
    let team = watched.team.clone();
    let (hung, seen) = (team.clone(), team.clone());
    let scaler = watched.scaler.cloned();
    let stuck = *stuck_after;
    let breaker = (*resources).clone();
    Monitor::builder()
        .clock(watched.clock.clone())
        .system()
        .collect("team", move || {
            let stats = team.stats();
            Samples::new()
                .section(Section::Agents)
                .gauge("agents busy", stats.agents_busy)
                .gauge("agents idle", stats.agents_idle)
                .counter("messages sent", stats.messages_sent)
                .merge(
                    Samples::new()
                        .section(Section::Tasks)
                        .gauge("waiting", stats.pending + stats.ready + stats.blocked)
                        .gauge("running", stats.running)
                        .counter("completed", stats.completed)
                        .counter("failed", stats.failed)
                        .counter("retries", stats.retries),
                )
        })
        .collect("resources", move || {
            let stats = pool.stats();
            Samples::new()
                .section(Section::Concurrency)
                .gauge("leases", stats.leases)
                .gauge("waiting", stats.waiting)
                .counter("deadlocks prevented", stats.deadlocks)
                .counter("races", stats.races)
                .durations("wait", stats.wait)
        })
        .collect("model", move || {
            let stats = asked.stats();
            let failed: u64 = stats.failures.iter().map(|(_, count)| count).sum();
            Samples::new()
                .section(Section::Performance)
                .gauge("calls in flight", stats.in_flight)
                .gauge("queued", stats.queued)
                .counter("calls", stats.calls)
                .counter("failed calls", failed)
                .counter("cache hits", stats.hits)
                .durations("call", stats.backend_latency)
                .durations("answer", stats.answered_latency)
        })
        .collect("nodes", move || {
            let ready = scaler.as_ref().map_or_else(|| picked.stats().up, |scaler| scaler.status().ready);
            Samples::new().section(Section::Agents).gauge("nodes ready", ready)
        })
        .collect("database", move || {
            let stats = stored.stats();
            Samples::new()
                .section(Section::Performance)
                .counter("writes", stats.writes)
                .gauge("connections", stats.connections.size)
                .durations("commit", stats.commit)
        })
        .collect("stuck", move || {
            let snapshot = seen.snapshot();
            let uptime = snapshot.uptime;
            let stuck = snapshot
                .in_status(Status::Running)
                .filter(|task| task.started.is_some_and(|started| uptime.saturating_sub(started) > stuck))
                .count();
            Samples::new().section(Section::Tasks).gauge("tasks", stuck).title("stuck")
        })
        .watch_waits("leases", move || {
            waits
                .wait_for_graph()
                .into_iter()
                .map(|edge| {
                    WaitEdge::new(
                        edge.waiter.to_string(),
                        edge.blocker.to_string(),
                        edge.resource,
                        edge.since,
                    )
                })
                .collect::<Vec<_>>()
        })
        .rule(
            Rule::new("deadlock")
                .kind(AlertKind::Deadlock)
                .severity(Severity::Critical)
                .when(deadlock())
                .act(move |firing| {
                    for deadlock in firing.deadlocks() {
                        if let Some(member) = deadlock.youngest() {
                            breaker.refuse(member.owner.as_str());
                        }
                    }
                }),
        )
        .rule(
            Rule::new("race")
                .kind(AlertKind::RaceCondition)
                .severity(Severity::Error)
                .when(counter("resources_races").rate().above(0.0)),
        )
        .rule(
            Rule::new("model errors")
                .kind(AlertKind::ErrorRate)
                .severity(Severity::Warning)
                .when(counter("model_failed_calls").rate().over(counter("model_calls").rate()).above(0.5))
                .for_(Duration::from_secs(5)),
        )
        .rule(
            Rule::new("processor exhausted")
                .kind(AlertKind::ResourceExhaustion)
                .severity(Severity::Warning)
                .when(gauge("machine_cpu_ratio").above(0.98))
                .for_(Duration::from_secs(30))
                .act(move |_| {
                    let limit = slowed.stats().limit;
                    slowed.resize((limit / 2).max(1));
                }),
        )
        .rule(
            Rule::new("stuck tasks")
                .kind(AlertKind::AgentStuck)
                .severity(Severity::Error)
                .when(gauge("stuck_tasks").above(0.0))
                .act(move |_| {
                    let snapshot = hung.snapshot();
                    for task in snapshot.in_status(Status::Running) {
                        if task.started.is_some_and(|at| snapshot.uptime.saturating_sub(at) > stuck) {
                            // One that ended in between needs no cancelling.
                            let _ = hung.cancel(task.id);
                        }
                    }
                }),
        )
        .build()
}
