//! CPU and memory of the process and the machine, from the operating system.

use crate::metric::{Samples, Section, Unit};
use std::time::{Duration, Instant};
use sysinfo::{MINIMUM_CPU_UPDATE_INTERVAL, Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Reads the system. Shares of CPU are over the time since the read before, so the first read has none.
pub(crate) struct Reader {
    system: System,
    pid: Option<Pid>,
    /// When shares were computed last; the operating system counts in ticks of some milliseconds, so two
    /// reads in short order give the same.
    read: Option<Instant>,
    cpu: Option<(f64, f64)>,
    started: Instant,
}

impl Reader {
    pub(crate) fn new() -> Self {
        let (system, pid) = (System::new(), sysinfo::get_current_pid().ok());
        Self { system, pid, read: None, cpu: None, started: Instant::now() }
    }

    pub(crate) fn read(&mut self) -> Samples {
        let due = self
            .read
            .is_none_or(|read| read.elapsed() >= MINIMUM_CPU_UPDATE_INTERVAL.max(Duration::from_millis(1)));
        self.system.refresh_memory();
        if due {
            self.system.refresh_cpu_usage();
        }
        let pids: Vec<Pid> = self.pid.into_iter().collect();
        let kind = ProcessRefreshKind::nothing().with_memory();
        let kind = if due { kind.with_cpu() } else { kind };
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), false, kind);
        let process = self.pid.and_then(|pid| self.system.process(pid));
        if due {
            let shares = process.map(|process| f64::from(process.cpu_usage()) / 100.0);
            if self.read.is_some() {
                self.cpu = shares.map(|process| (process, f64::from(self.system.global_cpu_usage()) / 100.0));
            }
            self.read = Some(Instant::now());
        }
        let mut samples = Samples::new().section(Section::System);
        if let Some((process, machine)) = self.cpu {
            samples = samples
                .gauge("process_cpu_ratio", process)
                .unit(Unit::Ratio)
                .title("process CPU")
                .help("CPU used by this process; 1 is one processor")
                .gauge("machine_cpu_ratio", machine)
                .unit(Unit::Ratio)
                .title("machine CPU")
                .help("CPU used on the machine, as a share of all processors");
        }
        if let Some(process) = process {
            samples = samples
                .gauge("process_memory_bytes", process.memory())
                .unit(Unit::Bytes)
                .title("process memory")
                .help("resident memory of this process");
        }
        let (total, available) = (self.system.total_memory(), self.system.available_memory());
        if total > 0 {
            let used = total.saturating_sub(available);
            samples = samples
                .gauge("machine_memory_ratio", used as f64 / total as f64)
                .unit(Unit::Ratio)
                .title("machine memory")
                .help("memory in use on the machine, as a share of all")
                .gauge("machine_memory_bytes", total)
                .unit(Unit::Bytes)
                .title("machine memory, all")
                .help("memory of the machine");
        }
        samples
            .gauge("process_uptime_seconds", self.started.elapsed())
            .unit(Unit::Seconds)
            .title("watched for")
            .help("seconds since the process is watched")
    }
}
