//! Three nodes of which one is slow: who gets the work under round robin and under peak EWMA.

use ropewalk::balance::{Balancer, BalancerBuilder, Need, Node, Outcome, PeakEwma, RoundRobin};
use std::{collections::BTreeMap, thread, time::Duration};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    run("round robin", Balancer::builder().strategy(RoundRobin::new()))?;
    run("peak EWMA", Balancer::builder().strategy(PeakEwma::new()).seed(7))
}

fn run(name: &str, builder: BalancerBuilder) -> Result<(), Box<dyn std::error::Error>> {
    let nodes = builder.build()?;
    for address in ["fast-1", "fast-2", "slow"] {
        nodes.insert(Node::new(address).offers("gpt-large"))?;
    }
    let mut served: BTreeMap<String, u32> = BTreeMap::new();
    let mut spent = Duration::ZERO;
    for _ in 0..200 {
        let pick = nodes.pick(Need::of("gpt-large"))?;
        let cost = if pick.node().address() == "slow" { 3_000 } else { 300 };
        thread::sleep(Duration::from_micros(cost));
        *served.entry(pick.node().address().to_owned()).or_default() += 1;
        spent += pick.elapsed();
        pick.complete(Outcome::Success);
    }
    println!("{name:<12} {served:?}, {:.2?} a request", spent / 200);
    Ok(())
}
