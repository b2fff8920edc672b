//! The dashboard over real HTTP on the loopback.

use ropewalk_dashboard::{Server, serve};
use ropewalk_monitor::{Labels, Monitor, Rule, Samples, Section, Severity, raised};
use ropewalk_sync::Clock;
use std::{
    net::SocketAddr,
    sync::Arc,
    task::{Context, Wake, Waker},
    time::Duration,
};
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

/// Keeps a failure from hanging.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it ends")
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
    drop(server);
    // It goes in its own time; the limit only keeps a failure from hanging.
    let again = async {
        loop {
            match serve(&address, monitor.handle()).await {
                Ok(server) => break server,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let again = soon(again).await;
    assert_eq!(again.address().to_string(), address);
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

/// Reads events until there are as many.
async fn read_events(stream: &mut TcpStream, count: usize) -> Vec<u64> {
    let (mut seen, mut bytes) = (String::new(), [0; 4096]);
    loop {
        let ids: Vec<u64> =
            seen.lines().filter_map(|line| line.strip_prefix("id: ")?.trim().parse().ok()).collect();
        if ids.len() >= count {
            return ids;
        }
        let n = stream.read(&mut bytes).await.unwrap();
        assert!(n > 0, "closed early: {seen}");
        seen.push_str(&String::from_utf8_lossy(&bytes[..n]));
    }
}

/// A monitor whose ticks are the test's.
fn by_hand() -> (Clock, Monitor) {
    let clock = Clock::virtual_();
    let monitor = Monitor::builder().clock(clock.clone()).build().unwrap();
    clock.settle();
    (clock, monitor)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tick_is_one_event_and_a_reader_that_comes_back_gets_what_it_lacks() {
    let (clock, monitor) = by_hand();
    let server = serve("127.0.0.1:0", monitor.handle()).await.unwrap();
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(read_events(&mut stream, 1).await, [1]);
    clock.advance(monitor.every());
    assert_eq!(read_events(&mut stream, 1).await, [2]);
    drop(stream);
    // It knows the second tick; the third is the first news. One that knows the ninetieth knew another monitor.
    for (known, first) in [("2", 3), ("90", 2), ("nonsense", 2)] {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        let request = format!("GET /events HTTP/1.1\r\nhost: x\r\nlast-event-id: {known}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        if known == "2" {
            let mut head = [0; 16];
            stream.read_exact(&mut head).await.unwrap();
            clock.advance(monitor.every());
        }
        let first = if known == "2" { first } else { first + 1 };
        assert_eq!(read_events(&mut stream, 1).await, [first], "{known}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_ends_open_streams_and_frees_the_port() {
    let (_clock, monitor) = by_hand();
    let server = serve("0", monitor.handle()).await.unwrap();
    assert!(server.address().ip().is_loopback(), "a port alone is one of the loopback");
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    read_events(&mut stream, 1).await;
    soon(server.shutdown()).await;
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(tokio::net::TcpListener::bind(server.address()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_known_is_not_sent_again() {
    let (_clock, monitor) = by_hand();
    let server = serve("127.0.0.1:0", monitor.handle()).await.unwrap();
    let page = ask(server.address(), "GET / HTTP/1.1").await;
    let tag = page.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}")] {
        let again = ask(server.address(), &format!("GET / HTTP/1.1\r\nif-none-match: {known}")).await;
        assert!(again.starts_with("HTTP/1.1 304"), "{known}: {again}");
        assert!(!again.contains("<html"));
    }
    let other = ask(server.address(), "GET / HTTP/1.1\r\nif-none-match: \"other\"").await;
    assert!(other.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_nests_under_a_path() {
    let (_clock, monitor) = by_hand();
    let app = axum::Router::new().nest("/ops", ropewalk_dashboard::router(monitor.handle()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    for path in ["/ops", "/ops/metrics", "/ops/health", "/ops/api/snapshot"] {
        let answer = ask(address, &format!("GET {path} HTTP/1.1")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    // The page asks for its events beside itself, wherever that is.
    let page = ask(address, "GET /ops HTTP/1.1").await;
    assert!(page.contains("location.pathname") && !page.contains("\"/events\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_monitor_is_not_healthy_and_ends_its_streams() {
    let (_clock, monitor) = by_hand();
    let server = serve("127.0.0.1:0", monitor.handle()).await.unwrap();
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    read_events(&mut stream, 1).await;
    tokio::task::spawn_blocking(move || drop(monitor)).await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(ask(server.address(), "GET /health HTTP/1.1").await.starts_with("HTTP/1.1 503"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_that_is_dropped_goes_on() {
    let (_clock, monitor) = by_hand();
    let server = serve("0", monitor.handle()).await.unwrap();
    drop(server.shutdown());
    assert!(ask(server.address(), "GET /metrics HTTP/1.1").await.starts_with("HTTP/1.1 200"), "never polled");
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    read_events(&mut stream, 1).await;
    let mut shutdown = Box::pin(server.shutdown());
    let _ = shutdown.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    drop(shutdown);
    let mut rest = String::new();
    soon(stream.read_to_string(&mut rest)).await.unwrap();
    soon(server.shutdown()).await;
    assert!(TcpStream::connect(server.address()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_serve_that_is_never_polled_binds_nothing() {
    let (_clock, monitor) = by_hand();
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let address = free.to_string();
    drop(serve(&address, monitor.handle()));
    assert!(TcpStream::connect(free).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waker_that_panics_keeps_no_other_shutdown_waiting() {
    struct Bomb;
    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            panic!("a waker")
        }
    }
    let (_clock, monitor) = by_hand();
    let server = serve("0", monitor.handle()).await.unwrap();
    // A reader holds the server up until its stream is told to end.
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read_events(&mut stream, 1).await;
    let mut bomb = Box::pin(server.shutdown());
    // It may be stopped already when the poll looks for the last time.
    let waits = bomb.as_mut().poll(&mut Context::from_waker(&Arc::new(Bomb).into())).is_pending();
    drop(stream);
    soon(server.shutdown()).await;
    assert!(!waits || bomb.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_beside_a_stop_are_answered_or_refused() {
    let (_clock, monitor) = by_hand();
    let server = Arc::new(serve("0", monitor.handle()).await.unwrap());
    let address = server.address();
    let readers: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn(async move {
                let mut answered = 0;
                while let Ok(mut stream) = TcpStream::connect(address).await {
                    let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
                    let mut answer = String::new();
                    let sent = stream.write_all(request).await;
                    if sent.is_err() || stream.read_to_string(&mut answer).await.is_err() || answer.is_empty()
                    {
                        break;
                    }
                    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    assert!(ask(address, "GET /metrics HTTP/1.1").await.starts_with("HTTP/1.1 200"));
    let stops: Vec<_> = (0..3)
        .map(|_| {
            let server = server.clone();
            tokio::spawn(async move { server.shutdown().await })
        })
        .collect();
    for stop in stops {
        soon(stop).await.unwrap();
    }
    for reader in readers {
        let _answers: u32 = soon(reader).await.unwrap();
    }
    assert!(TcpStream::connect(address).await.is_err());
}

#[test]
fn a_runtime_that_ends_ends_the_server() {
    let (_clock, monitor) = by_hand();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(serve("0", monitor.handle())).unwrap();
    drop(runtime);
    ropewalk_sync::block_on(server.shutdown());
    assert!(std::net::TcpStream::connect(server.address()).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_monitor_is_given_may_panic() {
    let clock = Clock::virtual_();
    let monitor = Monitor::builder()
        .clock(clock.clone())
        .collect("fine", || Samples::new().section(Section::Concurrency).gauge("open", 5))
        .collect("broken", || -> Samples { panic!("a collector") })
        .build()
        .unwrap();
    clock.settle();
    let server = serve("0", monitor.handle()).await.unwrap();
    for path in ["/metrics", "/api/snapshot"] {
        let answer = ask(server.address(), &format!("GET {path} HTTP/1.1")).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("open"), "{path}: {answer}");
    }
    soon(server.shutdown()).await;
}
