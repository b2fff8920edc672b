//! The main job: a team of agents reviews a Cargo workspace.
//!
//! `cargo run --release --example team` reviews the workspace it stands in; `--help` has the rest.

mod args;
mod book;
mod figures;
mod job;
mod local;
mod report;
mod terminal;
mod workspace;

use args::Args;
use book::Book;
use clap::Parser;
use figures::{Figures, Run};
use job::Job;
use local::LocalServers;
use ropewalk::{System, llm::OpenAi};
use ropewalk_examples::{nodes::run_if_asked, server::Behaviour};
use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use terminal::Terminal;
use workspace::Workspace;

type BoxError = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    run_if_asked();
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    match runtime.block_on(team(&args)) {
        Ok(code) => code,
        Err(error) => fail(&*error),
    }
}

/// One clear line.
fn fail(error: &(dyn Error + 'static)) -> ExitCode {
    eprintln!("error: {}", error.to_string().replace('\n', " "));
    ExitCode::FAILURE
}

async fn team(args: &Args) -> Result<ExitCode, BoxError> {
    let started = Instant::now();
    let here = std::env::current_dir()?;
    let dir = args.path.clone().or_else(|| enclosing(&here)).unwrap_or_else(|| here.clone());
    let workspace = Workspace::read(&dir)?;
    let out = match &args.out {
        Some(out) => out.clone(),
        None => enclosing(&here).unwrap_or(here).join("target").join("team"),
    };
    fs::create_dir_all(&out).map_err(|error| format!("cannot create {}: {error}", out.display()))?;

    // From here on a Ctrl-C drains.
    let interrupt = Interrupt::listen();
    let (system, servers) = start(args, &out).await?;
    let worked = work(args, &system, servers.as_ref(), workspace, &out, started, &interrupt).await;
    if let (Ok(_), Some(address)) = (&worked, system.dashboard()) {
        if !interrupt.is_set() {
            eprintln!("the dashboard stays at http://{address}/ until Ctrl-C");
            interrupt.wait().await;
        }
    }
    let stopped = system.shutdown().await;
    let code = worked?;
    stopped?;
    Ok(code)
}

/// The system, and the stand-in servers if the model is not a real one.
async fn start(args: &Args, out: &Path) -> Result<(System, Option<LocalServers>), BoxError> {
    let mut builder = System::builder()
        .database(out.join("team.db"))
        .agents(args.agents as usize)
        .nodes(args.nodes.clone())
        .seed(args.seed);
    if let Some(address) = &args.serve {
        builder = builder.dashboard(address.clone());
    }
    let real = std::env::var_os("OPENAI_BASE_URL").is_some_and(|url| !url.is_empty());
    if real {
        return Ok((builder.model(OpenAi::from_env()?).start().await?, None));
    }
    let behaviour = Behaviour {
        latency: args.model_latency(),
        fail_rate: args.fail_rate,
        seed: args.seed,
        ..Behaviour::default()
    };
    let servers = LocalServers::new(behaviour);
    Ok((builder.provisioner(servers.clone()).start().await?, Some(servers)))
}

async fn work(
    args: &Args,
    system: &System,
    servers: Option<&LocalServers>,
    workspace: Workspace,
    out: &Path,
    started: Instant,
    interrupt: &Interrupt,
) -> Result<ExitCode, BoxError> {
    let terminal = Terminal::new(args.json, workspace.files(), workspace.packages.len());
    if !args.json {
        terminal.say(format!(
            "{} packages and {} files of {}; {} agents, {}",
            workspace.packages.len(),
            workspace.files(),
            workspace.root.display(),
            args.agents,
            if servers.is_some() {
                "a stand-in model on the loopback"
            } else {
                "the model at OPENAI_BASE_URL"
            },
        ));
    }
    if let (Some(address), false) = (system.dashboard(), args.json) {
        terminal.say(format!("dashboard: http://{address}/"));
    }
    let book = Book::open(system.store().clone(), &workspace.root.to_string_lossy()).await?;
    let known = book.answers().await?;
    let interrupted = book.interrupted().await?;
    let wanted: Vec<&str> =
        workspace.packages.iter().flat_map(|p| &p.files).map(|f| f.key.as_str()).collect();
    let interrupted = interrupted.iter().filter(|key| wanted.contains(&key.as_str())).count();
    let (files, packages) = (workspace.files(), workspace.packages.len());
    let job = Job::new(system.clone(), book, workspace, args.model.clone(), terminal, known);

    let watching = tokio::spawn(watch(system.clone(), job.clone(), interrupt.clone()));
    let worked = job.run().await;
    watching.abort();
    job.terminal().finish();
    let (counts, findings) = worked?;
    let outcome = if interrupt.is_set() { "interrupted" } else { "complete" };
    let totals = job.book().close(outcome).await?;

    let figures = Figures::of(
        &Run {
            took: started.elapsed(),
            files,
            packages,
            agents: args.agents as usize,
            nodes: servers.map_or((0, 0), LocalServers::counts),
            interrupted,
            alerts_raised: system.alerts_raised(),
        },
        counts,
        totals,
        &system.status(),
    );
    let report = report::write(out, job.workspace(), &findings, &figures.to_string())
        .map_err(|error| format!("cannot write the report in {}: {error}", out.display()))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&figures)?);
    } else {
        println!("{figures}");
        if counts.answered_from_store > 0 {
            println!(
                "{} of {} tasks were answered from {}",
                counts.answered_from_store,
                counts.tasks,
                out.join("team.db").display()
            );
        }
        println!("report: {}", report.display());
    }
    if !figures.agree() {
        return Err("the database does not agree with what was done; please report this".into());
    }
    Ok(match () {
        // As shells report a program that was interrupted.
        () if interrupt.is_set() => ExitCode::from(130),
        () if counts.completed + counts.answered_from_store < counts.tasks => ExitCode::from(2),
        () => ExitCode::SUCCESS,
    })
}

/// Shows how the machinery stands, and calls the job off when the user interrupts.
async fn watch(system: System, job: Arc<Job>, interrupt: Interrupt) {
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let mut told = false;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = interrupt.wait(), if !told => {
                told = true;
                job.terminal().say("interrupted: finishing what has begun; press Ctrl-C again to stop at once");
                job.call_off();
            }
        }
        let status = system.status();
        job.terminal().state(format_args!(
            "{} agents busy, {} tasks wait; {} calls in flight on {} nodes, {:.0} % from the cache",
            status.team.agents_busy,
            status.team.pending + status.team.ready + status.team.blocked,
            status.llm.in_flight,
            status.scaler.as_ref().map_or(1, |s| s.ready),
            100.0 * status.llm.hit_ratio(),
        ));
    }
}

/// Set by the first Ctrl-C; the second ends the program.
#[derive(Clone)]
struct Interrupt(Arc<ropewalk::sync::Event>);

impl Interrupt {
    fn listen() -> Self {
        let event = Arc::new(ropewalk::sync::Event::new());
        let set = event.clone();
        tokio::spawn(async move {
            // Without a handler Ctrl-C ends the program by itself.
            while tokio::signal::ctrl_c().await.is_ok() {
                if set.is_set() {
                    std::process::exit(130);
                }
                set.set();
            }
        });
        Self(event)
    }

    fn is_set(&self) -> bool {
        self.0.is_set()
    }

    async fn wait(&self) {
        self.0.wait().await;
    }
}

/// The workspace that `dir` stands in.
fn enclosing(dir: &Path) -> Option<PathBuf> {
    let mut found = None;
    for dir in dir.ancestors() {
        let manifest = dir.join("Cargo.toml");
        if manifest.is_file() {
            found.get_or_insert_with(|| dir.to_owned());
            if fs::read_to_string(&manifest).is_ok_and(|text| text.contains("[workspace]")) {
                return Some(dir.to_owned());
            }
        }
    }
    found
}
