//! A noisy daily load with a slow rise: trend, season, forecast with an interval, one anomaly.

use ropewalk::series::{AnomalyDetector, Auto, Forecaster, Seasonality, Trend};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut state = 7u64;
    let mut noise = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1u64 << 31) as f64 - 0.5
    };
    // Four weeks of hourly requests.
    let mut load: Vec<f64> = (0..24 * 28)
        .map(|hour| {
            let day = (std::f64::consts::TAU * f64::from(hour % 24) / 24.0).sin();
            200.0 + 0.1 * f64::from(hour) + 60.0 * day + 20.0 * noise()
        })
        .collect();

    let trend = Trend::of(&load);
    println!(
        "trend     {:?}, {:+.3} an hour, confidence {:.1} %",
        trend.direction,
        trend.slope,
        100.0 * trend.confidence
    );
    for season in Seasonality::detect(&load).iter().take(2) {
        println!("season    every {} hours, strength {:.2}", season.period, season.strength);
    }
    let forecast = Auto::new().periods(&[24, 168]).forecast(&load, 24)?;
    for hour in [0, 6, 12, 18] {
        println!(
            "forecast  in {:>2} h: {:>5.0} (between {:.0} and {:.0}, {:.0} % of the time)",
            hour + 1,
            forecast.mean[hour],
            forecast.lower[hour],
            forecast.upper[hour],
            100.0 * forecast.level
        );
    }

    load[600] += 300.0;
    // Against the same hour of the day before, so that the day itself is no news.
    let mut detector = AnomalyDetector::builder(168).threshold(0.99).build()?;
    for hour in 24..load.len() {
        let seen = detector.observe(load[hour] - load[hour - 24]);
        if seen.anomalous {
            println!(
                "anomaly   at hour {hour}: {:.0} where {:.0} was a day before, score {:.3}",
                load[hour],
                load[hour - 24],
                seen.score
            );
        }
    }
    Ok(())
}
