//! Deadlocks in the wait-for graph.
//!
//! A waiter is stuck when what it waits for cannot come: for each wait that needs *all* its holders, one of
//! them is stuck; for a wait that *any* holder can end (a pool), all of them are. The stuck set is the
//! greatest one that fulfils this, found by removing whoever can still go on. A deadlock is a strongly
//! connected part of it.
//!
//! No false reports: an edge counts only if the snapshot before had it too, with the same `since`. Each
//! counted edge therefore existed at one common instant between the two snapshots, however slowly and in
//! whatever order the parts of each were taken. A wait by `any` counts only if its whole group did.
//! Waits of owners that can give up by themselves (timeouts) are waits like others here: they are reported
//! while they last.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    fmt,
    time::Instant,
};

/// One waits for another: an edge of the wait-for graph, as published by pools and locks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct WaitEdge {
    /// Who waits.
    pub waiter: String,
    /// Who holds what it waits for.
    pub holder: String,
    /// What that is.
    pub resource: String,
    /// Since when. Two snapshots that differ here saw two waits.
    pub since: Instant,
    /// Whether any one holder of the resource can end the wait, as in a pool; otherwise all of them must.
    pub any: bool,
}

impl WaitEdge {
    /// `waiter` waits for `holder` to give `resource` back, since `since`.
    pub fn new(
        waiter: impl Into<String>,
        holder: impl Into<String>,
        resource: impl Into<String>,
        since: Instant,
    ) -> Self {
        Self { waiter: waiter.into(), holder: holder.into(), resource: resource.into(), since, any: false }
    }

    /// One of several holders, each of which can end the wait.
    #[must_use]
    pub fn any(mut self) -> Self {
        self.any = true;
        self
    }
}

/// Owners that wait for one another and will do so for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Deadlock {
    /// The waits of a shortest cycle, each for the waiter of the next; it begins with the least name.
    pub members: Vec<Member>,
    /// How many others wait for the cycle, directly or not.
    pub behind: usize,
}

/// One in a cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Member {
    /// Who waits.
    pub owner: String,
    /// For what.
    pub wants: String,
    /// What it holds that the one before wants.
    pub holds: String,
    /// Since when it waits.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub since: Instant,
}

impl Deadlock {
    /// The names in the cycle, the first again at the end: `a > b > a`.
    pub fn cycle(&self) -> String {
        let names = self.members.iter().chain(self.members.first()).map(|member| member.owner.as_str());
        names.collect::<Vec<_>>().join(" > ")
    }

    /// The one that has waited for the shortest time: breaking it loses the least waiting.
    pub fn youngest(&self) -> Option<&Member> {
        self.members.iter().max_by_key(|member| member.since)
    }
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Member { owner, wants, holds, .. }) in self.members.iter().enumerate() {
            let join = if i == 0 { "" } else { "; " };
            write!(f, "{join}{owner} holds {holds}, wants {wants}")?;
        }
        if self.behind > 0 {
            write!(f, "; {} more wait behind them", self.behind)?;
        }
        Ok(())
    }
}

/// Compares each snapshot of the graph with the one before.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    before: HashSet<WaitEdge>,
}

impl Watch {
    /// The deadlocks that this and the last snapshot agree on.
    pub(crate) fn look(&mut self, edges: Vec<WaitEdge>) -> Vec<Deadlock> {
        let now: HashSet<WaitEdge> = edges.into_iter().collect();
        let found = find(&now, &self.before);
        self.before = now;
        found
    }

    /// A snapshot is missing: the next has nothing to agree with.
    pub(crate) fn forget(&mut self) {
        self.before.clear();
    }
}

/// The waits of one owner: groups that each keep it waiting.
type Groups<'a> = Vec<(bool, Vec<(&'a WaitEdge, bool)>)>;

fn find(now: &HashSet<WaitEdge>, before: &HashSet<WaitEdge>) -> Vec<Deadlock> {
    let mut waits: BTreeMap<&str, Groups<'_>> = BTreeMap::new();
    let mut groups: BTreeMap<(&str, &str), Vec<(&WaitEdge, bool)>> = BTreeMap::new();
    for edge in now {
        let stable = before.contains(edge);
        if edge.any {
            groups.entry((&edge.waiter, &edge.resource)).or_default().push((edge, stable));
        } else {
            waits.entry(&edge.waiter).or_default().push((false, vec![(edge, stable)]));
        }
    }
    for ((waiter, _), group) in groups {
        waits.entry(waiter).or_default().push((true, group));
    }
    let stuck = stuck(&waits);
    // Edges between the stuck, in a fixed order.
    let mut graph: BTreeMap<&str, Vec<&WaitEdge>> = BTreeMap::new();
    for (waiter, groups) in waits.iter().filter(|(waiter, _)| stuck.contains(*waiter)) {
        let edges = groups.iter().flat_map(|(_, edges)| edges);
        let mut edges: Vec<&WaitEdge> = edges
            .filter(|(edge, stable)| *stable && stuck.contains(&*edge.holder))
            .map(|(edge, _)| *edge)
            .collect();
        edges.sort_by(|a, b| (&a.holder, &a.resource).cmp(&(&b.holder, &b.resource)));
        graph.insert(waiter, edges);
    }
    let parts = parts(&graph);
    let mut deadlocks: Vec<Deadlock> = parts.iter().filter_map(|part| name(part, &graph)).collect();
    let members: usize = parts.iter().map(BTreeSet::len).sum();
    if let Some(first) = deadlocks.first_mut() {
        // With several deadlocks it is not worth telling whose the rest is.
        first.behind = stuck.len() - members;
    }
    deadlocks
}

/// Who cannot go on: everybody who waits, less those who can be served.
fn stuck<'a>(waits: &BTreeMap<&'a str, Groups<'a>>) -> HashSet<&'a str> {
    let mut stuck: HashSet<&str> = waits.keys().copied().collect();
    loop {
        let blocks = |(edge, stable): &(&WaitEdge, bool)| *stable && stuck.contains(&*edge.holder);
        let held = |groups: &Groups<'_>| {
            groups
                .iter()
                .any(|(any, edges)| if *any { edges.iter().all(blocks) } else { edges.iter().any(blocks) })
        };
        let free: Vec<&str> =
            stuck.iter().copied().filter(|waiter| !waits.get(waiter).is_some_and(held)).collect();
        if free.is_empty() {
            return stuck;
        }
        free.iter().for_each(|waiter| {
            stuck.remove(waiter);
        });
    }
}

/// The strongly connected parts that contain a cycle, by forward and backward reach from each name.
fn parts<'a>(graph: &BTreeMap<&'a str, Vec<&'a WaitEdge>>) -> Vec<BTreeSet<&'a str>> {
    let mut backward: HashMap<&str, Vec<&str>> = HashMap::new();
    for (waiter, edges) in graph {
        for edge in edges {
            backward.entry(&edge.holder).or_default().push(waiter);
        }
    }
    let ahead = |name: &'a str| -> Vec<&'a str> {
        graph
            .get(name)
            .map(|edges| edges.iter().map(|edge| edge.holder.as_str()).collect())
            .unwrap_or_default()
    };
    let behind = |name: &'a str| backward.get(name).cloned().unwrap_or_default();
    let mut done: HashSet<&str> = HashSet::new();
    let mut parts = Vec::new();
    for &name in graph.keys() {
        if done.contains(name) {
            continue;
        }
        let forward = reach(name, ahead);
        if !forward.contains(name) {
            continue;
        }
        let back = reach(name, behind);
        let part: BTreeSet<&str> = forward.into_iter().filter(|other| back.contains(other)).collect();
        done.extend(part.iter().copied());
        parts.push(part);
    }
    parts
}

/// All that can be reached from a name by at least one edge.
fn reach<'a>(from: &'a str, next: impl Fn(&'a str) -> Vec<&'a str>) -> HashSet<&'a str> {
    let mut seen = HashSet::new();
    let mut todo = next(from);
    while let Some(name) = todo.pop() {
        if seen.insert(name) {
            todo.extend(next(name));
        }
    }
    seen
}

/// A shortest cycle through the least name of a part.
fn name(part: &BTreeSet<&str>, graph: &BTreeMap<&str, Vec<&WaitEdge>>) -> Option<Deadlock> {
    let start = *part.first()?;
    let mut came: HashMap<&str, &WaitEdge> = HashMap::new();
    let mut todo = VecDeque::from([start]);
    'search: while let Some(at) = todo.pop_front() {
        for &edge in graph.get(at).into_iter().flatten().filter(|edge| part.contains(&*edge.holder)) {
            if !came.contains_key(&*edge.holder) {
                came.insert(&edge.holder, edge);
                if edge.holder == start {
                    break 'search;
                }
                todo.push_back(&edge.holder);
            }
        }
    }
    let mut edges = vec![*came.get(start)?];
    while let Some(first) = edges.last().filter(|edge| edge.waiter != start) {
        edges.push(came.get(&*first.waiter)?);
    }
    edges.reverse();
    let members = edges
        .iter()
        .enumerate()
        .map(|(i, edge)| {
            let before = edges[(i + edges.len() - 1) % edges.len()];
            Member {
                owner: edge.waiter.clone(),
                wants: edge.resource.clone(),
                holds: before.resource.clone(),
                since: edge.since,
            }
        })
        .collect();
    Some(Deadlock { members, behind: 0 })
}
