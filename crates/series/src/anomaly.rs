//! A streaming anomaly detector: causal, bounded memory, few settings.

use std::collections::VecDeque;

/// What a detector says about one value.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Observation {
    /// How unusual the value is, in `0..=1`; 0 while warming up and for values that are not finite.
    pub score: f64,
    /// The score reached the threshold, and no alarm was raised within the refractory period.
    pub anomalous: bool,
    /// The value that was expected before this one was seen; NaN before the first.
    pub expected: f64,
}

/// Why a detector cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DetectorError {
    /// The spread cannot be learned from fewer.
    #[error("warm-up of {0} values is too short: use at least 8")]
    WarmUp(usize),
    /// Scores lie between 0 and 1.
    #[error("threshold {0} is not between 0 and 1 (exclusive)")]
    Threshold(f64),
}

/// Sets up an [`AnomalyDetector`].
#[derive(Clone, Debug)]
pub struct AnomalyDetectorBuilder {
    warm_up: usize,
    threshold: f64,
    refractory: usize,
}

impl AnomalyDetectorBuilder {
    /// The score from which a value is anomalous; 0.5 by default. Higher means fewer alarms.
    #[must_use]
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    /// How many values after an alarm raise no other; half of the warm-up by default.
    #[must_use]
    pub fn refractory(mut self, values: usize) -> Self {
        self.refractory = values;
        self
    }

    /// The detector.
    ///
    /// # Errors
    ///
    /// [`DetectorError`] names the setting that cannot be.
    pub fn build(self) -> Result<AnomalyDetector, DetectorError> {
        if self.warm_up < 8 {
            return Err(DetectorError::WarmUp(self.warm_up));
        }
        if !(self.threshold > 0.0 && self.threshold < 1.0) {
            return Err(DetectorError::Threshold(self.threshold));
        }
        Ok(AnomalyDetector { settings: self, seen: 0, quiet: 0, level: f64::NAN, recent: VecDeque::new() })
    }
}

/// Scores each value of a stream as it comes.
#[derive(Clone, Debug)]
pub struct AnomalyDetector {
    settings: AnomalyDetectorBuilder,
    seen: usize,
    quiet: usize,
    level: f64,
    recent: VecDeque<f64>,
}

impl AnomalyDetector {
    /// A detector that learns from the first `warm_up` values (at least 8 are taken) before it scores.
    pub fn new(warm_up: usize) -> Self {
        let warm_up = warm_up.max(8);
        Self { settings: Self::builder(warm_up), seen: 0, quiet: 0, level: f64::NAN, recent: VecDeque::new() }
    }

    /// Sets more than the warm-up.
    pub fn builder(warm_up: usize) -> AnomalyDetectorBuilder {
        AnomalyDetectorBuilder { warm_up, threshold: 0.5, refractory: warm_up / 2 }
    }

    /// Scores a value against what was seen before, then learns from it.
    ///
    /// A value that is not finite is a gap: score 0, nothing learned.
    pub fn observe(&mut self, value: f64) -> Observation {
        let expected = self.level;
        if !value.is_finite() {
            return Observation { score: 0.0, anomalous: false, expected };
        }
        self.seen += 1;
        self.quiet = self.quiet.saturating_sub(1);
        let mut score = 0.0;
        if self.seen > self.settings.warm_up {
            let mut off: Vec<f64> = self.recent.iter().map(|v| (v - expected).abs()).collect();
            let spread = crate::stats::median(&mut off) * 1.4826 + 1e-12;
            let z = (value - expected).abs() / spread;
            score = 1.0 - (-z / 6.0).exp2();
        }
        if self.recent.len() == 128 {
            self.recent.pop_front();
        }
        self.recent.push_back(value);
        self.level = crate::stats::median(&mut self.recent.iter().copied().collect::<Vec<_>>());
        let anomalous = score >= self.settings.threshold && self.quiet == 0;
        if anomalous {
            self.quiet = self.settings.refractory + 1;
        }
        Observation { score, anomalous, expected }
    }
}
