//! Random draws that a seed repeats.

/// A small generator (SplitMix64, Steele and others 2014) for one decision. The same seed and the same
/// number of decisions before it give the same draws.
#[derive(Clone, Debug)]
pub struct Draw(u64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Draw {
    /// The generator of the `nth` decision under `seed`.
    pub fn new(seed: u64, nth: u64) -> Self {
        // Decisions start far apart, so that their streams do not overlap.
        Self(mix(seed ^ mix(nth.wrapping_mul(STEP))))
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number below `n`, which must not be 0; all of them are equally likely within 2^-32.
    pub fn below(&mut self, n: usize) -> usize {
        debug_assert!(n > 0, "a draw needs at least one possibility");
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }
}

pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
