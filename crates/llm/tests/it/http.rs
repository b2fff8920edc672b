//! The OpenAI wire over real sockets, against a small server that misbehaves as it is told.

use crate::fake::chat;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::post,
};
use ropewalk_balance::{Balancer, Node, RoundRobin};
use ropewalk_llm::{AskError, Chat, ErrorKind, Llm, LlmBuilder, OpenAi, Retry, Source, Usage};
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

/// What the server saw: the headers and the body of every request.
type Seen = Arc<Mutex<Vec<(HeaderMap, Value)>>>;

struct Server {
    address: SocketAddr,
    seen: Seen,
    // Ends the server when it drops.
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let seen = Seen::default();
        let router = Router::new().route("/v1/chat/completions", post(answer)).with_state(seen.clone());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, seen, _runtime: runtime }
    }

    fn openai(&self) -> OpenAi {
        OpenAi::new(format!("http://{}/v1", self.address))
    }

    fn llm(&self) -> LlmBuilder {
        Llm::builder(self.openai().api_key("sk-secret")).retry(quick())
    }

    fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

fn quick() -> Retry {
    Retry::attempts(3).backoff(Duration::from_millis(1)..=Duration::from_millis(2))
}

/// Does what the last message says.
async fn answer(State(seen): State<Seen>, headers: HeaderMap, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let order =
        request["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned();
    let earlier = {
        let mut seen = seen.lock().unwrap();
        seen.push((headers.clone(), request.clone()));
        seen.iter().filter(|(_, other)| other["messages"] == request["messages"]).count() - 1
    };
    let status = |status: u16| Response::builder().status(StatusCode::from_u16(status).unwrap());
    let whole = |text: &str| {
        let body = json!({
            "model": "m-2026", "choices": [{ "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 5, "completion_tokens": 7 },
        });
        status(200).header("content-type", "application/json").body(body.to_string().into()).unwrap()
    };
    let failure = |code: u16, message: &str| {
        status(code).body(json!({ "error": { "message": message } }).to_string().into()).unwrap()
    };
    match order.split_once(' ').unwrap_or((&order, "")) {
        ("say", text) => whole(text),
        ("limit", _) if earlier == 0 => {
            let response = failure(429, "slow down");
            let (mut parts, body) = response.into_parts();
            parts.headers.insert("retry-after", "0.05".parse().unwrap());
            Response::from_parts(parts, body)
        }
        ("flaky", _) if earlier < 2 => failure(500, "oops"),
        ("limit" | "flaky", _) => whole("at last"),
        ("status", code) => failure(code.parse().unwrap(), "as you wish"),
        ("leak", _) => failure(401, &format!("wrong key: {}", headers["authorization"].to_str().unwrap())),
        ("stall", _) => std::future::pending().await,
        ("garbage", _) => status(200).body("<html>".into()).unwrap(),
        ("cutbody", _) => {
            let chunks: Vec<Result<Bytes, std::io::Error>> =
                vec![Ok(Bytes::from_static(b"{\"choices\"")), Err(std::io::Error::other("cut"))];
            status(200).body(Body::from_stream(futures_util::stream::iter(chunks))).unwrap()
        }
        ("stream", kind) => events(kind),
        other => panic!("unknown order {other:?}"),
    }
}

fn events(kind: &str) -> Response {
    let piece =
        |text: &str| format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": text } }] }));
    let reason = format!("data: {}\n\n", json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] }));
    let usage =
        json!({ "model": "m-2026", "choices": [], "usage": { "prompt_tokens": 1, "completion_tokens": 2 } });
    let mut text = format!(": hi\n\n{}{}", piece("häl"), piece("lo"));
    match kind {
        "good" => text += &format!("{reason}data: {usage}\n\ndata: [DONE]\n\n"),
        "failing" => text += &format!("data: {}\n\n", json!({ "error": { "message": "out of memory" } })),
        _ => {}
    }
    // Cut into pieces of three bytes, in the middle of characters and lines.
    let chunks: Vec<Result<Bytes, Infallible>> =
        text.as_bytes().chunks(3).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    let chunks = futures_util::stream::iter(chunks);
    let body = if kind == "stalling" {
        use futures_util::StreamExt;
        Body::from_stream(chunks.chain(futures_util::stream::pending()))
    } else {
        Body::from_stream(chunks)
    };
    Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
}

fn kind(reply: Result<ropewalk_llm::Reply, AskError>) -> ErrorKind {
    match reply {
        Err(AskError::Backend { error, .. }) => error.kind,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_question_goes_over_the_wire_and_back() {
    let server = Server::start();
    let llm = server.llm().build().unwrap();
    let question = Chat::model("m").system("be brief").user("say hello there").temperature(0.5).max_tokens(9);
    let reply = llm.ask(question.clone()).idempotency_key("task-1").blocking().unwrap();
    assert_eq!((&*reply.text, &*reply.model, reply.source), ("hello there", "m-2026", Source::Backend));
    assert_eq!((reply.usage, reply.finish_reason.as_deref()), (Usage::new(5, 7), Some("stop")));
    assert_eq!(llm.ask_blocking(question).unwrap().source, Source::Cache);
    let seen = server.seen.lock().unwrap();
    let (headers, body) = &seen[0];
    assert_eq!(seen.len(), 1);
    assert_eq!(headers["authorization"], "Bearer sk-secret");
    assert_eq!(headers["idempotency-key"], "task-1");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!((&body["temperature"], &body["max_tokens"]), (&json!(0.5), &json!(9)));
    assert!(body.get("stream").is_none());
}

#[test]
fn a_tokio_program_asks_on_its_own_runtime() {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let backend = server.openai().runtime(runtime.handle().clone());
    let llm = Llm::builder(backend).build().unwrap();
    let texts = runtime.block_on(async {
        let asks = (0..20).map(|n| {
            let llm = llm.clone();
            async move { llm.ask(chat(format!("say {n}"))).await.unwrap().text.to_string() }
        });
        futures_util::future::join_all(asks).await
    });
    assert_eq!(texts, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn refusals_and_errors_of_the_server_are_tried_again() {
    let server = Server::start();
    let llm = server.llm().build().unwrap();
    let reply = llm.ask_blocking(chat("limit me")).unwrap();
    assert_eq!((&*reply.text, reply.attempts), ("at last", 2));
    assert!(reply.latency >= Duration::from_millis(50), "retry-after was honoured: {:?}", reply.latency);
    let reply = llm.ask_blocking(chat("flaky")).unwrap();
    assert_eq!((&*reply.text, reply.attempts), ("at last", 3));
    let keys: Vec<_> =
        server.seen.lock().unwrap().iter().map(|(headers, _)| headers["idempotency-key"].clone()).collect();
    assert!(keys[0] == keys[1] && keys[2] == keys[3] && keys[3] == keys[4] && keys[1] != keys[2]);
    assert_eq!(llm.stats().failures, [("rate_limited", 1), ("unavailable", 2)]);
}

#[test]
fn statuses_are_told_apart() {
    let server = Server::start();
    let llm = server.llm().build().unwrap();
    for (status, expected, requests) in [
        (400, ErrorKind::Rejected, 1),
        (401, ErrorKind::Unauthorized, 1),
        (404, ErrorKind::NotFound, 1),
        (302, ErrorKind::Malformed, 1),
        (503, ErrorKind::Unavailable, 3),
        (429, ErrorKind::RateLimited, 3),
    ] {
        let before = server.requests();
        let error = llm.ask_blocking(chat(format!("status {status}"))).unwrap_err();
        let AskError::Backend { error, .. } = error else { panic!("{error}") };
        assert_eq!((error.kind, error.status), (expected, Some(status)));
        assert_eq!(error.message, "as you wish");
        assert_eq!(server.requests() - before, requests);
    }
}

#[test]
fn answers_that_make_no_sense_or_break_off_are_errors() {
    let server = Server::start();
    let llm = server.llm().build().unwrap();
    assert_eq!(kind(llm.ask_blocking(chat("garbage"))), ErrorKind::Malformed);
    assert_eq!(kind(llm.ask_blocking(chat("cutbody"))), ErrorKind::Cut);
}

#[test]
fn a_server_that_stalls_is_given_up() {
    let server = Server::start();
    let llm = server.llm().call_timeout(Duration::from_millis(50)).build().unwrap();
    assert_eq!(kind(llm.ask_blocking(chat("stall"))), ErrorKind::Timeout);
    let late = llm.ask(chat("stall")).deadline(Duration::from_millis(10)).blocking();
    assert!(matches!(late, Err(AskError::Deadline { .. } | AskError::Backend { .. })), "{late:?}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let llm = Llm::builder(OpenAi::new(format!("{unused}"))).retry(quick()).build().unwrap();
    let AskError::Backend { error, attempts: 3 } = llm.ask_blocking(chat("say x")).unwrap_err() else {
        panic!()
    };
    assert_eq!(error.kind, ErrorKind::Connect);
    assert!(error.message.contains(&unused.to_string()), "{error}");
}

#[test]
fn the_key_appears_nowhere() {
    let server = Server::start();
    let backend = server.openai().api_key("sk-secret");
    assert!(!format!("{backend:?}").contains("sk-secret"));
    let llm = server.llm().build().unwrap();
    let error = llm.ask_blocking(chat("leak")).unwrap_err();
    assert!(error.to_string().contains("wrong key: Bearer ***"), "{error}");
    assert!(!format!("{error:?} {llm:?}").contains("sk-secret"));
}

#[test]
fn streams_come_piece_by_piece() {
    let server = Server::start();
    let llm = server.llm().build().unwrap();
    let mut stream = llm.ask_stream(chat("stream good"));
    let mut text = String::new();
    let mut pieces = 0;
    while let Some(piece) = stream.next_blocking() {
        text += &piece.unwrap();
        pieces += 1;
    }
    assert_eq!((text.as_str(), pieces > 0), ("hällo", true));
    let reply = stream.reply().unwrap();
    assert_eq!((&*reply.text, &*reply.model, reply.usage), ("hällo", "m-2026", Usage::new(1, 2)));
    assert_eq!(server.seen.lock().unwrap()[0].1["stream"], json!(true));
    // The whole is in the cache, for those who do not stream as well.
    assert_eq!(llm.ask_blocking(chat("stream good")).unwrap().source, Source::Cache);
}

#[test]
fn streams_that_are_cut_fail_or_stall_end_with_an_error() {
    let server = Server::start();
    let llm = server.llm().stall_timeout(Duration::from_millis(100)).build().unwrap();
    for (order, expected) in
        [("cut", ErrorKind::Cut), ("failing", ErrorKind::Unavailable), ("stalling", ErrorKind::Timeout)]
    {
        let mut stream = llm.ask_stream(chat(format!("stream {order}")));
        let mut text = String::new();
        let error = loop {
            match stream.next_blocking().expect("an error comes before the end") {
                Ok(piece) => text += &piece,
                Err(error) => break error,
            }
        };
        assert_eq!(text, "hällo");
        assert_eq!(kind(Err(error)), expected);
        assert!(stream.next_blocking().is_none() && stream.reply().is_none());
    }
    let refused = ropewalk_sync::block_on(llm.ask_stream(chat("status 400")).finish());
    assert_eq!(kind(refused), ErrorKind::Rejected);
}

#[test]
fn a_dead_node_is_passed_over() {
    let (one, two) = (Server::start(), Server::start());
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let balancer = Balancer::builder().strategy(RoundRobin::default()).build().unwrap();
    for address in [unused, one.address, two.address] {
        balancer.insert(Node::new(address.to_string()).offers("m")).unwrap();
    }
    let backend = OpenAi::new("http://unused").api_key("sk-secret").over(balancer.clone());
    let llm = Llm::builder(backend).retry(quick()).build().unwrap();
    for n in 0..30 {
        assert_eq!(*llm.ask_blocking(chat(format!("say {n}"))).unwrap().text, *n.to_string());
    }
    assert!(one.requests() > 0 && two.requests() > 0);
    assert_eq!(one.requests() + two.requests(), 30);
    assert_eq!(one.seen.lock().unwrap()[0].0["authorization"], "Bearer sk-secret");
    assert!(balancer.node(balancer.find(&unused.to_string()).unwrap()).unwrap().failures > 0);
    let plain = Llm::builder(OpenAi::balanced(balancer)).build().unwrap();
    plain.ask_blocking(chat("say hi")).unwrap();
}

#[test]
fn a_url_that_is_none_is_found_when_the_processor_is_built() {
    for wrong in ["http://", "gopher://x", "http://me:sk-secret@host/v1"] {
        let error = Llm::builder(OpenAi::new(wrong)).build().unwrap_err();
        assert!(matches!(&error, ropewalk_llm::BuildError::Backend(inner) if inner.kind == ErrorKind::Setup));
        assert!(!error.to_string().contains("sk-secret"), "{error}");
    }
    assert!(Llm::builder(OpenAi::new("http://host").api_key("a\nb")).build().is_err());
}

#[test]
fn the_runtime_ends_with_the_last_clone() {
    let server = Server::start();
    let backend = server.openai();
    let llm = Llm::builder(backend.clone()).build().unwrap();
    llm.ask_blocking(chat("say one")).unwrap();
    drop(llm);
    let llm = Llm::builder(backend).build().unwrap();
    llm.ask_blocking(chat("say two")).unwrap();
    // A call that hangs does not hold the end up.
    let mut hanging = llm.ask(chat("stall")).into_future();
    assert!(crate::fake::poll(&mut hanging).is_pending());
    drop(hanging);
}
