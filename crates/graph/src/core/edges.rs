//! Adding and removing dependencies and tasks.

use super::{Core, Wait};
use crate::{
    error::{DependError, RemoveError},
    observe::Change,
    task::{Depended, Dependency, Effects, Status, TaskId},
};
use std::time::Instant;

impl Core {
    /// Adds one dependency and applies what follows from it.
    pub(crate) fn link(
        &mut self,
        dependency: &Dependency,
        now: Instant,
        effects: &mut Effects,
    ) -> Result<Depended, DependError> {
        let depended = self.attach(dependency, now)?;
        if depended != Depended::AlreadyPresent {
            self.reconsider(dependency.task.index, now, effects);
        }
        Ok(depended)
    }

    /// Adds one dependency, checked for cycles unless they are permitted. The caller reconsiders the
    /// dependent.
    pub(crate) fn attach(&mut self, dependency: &Dependency, now: Instant) -> Result<Depended, DependError> {
        let (task, on) = (self.find(dependency.task)?, self.find(dependency.on)?);
        if task == on {
            let name = self.node(task).name.clone();
            return Err(DependError::SelfDependency { task: dependency.task, name });
        }
        if self.has_edge(task, on) {
            return Ok(Depended::AlreadyPresent);
        }
        let status = self.node(task).status;
        if status == Status::Running || status.is_finished() {
            let name = self.node(task).name.clone();
            return Err(DependError::Started { task: dependency.task, name, status });
        }
        let finished = self.node(on).status.is_finished();
        if !finished && !self.permit_cycles {
            if let Some(path) = self.path(task, on) {
                return Err(DependError::Cycle { path: self.cycle(&path) });
            }
        }
        let (weight, immutable) = (dependency.weight, dependency.immutable);
        self.node_mut(task).waits.push(Wait { on, weight, immutable });
        self.node_mut(task).waiting += 1;
        self.node_mut(on).dependents.push(task);
        self.rank_debt += 1;
        self.emit(task, now, Change::DependencyAdded { on: dependency.on });
        if !finished {
            return Ok(Depended::Added);
        }
        let succeeded = self.settle(task, on);
        Ok(if succeeded { Depended::AlreadySatisfied } else { Depended::AlreadyUnsatisfied })
    }

    pub(crate) fn unlink(
        &mut self,
        task_id: TaskId,
        on_id: TaskId,
        now: Instant,
        effects: &mut Effects,
    ) -> Result<(), RemoveError> {
        let (task, on) = (self.find(task_id)?, self.find(on_id)?);
        if !self.has_edge(task, on) {
            return Err(RemoveError::NoDependency { task: task_id, on: on_id });
        }
        self.cut(task, on, now);
        self.reconsider(task, now, effects);
        Ok(())
    }

    /// Removes an edge and takes it out of the dependent's counts. The caller reconsiders the
    /// dependent.
    pub(crate) fn cut(&mut self, task: u32, on: u32, now: Instant) {
        self.uncount(task, on);
        self.node_mut(task).waits.retain(|wait| wait.on != on);
        self.node_mut(on).dependents.retain(|&at| at != task);
        let on = self.id(on);
        self.emit(task, now, Change::DependencyRemoved { on });
    }

    /// Removes a task with its edges. Dependents no longer wait for it.
    pub(crate) fn remove(
        &mut self,
        id: TaskId,
        now: Instant,
        effects: &mut Effects,
    ) -> Result<(), RemoveError> {
        let at = self.find(id)?;
        let node = self.node(at);
        if node.status == Status::Running {
            return Err(RemoveError::Running { task: id, name: node.name.clone() });
        }
        let dependents = node.dependents.clone();
        let waits: Vec<u32> = node.waits.iter().map(|wait| wait.on).collect();
        for on in waits {
            self.node_mut(on).dependents.retain(|&dependent| dependent != at);
        }
        for &dependent in &dependents {
            self.uncount(dependent, at);
            self.node_mut(dependent).waits.retain(|wait| wait.on != at);
        }
        self.ready.remove(&at);
        self.emit(at, now, Change::Removed);
        let status = self.node(at).status;
        self.stats.count(status, -1);
        self.stats.removed += 1;
        self.release(at);
        for dependent in dependents {
            // An earlier one's skipping may have finished this one; `reconsider` looks.
            self.reconsider(dependent, now, effects);
        }
        Ok(())
    }

    /// Removes every finished task whose dependents are all finished too; tells how many. The others
    /// are still needed: rules of their dependents count them.
    pub(crate) fn remove_finished(&mut self, now: Instant) -> usize {
        let gone: Vec<u32> = self
            .taken()
            .filter(|(_, node)| {
                node.status.is_finished()
                    && node.dependents.iter().all(|&next| self.node(next).status.is_finished())
            })
            .map(|(at, _)| at)
            .collect();
        let mark = self.new_mark();
        for &at in &gone {
            self.node_mut(at).mark = mark;
        }
        // The lists of those that stay must not name those that go; each list is swept once.
        let mut neighbours: Vec<u32> = Vec::new();
        for &at in &gone {
            let node = self.node(at);
            neighbours.extend(node.waits.iter().map(|wait| wait.on).chain(node.dependents.iter().copied()));
        }
        neighbours.sort_unstable();
        neighbours.dedup();
        neighbours.retain(|&at| self.node(at).mark != mark);
        for at in neighbours {
            let goes = |core: &Self, other: u32| core.node(other).mark == mark;
            let gone: Vec<u32> =
                self.node(at).waits.iter().map(|wait| wait.on).filter(|&on| goes(self, on)).collect();
            for on in gone {
                self.uncount(at, on);
            }
            let mut waits = std::mem::take(&mut self.node_mut(at).waits);
            waits.retain(|wait| !goes(self, wait.on));
            self.node_mut(at).waits = waits;
            let mut dependents = std::mem::take(&mut self.node_mut(at).dependents);
            dependents.retain(|&next| !goes(self, next));
            self.node_mut(at).dependents = dependents;
        }
        for &at in &gone {
            self.emit(at, now, Change::Removed);
            let status = self.node(at).status;
            self.stats.count(status, -1);
            self.stats.removed += 1;
        }
        for &at in &gone {
            self.release(at);
        }
        gone.len()
    }

    /// Looks through the shorter of the two lists that would name the edge.
    fn has_edge(&self, task: u32, on: u32) -> bool {
        let (waits, dependents) = (&self.node(task).waits, &self.node(on).dependents);
        if waits.len() <= dependents.len() {
            waits.iter().any(|wait| wait.on == on)
        } else {
            dependents.contains(&task)
        }
    }
}
