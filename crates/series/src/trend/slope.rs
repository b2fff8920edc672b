//! The Theil-Sen slope: the median of the slopes of all pairs.
//!
//! Up to [`DIRECT`] points all pairs are formed. Above, the median is searched by value: the pairs
//! with a slope below b are the inversions of v - b t in time order, which merge sort counts in
//! O(n log n) (the counting form of Cole, Salowe, Steiger and Szemeredi 1989), and b is bisected.

use crate::stats;

const DIRECT: usize = 500;
/// Bisection steps: from the bracket to its 2^-52 part, which is rounding.
const STEPS: usize = 52;

/// The median slope over points whose times grow strictly; 0 for fewer than two.
pub(super) fn theil_sen(points: &[(f64, f64)]) -> f64 {
    if points.len() <= DIRECT { all_pairs(points) } else { by_counting(points) }
}

fn all_pairs(points: &[(f64, f64)]) -> f64 {
    let mut slopes = Vec::with_capacity(points.len() * points.len().saturating_sub(1) / 2);
    for (i, &(t, v)) in points.iter().enumerate() {
        // Halved before the difference, which could overflow.
        slopes.extend(points[i + 1..].iter().map(|&(u, w)| (w / 2.0 - v / 2.0) / (u / 2.0 - t / 2.0)));
    }
    stats::median(&mut slopes)
}

fn by_counting(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as u64;
    let half = n * (n - 1) / 4;
    // The steepest pair is always one of neighbours in time.
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for pair in points.windows(2) {
        let slope = (pair[1].1 / 2.0 - pair[0].1 / 2.0) / (pair[1].0 / 2.0 - pair[0].0 / 2.0);
        low = low.min(slope);
        high = high.max(slope);
    }
    if low == high {
        return low;
    }
    let mut rest = vec![0.0; points.len()];
    let mut spare = rest.clone();
    for _ in 0..STEPS {
        let middle = low / 2.0 + high / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        for (r, &(t, v)) in rest.iter_mut().zip(points) {
            *r = v - middle * t;
        }
        let (below, ties) = count_inversions(&mut rest, &mut spare);
        if below > half {
            high = middle;
        } else if below + ties > half {
            // More than half of the pairs are not above, at most half below: this is the median.
            return middle;
        } else {
            low = middle;
        }
    }
    low / 2.0 + high / 2.0
}

/// Sorts the values and returns how many pairs stood in falling order, and how many were equal.
pub(super) fn count_inversions(values: &mut [f64], spare: &mut [f64]) -> (u64, u64) {
    let n = values.len();
    let mut falling = 0;
    let mut width = 1;
    while width < n {
        let mut start = 0;
        while start + width < n {
            let end = (start + 2 * width).min(n);
            let middle = start + width;
            let (mut left, mut right) = (start, middle);
            for slot in &mut spare[start..end] {
                if left < middle && (right >= end || values[left] <= values[right]) {
                    *slot = values[left];
                    left += 1;
                } else {
                    *slot = values[right];
                    right += 1;
                    falling += (middle - left) as u64;
                }
            }
            values[start..end].copy_from_slice(&spare[start..end]);
            start = end;
        }
        width *= 2;
    }
    let mut ties = 0;
    let mut run = 1;
    for pair in 1..n {
        if values[pair] == values[pair - 1] {
            ties += run;
            run += 1;
        } else {
            run = 1;
        }
    }
    (falling, ties)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noisy(n: usize) -> Vec<(f64, f64)> {
        let mut state = 7_u64;
        (0..n)
            .map(|i| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let noise = (state >> 11) as f64 / (1_u64 << 53) as f64;
                (i as f64 * 1.5, 0.01 * i as f64 + noise * 4.0)
            })
            .collect()
    }

    #[test]
    fn counting_agrees_with_all_pairs() {
        for n in [2, 3, 10, 137, 600] {
            let points = noisy(n);
            let (a, b) = (all_pairs(&points), by_counting(&points));
            assert!((a - b).abs() < 1e-5, "{n}: {a} against {b}");
        }
    }

    #[test]
    fn counting_finds_a_median_that_many_pairs_share() {
        let steps: Vec<(f64, f64)> = (0..1_000).map(|i| (f64::from(i), f64::from(i / 900))).collect();
        assert_eq!(by_counting(&steps).abs() < 1e-9, all_pairs(&steps).abs() < 1e-9);
        let line: Vec<(f64, f64)> = (0..1_000).map(|i| (f64::from(i), 3.0 * f64::from(i))).collect();
        assert_eq!(by_counting(&line), 3.0);
    }

    #[test]
    fn inversions_of_known_orders() {
        let mut spare = [0.0; 4];
        assert_eq!(count_inversions(&mut [4.0, 3.0, 2.0, 1.0], &mut spare), (6, 0));
        assert_eq!(count_inversions(&mut [1.0, 2.0, 2.0, 2.0], &mut spare), (0, 3));
        assert_eq!(count_inversions(&mut [2.0, 1.0, 3.0, 1.0], &mut spare), (3, 1));
    }
}
