//! Behaviour of the processor: counts and times on the virtual clock over fake backends, the wire over
//! real sockets.

mod admission;
mod cancel;
mod concurrent;
mod deadlines;
mod fake;
#[cfg(feature = "openai")]
mod http;
mod lifecycle;
mod nodes;
mod panics;
mod pipeline;
mod retries;
mod streams;

#[test]
fn public_types_are_send_and_sync() {
    fn check<T: Send + Sync>() {}
    fn sent<T: Send>(_: &T) {}
    check::<ropewalk_llm::Llm>();
    check::<ropewalk_llm::Ask<'_>>();
    check::<ropewalk_llm::Asking<'_>>();
    check::<ropewalk_llm::AskStream<'_>>();
    check::<ropewalk_llm::AskError>();
    check::<ropewalk_llm::Chat>();
    check::<ropewalk_llm::Reply>();
    check::<ropewalk_llm::Route>();
    check::<ropewalk_llm::LlmBuilder>();
    check::<ropewalk_llm::Nodes<fake::Fake>>();
    #[cfg(feature = "openai")]
    check::<ropewalk_llm::OpenAi>();
    let clock = ropewalk_sync::Clock::virtual_();
    let llm = fake::Fake::new(&clock).llm().build().unwrap();
    let mut stream = llm.ask_stream(fake::chat("x"));
    sent(&stream.next());
}
