//! The operations that load.

use crate::{
    Cache, LoadError,
    load::{Aboard, Lead},
};
use std::{
    convert::Infallible,
    hash::{BuildHasher, Hash},
    time::Duration,
};

/// Loading: one flight per key, for threads and tasks alike.
///
/// Whoever misses first becomes the leader and runs its loader; all others, threads and tasks in one
/// line, wait for what it brings. An error goes to all of them and is not cached. A write, removal or
/// invalidation of the key during a flight cuts it off: those aboard still get their value, callers
/// after it start a new flight, and what the old one brings is not cached.
impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Cache<K, V, S> {
    /// The value of `key`: cached, or shared from a load under way, or loaded by `load`.
    ///
    /// ```
    /// use ropewalk_cache::{Cache, LoadError};
    /// # ropewalk_sync::block_on(async {
    /// let cache: Cache<u64, String> = Cache::new(100);
    /// let one = cache.get_or_load(1, || async { Ok::<_, std::io::Error>("one".to_owned()) }).await?;
    /// assert_eq!(one, "one");
    /// # Ok::<_, LoadError<std::io::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`LoadError::Failed`] with the loader's error, shared by all who waited for it with the same
    /// error type (others load by themselves); [`LoadError::Recursive`] when the loader asks for its own
    /// key, which is found unless it asks through another task or thread.
    ///
    /// # Panics
    ///
    /// When the loader does, or the weigher. Those who wait then start their own loaders, one after
    /// another.
    ///
    /// # Cancel safety
    ///
    /// A waiter that is dropped leaves the line. A leader that is dropped drops its loader, and the
    /// next in line starts its own: completed loads are exactly one, starts at most one plus the leaders
    /// dropped. A leader that is neither polled nor dropped keeps all others waiting.
    pub async fn get_or_load<F, Fut, E>(&self, key: K, load: F) -> Result<V, LoadError<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
        E: Send + Sync + 'static,
    {
        let load = || async { load().await.map(Some) };
        Ok(some(self.load(key, false, load).await?))
    }

    /// [`get_or_load`](Self::get_or_load) for at most `limit`.
    ///
    /// # Errors
    ///
    /// As there, and [`LoadError::TimedOut`]; if the caller was the leader, the next in line goes on.
    pub async fn get_or_load_timeout<F, Fut, E>(
        &self,
        key: K,
        limit: Duration,
        load: F,
    ) -> Result<V, LoadError<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
        E: Send + Sync + 'static,
    {
        let loaded = self.core.clock.timeout(limit, self.get_or_load(key, load)).await;
        loaded.unwrap_or(Err(LoadError::TimedOut))
    }

    /// [`get_or_load`](Self::get_or_load) for a loader that may find that there is no value: that answer
    /// is shared by those who wait with this form, and not cached.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn get_or_load_optional<F, Fut, E>(&self, key: K, load: F) -> Result<Option<V>, LoadError<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<V>, E>>,
        E: Send + Sync + 'static,
    {
        self.load(key, true, load).await
    }

    /// [`get_or_load`](Self::get_or_load) for a thread, which waits in the same line and runs its
    /// loader itself. Don't call it in a task: it blocks the task's thread.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn get_or_load_blocking<E>(
        &self,
        key: K,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        Ok(some(self.load_blocking(key, false, None, || load().map(Some))?))
    }

    /// [`get_or_load_blocking`](Self::get_or_load_blocking) that waits at most `limit` for another's
    /// load. Its own loader, once it runs, is not interrupted.
    ///
    /// # Errors
    ///
    /// As there, and [`LoadError::TimedOut`].
    pub fn get_or_load_blocking_timeout<E>(
        &self,
        key: K,
        limit: Duration,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        Ok(some(self.load_blocking(key, false, Some(limit), || load().map(Some))?))
    }

    /// [`get_or_load_optional`](Self::get_or_load_optional) for a thread.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get_or_load_optional_blocking<E>(
        &self,
        key: K,
        load: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        self.load_blocking(key, true, None, load)
    }

    /// The value of `key`, made by `make` if there is none; one at a time makes it, as in
    /// [`get_or_load_blocking`](Self::get_or_load_blocking).
    ///
    /// # Panics
    ///
    /// When `make` does, and when it asks for its own key in the same way.
    pub fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> V) -> V {
        match self.get_or_load_blocking(key, || Ok::<V, Infallible>(make())) {
            Ok(value) => value,
            Err(LoadError::Failed(never)) => match *never {},
            Err(LoadError::Recursive | LoadError::TimedOut) => {
                panic!("get_or_insert_with was called for a key from inside its own closure")
            }
        }
    }

    async fn load<F, Fut, E>(&self, key: K, optional: bool, load: F) -> Result<Option<V>, LoadError<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<V>, E>>,
        E: Send + Sync + 'static,
    {
        let hash = self.hash(&key);
        if let Some(seen) = self.find(hash, &key) {
            // The user's drops first: a panic in one would leak a value that is returned already.
            drop((key, load));
            return Ok(Some(seen.with(V::clone)));
        }
        let lead = match self.core.aboard(hash, &key, optional).await? {
            Aboard::Value(held) => {
                drop((key, load));
                return Ok(Some(held.value.clone()));
            }
            Aboard::Nothing => return Ok(None),
            Aboard::Lead(lead) => lead,
        };
        let start = self.core.clock.now();
        let loaded = lead.drive(load).await;
        self.land(lead, key, loaded, start)
    }

    fn load_blocking<E: Send + Sync + 'static>(
        &self,
        key: K,
        optional: bool,
        limit: Option<Duration>,
        load: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, LoadError<E>> {
        let hash = self.hash(&key);
        if let Some(seen) = self.find(hash, &key) {
            // The user's drops first: a panic in one would leak a value that is returned already.
            drop((key, load));
            return Ok(Some(seen.with(V::clone)));
        }
        let clock = &self.core.clock;
        let aboard = self.core.aboard(hash, &key, optional);
        let aboard = match limit {
            None => clock.block_on(aboard),
            Some(limit) => clock.block_on_timeout(limit, aboard).unwrap_or(Err(LoadError::TimedOut)),
        };
        let lead = match aboard? {
            Aboard::Value(held) => {
                drop((key, load));
                return Ok(Some(held.value.clone()));
            }
            Aboard::Nothing => return Ok(None),
            Aboard::Lead(lead) => lead,
        };
        let start = clock.now();
        let loaded = lead.run(load);
        self.land(lead, key, loaded, start)
    }

    fn land<E: Send + Sync + 'static>(
        &self,
        lead: Lead<'_, K, V>,
        key: K,
        loaded: Result<Option<V>, E>,
        start: std::time::Instant,
    ) -> Result<Option<V>, LoadError<E>> {
        let took = self.core.clock.now().saturating_duration_since(start);
        self.core.tally.load_times.record_duration(took);
        Ok(lead.land(key, loaded)?.map(|held| held.value.clone()))
    }
}

/// Only optional forms take `Nothing` for an answer, and only their loaders give it.
fn some<V>(value: Option<V>) -> V {
    value.expect("a loader of values brings a value")
}
