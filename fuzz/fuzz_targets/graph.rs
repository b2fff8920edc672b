//! The live graph against lists of edges: exactly the dependencies that close a cycle are refused, and ready is who waits
//! for nobody.
#![no_main]

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ropewalk_graph::{DependError, Depended, Graph, Task, TaskId};

#[derive(Arbitrary, Debug)]
enum Op {
    Add { after: [Option<u8>; 3] },
    Depend { task: u8, on: u8 },
    Undepend { task: u8, on: u8 },
    Complete { task: u8 },
}

struct Row {
    id: TaskId,
    after: BTreeSet<usize>,
    done: bool,
}

#[derive(Default)]
struct Model(Vec<Row>);

impl Model {
    fn pick(&self, number: u8) -> Option<usize> {
        usize::from(number).checked_rem(self.0.len())
    }

    fn waits(&self, task: usize) -> bool {
        self.0[task].after.iter().any(|&on| !self.0[on].done)
    }

    fn ready(&self) -> BTreeSet<TaskId> {
        let ready = (0..self.0.len()).filter(|&task| !self.0[task].done && !self.waits(task));
        ready.map(|task| self.0[task].id).collect()
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        let (mut seen, mut stack) = (BTreeSet::new(), vec![from]);
        while let Some(task) = stack.pop() {
            if task == to {
                return true;
            }
            if seen.insert(task) {
                stack.extend(&self.0[task].after);
            }
        }
        false
    }
}

fuzz_target!(|ops: Vec<Op>| {
    let graph = Graph::new();
    let mut model = Model::default();
    for op in ops.into_iter().take(200) {
        match op {
            Op::Add { after } => {
                let after: BTreeSet<_> =
                    after.into_iter().flatten().filter_map(|number| model.pick(number)).collect();
                let task = after.iter().fold(Task::new("task"), |task, &on| task.after(model.0[on].id));
                model.0.push(Row { id: graph.add(task), after, done: false });
            }
            Op::Depend { task, on } => {
                let (Some(task), Some(on)) = (model.pick(task), model.pick(on)) else { continue };
                let result = graph.depend(model.0[task].id, model.0[on].id);
                if task == on {
                    assert!(matches!(result, Err(DependError::SelfDependency { .. })), "{result:?}");
                } else if model.0[task].done {
                    assert!(result.is_err() || model.0[task].after.contains(&on), "{result:?}");
                } else if model.0[task].after.contains(&on) {
                    assert_eq!(result.expect("it is there"), Depended::AlreadyPresent);
                } else if model.reaches(on, task) {
                    assert!(matches!(result, Err(DependError::Cycle { .. })), "{result:?}");
                } else {
                    let expected =
                        if model.0[on].done { Depended::AlreadySatisfied } else { Depended::Added };
                    assert_eq!(result.expect("it closes no cycle"), expected);
                    model.0[task].after.insert(on);
                }
            }
            Op::Undepend { task, on } => {
                let (Some(task), Some(on)) = (model.pick(task), model.pick(on)) else { continue };
                if graph.remove_dependency(model.0[task].id, model.0[on].id).is_ok() {
                    assert!(model.0[task].after.remove(&on), "it was never there");
                } else {
                    assert!(model.0[task].done || !model.0[task].after.contains(&on));
                }
            }
            Op::Complete { task } => {
                let Some(task) = model.pick(task) else { continue };
                let before = model.ready();
                let may = !model.0[task].done && !model.waits(task);
                let result = graph.complete(model.0[task].id);
                assert_eq!(result.is_ok(), may, "{result:?}");
                model.0[task].done |= may;
                if let Ok(ready) = result {
                    let news: BTreeSet<_> = model.ready().difference(&before).copied().collect();
                    assert_eq!(ready.into_iter().collect::<BTreeSet<_>>(), news);
                }
            }
        }
        assert_eq!(graph.ready().into_iter().collect::<BTreeSet<_>>(), model.ready());
    }
    let left = model.0.iter().filter(|row| !row.done).count();
    assert_eq!(graph.topological_order().expect("it has no cycle").len(), left);
});
