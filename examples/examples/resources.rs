//! Agents lease sets of files: all or nothing, in order of arrival; a deadlock is named, not hung on.

use ropewalk::resources::{AcquireError, Request, ResourcePool};
use std::{sync::Barrier, thread, time::Duration};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ResourcePool::new();
    files.define("model-slot", 2)?; // counted; other names are exclusive or shared and need no definition

    // Sets that overlap: philosophers who take all their forks at once never deadlock.
    thread::scope(|scope| {
        for agent in 0..6 {
            let files = &files;
            scope.spawn(move || {
                let set = Request::new()
                    .exclusive(format!("src/{}.rs", agent % 3))
                    .exclusive(format!("src/{}.rs", (agent + 1) % 3))
                    .shared("Cargo.toml")
                    .units("model-slot", 1);
                for _ in 0..50 {
                    match files.acquire_blocking_timeout(
                        format!("agent-{agent}"),
                        &set,
                        Duration::from_secs(5),
                    ) {
                        Ok(lease) => drop(lease),
                        Err(error) => eprintln!("{error}"),
                    }
                }
            });
        }
    });
    println!("6 agents took overlapping sets 50 times each");

    // Who holds and asks for more can close a cycle. One of the two is told, the other goes on.
    let both_hold = Barrier::new(2);
    thread::scope(|scope| {
        for (agent, first, second) in
            [("agent-3", "src/main.rs", "src/lib.rs"), ("agent-7", "src/lib.rs", "src/main.rs")]
        {
            let (files, both_hold) = (&files, &both_hold);
            scope.spawn(move || {
                let Ok(_held) = files.acquire_blocking(agent, Request::new().exclusive(first)) else {
                    return;
                };
                both_hold.wait();
                match files.acquire_blocking(agent, Request::new().exclusive(second)) {
                    Ok(_both) => println!("{agent} got both"),
                    Err(AcquireError::Deadlock { cycle, .. }) => println!("{agent} was refused: {cycle}"),
                    Err(other) => println!("{agent}: {other}"),
                }
            });
        }
    });

    let _lease = files.acquire_blocking("agent-1", Request::new().exclusive("src/lib.rs"))?;
    if let Err(race) = files.access("agent-2", "src/lib.rs") {
        println!("race: {race}");
    }
    let stats = files.stats();
    println!("{} deadlocks prevented, {} races seen", files.deadlocks(), files.races().len());
    println!("{} leases granted, {} after waiting", stats.acquired, stats.waited);
    Ok(())
}
