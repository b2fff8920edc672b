//! Looking at the team.

use super::{Inner, Record, State};
use crate::snapshot::{AgentInfo, Snapshot, Stats, TaskInfo};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

impl Inner {
    pub(crate) fn stats(&self) -> Stats {
        let graph = self.graph.stats();
        let now = self.clock.now();
        let state = self.state.lock();
        self.stats_of(&state, graph, now)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let now = self.clock.now();
        let graph = self.graph.stats();
        let infos: HashMap<_, _> = self.graph.tasks().into_iter().map(|info| (info.id, info)).collect();
        let (stats, records, agents) = {
            let state = self.state.lock();
            let records: Vec<Arc<Record>> = state.tasks.values().cloned().collect();
            let agents = state.roster.slots().map(|slot| self.agent(slot, now)).collect();
            (self.stats_of(&state, graph, now), records, agents)
        };
        let after_birth = |at: Instant| at.saturating_duration_since(self.born);
        let mut tasks: Vec<TaskInfo> = records
            .iter()
            .filter_map(|record| {
                // One that was forgotten or added in between is not in both.
                let info = infos.get(&record.id)?;
                let progress = record.progress.lock();
                Some(TaskInfo {
                    id: record.id,
                    name: record.name.clone(),
                    wanted: record.wanted.clone(),
                    agent: progress.agent.clone(),
                    priority: record.priority,
                    status: info.status,
                    attempts: info.attempts,
                    retries: record.retries,
                    dependencies: info.dependencies.clone(),
                    needs: record
                        .request
                        .iter()
                        .flat_map(|request| request.names().map(Arc::from).collect::<Vec<_>>())
                        .collect(),
                    waits_for: progress.waits_for.clone(),
                    estimated: record.estimated,
                    metadata: record.metadata.clone(),
                    created: after_birth(record.created),
                    started: progress.started.map(after_birth),
                    ended: progress.ended.map(after_birth),
                    error: progress.error.clone(),
                })
            })
            .collect();
        tasks.sort_by_key(|task| (task.created, task.id));
        Snapshot { uptime: after_birth(now), stats, agents, tasks }
    }

    fn agent(&self, slot: &super::roster::Slot, now: Instant) -> AgentInfo {
        let alive = now.saturating_duration_since(self.born).as_secs_f64();
        let busy = slot.running.busy_at(now);
        AgentInfo {
            name: slot.shared.name.clone(),
            roles: slot.roles.clone(),
            hired: slot.hired,
            running: slot.running.level,
            capacity: slot.capacity,
            queued: slot.shared.mailbox.len(),
            sent: slot.shared.sent.value(),
            received: slot.shared.received.value(),
            dropped: slot.shared.dropped.value(),
            completed: slot.completed,
            failed: slot.failed,
            busy,
            utilisation: if alive > 0.0 { busy.as_secs_f64() / alive } else { 0.0 },
        }
    }

    fn stats_of(&self, state: &State, graph: ropewalk_graph::Stats, now: Instant) -> Stats {
        let alive = now.saturating_duration_since(self.born).as_secs_f64();
        let share = |area: f64, of: usize| if alive > 0.0 { area / (alive * of as f64) } else { 0.0 };
        let agents = state.roster.slots().count();
        Stats {
            pending: graph.pending,
            ready: graph.ready,
            blocked: graph.blocked,
            running: graph.running,
            completed: self.meters.completed.value(),
            failed: self.meters.failed.value(),
            cancelled: self.meters.cancelled.value(),
            skipped: self.meters.skipped.value(),
            retries: self.meters.retries.value(),
            timeouts: self.meters.timeouts.value(),
            panics: self.meters.panics.value(),
            stuck: self.meters.stuck.load(Ordering::Relaxed),
            agents,
            agents_busy: state.roster.busy.level,
            agents_idle: agents - state.roster.busy.level,
            max_agents: state.roster.max_busy(),
            slots: state.running.level,
            slots_lent: state.roster.lent(),
            max_tasks: self.settings.max_tasks,
            agent_utilisation: share(state.roster.busy.area_at(now), state.roster.max_busy()),
            task_utilisation: share(state.running.area_at(now), self.settings.max_tasks),
            messages_sent: self.meters.sent.value(),
            messages_received: self.meters.received.value(),
            messages_dropped: self.meters.dropped.value(),
            messages_queued: state.roster.slots().map(|slot| slot.shared.mailbox.len()).sum(),
            messages_per_minute: self.meters.recent.count(),
            queue_time: self.meters.queued.snapshot(),
            run_time: self.meters.ran.snapshot(),
            listener_panics: self.hub.panics.value(),
            accepting: state.accepting,
        }
    }
}
