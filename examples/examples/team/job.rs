//! The work: tasks for files, packages and the whole, in one graph.

use crate::{
    book::{Book, Ended, Sent, key_of},
    report::Findings,
    terminal::{Kind, Terminal},
    workspace::{Package, SourceFile, Workspace},
};
use ropewalk::{
    System,
    agents::{Agent, Message, Priority, Request, Status, TaskCx, TaskHandle, TaskId},
    llm::Chat,
};
use std::{
    collections::HashMap,
    error::Error,
    fmt::Write,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

type BoxError = Box<dyn Error + Send + Sync>;

/// How long one attempt of a task may take, waiting for the model included.
const ATTEMPT: Duration = Duration::from_secs(120);

/// One run of the team over a workspace.
pub(crate) struct Job {
    system: System,
    book: Book,
    workspace: Workspace,
    model: String,
    terminal: Terminal,
    /// Answers by key: of earlier runs, and of this one as they come.
    board: Mutex<HashMap<String, Note>>,
    busy: AtomicUsize,
    most_busy: AtomicUsize,
}

/// What the board knows about one task.
#[derive(Clone)]
struct Note {
    answer: Arc<str>,
    /// The question, if it was asked in this run: then asking it again is free.
    question: Option<Chat>,
}

/// How the tasks ended.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(crate) struct Counts {
    pub(crate) tasks: usize,
    pub(crate) answered_from_store: usize,
    pub(crate) completed: usize,
    pub(crate) failed: usize,
    pub(crate) cancelled: usize,
    pub(crate) skipped: usize,
    pub(crate) most_agents_busy: usize,
}

/// A task that was taken on.
struct Running {
    kind: Kind,
    key: String,
    name: String,
    handle: TaskHandle<()>,
}

impl Job {
    pub(crate) fn new(
        system: System,
        book: Book,
        workspace: Workspace,
        model: String,
        terminal: Terminal,
        known: HashMap<String, String>,
    ) -> Arc<Self> {
        let board = known
            .into_iter()
            .map(|(key, answer)| (key, Note { answer: answer.into(), question: None }))
            .collect();
        Arc::new(Self {
            system,
            book,
            workspace,
            model,
            terminal,
            board: Mutex::new(board),
            busy: AtomicUsize::new(0),
            most_busy: AtomicUsize::new(0),
        })
    }

    pub(crate) fn book(&self) -> &Book {
        &self.book
    }

    pub(crate) fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    pub(crate) fn terminal(&self) -> &Terminal {
        &self.terminal
    }

    /// Takes on every task that no earlier run has completed, and waits for all of them.
    pub(crate) async fn run(self: &Arc<Self>) -> Result<(Counts, Findings), BoxError> {
        self.hire()?;
        let mut counts = Counts::default();
        let mut running = Vec::new();
        let mut packages: Vec<(String, Option<TaskId>)> = Vec::new();
        for (at, package) in self.workspace.packages.iter().enumerate() {
            let mut after = Vec::new();
            for (nth, file) in package.files.iter().enumerate() {
                let task = self.take_on(&mut counts, &mut running, Kind::File, &file.key, &file.path, || {
                    self.file_task(at, nth)
                });
                after.extend(task);
            }
            let on: Vec<&str> = package
                .files
                .iter()
                .map(|f| f.key.as_str())
                .chain(package.depends_on.iter().map(|&on| packages[on].0.as_str()))
                .collect();
            let key = key_of(Kind::Package, &package.name, &on);
            after.extend(package.depends_on.iter().filter_map(|&on| packages[on].1));
            let keys: Vec<String> = package.depends_on.iter().map(|&on| packages[on].0.clone()).collect();
            let task = self.take_on(&mut counts, &mut running, Kind::Package, &key, &package.name, || {
                self.package_task(at, &key, keys, after)
            });
            packages.push((key, task));
        }
        let keys: Vec<String> = packages.iter().map(|(key, _)| key.clone()).collect();
        let on: Vec<&str> = keys.iter().map(String::as_str).collect();
        let report = key_of(Kind::Report, "report", &on);
        let after: Vec<TaskId> = packages.iter().filter_map(|(_, task)| *task).collect();
        self.take_on(&mut counts, &mut running, Kind::Report, &report, "report", || {
            self.report_task(&report, keys.clone(), after)
        });

        let mut findings = Findings::default();
        for task in running {
            self.finish(task, &mut counts, &mut findings).await?;
        }
        self.collect(&packages, &report, &mut findings);
        counts.most_agents_busy = self.most_busy.load(Ordering::Relaxed);
        Ok((counts, findings))
    }

    /// Calls off what has not begun; what runs goes on to its end.
    pub(crate) fn call_off(&self) {
        for task in &self.system.team().snapshot().tasks {
            if matches!(task.status, Status::Pending | Status::Ready | Status::Blocked) {
                // One that began or ended in between needs no calling off.
                let _ = self.system.team().cancel(task.id);
            }
        }
    }

    /// One lead for each package and one editor; reviewers are hired as they are needed.
    fn hire(&self) -> Result<(), BoxError> {
        // Notes are read when all that they are about is done, so a mailbox has room for all of them,
        // those of retried tasks included; a full one would make its senders wait for its reader.
        let room = |senders: usize| 16 + 4 * senders;
        for package in &self.workspace.packages {
            let lead = Agent::new(lead(package)).role("lead");
            self.system.team().add_agent(lead.mailbox(room(package.files.len())))?;
        }
        let editor = Agent::new("editor").mailbox(room(self.workspace.packages.len()));
        self.system.team().add_agent(editor)?;
        Ok(())
    }

    fn take_on(
        &self,
        counts: &mut Counts,
        running: &mut Vec<Running>,
        kind: Kind,
        key: &str,
        name: &str,
        spawn: impl FnOnce() -> TaskHandle<()>,
    ) -> Option<TaskId> {
        counts.tasks += 1;
        if self.board().contains_key(key) {
            counts.answered_from_store += 1;
            self.terminal.done(kind, name);
            return None;
        }
        let handle = spawn();
        let id = handle.id();
        running.push(Running { kind, key: key.to_owned(), name: name.to_owned(), handle });
        Some(id)
    }

    fn file_task(self: &Arc<Self>, package: usize, nth: usize) -> TaskHandle<()> {
        let job = self.clone();
        let (package_of, file) = self.file(package, nth);
        // What others stand on first, tests last.
        let priority = match () {
            () if file.path.ends_with("/lib.rs") => Priority::High,
            () if file.path.contains("/tests/") || file.path.contains("/benches/") => Priority::Low,
            () => Priority::Normal,
        };
        self.system
            .team()
            .task(file.path.clone())
            .priority(priority)
            .needs(
                Request::new().exclusive(file.path.as_str()).shared(format!("package {}", package_of.name)),
            )
            .metadata("package", package_of.name.as_str())
            .estimated(Duration::from_millis(200 + file.text.len() as u64 / 100))
            .timeout(ATTEMPT)
            .spawn(move |cx| {
                let job = job.clone();
                async move { job.review_file(&cx, package, nth).await }
            })
    }

    fn package_task(
        self: &Arc<Self>,
        package: usize,
        key: &str,
        on: Vec<String>,
        after: Vec<TaskId>,
    ) -> TaskHandle<()> {
        let (job, key) = (self.clone(), key.to_owned());
        let name = &self.workspace.packages[package].name;
        self.system
            .team()
            .task(format!("package {name}"))
            .agent(lead(&self.workspace.packages[package]))
            .priority(Priority::High)
            .after(after)
            .needs(Request::new().exclusive(format!("package {name}")))
            .timeout(ATTEMPT)
            .spawn(move |cx| {
                let (job, key, on) = (job.clone(), key.clone(), on.clone());
                async move { job.sum_up_package(&cx, package, &key, &on).await }
            })
    }

    fn report_task(self: &Arc<Self>, key: &str, on: Vec<String>, after: Vec<TaskId>) -> TaskHandle<()> {
        let (job, key) = (self.clone(), key.to_owned());
        self.system
            .team()
            .task("report")
            .agent("editor")
            .priority(Priority::Critical)
            .after(after)
            .timeout(ATTEMPT)
            .spawn(move |cx| {
                let (job, key, on) = (job.clone(), key.clone(), on.clone());
                async move { job.sum_up_all(&cx, &key, &on).await }
            })
    }

    async fn review_file(&self, cx: &TaskCx, package: usize, nth: usize) -> Result<(), BoxError> {
        let _busy = self.at_work();
        let (package, file) = self.file(package, nth);
        let question = self.chat().user(format!(
            "Review the file `{}` of the package `{}`:\n```rust\n{}\n```",
            file.path, package.name, file.text
        ));
        let answer = self.ask(cx, &file.key, question).await?;
        let note = answer.lines().last().unwrap_or_default().trim_start_matches("- ").to_owned();
        let body = format!("{}: {note}", file.path);
        let to = lead(package);
        cx.send(&to, Message::new(body.clone()).topic("review")).await?;
        let message = Sent { sender: cx.agent().name().to_owned(), recipient: to, body };
        self.complete(cx, Kind::File, &file.key, &file.path, &answer, vec![message]).await
    }

    async fn sum_up_package(
        &self,
        cx: &TaskCx,
        package: usize,
        key: &str,
        on: &[String],
    ) -> Result<(), BoxError> {
        let _busy = self.at_work();
        let package = &self.workspace.packages[package];
        // What the reviewers wrote: the lead looks at the heaviest first, but reads them all.
        let mut told = 0;
        while cx.try_recv().is_ok() {
            told += 1;
        }
        let mut material = String::new();
        for file in &package.files {
            let _ = writeln!(material, "## {}\n{}", file.path, self.look_up(&file.key).await?);
        }
        let names = package.depends_on.iter().map(|&on| self.workspace.packages[on].name.as_str());
        for (name, key) in names.zip(on) {
            let summary = self.look_up(key).await?;
            let gist = summary.lines().find(|line| line.contains("look first at")).unwrap_or_default();
            let _ = writeln!(material, "It stands on {name}: {}", gist.trim_start_matches("- "));
        }
        let question =
            self.chat().user(format!("Sum up the reviews of the package `{}`:\n{material}", package.name));
        let answer = self.ask(cx, key, question).await?;
        let body = format!("{} is reviewed; {told} notes read", package.name);
        cx.send("editor", Message::new(body.clone()).topic("package")).await?;
        let message = Sent { sender: cx.agent().name().to_owned(), recipient: "editor".into(), body };
        self.complete(cx, Kind::Package, key, &package.name, &answer, vec![message]).await
    }

    async fn sum_up_all(&self, cx: &TaskCx, key: &str, on: &[String]) -> Result<(), BoxError> {
        let _busy = self.at_work();
        while cx.try_recv().is_ok() {}
        let mut material = String::new();
        for (package, key) in self.workspace.packages.iter().zip(on) {
            let _ = writeln!(material, "## {}\n{}", package.name, self.look_up(key).await?);
        }
        let question = self.chat().user(format!("Sum up the packages of `the workspace`:\n{material}"));
        let answer = self.ask(cx, key, question).await?;
        self.complete(cx, Kind::Report, key, "report", &answer, Vec::new()).await
    }

    fn chat(&self) -> Chat {
        Chat::model(self.model.as_str()).system(
            "You review Rust source code. Answer with a short Markdown list; end it with a line `- weight: N`, \
             the higher the sooner a person should look.",
        )
    }

    /// Asks the model about a task's question, under the task's key.
    async fn ask(&self, cx: &TaskCx, key: &str, question: Chat) -> Result<Arc<str>, BoxError> {
        self.book.calling(key, cx.attempt()).await?;
        let reply = self.system.llm().ask(question.clone()).idempotency_key(key).await?;
        let note = Note { answer: reply.text.clone(), question: Some(question) };
        self.board().insert(key.to_owned(), note);
        Ok(reply.text)
    }

    /// The answer of another task. If it was asked in this run, the same question is asked again, and
    /// the processor answers from its cache; else it is on the board since an earlier run.
    async fn look_up(&self, key: &str) -> Result<Arc<str>, BoxError> {
        let note = self.board().get(key).cloned().ok_or("a task began before what it depends on was done")?;
        match note.question {
            Some(question) => Ok(self.system.llm().ask(question).idempotency_key(key).await?.text),
            None => Ok(note.answer),
        }
    }

    async fn complete(
        &self,
        cx: &TaskCx,
        kind: Kind,
        key: &str,
        name: &str,
        answer: &str,
        messages: Vec<Sent>,
    ) -> Result<(), BoxError> {
        let agent = cx.agent().name().to_owned();
        let ended = Ended { kind, key, name, agent: &agent, attempts: cx.attempt(), answer };
        self.book.completed(&ended, &messages).await?;
        self.terminal.done(kind, name);
        Ok(())
    }

    /// Waits for a task and writes down an end that is no completion.
    async fn finish(
        &self,
        task: Running,
        counts: &mut Counts,
        findings: &mut Findings,
    ) -> Result<(), BoxError> {
        let Running { kind, key, name, handle } = task;
        let id = handle.id();
        let Err(error) = handle.await else {
            counts.completed += 1;
            return Ok(());
        };
        let status = match self.system.team().graph().status(id) {
            Ok(Status::Cancelled) => {
                counts.cancelled += 1;
                "cancelled"
            }
            Ok(Status::Skipped) => {
                counts.skipped += 1;
                "skipped"
            }
            _ => {
                counts.failed += 1;
                "failed"
            }
        };
        self.terminal.done(kind, &name);
        let why = chain(&error);
        self.book.not_completed(kind, &key, &name, status, &why).await?;
        findings.failures.push((name, format!("{status}: {why}")));
        Ok(())
    }

    fn collect(&self, packages: &[(String, Option<TaskId>)], report: &str, findings: &mut Findings) {
        let board = self.board();
        let answer = |key: &str| board.get(key).map(|note| note.answer.to_string());
        for (package, (key, _)) in self.workspace.packages.iter().zip(packages) {
            for file in &package.files {
                findings.files.extend(answer(&file.key).map(|text| (file.path.clone(), text)));
            }
            findings.packages.extend(answer(key).map(|text| (package.name.clone(), text)));
        }
        findings.summary = answer(report);
    }

    fn file(&self, package: usize, nth: usize) -> (&Package, &SourceFile) {
        let package = &self.workspace.packages[package];
        (package, &package.files[nth])
    }

    fn board(&self) -> MutexGuard<'_, HashMap<String, Note>> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at_work(&self) -> AtWork<'_> {
        self.most_busy.fetch_max(self.busy.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        AtWork(&self.busy)
    }
}

/// One agent at work, as long as it lives.
struct AtWork<'a>(&'a AtomicUsize);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lead(package: &Package) -> String {
    format!("lead of {}", package.name)
}

/// An error and its causes on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text.replace('\n', " ")
}
