//! Describing a task, and holding on to one.

use crate::{
    backoff::Backoff,
    cx::TaskCx,
    engine::{Body, Draft, Inner, Record, Sink, Value},
    error::{BoxError, JoinTimeoutError, SpawnError, TaskError},
};
use ropewalk_resources::Request;
use ropewalk_sync::{Elapsed, Receiver, oneshot};
use std::{
    collections::BTreeMap,
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

pub use ropewalk_graph::{FailurePolicy, Priority, Status, TaskId, TriggerRule};

/// Describes a task; [`spawn`](Self::spawn) takes it on.
#[must_use = "a task is taken on by spawn() or spawn_blocking()"]
pub struct TaskBuilder {
    inner: Arc<Inner>,
    draft: Draft,
}

impl TaskBuilder {
    pub(crate) fn new(inner: Arc<Inner>, name: Arc<str>) -> Self {
        let draft = Draft {
            name,
            wanted: None,
            priority: Priority::default(),
            after: Vec::new(),
            request: None,
            estimated: None,
            metadata: BTreeMap::new(),
            retries: None,
            backoff: None,
            retry_if: None,
            timeout: None,
            deadline: None,
            rule: TriggerRule::default(),
            policy: None,
        };
        Self { inner, draft }
    }

    /// Who should run it: an agent by name, or anybody with a role. When nobody was added who ever
    /// could, agents `ROLE-1`, `ROLE-2`, ... are hired as they are needed. Without it anybody may.
    pub fn agent(mut self, name_or_role: impl Into<Arc<str>>) -> Self {
        self.draft.wanted = Some(name_or_role.into());
        self
    }

    /// How urgent it is.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.draft.priority = priority;
        self
    }

    /// It waits for these: handles, by value or by reference, or ids.
    pub fn after(mut self, tasks: impl IntoIterator<Item = impl Into<TaskId>>) -> Self {
        self.draft.after.extend(tasks.into_iter().map(Into::into));
        self
    }

    /// The resources it holds while it runs, all of them from before the first line of its body. The
    /// request goes by the priority of the task.
    pub fn needs(mut self, request: Request) -> Self {
        self.draft.request = Some(request);
        self
    }

    /// How long it is expected to take; guides the order by critical path.
    pub fn estimated(mut self, duration: Duration) -> Self {
        self.draft.estimated = Some(duration);
        self
    }

    /// Notes something about it, for its body and for snapshots.
    pub fn metadata(mut self, key: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        self.draft.metadata.insert(key.into(), value.into());
        self
    }

    /// How often it is tried again after it failed; 3 unless the coordinator says otherwise.
    pub fn retries(mut self, retries: u32) -> Self {
        self.draft.retries = Some(retries);
        self
    }

    /// The pause before each retry.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.draft.backoff = Some(backoff);
        self
    }

    /// Which errors are worth a retry; all by default. Panics and timeouts always are. A panic in
    /// `worth` means no.
    pub fn retry_if(mut self, worth: impl Fn(&BoxError) -> bool + Send + Sync + 'static) -> Self {
        self.draft.retry_if = Some(Arc::new(worth));
        self
    }

    /// How long one attempt may take.
    pub fn timeout(mut self, duration: Duration) -> Self {
        self.draft.timeout = Some(duration);
        self
    }

    /// How long all of it may take from now: waiting, attempts and pauses.
    pub fn deadline(mut self, duration: Duration) -> Self {
        self.draft.deadline = Some(duration);
        self
    }

    /// How its dependencies have to end for it to start.
    pub fn rule(mut self, rule: TriggerRule) -> Self {
        self.draft.rule = rule;
        self
    }

    /// What its failure does to others; the coordinator's policy by default.
    pub fn on_failure(mut self, policy: FailurePolicy) -> Self {
        self.draft.policy = Some(policy);
        self
    }

    /// Takes the task on. The body is called once for each attempt, in a future of its own that is
    /// dropped when the attempt has to stop. An `Err` or a panic is a failure of this task only.
    ///
    /// A task that is refused ([`try_spawn`](Self::try_spawn) says when) gets a handle that says so.
    pub fn spawn<F, Fut, T, E>(self, body: F) -> TaskHandle<T>
    where
        F: Fn(TaskCx) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Into<BoxError>,
    {
        self.submit(asynchronous(body)).0
    }

    /// [`spawn`](Self::spawn) that tells at once when the task is not taken on.
    ///
    /// # Errors
    ///
    /// [`SpawnError`].
    pub fn try_spawn<F, Fut, T, E>(self, body: F) -> Result<TaskHandle<T>, SpawnError>
    where
        F: Fn(TaskCx) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Into<BoxError>,
    {
        let (handle, taken) = self.submit(asynchronous(body));
        taken.map(|()| handle)
    }

    /// Takes on a task whose body may block: each attempt runs on a thread of its own.
    ///
    /// A thread cannot be stopped from outside. The body should look at
    /// [`TaskCx::is_cancelled`] now and then. When an attempt has to stop and does not within the
    /// coordinator's [blocking grace](crate::CoordinatorBuilder::blocking_grace), the task goes on
    /// without it: its result is void, and it keeps its lease until it ends, so that nobody gets a
    /// resource that it may still touch.
    pub fn spawn_blocking<F, T, E>(self, body: F) -> TaskHandle<T>
    where
        F: Fn(TaskCx) -> Result<T, E> + Send + Sync + 'static,
        T: Send + 'static,
        E: Into<BoxError>,
    {
        let body = move |cx: TaskCx| body(cx).map(|value| Box::new(value) as Value).map_err(Into::into);
        self.submit(Body::Blocking(Arc::new(body))).0
    }

    fn submit<T: Send + 'static>(self, body: Body) -> (TaskHandle<T>, Result<(), SpawnError>) {
        let (sender, receiver) = oneshot::<Result<T, TaskError>>();
        let name = self.draft.name.clone();
        let sink: Sink = Box::new(move |result| {
            let result = result.and_then(|value| match value.downcast::<T>() {
                Ok(value) => Ok(*value),
                Err(_) => Err(TaskError::Lost { task: name }),
            });
            // Nobody wants it when the handle is gone.
            drop(sender.send(result));
        });
        let (record, taken) = self.inner.submit(self.draft, body, sink);
        (TaskHandle { inner: self.inner, record, receiver, kind: PhantomData }, taken)
    }
}

fn asynchronous<F, Fut, T, E>(body: F) -> Body
where
    F: Fn(TaskCx) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Into<BoxError>,
{
    let body = Arc::new(body);
    Body::Async(Arc::new(move |cx| {
        let future = body(cx);
        Box::pin(async move { future.await.map(|value| Box::new(value) as Value).map_err(Into::into) })
    }))
}

impl fmt::Debug for TaskBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskBuilder").field("name", &self.draft.name).finish_non_exhaustive()
    }
}

/// A task that was taken on: await it for its value, or use [`join_blocking`](Self::join_blocking).
///
/// Dropping the handle lets the task go on alone. While a handle lives, the coordinator remembers its
/// task, so that others can depend on it.
#[must_use = "await the task, or drop the handle on purpose to let it go on alone"]
pub struct TaskHandle<T> {
    inner: Arc<Inner>,
    record: Arc<Record>,
    receiver: Receiver<Result<T, TaskError>>,
    kind: PhantomData<fn() -> T>,
}

impl<T> TaskHandle<T> {
    /// Its id.
    pub fn id(&self) -> TaskId {
        self.record.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        // A task is remembered while it has a handle.
        self.inner.graph.status(self.record.id).unwrap_or(Status::Cancelled)
    }

    /// Whether it is in a final status.
    pub fn is_finished(&self) -> bool {
        self.status().is_finished()
    }

    /// Calls it off. Its dependents follow their trigger rules. One that runs is told to stop.
    pub fn cancel(&self) {
        // Only finished tasks are forgotten.
        let _ = self.inner.cancel_task(self.record.id, false);
    }

    /// Parks this thread until it is done. Do not call it on a thread that runs tasks.
    ///
    /// # Errors
    ///
    /// [`TaskError`].
    pub fn join_blocking(self) -> Result<T, TaskError> {
        let clock = self.inner.clock.clone();
        clock.block_on(self)
    }

    /// Waits for at most `within`. The handle stays yours.
    ///
    /// # Errors
    ///
    /// [`JoinTimeoutError`].
    pub async fn join_timeout(&mut self, within: Duration) -> Result<T, JoinTimeoutError> {
        let clock = self.inner.clock.clone();
        match clock.timeout(within, self).await {
            Ok(done) => Ok(done?),
            Err(Elapsed) => Err(JoinTimeoutError::Timeout { within }),
        }
    }
}

impl<T> Future for TaskHandle<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let received = ready!(Pin::new(&mut self.receiver).poll(cx));
        // The sink always sends, unless everything was torn down around it.
        Poll::Ready(received.unwrap_or_else(|_| Err(TaskError::Lost { task: self.record.name.clone() })))
    }
}

impl<T> From<TaskHandle<T>> for TaskId {
    fn from(handle: TaskHandle<T>) -> Self {
        handle.record.id
    }
}

impl<T> From<&TaskHandle<T>> for TaskId {
    fn from(handle: &TaskHandle<T>) -> Self {
        handle.record.id
    }
}

impl<T> fmt::Debug for TaskHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle")
            .field("name", &self.record.name)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
