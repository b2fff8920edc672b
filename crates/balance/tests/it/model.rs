//! The registry, states and slots against a plain map.

use proptest::prelude::*;
use ropewalk_balance::{
    Balancer, CapabilityBased, Ejection, LeastLoaded, Need, Node, NodeId, NodeState, Outcome, PeakEwma, Pick,
    PickError, PowerOfTwo, RoundRobin, SmoothWeighted, Strategy as Choice,
};
use ropewalk_sync::Clock;
use std::{collections::BTreeMap, time::Duration};

const CAPABILITIES: [&str; 3] = ["x", "y", "z"];

#[derive(Clone, Debug)]
enum Op {
    Insert { name: u8, weight: u32, offers: u8, limit: Option<u32> },
    Remove(usize),
    Reweigh(usize, u32),
    Limit(usize, Option<u32>),
    Drain(usize),
    Resume(usize),
    Pick(u8),
    End(usize, Option<Outcome>),
    Wait(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let limit = || prop_oneof![2 => Just(None), 3 => (0..3_u32).prop_map(Some)];
    let op = prop_oneof![
        4 => (0..12_u8, 0..4_u32, 0..8_u8, limit())
            .prop_map(|(name, weight, offers, limit)| Op::Insert { name, weight, offers, limit }),
        1 => (0..12_usize).prop_map(Op::Remove),
        1 => (0..12_usize, 0..4_u32).prop_map(|(n, w)| Op::Reweigh(n, w)),
        1 => (0..12_usize, limit()).prop_map(|(n, l)| Op::Limit(n, l)),
        1 => (0..12_usize).prop_map(Op::Drain),
        1 => (0..12_usize).prop_map(Op::Resume),
        8 => (0..8_u8).prop_map(Op::Pick),
        6 => (0..20_usize, prop_oneof![
            1 => Just(None),
            1 => Just(Some(Outcome::Success)),
            3 => Just(Some(Outcome::Failure)),
            1 => Just(Some(Outcome::Rejected)),
        ]).prop_map(|(n, o)| Op::End(n, o)),
        1 => (0..40_u64).prop_map(Op::Wait),
    ];
    prop::collection::vec(op, 1..80)
}

#[derive(Debug)]
struct Known {
    node: Node,
    limit: Option<u32>,
    in_flight: u32,
    draining: bool,
    ejected_until: Option<u64>,
    tried: bool,
    offences: u64,
    up_since: u64,
    failures: u32,
}

fn strategy(n: u8) -> Box<dyn Choice> {
    match n {
        0 => Box::new(RoundRobin::new()),
        1 => Box::new(SmoothWeighted::new()),
        2 => Box::new(LeastLoaded::new()),
        3 => Box::new(PowerOfTwo::new()),
        4 => Box::new(CapabilityBased::new(PowerOfTwo::new())),
        _ => Box::new(PeakEwma::new()),
    }
}

fn needs(bits: u8) -> Need {
    (0..3).filter(|i| bits >> i & 1 == 1).fold(Need::any(), |need, i| need.and(CAPABILITIES[i]))
}

fn run(which: u8, ops: Vec<Op>) {
    let clock = Clock::virtual_();
    let rule = Ejection::new()
        .consecutive_failures(2)
        .without_error_rate()
        .base_ejection_time(Duration::from_secs(10))
        .max_ejection_percent(100);
    let nodes = Balancer::builder()
        .strategy(strategy(which))
        .ejection(rule)
        .panic_threshold(0)
        .clock(clock.clone())
        .build()
        .unwrap();
    let mut model = BTreeMap::<NodeId, Known>::new();
    let mut picks = Vec::<(Pick, u64)>::new();
    let mut now = 0_u64;
    let nth = |model: &BTreeMap<NodeId, Known>, n: usize| {
        (!model.is_empty()).then(|| *model.keys().nth(n % model.len()).unwrap())
    };
    for op in ops {
        match op.clone() {
            Op::Insert { name, weight, offers, limit } => {
                let mut node = Node::new(format!("n{name}")).weight(weight);
                for (i, capability) in CAPABILITIES.into_iter().enumerate() {
                    if offers >> i & 1 == 1 {
                        node = node.offers(capability);
                    }
                }
                if let Some(limit) = limit {
                    node = node.max_in_flight(limit);
                }
                let known = model.iter().find(|(_, k)| k.node.address() == node.address()).map(|(id, _)| *id);
                match nodes.insert(node.clone()) {
                    Ok(id) => {
                        assert_eq!(known, None);
                        let fresh = Known {
                            node,
                            limit,
                            in_flight: 0,
                            draining: false,
                            ejected_until: None,
                            tried: false,
                            offences: 0,
                            up_since: now,
                            failures: 0,
                        };
                        assert!(model.insert(id, fresh).is_none(), "names are new");
                    }
                    Err(_) => assert!(known.is_some()),
                }
            }
            Op::Remove(n) => {
                let Some(id) = nth(&model, n) else { continue };
                nodes.remove(id).unwrap();
                model.remove(&id);
            }
            Op::Reweigh(n, weight) => {
                let Some(id) = nth(&model, n) else { continue };
                nodes.set_weight(id, weight).unwrap();
                let known = model.get_mut(&id).unwrap();
                known.node = known.node.clone().weight(weight);
            }
            Op::Limit(n, limit) => {
                let Some(id) = nth(&model, n) else { continue };
                nodes.set_max_in_flight(id, limit).unwrap();
                model.get_mut(&id).unwrap().limit = limit;
            }
            Op::Drain(n) => {
                let Some(id) = nth(&model, n) else { continue };
                let drain = nodes.drain(id).unwrap();
                let known = model.get_mut(&id).unwrap();
                known.draining = true;
                assert_eq!(drain.is_done(), known.in_flight == 0);
            }
            Op::Resume(n) => {
                let Some(id) = nth(&model, n) else { continue };
                nodes.resume(id).unwrap();
                let known = model.get_mut(&id).unwrap();
                known.draining = false;
                known.up_since = now;
            }
            Op::Pick(bits) => {
                let need = needs(bits);
                let room = |k: &Known| k.limit.is_none_or(|l| k.in_flight < l);
                let capable = || model.values().filter(|k| need.is_met_by(&k.node));
                let up = |k: &Known| !k.draining && k.ejected_until.is_none();
                let due =
                    |k: &Known| !k.draining && !k.tried && k.ejected_until.is_some_and(|until| until <= now);
                match nodes.pick(need.clone()) {
                    Ok(pick) => {
                        let known = &model[&pick.id()];
                        assert!(need.is_met_by(pick.node()) && room(known), "{op:?} {known:?}");
                        assert_eq!(pick.node(), &known.node);
                        if pick.is_trial() {
                            assert!(due(known), "{op:?} {known:?}");
                        } else {
                            assert!(up(known), "{op:?} {known:?}");
                            assert!(!capable().any(|k| due(k) && room(k)), "a trial was due");
                        }
                        let trial = pick.is_trial();
                        let known = model.get_mut(&pick.id()).unwrap();
                        known.in_flight += 1;
                        known.tried |= trial;
                        picks.push((pick, now));
                    }
                    Err(error) => {
                        assert!(!capable().any(|k| (up(k) || due(k)) && room(k)), "{error}: {model:#?}");
                        match error {
                            PickError::Empty => assert!(model.is_empty()),
                            PickError::NoCapableNode { nodes, .. } => {
                                assert!(capable().next().is_none() && nodes == model.len());
                            }
                            PickError::Saturated { nodes } => {
                                assert!(nodes > 0 && nodes == capable().filter(|k| up(k)).count());
                            }
                            PickError::AllUnhealthy { nodes, ejected, draining, .. } => {
                                assert_eq!(nodes, capable().count());
                                assert_eq!(draining, capable().filter(|k| k.draining).count());
                                assert_eq!(ejected + draining, nodes);
                            }
                            other => panic!("{other}"),
                        }
                    }
                }
            }
            Op::End(n, outcome) => {
                if picks.is_empty() {
                    continue;
                }
                let (pick, started) = picks.swap_remove(n % picks.len());
                let (id, trial) = (pick.id(), pick.is_trial());
                match outcome {
                    Some(outcome) => pick.complete(outcome),
                    None => drop(pick),
                }
                let Some(known) = model.get_mut(&id) else { continue };
                known.in_flight -= 1;
                let again = trial && known.ejected_until.is_some();
                if again {
                    known.tried = false;
                    match outcome {
                        None => known.ejected_until = Some(now.min(known.ejected_until.unwrap())),
                        Some(Outcome::Failure) => {
                            known.offences += 1;
                            known.ejected_until = Some(now + (10 * known.offences).min(300));
                            known.failures = 0;
                        }
                        Some(_) => {
                            known.ejected_until = None;
                            known.up_since = now;
                        }
                    }
                    if matches!(outcome, Some(Outcome::Success | Outcome::Rejected)) {
                        known.failures = 0;
                    }
                } else if started >= known.up_since {
                    match outcome {
                        Some(Outcome::Failure) => {
                            known.failures += 1;
                            if known.failures >= 2 && known.ejected_until.is_none() {
                                let forgiven = (now - known.up_since) / 10;
                                known.offences = known.offences.saturating_sub(forgiven) + 1;
                                known.ejected_until = Some(now + (10 * known.offences).min(300));
                                known.failures = 0;
                            }
                        }
                        Some(_) => known.failures = 0,
                        None => {}
                    }
                }
            }
            Op::Wait(seconds) => {
                clock.advance(Duration::from_secs(seconds));
                now += seconds;
            }
        }
        let mut seen = nodes.nodes();
        seen.sort_by_key(|n| n.id);
        assert_eq!(seen.len(), model.len());
        for (stats, (id, known)) in seen.iter().zip(&model) {
            let state = match known {
                Known { draining: true, .. } => NodeState::Draining,
                Known { ejected_until: Some(_), .. } => NodeState::Ejected,
                _ => NodeState::Up,
            };
            assert_eq!((stats.id, &*stats.address), (*id, known.node.address()));
            assert_eq!(stats.weight, known.node.nominal_weight());
            assert_eq!((stats.in_flight, stats.state), (known.in_flight, state), "after {op:?}: {known:?}");
        }
    }
    picks.clear();
    assert_eq!(nodes.stats().in_flight, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn does_what_the_model_does(which in 0..6_u8, ops in ops()) {
        run(which, ops);
    }
}
