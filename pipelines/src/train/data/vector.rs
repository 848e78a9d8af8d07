//! Sums and scales of values in time.

/// Independent sums, so that the adding is vectorised and its error small.
const LANES: usize = 16;

/// The sum of a function of the values.
fn sum(x: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().map(|&v| of(v)).sum();
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane += of(v);
        }
    }
    rest + lanes.iter().sum::<f32>()
}

/// Mean and standard deviation (of the population); zeros of nothing.
pub(super) fn moments(x: &[f32]) -> (f32, f32) {
    let n = x.len().max(1) as f32;
    let mean = sum(x, |v| v) / n;
    (mean, (sum(x, |v| (v - mean) * (v - mean)) / n).sqrt())
}

/// Shifts and scales to mean 0 and deviation 1; what hardly varies becomes zeros.
pub(super) fn standardise(x: &mut [f32]) {
    let (mean, deviation) = moments(x);
    let scale = if deviation > 1e-6 * mean.abs() && deviation > 1e-12 { 1.0 / deviation } else { 0.0 };
    x.iter_mut().for_each(|v| *v = (*v - mean) * scale);
}

/// `y += a * x`.
pub(super) fn add(y: &mut [f32], x: &[f32], a: f32) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// Running sums in place.
pub(super) fn accumulate(x: &mut [f32]) {
    let mut sum = 0.0;
    for v in x {
        sum += *v;
        *v = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standardised_values_have_mean_0_and_deviation_1() {
        for len in [2, 15, 16, 17, 1000] {
            let mut x: Vec<f32> = (0..len).map(|i| 1000.0 + (i * i % 37) as f32).collect();
            standardise(&mut x);
            let (mean, deviation) = moments(&x);
            assert!(mean.abs() < 1e-4 && (deviation - 1.0).abs() < 1e-4, "{len}: {mean} {deviation}");
        }
        let mut x = [7.0; 40];
        standardise(&mut x);
        assert_eq!(x, [0.0; 40]);
    }
}
