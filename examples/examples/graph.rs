//! A build as a graph: levels, a refused cycle named in full, a failure that skips what stands on it,
//! then the whole run in parallel.

use ropewalk::graph::{Graph, Priority, Task, Workers};
use std::{thread, time::Duration};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let graph = Graph::new();
    let parse = graph.add(Task::new("parse").priority(Priority::High));
    let check = graph.add(Task::new("check").after(parse));
    let codegen = graph.add(Task::new("codegen").after(check).weight(5));
    let docs = graph.add(Task::new("docs").after(parse).priority(Priority::Low));
    let link = graph.add(Task::new("link").after(codegen));
    let test = graph.add(Task::new("test").after(link).after(docs));

    if let Err(refused) = graph.depend(parse, test) {
        println!("refused: {refused}");
    }
    println!("critical path: {:?}", graph.critical_path()?);
    for (i, level) in graph.levels()?.iter().enumerate() {
        let names: Vec<String> =
            level.iter().filter_map(|&t| Some(graph.info(t).ok()?.name.to_string())).collect();
        println!("level {i}: {}", names.join(", "));
    }

    let frozen = graph.freeze()?;
    let workers = Workers::new(2);
    let report = frozen
        .run(&workers, |task| {
            thread::sleep(Duration::from_millis(10 * task.weight()));
            println!("  {} done", task.name());
        })?
        .wait()?;
    println!("one run: {} completed", report.completed);

    // The live graph is a tracker too: here `check` fails, and all that stands on it is skipped.
    graph.complete(parse)?;
    graph.fail(check)?;
    for task in [parse, check, codegen, docs, link, test] {
        println!("  {:<8} {:?}", graph.info(task)?.name, graph.status(task)?);
    }
    Ok(())
}
