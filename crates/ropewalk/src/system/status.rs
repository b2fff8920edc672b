//! What the system says about itself.

use super::Parts;
use std::{fmt, time::Duration};

/// The figures of every part, read one after the other.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Status {
    /// How long the system has been up.
    pub uptime: Duration,
    /// The team: tasks by status, agents, messages.
    pub team: ropewalk_agents::Stats,
    /// The resources: leases, waits, deadlocks, races, contention.
    pub resources: ropewalk_resources::PoolStats,
    /// The language model: hits, calls, latencies, tokens.
    pub llm: ropewalk_llm::LlmStats,
    /// The balancer of the nodes.
    pub nodes: ropewalk_balance::BalancerStats,
    /// The scaler, if there is one.
    pub scaler: Option<ropewalk_scale::ScalerStatus>,
    /// The database: writes, batches, query cache, connections.
    pub store: ropewalk_store::StoreStats,
    /// Alerts that fire now.
    pub alerts_firing: usize,
}

impl Status {
    pub(super) fn of(parts: &Parts) -> Self {
        Self {
            uptime: parts.clock.now().saturating_duration_since(parts.started),
            team: parts.team.stats(),
            resources: parts.resources.stats(),
            llm: parts.llm.stats(),
            nodes: parts.nodes.stats(),
            scaler: parts.scaler.as_ref().map(ropewalk_scale::AutoScaler::status),
            store: parts.store.stats(),
            alerts_firing: super::watch::firing(&parts.monitor),
        }
    }
}

/// The figures that matter; its `Display` is a few lines of text.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PerformanceSummary {
    /// How long the system has been up.
    pub uptime: Duration,
    /// Tasks that completed.
    pub tasks_completed: u64,
    /// Tasks that failed, were cancelled or skipped.
    pub tasks_not_completed: u64,
    /// Completed tasks per second of uptime.
    pub tasks_per_second: f64,
    /// Retries of tasks.
    pub retries: u64,
    /// Busy agents as a part of the limit, over the uptime.
    pub agent_utilisation: f64,
    /// Messages sent in the last minute.
    pub messages_per_minute: u64,
    /// Share of questions to the model answered from the cache.
    pub model_hit_ratio: f64,
    /// Median time of a call to the model.
    pub model_call: Option<Duration>,
    /// Median time to an answer, cache hits included.
    pub model_answer: Option<Duration>,
    /// Share of calls to the model that failed.
    pub model_error_rate: f64,
    /// Share of the lease requests that had to wait.
    pub lease_wait_ratio: f64,
    /// 99th percentile of those waits.
    pub lease_wait_p99: Option<Duration>,
    /// Deadlocks prevented.
    pub deadlocks: u64,
    /// Races seen: accesses without a lease while another held it.
    pub races: u64,
    /// Nodes ready now.
    pub nodes: usize,
    /// Operations committed to the database.
    pub writes: u64,
    /// Operations per transaction.
    pub writes_per_batch: f64,
    /// Share of queries answered from memory.
    pub query_hit_ratio: f64,
    /// Alerts that fire now.
    pub alerts_firing: usize,
}

impl PerformanceSummary {
    pub(super) fn of(status: &Status) -> Self {
        let Status { uptime, team, resources, llm, nodes, scaler, store, alerts_firing } = status;
        let failed_calls: u64 = llm.failures.iter().map(|(_, count)| count).sum();
        Self {
            uptime: *uptime,
            tasks_completed: team.completed,
            tasks_not_completed: team.failed + team.cancelled + team.skipped,
            tasks_per_second: ratio(team.completed as f64, uptime.as_secs_f64()),
            retries: team.retries,
            agent_utilisation: team.agent_utilisation,
            messages_per_minute: team.messages_per_minute,
            model_hit_ratio: llm.hit_ratio(),
            model_call: llm.backend_latency.quantile(0.5).map(Duration::from_nanos),
            model_answer: llm.answered_latency.quantile(0.5).map(Duration::from_nanos),
            model_error_rate: ratio(failed_calls as f64, llm.calls as f64),
            lease_wait_ratio: ratio(resources.waited as f64, resources.acquired as f64),
            lease_wait_p99: resources.wait.quantile(0.99).map(Duration::from_nanos),
            deadlocks: resources.deadlocks,
            races: resources.races,
            nodes: scaler.as_ref().map_or(nodes.up, |scaler| scaler.ready),
            writes: store.writes,
            writes_per_batch: ratio(store.writes as f64, store.batches as f64),
            query_hit_ratio: store.query_hit_ratio(),
            alerts_firing: *alerts_firing,
        }
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

impl fmt::Display for PerformanceSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: Option<Duration>| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.1?}"));
        writeln!(f, "up {:.1} s", self.uptime.as_secs_f64())?;
        writeln!(
            f,
            "tasks      {} completed, {} not, {:.1} a second, {} retries",
            self.tasks_completed, self.tasks_not_completed, self.tasks_per_second, self.retries
        )?;
        writeln!(
            f,
            "agents     {:.0} % busy, {} messages in the last minute",
            100.0 * self.agent_utilisation,
            self.messages_per_minute
        )?;
        writeln!(
            f,
            "model      {:.1} % from the cache, a call {}, an answer {} (medians), {:.1} % of calls failed",
            100.0 * self.model_hit_ratio,
            time(self.model_call),
            time(self.model_answer),
            100.0 * self.model_error_rate
        )?;
        writeln!(
            f,
            "resources  {:.1} % of leases waited, p99 {}, {} deadlocks prevented, {} races seen",
            100.0 * self.lease_wait_ratio,
            time(self.lease_wait_p99),
            self.deadlocks,
            self.races
        )?;
        writeln!(
            f,
            "database   {} writes, {:.1} to a transaction, {:.1} % of queries from memory",
            self.writes,
            self.writes_per_batch,
            100.0 * self.query_hit_ratio
        )?;
        write!(f, "nodes      {} ready; {} alerts firing", self.nodes, self.alerts_firing)
    }
}
