//! The dashboard of this very process on a free port; asks itself for `/health` and `/metrics`, then
//! stays for as many seconds as the argument says (2 by default).

use ropewalk::{
    dashboard::serve,
    monitor::{Monitor, Samples, Section},
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let stay: u64 = std::env::args().nth(1).map_or(Ok(2), |seconds| seconds.parse())?;
    let monitor = Monitor::builder()
        .every(Duration::from_millis(250))
        .system()
        .collect("demo", || Samples::new().section(Section::Tasks).gauge("running", 3))
        .build()?;
    let server = serve("127.0.0.1:0", monitor.handle()).await?;
    println!("open http://{}/ in a browser", server.address());
    monitor.ticked(1).await;
    for path in ["/health", "/metrics"] {
        let mut stream = TcpStream::connect(server.address()).await?;
        stream
            .write_all(
                format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes(),
            )
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        println!("{path}: {}", head.lines().next().unwrap_or_default());
        for line in body.lines().filter(|line| line.contains("running") || line.starts_with('{')) {
            println!("  {line}");
        }
    }
    tokio::time::sleep(Duration::from_secs(stay)).await;
    server.shutdown().await;
    Ok(())
}
