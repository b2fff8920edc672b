//! The size that does the most work: the controller alone, over laws of throughput, and a pool that has one.

use crate::{fake::Fake, line::poll};
use proptest::prelude::*;
use ropewalk_connections::*;
use ropewalk_sync::Clock;
use std::{collections::VecDeque, ops::RangeInclusive, pin::Pin, task::Poll, time::Duration};

/// A server by the universal scalability law: contention, and what connections cost one another.
#[derive(Clone, Copy, PartialEq)]
struct Law(f64, f64);

const WRITER: Law = Law(0.6, 0.1);
const PEAK_9: Law = Law(0.05, 0.0117);
const PEAK_17: Law = Law(0.02, 0.0034);
const PEAK_30: Law = Law(0.01, 0.0011);
const FLAT: Law = Law(0.005, 0.0003);

impl Law {
    /// The work that `n` at once do.
    fn work(self, n: usize) -> f64 {
        let n = n as f64;
        n / (1.0 + self.0 * (n - 1.0) + self.1 * n * (n - 1.0))
    }

    fn best(self, range: RangeInclusive<usize>, demand: usize) -> f64 {
        range.map(|n| self.work(n.min(demand))).fold(0.0, f64::max)
    }
}

struct Rng(u64);

impl Rng {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Around 1; at most so far from it, nearly.
    fn noise(&mut self, most: f64) -> f64 {
        1.0 + most * (self.unit() + self.unit() + self.unit() - 1.5) * 1.15
    }
}

fn window(size: usize, work: f64, demand: usize) -> Window {
    let completed = (work * 1_000.0).round() as u64;
    let waited = if demand > size { completed.max(1) } else { 0 };
    Window { size, completed, elapsed: Duration::from_millis(100), waited }
}

/// The law and the demand in a window.
type Course = fn(u32) -> (Law, usize);

const COURSES: [(&str, Course); 7] = [
    ("writer-bound, peak 2", |_| (WRITER, 200)),
    ("peak 9", |_| (PEAK_9, 200)),
    ("peak 17", |_| (PEAK_17, 200)),
    ("flat past 40", |_| (FLAT, 200)),
    ("peak 17, demand 8", |_| (PEAK_17, 8)),
    ("peak 9, 30, 9", |at| (if (2_000..4_000).contains(&at) { PEAK_30 } else { PEAK_9 }, 200)),
    ("peak 17, demand 4/100", |at| (PEAK_17, if at / 300 % 2 == 0 { 4 } else { 100 })),
];

/// What part of the best fixed size's work was done: over 6000 windows (10 minutes), and in those from the
/// 300th to the 600th (what had been found after 30 seconds).
fn shares(course: Course, noise: f64, seed: u64, start: Option<usize>) -> [f64; 2] {
    let mut rng = Rng(seed);
    let mut sizer = Sizer::new(1..=50);
    if let Some(start) = start {
        sizer = sizer.starting_at(start);
    }
    let (mut done, mut best) = ([0.0; 2], [0.0; 2]);
    let mut at_best = (None, 0.0);
    for at in 0..6_000 {
        let (law, demand) = course(at);
        let size = sizer.size();
        let work = law.work(size.min(demand));
        if at_best.0 != Some((law, demand)) {
            at_best = (Some((law, demand)), law.best(1..=50, demand));
        }
        for part in 0..2 {
            if part == 0 || (300..600).contains(&at) {
                done[part] += work;
                best[part] += at_best.1;
            }
        }
        sizer.record(window(size, work * rng.noise(noise), demand));
    }
    [done[0] / best[0], done[1] / best[1]]
}

/// The table is printed with `--nocapture`.
#[test]
fn every_law_is_followed_within_a_twentieth_of_the_best_size() {
    const SEEDS: u64 = 8;
    println!(
        "share of the best fixed size's work, 1..=50: all 6000 windows, mean (worst of {SEEDS} seeds and 3 starts)"
    );
    println!("[mean of windows 300 to 600, what was found in 30 s]\n");
    println!("| law | no noise | 10 % | 30 % |\n|---|---|---|---|");
    for (name, course) in COURSES {
        print!("| {name} |");
        for (noise, least) in [(0.0, 0.95), (0.1, 0.95), (0.3, 0.90)] {
            let (mut worst, mut mean, mut found, mut runs) = (f64::MAX, 0.0, 0.0, 0.0);
            for start in [None, Some(1), Some(50)] {
                for seed in 0..if noise == 0.0 { 1 } else { SEEDS } {
                    let [all, early] = shares(course, noise, seed * 7_919 + 11, start);
                    assert!(all >= least, "{name}, noise {noise}, seed {seed}, start {start:?}: {all:.3}");
                    (worst, mean, found, runs) = (worst.min(all), mean + all, found + early, runs + 1.0);
                }
            }
            assert!(found / runs >= least, "{name}, noise {noise}: found {:.3}", found / runs);
            let [mean, worst, found] = [mean / runs, worst, found / runs].map(|share| share * 100.0);
            print!(" {mean:.1} % ({worst:.1}) [{found:.1}] |");
        }
        println!();
    }
}

#[test]
fn a_quiet_server_is_found_at_once_and_named() {
    let mut sizer = Sizer::new(1..=50);
    assert_eq!((sizer.size(), sizer.why(), sizer.why().to_string()), (7, SizedBy::Seeking, "seeking".into()));
    for _ in 0..100 {
        let size = sizer.size();
        sizer.record(window(size, PEAK_17.work(size), 200));
    }
    let found = sizer.settled();
    assert!((14..=20).contains(&found), "{found}");
    assert_eq!(sizer.why(), SizedBy::Saturated(found));
    assert_eq!(sizer.why().to_string(), format!("server saturated at {found}"));
}

#[test]
fn where_more_always_pays_the_most_is_named() {
    let mut sizer = Sizer::new(1..=8);
    for _ in 0..60 {
        let size = sizer.size();
        sizer.record(window(size, size as f64, 200));
    }
    assert_eq!((sizer.settled(), sizer.why()), (8, SizedBy::Most(8)));
}

#[test]
fn it_ends_at_both_ends_of_the_range_and_rests_there() {
    for (falling, end) in [(true, 3), (false, 12)] {
        let mut sizer = Sizer::new(3..=12);
        let mut trials = 0;
        for at in 0..1_000 {
            let size = sizer.size();
            trials += u32::from(at >= 500 && size != sizer.settled());
            let work = if falling { 1.0 / size as f64 } else { size as f64 };
            sizer.record(window(size, work, 200));
        }
        assert_eq!(sizer.settled(), end);
        assert!(trials <= 20, "{trials} of 500 windows spent on trials");
    }
}

#[test]
fn a_slow_start_is_not_taken_for_a_gain() {
    // Caches warm up: the work per window grows by time alone, by 1 % each, and the size makes no difference.
    let mut sizer = Sizer::new(1..=50).starting_at(10);
    for at in 0..200 {
        let size = sizer.size();
        assert!(sizer.settled() <= 10, "grew to {} by warmth", sizer.settled());
        sizer.record(window(size, 5.0 * 1.01_f64.powi(at), 200));
    }
}

#[test]
fn without_demand_it_stands_still_and_goes_on_where_it_was() {
    let mut sizer = Sizer::new(1..=50);
    for _ in 0..25 {
        let size = sizer.size();
        sizer.record(window(size, PEAK_17.work(size), 200));
    }
    let found = sizer.settled();
    for _ in 0..1_000 {
        let size = sizer.size();
        sizer.record(window(size, 3.0, 3));
        assert_eq!((sizer.size(), sizer.why()), (found, SizedBy::Demand));
    }
    for _ in 0..100 {
        let size = sizer.size();
        sizer.record(window(size, PEAK_17.work(size), 200));
    }
    assert!((14..=20).contains(&sizer.settled()));
}

/// Arrivals that come whatever the size, 90 % of what 7 connections can serve: more do no more work, but nobody waits.
#[test]
fn callers_that_come_anyway_are_spared_their_waiting() {
    for (seed, start) in [(1, 7), (2, 7), (3, 7), (4, 12), (5, 2)] {
        let mut rng = Rng(seed);
        let mut sizer = Sizer::new(1..=50).starting_at(start);
        for _ in 0..600 {
            let size = sizer.size();
            let completed = 6_300.0_f64.min(900.0 * size as f64) * rng.noise(0.05);
            let waiting = match size {
                0..=7 => 1.0,
                8..=12 => 0.6 - 0.12 * (size - 7) as f64,
                13.. => 0.0,
            };
            let (completed, waited) = (completed as u64, (completed * waiting) as u64);
            sizer.record(Window { size, completed, elapsed: Duration::from_millis(100), waited });
        }
        assert!((10..=20).contains(&sizer.settled()), "{} from {start}: {}", sizer.settled(), sizer.why());
    }
}

#[test]
fn when_nothing_comes_back_more_are_let_in() {
    let mut sizer = Sizer::new(1..=50);
    let sizes: Vec<_> = (0..4).map(|_| sizer.record(window(sizer.size(), 0.0, 200))).collect();
    assert_eq!((sizes, sizer.why()), (vec![14, 28, 50, 50], SizedBy::Held));
}

#[test]
fn a_changed_range_is_kept_to_at_once() {
    let mut sizer = Sizer::new(1..=50);
    sizer.record(window(7, 5.0, 200));
    sizer.record(window(sizer.size(), 5.0, 200));
    sizer.set_range(20..=30);
    assert_eq!((sizer.size(), sizer.why()), (20, SizedBy::Seeking));
    sizer.set_range(4..=4);
    assert_eq!((sizer.size(), sizer.why()), (4, SizedBy::Fixed));
    // An empty range is its end, and there is no size of 0.
    #[expect(clippy::reversed_empty_ranges, reason = "that is the point")]
    sizer.set_range(9..=2);
    assert_eq!(sizer.size(), 2);
    sizer.set_range(0..=0);
    assert_eq!(sizer.size(), 1);
}

/// Completed, milliseconds, waited, whether the size is that which was asked for.
fn windows() -> impl Strategy<Value = Vec<(u64, u64, u64, bool)>> {
    let completed = prop_oneof![3 => 0..2_000_u64, 1 => Just(0), 1 => Just(u64::MAX)];
    let waited = prop_oneof![3 => 0..2_000_u64, 3 => Just(u64::MAX), 1 => Just(0)];
    let millis = prop_oneof![4 => Just(100_u64), 1 => 0..5_000_u64, 1 => Just(u64::MAX)];
    prop::collection::vec((completed, millis, waited, prop::bool::weighted(0.9)), 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_it_sees_it_keeps_to_the_range(min in 0..20_usize, more in 0..50_usize, start in 0..99_usize, windows in windows()) {
        let (min, max) = (min, min + more);
        let mut sizer = Sizer::new(min..=max).starting_at(start);
        for (completed, millis, waited, right) in windows {
            let size = sizer.size() + usize::from(!right);
            let next = sizer.record(Window { size, completed, elapsed: Duration::from_millis(millis), waited });
            for size in [next, sizer.size(), sizer.settled()] {
                prop_assert!((min.max(1)..=max.max(1)).contains(&size), "{} of {}..={}", size, min, max);
            }
            if min.max(1) >= max.max(1) {
                prop_assert_eq!(sizer.why(), SizedBy::Fixed);
            }
        }
    }

    #[test]
    fn it_moves_only_upon_demand_and_after_pairs(windows in windows()) {
        let mut sizer = Sizer::new(1..=50);
        let mut since = 0;
        for (completed, _, waited, right) in windows {
            let (completed, before) = (completed.max(1), sizer.settled());
            let size = sizer.size() + usize::from(!right);
            let tells = right && (waited as f64 >= 0.02 * completed as f64 || size > before);
            sizer.record(Window { size, completed, elapsed: Duration::from_millis(100), waited });
            since = if right && !tells { 0 } else { since + u32::from(tells) };
            if sizer.settled() != before {
                prop_assert!(tells && since >= 4, "moved after {} windows", since);
                since = 0;
            }
        }
    }

    #[test]
    fn sameness_is_no_reason_to_grow(work in 0.01..1e9_f64, start in 1..51_usize) {
        let mut sizer = Sizer::new(1..=50).starting_at(start);
        for _ in 0..1_000 {
            let before = sizer.settled();
            let size = sizer.size();
            let completed = (work * 1_000.0) as u64 + 1;
            sizer.record(Window { size, completed, elapsed: Duration::from_millis(100), waited: completed.max(1) });
            prop_assert!(sizer.settled() <= before);
        }
        prop_assert_eq!(sizer.settled(), 1, "a connection less costs nothing");
    }

    #[test]
    fn the_same_windows_give_the_same_sizes(windows in windows()) {
        let run = || {
            let mut sizer = Sizer::new(1..=50);
            windows.iter().map(|&(completed, millis, waited, _)| {
                sizer.record(Window { size: sizer.size(), completed, elapsed: Duration::from_millis(millis), waited })
            }).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(), run());
    }
}

type Get = Pin<Box<dyn Future<Output = Result<Conn<Fake>, GetError<crate::fake::FakeError>>>>>;

/// Clients that ask again as soon as they are served, over a server that does `law.work(n)` uses a millisecond when `n`
/// are busy.
struct Loop {
    pool: Pool<Fake>,
    clock: Clock,
    law: Law,
    waiting: VecDeque<Get>,
    held: VecDeque<Conn<Fake>>,
    credit: f64,
    done: f64,
}

impl Loop {
    fn new(size: RangeInclusive<usize>, sizing: Sizing, law: Law) -> (Fake, Self) {
        let (fake, clock) = (Fake::default(), Clock::virtual_());
        let pool = Pool::builder(fake.clone())
            .size(size)
            .sizing(sizing)
            .idle_timeout(Duration::from_secs(60))
            .clock(clock.clone())
            .seed(7)
            .build()
            .unwrap();
        clock.settle();
        (
            fake,
            Self {
                pool,
                clock,
                law,
                waiting: VecDeque::new(),
                held: VecDeque::new(),
                credit: 0.0,
                done: 0.0,
            },
        )
    }

    /// Lets `clients` work for a while; gives the uses per millisecond.
    fn run(&mut self, clients: usize, millis: u64) -> f64 {
        const TICK: u64 = 5;
        let before = self.done;
        for _ in 0..millis / TICK {
            while self.waiting.len() + self.held.len() < clients {
                self.waiting.push_back(Box::pin(self.pool.get()));
            }
            while self.waiting.len() + self.held.len() > clients {
                drop((self.waiting.pop_back(), self.held.pop_back()));
            }
            self.serve();
            self.credit += self.law.work(self.held.len()) * TICK as f64;
            while self.credit >= 1.0 {
                let Some(conn) = self.held.pop_front() else { break };
                drop(conn);
                self.credit -= 1.0;
                self.done += 1.0;
                self.waiting.push_back(Box::pin(self.pool.get()));
                self.serve();
            }
            self.clock.advance(Duration::from_millis(TICK));
        }
        (self.done - before) / millis as f64
    }

    fn serve(&mut self) {
        for mut get in std::mem::take(&mut self.waiting) {
            match poll(get.as_mut()) {
                Poll::Ready(conn) => self.held.push_back(conn.unwrap()),
                Poll::Pending => self.waiting.push_back(get),
            }
        }
    }
}

#[test]
fn a_pool_finds_the_size_of_its_server_and_says_so() {
    for (law, size) in [(WRITER, 1..=32), (PEAK_9, 0..=32), (FLAT, 1..=32)] {
        let (fake, mut clients) = Loop::new(size.clone(), Sizing::Adaptive, law);
        clients.run(40, 30_000);
        let rate = clients.run(40, 10_000);
        let (stats, best) = (clients.pool.stats(), law.best(1..=32, 40));
        assert!(rate >= 0.95 * best, "{rate:.2} of {best:.2} at {} ({})", stats.target, stats.sized_by);
        let why = if stats.target == 32 { SizedBy::Most(32) } else { SizedBy::Saturated(stats.target) };
        assert_eq!(stats.sized_by, why);
        assert_eq!(stats.min, *size.start());
        // Trying sizes opens connections, and closes none: what is too many lies idle.
        assert_eq!((stats.closed.total(), fake.opened()), (0, stats.size as u64));
    }
}

#[test]
fn connections_beyond_the_size_end_by_idleness() {
    let (fake, mut clients) = Loop::new(1..=32, Sizing::Adaptive, WRITER);
    clients.run(40, 90_000);
    let stats = clients.pool.stats();
    assert!(stats.target <= 3 && stats.size <= 4, "{} of {}", stats.target, stats.size);
    assert!(stats.closed.idle >= 3 && fake.live() == stats.size);
    assert_eq!(stats.closed.idle, stats.closed.total());
}

#[test]
fn a_pool_nobody_waits_for_stands_still() {
    let (_, mut clients) = Loop::new(1..=50, Sizing::Adaptive, PEAK_17);
    clients.run(4, 10_000);
    let stats = clients.pool.stats();
    assert_eq!((stats.target, stats.limited_by, stats.size), (7, Limit::Demand, 4));
    clients.run(40, 30_000);
    assert!(clients.pool.stats().target > 10);
    clients.run(4, 2_000);
    let stats = clients.pool.stats();
    assert_eq!((stats.sized_by, stats.sized_by.to_string()), (SizedBy::Demand, "demand".to_owned()));
}

#[test]
fn callers_that_hold_and_ask_for_more_are_let_in() {
    let (_, clients) = Loop::new(1..=50, Sizing::Adaptive, Law(0.0, 0.0));
    let mut held: Vec<_> = (0..7).map(|_| clients.pool.get_blocking().unwrap()).collect();
    let mut more: Vec<Get> = (0..43).map(|_| Box::pin(clients.pool.get()) as Get).collect();
    let mut was_named = false;
    for step in 0..200 {
        clients.clock.advance(Duration::from_millis(50));
        more.retain_mut(|get| match poll(get.as_mut()) {
            Poll::Ready(conn) => {
                held.push(conn.unwrap());
                false
            }
            Poll::Pending => true,
        });
        let stats = clients.pool.stats();
        if step == 10 {
            assert_eq!((held.len(), stats.limited_by), (7, Limit::Sized));
        }
        was_named |= stats.sized_by == SizedBy::Held;
    }
    assert_eq!((held.len(), was_named), (50, true));
}

#[test]
fn callers_that_only_try_are_demand_too() {
    let (_, clients) = Loop::new(1..=50, Sizing::Adaptive, Law(0.0, 0.0));
    let mut held = Vec::new();
    for _ in 0..1_000 {
        held.extend(clients.pool.try_get());
        clients.clock.advance(Duration::from_millis(20));
    }
    assert_eq!(held.len(), 50);
}

#[test]
fn a_fixed_size_is_the_most_and_nothing_else() {
    let (_, mut clients) = Loop::new(1..=20, Sizing::Fixed, WRITER);
    clients.run(40, 20_000);
    let stats = clients.pool.stats();
    assert_eq!((stats.size, stats.target, stats.sized_by), (20, 20, SizedBy::Fixed));
    assert_eq!(stats.limited_by, Limit::Max);
}

#[test]
fn a_resized_pool_seeks_within_its_new_range() {
    let (_, mut clients) = Loop::new(1..=32, Sizing::Adaptive, FLAT);
    clients.run(40, 5_000);
    clients.pool.resize(1..=5).unwrap();
    clients.run(40, 4_000);
    let stats = clients.pool.stats();
    assert_eq!((stats.size, stats.sized_by), (5, SizedBy::Most(5)));
    clients.pool.resize(1..=32).unwrap();
    clients.run(40, 10_000);
    assert!(clients.pool.stats().target > 20);
}

#[test]
fn one_that_breaks_leaves_its_turn_to_one_that_lies_idle() {
    let (_, mut clients) = Loop::new(1..=32, Sizing::Adaptive, WRITER);
    clients.run(40, 10_000);
    let stats = clients.pool.stats();
    assert!(stats.idle > 0 && stats.waiting > 0, "some lie idle while others wait: that is the point");
    for _ in 0..stats.size {
        if let Some(mut conn) = clients.held.pop_front() {
            conn.broken = true;
        }
        clients.clock.settle();
        clients.serve();
        assert!(!clients.held.is_empty());
    }
}
