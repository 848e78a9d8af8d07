//! The anomaly score of an arriving value: its place among the quantiles that were forecast for it, as a p-value.
//!
//! Places are taken in the head's own space (asinh of the distance from the anchor in steps), where forecasts of
//! different sizes look alike. Between the outer quantiles the distribution function is linear from level to level.
//! Beyond them nothing was trained, so the tails are a model: exponential in that space, with the density of the
//! neighbouring interval where they begin, times the model's `tail`. In the value's own unit that is a power law, as heavy as
//! asinh makes it.

/// The least width of an interval that a tail is matched to, in head units: quantiles may coincide.
const NARROWEST: f64 = 1e-3;

/// Two-sided p-value of `place` among sorted `quantiles` at `levels`, in (0, 1]; the tails' slopes are multiplied by `tail`.
pub(super) fn p_value(place: f64, quantiles: &[f64], (levels, tail): (&[f64], f64)) -> f64 {
    let f = distribution(place, quantiles, (levels, tail));
    (2.0 * f.min(1.0 - f)).clamp(f64::MIN_POSITIVE, 1.0)
}

/// The probability of a lesser value.
fn distribution(place: f64, quantiles: &[f64], (levels, tail): (&[f64], f64)) -> f64 {
    let last = quantiles.len() - 1;
    let below = quantiles.partition_point(|q| *q < place);
    let up_to = quantiles.partition_point(|q| *q <= place);
    if up_to > below {
        // on a quantile, or on several that coincide: the middle of the jump
        return (levels[below] + levels[up_to - 1]) / 2.0;
    }
    let width = |i: usize| (quantiles[i + 1] - quantiles[i]).max(NARROWEST);
    if below == 0 {
        let slope = tail * (levels[1] - levels[0]) / levels[0] / width(0);
        return levels[0] * libm::exp((place - quantiles[0]) * slope);
    }
    if below > last {
        let rest = 1.0 - levels[last];
        let slope = tail * (levels[last] - levels[last - 1]) / rest / width(last - 1);
        return 1.0 - rest * libm::exp((quantiles[last] - place) * slope);
    }
    let share = (place - quantiles[below - 1]) / (quantiles[below] - quantiles[below - 1]);
    levels[below - 1] + share * (levels[below] - levels[below - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

    fn check(place: f64, quantiles: &[f64], expected: f64) {
        let p = p_value(place, quantiles, (&LEVELS, 1.0));
        assert!((p - expected).abs() < 1e-9, "{place} among {quantiles:?}: {p}");
    }

    #[test]
    fn places_become_p_values() {
        let even: Vec<f64> = (0..9).map(f64::from).collect();
        check(4.0, &even, 1.0);
        check(0.0, &even, 0.2);
        check(8.0, &even, 0.2);
        check(1.5, &even, 0.5);
        check(-1.0, &even, 0.2 * (-1f64).exp());
        check(10.0, &even, 0.2 * (-2f64).exp());
        check(3.0, &[3.0; 9], 1.0);
        let (even, heavy) = (&even[..], p_value(10.0, &even, (&LEVELS, 0.5)));
        assert!(
            (heavy - 0.2 * (-1f64).exp()).abs() < 1e-9
                && p_value(5.0, even, (&LEVELS, 0.5)) == p_value(5.0, even, (&LEVELS, 1.0))
        );
    }

    #[test]
    fn p_falls_with_the_distance_and_never_reaches_0() {
        for quantiles in [[0.0; 9], std::array::from_fn(|i| (i as f64 - 4.0).powi(3))] {
            let places = (0..400).map(|i| 1.02f64.powi(i) - 1.0);
            let ps: Vec<f64> = places.map(|place| p_value(place, &quantiles, (&LEVELS, 1.0))).collect();
            assert!(ps.is_sorted_by(|a, b| a >= b) && ps.iter().all(|p| *p > 0.0 && *p <= 1.0), "{ps:?}");
            assert!(
                p_value(f64::INFINITY, &quantiles, (&LEVELS, 1.0)) > 0.0
                    && p_value(-1e9, &quantiles, (&LEVELS, 1.0)) < 1e-100
            );
        }
    }
}
