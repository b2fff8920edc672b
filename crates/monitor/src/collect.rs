//! Running collectors so that none of them can hold up the others.
//!
//! Collectors run one after the other in a *lane*, a thread that is not the monitor's. One that exceeds its
//! time is left alone in its lane, and the rest of the tick goes on in a new one. It is skipped until it
//! returns; then its lane ends. There are never more than `STUCK` lanes in that state: beyond, collection
//! pauses until one returns. A lane that is stuck when the monitor is dropped is not joined; its thread ends when
//! its collector returns.

use crate::{
    deliver::{Queue, caught},
    metric::Samples,
    waits::WaitEdge,
};
use ropewalk_sync::{Background, Clock, Receiver, Sender, Spawn, oneshot};
use std::{sync::Arc, time::Duration};

const STUCK: usize = 8;

pub(crate) enum Output {
    Samples(Samples),
    Edges(Vec<WaitEdge>),
}

pub(crate) type Source = Box<dyn FnMut() -> Result<Output, String> + Send>;

pub(crate) struct Collector {
    pub(crate) name: Arc<str>,
    pub(crate) watch: bool,
    /// Away while a lane has it.
    source: Option<Source>,
    late: Option<Receiver<Answer>>,
}

type Answer = (Source, Result<Output, String>);

impl Collector {
    pub(crate) fn new(name: Arc<str>, watch: bool, source: Source) -> Self {
        Self { name, watch, source: Some(source), late: None }
    }
}

/// A collector's state.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CollectorStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Times it was run.
    pub runs: u64,
    /// Times it failed, panicked or took too long.
    pub failures: u64,
    /// Whether its last run gave samples.
    pub up: bool,
    /// Whether it has not returned from a run that took too long.
    pub stuck: bool,
    /// How long its last run took.
    pub took: Duration,
    /// What its last failure was.
    pub last_error: Option<String>,
}

struct Lane {
    jobs: Arc<Queue<(Source, Sender<Answer>)>>,
    worker: Background,
}

pub(crate) struct Lanes {
    clock: Clock,
    spawner: Option<Arc<dyn Spawn>>,
    limit: Duration,
    lane: Option<Lane>,
    /// By the index of the collector that holds them up.
    stuck: Vec<(usize, Lane)>,
}

impl Lanes {
    pub(crate) fn new(clock: Clock, spawner: Option<Arc<dyn Spawn>>, limit: Duration) -> Self {
        Self { clock, spawner, limit, lane: None, stuck: Vec::new() }
    }

    /// Runs one collector.
    pub(crate) async fn run(
        &mut self,
        index: usize,
        collector: &mut Collector,
        status: &mut CollectorStatus,
    ) -> Option<Output> {
        self.welcome_back(index, collector, status);
        let Some(source) = collector.source.take() else {
            status.up = false;
            return None;
        };
        if self.stuck.len() >= STUCK {
            collector.source = Some(source);
            status.fail("not run: too many collectors are stuck".to_owned());
            return None;
        }
        let begun = self.clock.now();
        status.runs += 1;
        let (sender, mut receiver) = oneshot();
        let lane = self.lane.get_or_insert_with(|| Lane::start(&self.clock, self.spawner.as_deref()));
        if lane.jobs.put((source, sender)).is_err() {
            // An idle lane takes a job; the collector is lost with the queue, which cannot be.
            status.fail("its lane takes no work".to_owned());
            return None;
        }
        lane.jobs.wake();
        let answer = self.clock.timeout(self.limit, &mut receiver).await;
        status.took = self.clock.now().saturating_duration_since(begun);
        match answer {
            Ok(Ok((source, output))) => {
                collector.source = Some(source);
                match output {
                    Ok(output) => {
                        status.up = true;
                        Some(output)
                    }
                    Err(why) => {
                        status.fail(why);
                        None
                    }
                }
            }
            Ok(Err(_canceled)) => {
                status.fail("its thread or runtime ended".to_owned());
                self.lane = None;
                None
            }
            Err(_elapsed) => {
                status.stuck = true;
                status.fail(format!("took longer than {:?}", self.limit));
                collector.late = Some(receiver);
                self.stuck.extend(self.lane.take().map(|lane| (index, lane)));
                None
            }
        }
    }

    /// Takes back a collector that has returned from a run given up before.
    fn welcome_back(&mut self, index: usize, collector: &mut Collector, status: &mut CollectorStatus) {
        let Some(late) = &mut collector.late else { return };
        match late.try_recv() {
            Ok(None) => return,
            Ok(Some((source, _too_late))) => collector.source = Some(source),
            Err(_canceled) => status.fail("its thread or runtime ended".to_owned()),
        }
        collector.late = None;
        status.stuck = false;
        self.stuck.retain(|(of, _)| *of != index);
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        for (_, lane) in self.stuck.drain(..) {
            lane.worker.stop();
            // Dropping would join a thread that may never end.
            std::mem::forget(lane.worker);
        }
    }
}

impl Lane {
    fn start(clock: &Clock, spawner: Option<&dyn Spawn>) -> Self {
        let jobs: Arc<Queue<(Source, Sender<Answer>)>> = Arc::new(Queue::new(1));
        let queue = jobs.clone();
        let work = async move {
            loop {
                let (mut source, answer) = queue.pop().await;
                let output = caught(&mut source).and_then(|output| output);
                let _monitor_gone = answer.send((source, output));
            }
        };
        let worker = match spawner {
            Some(spawner) => Background::spawn("ropewalk-collect", spawner, work),
            None => Background::thread("ropewalk-collect", clock, work),
        };
        Self { jobs, worker }
    }
}

impl CollectorStatus {
    fn fail(&mut self, why: String) {
        self.failures += 1;
        self.up = false;
        self.last_error = Some(why);
    }
}
