//! A real SQLite file: 30 threads, one statement in ten writes, pools of fixed size. At 10 % of short writes the question is
//! not who wins but at which size.

use std::{path::Path, process::ExitCode, time::Instant};

use frame::{
    random::Random,
    window::{self, crowd},
};
use ropewalk_benches::contest::{Effort, Entry, OURS, Sample};
use ropewalk_connections::{Pool, Sqlite, Synchronous};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

const CLIENTS: usize = 30;
const ROWS: i64 = 10_000;
/// Rows that a read sums.
const READ: i64 = 200;
/// Of so many statements one writes.
const WRITES_ONE_IN: u64 = 10;

const WORKS: [(&str, u32); 7] = [
    ("sqlite-30-clients-size-1", 1),
    ("sqlite-30-clients-size-2", 2),
    ("sqlite-30-clients-size-4", 4),
    ("sqlite-30-clients-size-6", 6),
    ("sqlite-30-clients-size-8", 8),
    ("sqlite-30-clients-size-16", 16),
    ("sqlite-30-clients-size-32", 32),
];

enum Statement {
    Read(i64),
    Write(i64),
}

fn draw(random: &mut Random) -> Statement {
    let at = random.below((ROWS - READ) as u64) as i64;
    if random.below(WRITES_ONE_IN) == 0 { Statement::Write(at) } else { Statement::Read(at) }
}

fn execute(conn: &Connection, statement: &Statement) {
    match *statement {
        Statement::Read(at) => {
            let sql = "select sum(value) from item where id between ?1 and ?2";
            let mut sum = conn.prepare_cached(sql).expect("the statement is valid");
            let sum: i64 = sum.query_row([at, at + READ - 1], |row| row.get(0)).expect("it reads");
            std::hint::black_box(sum);
        }
        Statement::Write(at) => {
            let sql = "update item set value = value + 1 where id = ?1";
            let mut update = conn.prepare_cached(sql).expect("the statement is valid");
            assert_eq!(update.execute([at]).expect("the writer's turn comes"), 1);
        }
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

/// A file in WAL mode that has its rows.
fn database() -> TempDir {
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let conn = open(&folder.path().join("race.db")).expect("the file can be made");
    conn.pragma_update(None, "journal_mode", "WAL").expect("nobody else has the file");
    let sql = format!(
        "create table item (id integer primary key, value integer not null) strict;
         with recursive n(i) as (select 0 union all select i + 1 from n where i + 1 < {ROWS})
         insert into item select i, i from n;"
    );
    conn.execute_batch(&sql).expect("the file is new");
    folder
}

fn ours<const WORK: usize>(effort: Effort) -> Vec<Sample> {
    let (folder, size) = (database(), WORKS[WORK].1 as usize);
    let manager = Sqlite::file(folder.path().join("race.db")).synchronous(Synchronous::Normal);
    let pool = Pool::builder(manager).size(size..=size).build().expect("the settings are valid");
    let samples = crowd(CLIENTS, window::length(effort), |client| {
        let (pool, mut random) = (&pool, Random::new(client as u64 + 1));
        move || {
            let statement = draw(&mut random);
            let asked = Instant::now();
            let conn = match statement {
                Statement::Read(_) => pool.get_blocking(),
                Statement::Write(_) => pool.get_writer_blocking(),
            };
            let conn = conn.expect("the file opens");
            let wait = asked.elapsed();
            execute(&conn, &statement);
            wait
        }
    });
    pool.close_blocking().expect("nobody holds any");
    samples
}

struct Manager(std::path::PathBuf);

impl r2d2::ManageConnection for Manager {
    type Connection = Connection;
    type Error = rusqlite::Error;

    fn connect(&self) -> rusqlite::Result<Connection> {
        open(&self.0)
    }

    fn is_valid(&self, _: &mut Connection) -> rusqlite::Result<()> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Connection) -> bool {
        false
    }
}

/// All connections read and write, as r2d2's users have it; SQLite's busy loop settles who writes.
fn r2d2<const WORK: usize>(effort: Effort) -> Vec<Sample> {
    let (folder, size) = (database(), WORKS[WORK].1);
    let builder = r2d2::Pool::builder().max_size(size).test_on_check_out(false);
    let pool = builder.build(Manager(folder.path().join("race.db"))).expect("the file opens");
    crowd(CLIENTS, window::length(effort), |client| {
        let (pool, mut random) = (&pool, Random::new(client as u64 + 1));
        move || {
            let statement = draw(&mut random);
            let asked = Instant::now();
            let conn = pool.get().expect("the pool is open");
            let wait = asked.elapsed();
            execute(&conn, &statement);
            wait
        }
    })
}

fn entries(contestant: &'static str, runs: [fn(Effort) -> Vec<Sample>; 7]) -> Vec<Entry> {
    WORKS.iter().zip(runs).map(|(work, run)| Entry { work: work.0, contestant, run }).collect()
}

fn main() -> ExitCode {
    let mut all =
        entries(OURS, [ours::<0>, ours::<1>, ours::<2>, ours::<3>, ours::<4>, ours::<5>, ours::<6>]);
    all.extend(entries(
        "r2d2",
        [r2d2::<0>, r2d2::<1>, r2d2::<2>, r2d2::<3>, r2d2::<4>, r2d2::<5>, r2d2::<6>],
    ));
    frame::main(all)
}
