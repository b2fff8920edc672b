//! The dashboard over real HTTP on the loopback.

use ropewalk_dashboard::{Server, serve};
use ropewalk_monitor::{Labels, Monitor, Rule, Samples, Section, Severity, raised};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const NASTY: &str = "<script>alert(1)</script>";

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{request}\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn monitor() -> Monitor {
    Monitor::builder()
        .collect("pool", || Samples::new().section(Section::Concurrency).gauge("open", 5).text("name", NASTY))
        .rule(Rule::new("hall on fire").severity(Severity::Critical).when(raised()))
        .build()
        .unwrap()
}

async fn served(monitor: &Monitor) -> Server {
    let handle = monitor.handle();
    tokio::task::spawn_blocking(move || handle.ticked_blocking(1)).await.unwrap();
    serve("127.0.0.1:0", monitor.handle()).await.unwrap()
}

#[test]
fn public_types_are_send_and_sync() {
    fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Server>();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_whole_and_asks_nobody_else() {
    let monitor = monitor();
    let server = served(&monitor).await;
    let page = ask(server.address(), "GET / HTTP/1.1").await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.to_lowercase().contains("content-security-policy: default-src 'self'"));
    for elsewhere in ["src=\"http", "href=\"http", "url(", "@import"] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_snapshot_has_all_six_sections_and_the_page_writes_text_only() {
    let monitor = monitor();
    let server = served(&monitor).await;
    let snapshot = ask(server.address(), "GET /api/snapshot HTTP/1.1").await;
    for id in ["system", "agents", "tasks", "performance", "concurrency", "alerts"] {
        assert!(snapshot.contains(&format!("\"id\":\"{id}\"")), "{id}: {snapshot}");
    }
    // Text from outside reaches the page as data; the page puts it in by `textContent` alone.
    assert!(snapshot.contains(NASTY), "{snapshot}");
    let page = ask(server.address(), "GET / HTTP/1.1").await;
    assert!(!page.contains("innerHTML") && !page.contains("insertAdjacentHTML"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_and_health_follow_the_monitor() {
    let monitor = monitor();
    let server = served(&monitor).await;
    let metrics = ask(server.address(), "GET /metrics HTTP/1.1").await;
    assert!(metrics.contains("pool_open 5"), "{metrics}");
    assert!(ask(server.address(), "GET /health HTTP/1.1").await.starts_with("HTTP/1.1 200"));

    let handle = monitor.handle();
    handle.raise("hall on fire", Labels::none(), "smoke").unwrap();
    let tick = handle.tick();
    let ticking = handle.clone();
    tokio::task::spawn_blocking(move || ticking.ticked_blocking(tick + 1)).await.unwrap();
    assert!(ask(server.address(), "GET /health HTTP/1.1").await.starts_with("HTTP/1.1 503"));

    let id = handle.alerts()[0].id.0;
    let path = format!("POST /api/alerts/{id}/acknowledge HTTP/1.1\r\ncontent-length: 0");
    assert!(ask(server.address(), &path).await.starts_with("HTTP/1.1 403"), "no header, no say");
    assert!(ask(server.address(), &format!("{path}\r\nx-ropewalk: 1")).await.starts_with("HTTP/1.1 204"));
    assert_eq!(handle.alert_summary().acknowledged, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_occupied_port_is_an_error_and_a_dropped_server_frees_it() {
    let monitor = monitor();
    let server = served(&monitor).await;
    let address = server.address().to_string();
    assert!(serve(&address, monitor.handle()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_carry_a_snapshot_at_once() {
    let monitor = monitor();
    let server = served(&monitor).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut seen = String::new();
    let mut bytes = [0; 4096];
    while !seen.contains("\"sections\"") {
        let n = stream.read(&mut bytes).await.unwrap();
        assert!(n > 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&bytes[..n]));
    }
    assert!(seen.contains("text/event-stream") && seen.contains("id: "), "{seen}");
}
