//! A hundred questions, of which twenty differ, to a model server on the loopback: one call each,
//! retries of what fails, then an answer piece by piece.

use ropewalk::llm::{Budget, Chat, Llm, OpenAi, Priority, Source};
use ropewalk_examples::server::{Behaviour, serve};
use std::{net::SocketAddr, time::Duration};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (told, address) = tokio::sync::oneshot::channel::<SocketAddr>();
    let behaviour = Behaviour { latency: Duration::from_millis(50), fail_rate: 0.1, slots: 16, seed: 3 };
    tokio::spawn(serve(
        behaviour,
        |address| {
            // Whoever asked for the address may have gone; then nobody needs it.
            let _ = told.send(address);
        },
        std::future::pending(),
    ));
    let server = OpenAi::new(format!("http://{}/v1", address.await?));
    let llm = Llm::builder(server)
        .concurrency(10)
        .budget(Budget::per_minute().requests(600))
        .cache(1_000)
        .build()?;

    let asks: Vec<_> = (0..100)
        .map(|n| {
            let llm = llm.clone();
            tokio::spawn(async move {
                let priority = if n % 10 == 0 { Priority::High } else { Priority::Normal };
                let code = format!("pub fn f{}() {{}}", n % 20);
                let chat = Chat::model("reviewer").user(format!("Review this:\n```rust\n{code}\n```"));
                llm.ask(chat).priority(priority).await.map(|reply| reply.source)
            })
        })
        .collect();
    let (mut calls, mut shared, mut hits) = (0, 0, 0);
    for ask in asks {
        match ask.await?? {
            Source::Backend => calls += 1,
            Source::Shared => shared += 1,
            Source::Cache => hits += 1,
            _ => {}
        }
    }
    let stats = llm.stats();
    println!(
        "100 questions, 20 different: {calls} asked, {shared} shared a call in flight, {hits} from the cache"
    );
    println!("{} calls, {} retried after {:?}", stats.calls, stats.retries, stats.failures);

    let mut stream =
        llm.ask_stream(Chat::model("reviewer").user("Review this:\n```rust\npub struct Undocumented;\n```"));
    while let Some(piece) = stream.next().await {
        print!("| {}", piece?);
    }
    llm.close().await;
    Ok(())
}
