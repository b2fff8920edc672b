use super::*;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// A backend of `knee` servers behind a queue, under more demand than it can serve, in simulated time.
struct Simulation {
    controller: Controller,
    limit: usize,
    start: Instant,
    now: u64,
    /// End, start, epoch of those in service.
    serving: BinaryHeap<Reverse<(u64, u64, u64)>>,
    queued: VecDeque<(u64, u64)>,
    random: u64,
    served: u64,
    latencies: f64,
    refused: u64,
}

const SERVICE: f64 = 1e9;

impl Simulation {
    fn new(adaptive: Adaptive) -> Self {
        let start = Instant::now();
        let (limit, controller) = Concurrency::from(adaptive).build(start).unwrap();
        Self {
            controller: controller.unwrap(),
            limit,
            start,
            now: 0,
            serving: BinaryHeap::new(),
            queued: VecDeque::new(),
            random: 1,
            served: 0,
            latencies: 0.0,
            refused: 0,
        }
    }

    /// Answers differ in length by a factor of about ten.
    fn service(&mut self) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let unit = (self.random >> 11) as f64 / (1_u64 << 53) as f64;
        (SERVICE * (0.2 + 1.6 * unit)) as u64
    }

    fn run(&mut self, knee: usize, calls: u64, refuses: bool) {
        (self.served, self.latencies, self.refused) = (0, 0.0, 0);
        while self.served + self.refused < calls {
            while self.serving.len() + self.queued.len() < self.limit {
                let epoch = self.controller.started(self.serving.len() + self.queued.len() + 1 >= self.limit);
                if self.serving.len() < knee {
                    let end = self.now + self.service();
                    self.serving.push(Reverse((end, self.now, epoch)));
                } else if refuses {
                    self.refused += 1;
                    // A refusal takes a little time as well.
                    self.now += (SERVICE / 1000.0) as u64;
                    self.limit = self.controller.ended(epoch, self.instant(), Duration::ZERO, true);
                    break;
                } else {
                    self.queued.push_back((self.now, epoch));
                }
            }
            let Some(Reverse((end, started, epoch))) = self.serving.pop() else { continue };
            self.now = self.now.max(end);
            let latency = Duration::from_nanos(self.now - started);
            self.served += 1;
            self.latencies += latency.as_secs_f64();
            self.limit = self.controller.ended(epoch, self.instant(), latency, false);
            if let Some((since, epoch)) = self.queued.pop_front() {
                let end = self.now + self.service();
                self.serving.push(Reverse((end, since, epoch)));
            }
        }
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_nanos(self.now)
    }

    fn mean_latency(&self) -> f64 {
        self.latencies / self.served as f64
    }
}

#[test]
fn it_finds_the_knee_of_a_queueing_backend_from_far_below() {
    for knee in [4, 16, 64, 256] {
        let mut simulation = Simulation::new(Adaptive::new(1..=1_024).start(2));
        simulation.run(knee, 60 * knee as u64 + 4_000, false);
        simulation.run(knee, 20 * knee as u64 + 1_000, false);
        let limit = simulation.limit as f64;
        assert!(limit > 0.7 * knee as f64 && limit < 1.6 * knee as f64, "{limit} for {knee}");
        assert!(simulation.mean_latency() < 1.5, "{} s for {knee}", simulation.mean_latency());
    }
}

#[test]
fn it_follows_a_knee_that_moves() {
    let mut simulation = Simulation::new(Adaptive::default());
    simulation.run(64, 8_000, false);
    simulation.run(16, 8_000, false);
    let low = simulation.limit;
    assert!(low < 32, "{low}");
    simulation.run(64, 16_000, false);
    assert!(simulation.limit > 40, "{}", simulation.limit);
}

#[test]
fn it_backs_off_from_a_backend_that_refuses() {
    let mut simulation = Simulation::new(Adaptive::default());
    simulation.run(16, 6_000, true);
    simulation.run(16, 6_000, true);
    assert!(simulation.limit <= 24 && simulation.limit >= 8, "{}", simulation.limit);
    let share = simulation.refused as f64 / (simulation.refused + simulation.served) as f64;
    assert!(share < 0.15, "{share}");
}

#[test]
fn it_stays_within_its_bounds_and_does_not_grow_without_demand() {
    let mut simulation = Simulation::new(Adaptive::new(3..=9));
    simulation.run(1_000, 5_000, false);
    assert_eq!(simulation.limit, 9);
    simulation.run(1, 5_000, false);
    assert!((3..=5).contains(&simulation.limit), "{}", simulation.limit);

    let now = Instant::now();
    let (limit, controller) = Concurrency::from(Adaptive::default()).build(now).unwrap();
    let mut controller = controller.unwrap();
    for n in 1..2_000 {
        let epoch = controller.started(false);
        let at = now + Duration::from_secs(n);
        assert!(controller.ended(epoch, at, Duration::from_secs(1), false) <= limit, "at {n}");
    }
}

#[test]
fn nothing_but_refusals_lowers_it_to_the_least() {
    let now = Instant::now();
    let (_, controller) = Concurrency::from(Adaptive::new(2..=64).start(64)).build(now).unwrap();
    let mut controller = controller.unwrap();
    let mut limit = 64;
    for n in 0..1_000 {
        let epoch = controller.started(true);
        limit = controller.ended(epoch, now + Duration::from_millis(n), Duration::ZERO, true);
    }
    assert_eq!(limit, 2);
}

#[test]
fn contradictory_bounds_are_refused() {
    let now = Instant::now();
    let refused = [
        Concurrency::Fixed(0),
        Adaptive::new(0..=5).into(),
        Adaptive::new(std::ops::RangeInclusive::new(6, 5)).into(),
        Adaptive::new(2..=5).start(1).into(),
        Adaptive::new(2..=5).start(6).into(),
    ];
    for concurrency in refused {
        assert!(concurrency.build(now).is_err(), "{concurrency:?}");
    }
    assert_eq!(Concurrency::from(Adaptive::new(50..=60)).build(now).unwrap().0, 50);
    assert_eq!(Concurrency::from(Adaptive::new(1..=4)).build(now).unwrap().0, 4);
}

/// After it has found the knee, it stays near it.
#[test]
fn it_neither_collapses_nor_runs_away() {
    for knee in [8, 32, 128] {
        let mut simulation = Simulation::new(Adaptive::default());
        simulation.run(knee, 40 * knee as u64 + 4_000, false);
        for _ in 0..30 {
            simulation.run(knee, 1_000, false);
            let limit = simulation.controller.limit;
            assert!(limit > 0.5 * knee as f64 && limit < 2.0 * knee as f64, "{limit} for {knee}");
        }
    }
}
