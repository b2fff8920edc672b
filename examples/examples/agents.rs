//! A small team: tasks with dependencies and leases, a flaky one that is retried, one that panics and
//! one that hangs, none of which touches the others.

use ropewalk::agents::{Backoff, Coordinator, Message, Priority, Request, Status};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let team = Coordinator::builder()
        .agents(5)
        .tasks(5)
        .retries(3)
        .backoff(Backoff::exponential(Duration::from_millis(5), Duration::from_millis(50)))
        .build()?;
    let parse = team.task("parse").priority(Priority::High).spawn(|_cx| async { Ok::<_, String>("an ast") });
    let reviews: Vec<_> = (0..6)
        .map(|n| {
            team.task(format!("review src/{n}.rs"))
                .agent("reviewer")
                .after([&parse])
                .needs(Request::new().exclusive(format!("src/{n}.rs")).shared("Cargo.toml"))
                .spawn(move |cx| async move {
                    if n == 3 && cx.attempt() < 3 {
                        return Err(format!("attempt {} failed", cx.attempt()));
                    }
                    cx.broadcast(Message::new(format!("src/{n}.rs is reviewed")));
                    Ok(cx.attempt())
                })
        })
        .collect();
    let wild = team.task("panics").retries(0).spawn(|_cx| async {
        if true {
            panic!("a bug in a task");
        }
        Ok::<(), String>(())
    });
    let hung = team
        .task("hangs")
        .retries(0)
        .timeout(Duration::from_millis(50))
        .spawn(|_cx| std::future::pending::<Result<(), String>>());
    let report = team
        .task("report")
        .priority(Priority::Critical)
        .after(&reviews)
        .spawn(|cx| async move { Ok::<_, String>(format!("written by {}", cx.agent().name())) });

    println!("report: {}", report.join_blocking()?);
    for (n, review) in reviews.into_iter().enumerate() {
        println!("review of src/{n}.rs took {} attempt(s)", review.join_blocking()?);
    }
    for task in [wild, hung] {
        if let Err(error) = task.join_blocking() {
            println!("alone: {error}");
        }
    }
    team.shutdown_blocking();
    let snapshot = team.snapshot();
    println!(
        "{} completed, {} failed, {} retries, {} messages; {} agents",
        snapshot.in_status(Status::Completed).count(),
        snapshot.in_status(Status::Failed).count(),
        snapshot.stats.retries,
        snapshot.stats.messages_sent,
        snapshot.agents.len()
    );
    Ok(())
}
