//! Seeded noise.

pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    pub(crate) fn gauss(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// A stationary AR(1) series of unit variance.
    pub(crate) fn ar1(&mut self, n: usize, phi: f64) -> Vec<f64> {
        let step = (1.0 - phi * phi).sqrt();
        let mut x = self.gauss();
        (0..n)
            .map(|_| {
                let now = x;
                x = phi * x + step * self.gauss();
                now
            })
            .collect()
    }
}
