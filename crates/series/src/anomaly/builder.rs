//! Settings of the detector.

use super::{AnomalyDetector, BLOCKS};

/// The shortest warm-up: a spread cannot be learned from fewer values.
pub(super) const LEAST: usize = 16;
/// Blocks of silence after an alarm.
const QUIET_BLOCKS: usize = 16;

/// Why a detector cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DetectorError {
    /// The spread cannot be learned from fewer.
    #[error("warm-up of {0} values is too short: use at least 16")]
    WarmUp(usize),
    /// Scores lie between 0 and 1.
    #[error("threshold {0} is not between 0 and 1 (exclusive)")]
    Threshold(f64),
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) warm_up: usize,
    pub(super) threshold: f64,
    pub(super) refractory: usize,
}

impl Settings {
    pub(super) fn new(warm_up: usize) -> Self {
        let mut settings = Self { warm_up, threshold: 0.5, refractory: 0 };
        settings.refractory = QUIET_BLOCKS * settings.block();
        settings
    }

    /// Values in a block.
    pub(super) fn block(&self) -> usize {
        self.warm_up.div_ceil(BLOCKS).max(1)
    }
}

/// Sets up an [`AnomalyDetector`].
#[derive(Clone, Debug)]
pub struct AnomalyDetectorBuilder(Settings);

impl AnomalyDetectorBuilder {
    pub(super) fn new(warm_up: usize) -> Self {
        Self(Settings::new(warm_up))
    }

    /// The score from which a value is anomalous; 0.5 by default. Higher means fewer alarms.
    #[must_use]
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.0.threshold = threshold;
        self
    }

    /// How many values after an alarm raise no other, unless four times as unusual; a sixth of the warm-up by default.
    #[must_use]
    pub fn refractory(mut self, values: usize) -> Self {
        self.0.refractory = values;
        self
    }

    /// The detector.
    ///
    /// # Errors
    ///
    /// [`DetectorError`] names the setting that cannot be.
    pub fn build(self) -> Result<AnomalyDetector, DetectorError> {
        if self.0.warm_up < LEAST {
            return Err(DetectorError::WarmUp(self.0.warm_up));
        }
        if self.0.threshold > 0.0 && self.0.threshold < 1.0 {
            return Ok(AnomalyDetector::with(self.0));
        }
        Err(DetectorError::Threshold(self.0.threshold))
    }
}
