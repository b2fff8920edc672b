//! An auto-scaler starts and stops real processes as the load goes up and down; a planner reads a week
//! of load and says how many nodes the next day needs.

use ropewalk::{
    scale::{
        AutoScaler, CapacityPlanner, Health, History, Load, NodeId, ProvisionError, Provisioner, Utilization,
    },
    sync::Tokio,
};
use ropewalk_examples::{
    nodes::{ModelServer, run_if_asked},
    server::Behaviour,
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// Model servers, each a process of its own.
#[derive(Clone, Default)]
struct Servers(Arc<Mutex<HashMap<NodeId, ModelServer>>>);

impl Provisioner for Servers {
    async fn start(&self) -> Result<NodeId, ProvisionError> {
        let server = ModelServer::start(&Behaviour::default()).await?;
        let node = NodeId::new(server.base_url());
        self.0.lock().await.insert(node.clone(), server);
        Ok(node)
    }

    async fn health(&self, node: &NodeId) -> Health {
        let running = self.0.lock().await.get_mut(node).is_some_and(ModelServer::is_running);
        if running { Health::Ready } else { Health::Gone }
    }

    async fn stop(&self, node: &NodeId) -> Result<(), ProvisionError> {
        let server = self.0.lock().await.remove(node);
        if let Some(server) = server {
            server.stop().await?;
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    run_if_asked();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(scale())
}

async fn scale() -> Result<(), Box<dyn std::error::Error>> {
    let servers = Servers::default();
    let scaler = AutoScaler::builder(servers.clone())
        .nodes(1..=8)
        .target(Utilization::percent(70))
        .stabilization(Duration::ZERO) // scale down at once, since this is a short show
        .cooldown(Duration::ZERO)
        .spawner(Tokio::current())
        .build()?;
    scaler.settled().await?;
    for demand in [0.5, 4.0, 1.2] {
        scaler.observe(Load::demand(demand));
        // The driver takes the sample, then starts or stops nodes.
        while scaler.stats().samples == 0 || scaler.status().last.is_none() {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        scaler.settled().await?;
        println!("load of {demand} nodes: {} processes serve", servers.0.lock().await.len());
    }
    for change in scaler.history() {
        println!("  {change}");
    }
    scaler.stop().await?;
    println!("stopped: {} processes left", servers.0.lock().await.len());

    let week = (0..24 * 7).map(|hour| {
        let day = (std::f64::consts::TAU * f64::from(hour % 24) / 24.0).sin();
        6.0 + 0.01 * f64::from(hour) + 3.0 * day
    });
    let plan = CapacityPlanner::new()
        .nodes(1..=20)
        .observe(History::of(Duration::from_secs(3_600), week))
        .forecast(Duration::from_secs(86_400))?;
    println!("trend: {:?}, confidence {:.1} %", plan.trend.direction, 100.0 * plan.trend.confidence);
    for advice in &plan.recommendations {
        println!("advice: {advice}");
    }
    Ok(())
}
