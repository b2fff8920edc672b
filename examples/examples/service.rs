//! A small web service that embeds four parts: pages come from SQLite through a cache, upstreams are
//! picked by a balancer, and a monitor watches all of it at `/ops`.

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use ropewalk::{
    balance::{Balancer, Need, Node, Outcome},
    cache::Cache,
    connections::{Pool, Sqlite},
    dashboard,
    monitor::{Monitor, Rule, Samples, Section, Severity, gauge},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[derive(Clone)]
struct App {
    pages: Arc<Cache<i64, Arc<str>>>,
    pool: Pool<Sqlite>,
    upstreams: Balancer,
}

async fn page(State(app): State<App>, Path(id): Path<i64>) -> Result<String, (StatusCode, String)> {
    let pool = app.pool.clone();
    // However many ask for a page at once, one of them reads it.
    let text = app
        .pages
        .get_or_load(id, || async move {
            let mut reader = pool.get().await.map_err(|error| std::io::Error::other(error.to_string()))?;
            let read = move |c: &mut <Sqlite as ropewalk::connections::Manager>::Conn| {
                c.query_row("select text from page where id = ?1", [id], |row| row.get::<_, String>(0))
            };
            reader.run(read).await.map(Arc::from).map_err(std::io::Error::other)
        })
        .await
        .map_err(|error| (StatusCode::NOT_FOUND, error.to_string()))?;
    let pick =
        app.upstreams.pick(Need::any()).map_err(|error| (StatusCode::BAD_GATEWAY, error.to_string()))?;
    let answer = format!("{text}, by way of {}", pick.node().address());
    pick.complete(Outcome::Success);
    Ok(answer)
}

async fn ask(address: std::net::SocketAddr, path: &str) -> Result<String, std::io::Error> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let pool = Pool::builder(Sqlite::file(dir.path().join("pages.db"))).size(1..=8).build()?;
    let mut writer = pool.get_writer().await?;
    writer
        .run(|c| {
            c.execute_batch(
                "create table page (id integer primary key, text text not null);
                 insert into page (text) values ('the hall'), ('the yard'), ('the loft');",
            )
        })
        .await?;
    drop(writer);

    let upstreams = Balancer::new();
    for address in ["10.0.0.1:80", "10.0.0.2:80"] {
        upstreams.insert(Node::new(address))?;
    }
    let app = App { pages: Arc::new(Cache::builder(1_000).build()?), pool, upstreams };

    let (pages, connections, picked) = (app.pages.clone(), app.pool.clone(), app.upstreams.clone());
    let monitor = Monitor::builder()
        .every(Duration::from_millis(200))
        .system()
        .collect("cache", move || {
            let stats = pages.stats();
            Samples::new()
                .section(Section::Performance)
                .gauge("hit_ratio", stats.hit_ratio())
                .gauge("entries", pages.len())
        })
        .collect("pool", move || {
            let stats = connections.stats();
            Samples::new()
                .section(Section::Concurrency)
                .gauge("connections", stats.size)
                .gauge("waiting", stats.waiting)
        })
        .collect("upstreams", move || Samples::new().section(Section::Agents).gauge("up", picked.stats().up))
        .rule(Rule::new("no upstream").severity(Severity::Critical).when(gauge("upstreams_up").below(1.0)))
        .build()?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/pages/{id}", get(page))
        .with_state(app.clone())
        .nest("/ops", dashboard::router(monitor.handle()));
    tokio::spawn(async move { axum::serve(listener, router).await });
    println!("serving http://{address}/pages/1 and http://{address}/ops/");

    let visitors: Vec<_> = (0..60)
        .map(|n| tokio::spawn(async move { ask(address, &format!("/pages/{}", 1 + n % 3)).await }))
        .collect();
    let mut served = 0;
    for visitor in visitors {
        served += usize::from(visitor.await??.contains("by way of"));
    }
    println!("{served} of 60 visitors served; {}", ask(address, "/pages/2").await?);
    println!("missing: {}", ask(address, "/pages/9").await?);
    monitor.ticked(2).await;
    let stats = app.pages.stats();
    println!("cache: {} loads, {} shared, {} hits; metrics:", stats.loads, stats.shared_loads, stats.hits);
    for line in ask(address, "/ops/metrics").await?.lines().filter(|l| {
        !l.starts_with('#') && (l.starts_with("cache") || l.starts_with("pool") || l.starts_with("upstreams"))
    }) {
        println!("  {line}");
    }
    app.pool.close().await?;
    Ok(())
}
