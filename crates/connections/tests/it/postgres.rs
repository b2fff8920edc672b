//! Against a real server, started for the test where one is installed.

use ropewalk_connections::*;
use std::{
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

struct Server {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// PostgreSQL refuses to run as root.
const NOBODY: u32 = 65_534;

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        places.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    places.into_iter().map(|place| place.join(name)).find(|file| file.is_file())
}

fn command(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null());
    if std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0) {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn start(connections: usize) -> Option<Server> {
    let (Some(postgres), Some(initdb)) = (find("postgres"), find("initdb")) else {
        println!("skipped: no PostgreSQL server (postgres, initdb) on this machine");
        return None;
    };
    let dir = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
    // A failure to change the owner means that we are not root and need not.
    let _ = chown(dir.path(), Some(NOBODY), Some(NOBODY));
    let data = dir.path().join("data");
    let made = command(&initdb, dir.path())
        .args(["--auth=trust", "--username=app", "--no-sync", "-D"])
        .arg(&data)
        .status()
        .unwrap();
    assert!(made.success(), "initdb failed");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = command(&postgres, dir.path())
        .arg("-D")
        .arg(&data)
        .args(["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
        .args(["-c", &format!("max_connections={connections}"), "-c", "superuser_reserved_connections=0"])
        .args(["-p", &port.to_string()])
        .spawn()
        .unwrap();
    Some(Server { child, port, _dir: dir })
}

fn builder(server: &Server) -> Builder<Async<Postgres>> {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(server.port).user("app").dbname("postgres");
    // The pool itself waits for the server to come up: it tries again until the timeout.
    Pool::builder_async(Postgres::new(config))
        .acquire_timeout(Duration::from_secs(60))
        .spawner(Tokio::current())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_server() {
    let Some(server) = start(8) else { return };
    let pool = builder(&server).size(1..=4).build().unwrap();
    let conn = pool.get().await.unwrap();
    conn.batch_execute("create table t (a int)").await.unwrap();

    // A transaction left open is rolled back before the next caller.
    conn.batch_execute("begin; insert into t values (1)").await.unwrap();
    drop(conn);
    let all = [pool.get().await.unwrap(), pool.get().await.unwrap(), pool.get().await.unwrap()];
    for conn in &all {
        let seen = conn.simple_query("select count(*), now() = statement_timestamp() from t").await.unwrap();
        let row = seen.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some((row.get(0), row.get(1))),
            _ => None,
        });
        assert_eq!(row, Some((Some("0"), Some("t"))));
    }
    // So is one in which a statement failed, and one whose BEGIN was cancelled.
    assert!(all[0].batch_execute("begin; select 1 / 0").await.is_err());
    {
        let mut begin = Box::pin(all[1].batch_execute("begin"));
        let _ = crate::line::poll(begin.as_mut());
    }
    drop(all);
    for _ in 0..8 {
        pool.get().await.unwrap().batch_execute("insert into t values (2)").await.unwrap();
    }
    let row = pool.get().await.unwrap().query_one("select count(*) from t", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 8);

    // A connection that the server ends is noticed and replaced.
    let conn = pool.get().await.unwrap();
    let id: i32 = conn.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let other = pool.get().await.unwrap();
    other.execute("select pg_terminate_backend($1)", &[&id]).await.unwrap();
    assert!(conn.query_one("select 1", &[]).await.is_err());
    drop((conn, other));
    for _ in 0..4 {
        assert!(pool.get().await.unwrap().query_one("select 1", &[]).await.is_ok());
    }
    pool.close().await.unwrap();

    // The server takes 8; the pool would like 20 and is served by fewer.
    let pool = builder(&server).size(0..=20).build().unwrap();
    let tasks: Vec<_> = (0..60)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let conn = pool.get().await.unwrap();
                conn.query_one("select pg_sleep(0.01)", &[]).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let stats = pool.stats();
    assert!(stats.size <= 8, "{stats:?}");
    assert!(stats.refusals > 0 && stats.limit < 20, "{stats:?}");
    pool.close().await.unwrap();
}

#[test]
fn a_blocking_wait_on_a_current_thread_runtime_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // Nothing listens there.
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(1).user("app");
        let pool = Pool::builder_async(Postgres::new(config)).spawner(Tokio::current()).build().unwrap();
        assert!(matches!(pool.get_blocking(), Err(GetError::InsideRuntime)));
    });
}
