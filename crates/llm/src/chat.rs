//! What is asked of a model.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt,
    hash::{BuildHasher, Hash, Hasher},
    sync::Arc,
};

/// A request to a chat model: messages and how to sample the answer.
///
/// Two chats that are equal are the same question: they share a call in flight and an answer in the
/// cache. A clone costs one reference count, so keep one if you may want to ask again.
///
/// ```
/// use ropewalk_llm::Chat;
///
/// let chat = Chat::model("gpt-large").system("You review code.").user("fn f() {}").temperature(0.0).max_tokens(200);
/// assert_eq!(chat.body().messages.len(), 2);
/// assert_eq!(chat, chat.clone());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Chat(Arc<Body>);

/// The content of a [`Chat`], for backends to read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Body {
    /// The model's name.
    pub model: Arc<str>,
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// Sampling temperature.
    pub temperature: Option<f32>,
    /// Nucleus sampling.
    pub top_p: Option<f32>,
    /// The most tokens to answer with.
    pub max_tokens: Option<u32>,
    /// Seeds the sampling where the server can.
    pub seed: Option<u64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Further fields of the wire format.
    pub options: BTreeMap<String, Value>,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// The instructions.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// Its name in the wire format.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

impl Chat {
    /// An empty conversation with `model`.
    pub fn model(model: impl Into<Arc<str>>) -> Self {
        Self(Arc::new(Body {
            model: model.into(),
            messages: Vec::new(),
            temperature: None,
            top_p: None,
            max_tokens: None,
            seed: None,
            stop: Vec::new(),
            options: BTreeMap::new(),
        }))
    }

    /// Adds instructions.
    #[must_use]
    pub fn system(self, content: impl Into<String>) -> Self {
        self.message(Role::System, content)
    }

    /// Adds what the user says.
    #[must_use]
    pub fn user(self, content: impl Into<String>) -> Self {
        self.message(Role::User, content)
    }

    /// Adds what the model said.
    #[must_use]
    pub fn assistant(self, content: impl Into<String>) -> Self {
        self.message(Role::Assistant, content)
    }

    /// Adds a message.
    #[must_use]
    pub fn message(mut self, role: Role, content: impl Into<String>) -> Self {
        self.edit().messages.push(Message { role, content: content.into() });
        self
    }

    /// Sampling temperature; 0 is the most predictable.
    #[must_use]
    pub fn temperature(mut self, temperature: f32) -> Self {
        self.edit().temperature = Some(temperature);
        self
    }

    /// Nucleus sampling: only the likeliest tokens that make up this share, from 0 to 1.
    #[must_use]
    pub fn top_p(mut self, share: f32) -> Self {
        self.edit().top_p = Some(share);
        self
    }

    /// The most tokens to answer with.
    #[must_use]
    pub fn max_tokens(mut self, tokens: u32) -> Self {
        self.edit().max_tokens = Some(tokens);
        self
    }

    /// Seeds the sampling where the server can.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.edit().seed = Some(seed);
        self
    }

    /// Adds a text that ends the answer.
    #[must_use]
    pub fn stop(mut self, text: impl Into<String>) -> Self {
        self.edit().stop.push(text.into());
        self
    }

    /// Any other field of the wire format, such as `tools` or `response_format`. It is part of the
    /// question's identity, whatever the order of the keys in its objects.
    #[must_use]
    pub fn option(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.edit().options.insert(name.into(), value.into());
        self
    }

    /// What was put together.
    pub fn body(&self) -> &Body {
        &self.0
    }

    fn edit(&mut self) -> &mut Body {
        Arc::make_mut(&mut self.0)
    }

    /// Why no backend could answer this.
    pub(crate) fn flaw(&self) -> Option<&'static str> {
        let body = self.body();
        let off = |value: Option<f32>| value.is_some_and(|value| !value.is_finite() || value < 0.0);
        if body.model.is_empty() {
            Some("the model's name is empty")
        } else if body.messages.is_empty() {
            Some("it has no message")
        } else if off(body.temperature) {
            Some("its temperature is negative or not a number")
        } else if off(body.top_p) {
            Some("its top_p is negative or not a number")
        } else if body.max_tokens == Some(0) {
            Some("its max_tokens is zero")
        } else {
            None
        }
    }

    /// A rough count of the tokens asked: a token is about four bytes of English text or code.
    pub(crate) fn prompt_tokens(&self) -> u64 {
        let body = self.body();
        let bytes: usize = body.messages.iter().map(|message| message.content.len() + 16).sum();
        bytes.div_ceil(4) as u64
    }
}

/// The messages are shortened to their lengths: they are the user's, and long.
impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: usize = self.0.messages.iter().map(|message| message.content.len()).sum();
        f.debug_struct("Chat")
            .field("model", &self.0.model)
            .field("messages", &self.0.messages.len())
            .field("bytes", &bytes)
            .finish_non_exhaustive()
    }
}

/// Numbers are compared by their bits, so that equality and hash agree.
impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        let bits = |value: Option<f32>| value.map(f32::to_bits);
        self.model == other.model
            && self.messages == other.messages
            && bits(self.temperature) == bits(other.temperature)
            && bits(self.top_p) == bits(other.top_p)
            && self.max_tokens == other.max_tokens
            && self.seed == other.seed
            && self.stop == other.stop
            && self.options == other.options
    }
}

impl Eq for Body {}

impl Hash for Body {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.model.hash(state);
        self.messages.hash(state);
        self.temperature.map(f32::to_bits).hash(state);
        self.top_p.map(f32::to_bits).hash(state);
        self.max_tokens.hash(state);
        self.seed.hash(state);
        self.stop.hash(state);
        for (name, value) in &self.options {
            name.hash(state);
            hash_value(value, state);
        }
    }
}

/// Equal values hash alike: the keys of an object in their own order, whichever map holds them, and a
/// number by its text.
fn hash_value<H: Hasher>(value: &Value, state: &mut H) {
    match value {
        Value::Null => 0_u8.hash(state),
        Value::Bool(value) => (1_u8, value).hash(state),
        // 0.0 and -0.0 are equal as numbers and differ as text; a hash that ignores the number is
        // still right, and options are rarely told apart by a number alone.
        Value::Number(_) => 2_u8.hash(state),
        Value::String(text) => (3_u8, text).hash(state),
        Value::Array(values) => {
            (4_u8, values.len()).hash(state);
            values.iter().for_each(|value| hash_value(value, state));
        }
        Value::Object(fields) => {
            (5_u8, fields.len()).hash(state);
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|&(name, _)| name);
            for (name, value) in fields {
                name.hash(state);
                hash_value(value, state);
            }
        }
    }
}

/// A chat with its hash, computed once.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key {
    hash: u64,
    chat: Chat,
}

impl Key {
    pub(crate) fn new(chat: Chat, hasher: &impl BuildHasher) -> Self {
        Self { hash: hasher.hash_one(&chat), chat }
    }

    pub(crate) fn chat(&self) -> &Chat {
        &self.chat
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::hash::RandomState;

    #[test]
    fn equal_chats_hash_alike_and_each_field_tells_chats_apart() {
        let state = RandomState::new();
        let base = || Chat::model("m").system("s").user("u");
        assert_eq!(base(), base());
        assert_eq!(state.hash_one(base()), state.hash_one(base()));
        let others = [
            Chat::model("n").system("s").user("u"),
            Chat::model("m").user("s").user("u"),
            Chat::model("m").system("s"),
            Chat::model("m").system("su").user(""),
            base().temperature(0.0),
            base().temperature(-0.0),
            base().top_p(0.5),
            base().max_tokens(5),
            base().seed(1),
            base().stop("x"),
            base().option("n", 2),
            base().option("n", 3),
        ];
        for (i, a) in others.iter().enumerate() {
            assert_ne!(*a, base());
            for b in &others[i + 1..] {
                assert_ne!(a, b);
            }
        }
    }

    #[test]
    fn the_order_of_an_objects_keys_does_not_matter() {
        let state = RandomState::new();
        let mut one = serde_json::Map::new();
        one.insert("a".into(), json!([1, null, true]));
        one.insert("b".into(), json!({"x": 0.0, "y": "z"}));
        let mut two = serde_json::Map::new();
        two.insert("b".into(), json!({"y": "z", "x": 0.0}));
        two.insert("a".into(), json!([1, null, true]));
        let (one, two) = (Chat::model("m").option("o", one), Chat::model("m").option("o", two));
        assert_eq!(one, two);
        assert_eq!(state.hash_one(&one), state.hash_one(&two));
    }

    #[test]
    fn setting_a_field_of_a_clone_leaves_the_original_alone() {
        let chat = Chat::model("m").user("u");
        let other = chat.clone().user("v");
        assert_eq!((chat.body().messages.len(), other.body().messages.len()), (1, 2));
    }

    #[test]
    fn debug_shows_no_message() {
        assert!(!format!("{:?}", Chat::model("m").user("secret")).contains("secret"));
    }
}
