//! Simple statistics of a series, of the kind of catch22 (arXiv 1901.10200): what embeddings must beat.

/// How many there are.
pub(super) const COUNT: usize = 22;

/// Moments, order, steps, correlations and places of a series' values; missing values are left out, 0 where nothing is
/// known.
#[must_use]
pub fn statistics(values: &[f64]) -> [f64; COUNT] {
    let known: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    if known.is_empty() {
        return [0.0; COUNT];
    }
    let count = known.len() as f64;
    let mean = known.iter().sum::<f64>() / count;
    let centred: Vec<f64> = known.iter().map(|value| value - mean).collect();
    let moment = |power: i32| centred.iter().map(|value| value.powi(power)).sum::<f64>() / count;
    let deviation = moment(2).sqrt();
    let unit = deviation.max(1e-12);
    let mut sorted = known.clone();
    sorted.sort_by(f64::total_cmp);
    let quantile = |level: f64| sorted[((count - 1.0) * level).round() as usize];
    let steps: Vec<f64> = known.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let of_steps = |of: fn(f64) -> f64| steps.iter().map(|step| of(*step)).sum::<f64>() / steps.len().max(1) as f64;
    let place = |value: f64| known.iter().position(|other| *other == value).unwrap_or(0) as f64 / count;
    let correlation = |lag: usize| {
        let pairs = centred.iter().zip(centred.iter().skip(lag));
        pairs.map(|(a, b)| a * b).sum::<f64>() / (count * unit * unit)
    };
    let no_likeness = (1..known.len()).find(|lag| correlation(*lag) < 1.0 / std::f64::consts::E).unwrap_or(known.len());
    let middle = (count - 1.0) / 2.0;
    let slope = centred.iter().enumerate().map(|(i, value)| (i as f64 - middle) * value).sum::<f64>();
    let halves = known.split_at(known.len() / 2);
    let mean_of = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
    let crossings = centred.windows(2).filter(|pair| (pair[0] < 0.0) != (pair[1] < 0.0)).count();
    let longest = |above: bool| {
        centred.chunk_by(|a, b| (*a > 0.0) == (*b > 0.0)).filter(|run| (run[0] > 0.0) == above).map(<[f64]>::len).max()
    };
    [
        mean,
        deviation,
        moment(3) / unit.powi(3),
        moment(4) / unit.powi(4),
        quantile(0.0),
        quantile(0.25),
        quantile(0.5),
        quantile(0.75),
        quantile(1.0),
        place(sorted[0]),
        place(sorted[sorted.len() - 1]),
        of_steps(f64::abs),
        of_steps(|step| step * step).sqrt(),
        steps.iter().fold(0.0, |most: f64, step| most.max(step.abs())),
        correlation(1),
        correlation(2),
        correlation(5),
        no_likeness as f64 / count,
        slope / (count * count * unit),
        (mean_of(halves.1) - mean_of(halves.0)) / unit,
        crossings as f64 / count,
        (longest(true).unwrap_or(0) as f64 - longest(false).unwrap_or(0) as f64) / count,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_a_line() {
        let found = statistics(&[1.0, 2.0, f64::NAN, 3.0, 4.0, 5.0]);
        let near = |at: usize, expected: f64| assert!((found[at] - expected).abs() < 1e-9, "{at}: {found:?}");
        let expected = [
            (0, 3.0),
            (1, 2f64.sqrt()),
            (2, 0.0),
            (4, 1.0),
            (6, 3.0),
            (8, 5.0),
            (9, 0.0),
            (10, 0.8),
            (11, 1.0),
            (13, 1.0),
            (14, 0.4),
            (20, 0.2),
        ];
        expected.into_iter().for_each(|(at, value)| near(at, value));
    }

    #[test]
    fn odd_series_have_finite_statistics() {
        for values in [vec![], vec![f64::NAN; 3], vec![7.0], vec![7.0; 9], vec![1e60, -1e60], vec![0.0, 1.0]] {
            assert!(statistics(&values).iter().all(|value| !value.is_nan()), "{values:?}");
        }
    }
}
