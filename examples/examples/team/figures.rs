//! The figures at the end, beside those that the platform's first implementation gave.

use crate::{book::Totals, job::Counts};
use ropewalk::Status;
use std::{fmt, time::Duration};

/// One run in numbers.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Figures {
    pub(crate) seconds: f64,
    pub(crate) files: usize,
    pub(crate) packages: usize,
    #[serde(flatten)]
    pub(crate) tasks: Counts,
    pub(crate) database: Totals,
    pub(crate) task_retries: u64,
    pub(crate) agents: usize,
    pub(crate) agent_utilisation: f64,
    pub(crate) messages: u64,
    pub(crate) messages_per_minute: f64,
    pub(crate) model_questions: u64,
    pub(crate) model_calls: u64,
    pub(crate) model_retries: u64,
    pub(crate) model_failed_calls: u64,
    pub(crate) model_hit_ratio: f64,
    pub(crate) model_shared: u64,
    pub(crate) model_batches: u64,
    pub(crate) call_ms_mean: f64,
    pub(crate) answer_ms_mean: f64,
    pub(crate) calls_repeated_after_interruption: usize,
    pub(crate) leases: u64,
    pub(crate) leases_waited: u64,
    pub(crate) lease_utilisation: f64,
    pub(crate) deadlocks: u64,
    pub(crate) connections_served: u64,
    pub(crate) connections_opened: u64,
    pub(crate) connection_timeouts: u64,
    pub(crate) writes: u64,
    pub(crate) transactions: u64,
    pub(crate) query_hit_ratio: f64,
    pub(crate) nodes_started: usize,
    pub(crate) nodes_most: usize,
    pub(crate) scale_changes: u64,
    pub(crate) alerts_raised: u64,
    pub(crate) alerts_firing: usize,
}

/// What only the caller knows.
pub(crate) struct Run {
    pub(crate) took: Duration,
    pub(crate) files: usize,
    pub(crate) packages: usize,
    pub(crate) agents: usize,
    pub(crate) nodes: (usize, usize),
    pub(crate) interrupted: usize,
    pub(crate) alerts_raised: u64,
}

impl Figures {
    pub(crate) fn of(run: &Run, tasks: Counts, database: Totals, status: &Status) -> Self {
        let (llm, team, pool) = (&status.llm, &status.team, &status.store.connections);
        let millis = |mean: Option<f64>| mean.map_or(0.0, |nanos| nanos / 1e6);
        Self {
            seconds: run.took.as_secs_f64(),
            files: run.files,
            packages: run.packages,
            tasks,
            database,
            task_retries: team.retries,
            agents: run.agents,
            agent_utilisation: team.agent_utilisation,
            messages: team.messages_sent,
            messages_per_minute: team.messages_sent as f64 * 60.0 / run.took.as_secs_f64().max(1e-3),
            model_questions: llm.requests,
            model_calls: llm.calls,
            model_retries: llm.retries,
            model_failed_calls: llm.failures.iter().map(|(_, count)| count).sum(),
            model_hit_ratio: llm.hit_ratio(),
            model_shared: llm.shared,
            model_batches: llm.batches,
            call_ms_mean: millis(llm.backend_latency.mean()),
            answer_ms_mean: millis(llm.answered_latency.mean()),
            calls_repeated_after_interruption: run.interrupted,
            leases: status.resources.acquired,
            leases_waited: status.resources.waited,
            lease_utilisation: status.resources.utilisation,
            deadlocks: status.resources.deadlocks,
            connections_served: pool.gets,
            connections_opened: pool.opened,
            connection_timeouts: pool.timeouts,
            writes: status.store.writes,
            transactions: status.store.batches,
            query_hit_ratio: status.store.query_hit_ratio(),
            nodes_started: run.nodes.0,
            nodes_most: run.nodes.1,
            scale_changes: status.scaler.as_ref().map_or(0, |s| s.stats.scale_ups + s.stats.scale_downs),
            alerts_raised: run.alerts_raised,
            alerts_firing: status.alerts_firing,
        }
    }

    /// Whether the database says what the program says.
    pub(crate) fn agree(&self) -> bool {
        let tasks = &self.tasks;
        self.database.completed == tasks.completed as i64
            && self.database.not_completed == (tasks.failed + tasks.cancelled + tasks.skipped) as i64
            && self.database.repeated == 0
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, ours: String, first: &str| writeln!(f, "{name:<22} {ours:<62} {first}");
        let t = &self.tasks;
        row("", format!("this run, {:.1} s", self.seconds), "first implementation")?;
        row(
            "tasks",
            format!(
                "{}: {} done now, {} answered from the store, {} failed, {} skipped, {} cancelled",
                t.tasks, t.completed, t.answered_from_store, t.failed, t.skipped, t.cancelled
            ),
            "200",
        )?;
        row(
            "in the database",
            format!(
                "{} done, {} not, {} messages: {}",
                self.database.completed,
                self.database.not_completed,
                self.database.messages,
                if self.agree() { "agrees" } else { "DISAGREES" }
            ),
            "",
        )?;
        row(
            "agents",
            format!(
                "{} at work at once of {}, {:.0} % busy over the run",
                t.most_agents_busy,
                self.agents,
                100.0 * self.agent_utilisation
            ),
            "50",
        )?;
        row(
            "messages",
            format!("{}, {:.0} a minute", self.messages, self.messages_per_minute),
            "1,000 a minute",
        )?;
        row(
            "model latency",
            format!("{:.0} ms a call, {:.0} ms an answer (means)", self.call_ms_mean, self.answer_ms_mean),
            "2,100 -> 400 ms",
        )?;
        row(
            "model",
            format!(
                "{} questions, {:.1} % from the cache, {} shared, {} calls in {} batches",
                self.model_questions,
                100.0 * self.model_hit_ratio,
                self.model_shared,
                self.model_calls,
                self.model_batches
            ),
            "95 % cache hits",
        )?;
        row(
            "failures met",
            format!(
                "{} failed calls, {} calls retried, {} tasks retried, {} calls repeated after an interruption",
                self.model_failed_calls,
                self.model_retries,
                self.task_retries,
                self.calls_repeated_after_interruption
            ),
            "",
        )?;
        row(
            "resources",
            format!("{} leases, {} waited, {} deadlocks", self.leases, self.leases_waited, self.deadlocks),
            "",
        )?;
        row(
            "connections",
            format!(
                "{} requests served, {} timed out, {} opened",
                self.connections_served, self.connection_timeouts, self.connections_opened
            ),
            "30 served",
        )?;
        row(
            "database writes",
            format!(
                "{} operations in {} transactions, {:.1} each",
                self.writes,
                self.transactions,
                self.writes as f64 / self.transactions.max(1) as f64
            ),
            "85 batched",
        )?;
        row(
            "nodes",
            format!(
                "{} at once at most, {} started, {} changes of size",
                self.nodes_most, self.nodes_started, self.scale_changes
            ),
            "20, simulated",
        )?;
        row(
            "alerts",
            format!("{} raised, {} firing", self.alerts_raised, self.alerts_firing),
            "never delivered",
        )
    }
}
