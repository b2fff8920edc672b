//! What comes back.

use crate::Chat;
use std::{sync::Arc, time::Duration};

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// The text of the answer.
    pub text: Arc<str>,
    /// The model that answered, as it names itself.
    pub model: Arc<str>,
    /// Tokens that the answer cost when it was made; zeros when the backend did not say.
    pub usage: Usage,
    /// Why the model stopped, such as `stop` or `length`.
    pub finish_reason: Option<Arc<str>>,
    /// Where the answer came from.
    pub source: Source,
    /// From the question to the answer, waiting included.
    pub latency: Duration,
    /// Calls to the backend that were made for this question: 0 from the cache, more than 1 after retries.
    pub attempts: u32,
}

/// Tokens of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the question.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
}

impl Usage {
    /// Tokens of the question and of the answer.
    pub fn new(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self { prompt_tokens, completion_tokens }
    }

    /// All tokens.
    pub fn total(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// It was in the cache.
    Cache,
    /// Somebody else's call for the same question was in flight.
    Shared,
    /// A call made for this question.
    Backend,
}

/// Who goes first. Within a priority it is first come, first served; a lower one is overtaken only by
/// what comes within the ageing time per level (`LlmBuilder::ageing`), so nobody starves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// When nothing else waits.
    Low,
    /// The usual.
    #[default]
    Normal,
    /// Before the usual.
    High,
    /// Before everything.
    Critical,
}

impl Priority {
    /// 0 is the most urgent.
    pub(crate) fn level(self) -> u8 {
        match self {
            Self::Critical => 0,
            Self::High => 1,
            Self::Normal => 2,
            Self::Low => 3,
        }
    }
}

/// An answer as the cache and the flights keep it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) text: Arc<str>,
    pub(crate) model: Arc<str>,
    pub(crate) usage: Usage,
    pub(crate) finish_reason: Option<Arc<str>>,
}

impl Stored {
    pub(crate) fn new(completion: crate::Completion, chat: &Chat) -> Arc<Self> {
        let model = completion.model.map_or_else(|| chat.body().model.clone(), Into::into);
        Arc::new(Self {
            text: completion.text.into(),
            model,
            usage: completion.usage,
            finish_reason: completion.finish_reason.map(Into::into),
        })
    }

    pub(crate) fn reply(&self, source: Source, latency: Duration, attempts: u32) -> Reply {
        Reply {
            text: self.text.clone(),
            model: self.model.clone(),
            usage: self.usage,
            finish_reason: self.finish_reason.clone(),
            source,
            latency,
            attempts,
        }
    }
}
