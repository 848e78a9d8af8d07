//! A linear probe: ridge regression onto the classes, in closed form.
//!
//! Features are standardised by the training cases. With fewer cases than features the dual is the smaller problem:
//! G = X Xᵀ + 1 + λ I (the 1 is the intercept), weights of the cases A = G⁻¹ Y. λ is the one with the least squared
//! error of leaving one case out, A_i / (G⁻¹)_ii (Golub, Heath and Wahba 1979).

/// Ridges that are tried, in units of the kernel's mean diagonal.
const RIDGES: [f64; 9] = [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0];

/// Classes of `test` cases, learnt from `train` ones and their labels.
pub(super) fn classify(train: (&[Vec<f64>], &[&str]), test: &[Vec<f64>]) -> Vec<String> {
    let (cases, labels) = train;
    let mut classes = labels.to_vec();
    classes.sort_unstable();
    classes.dedup();
    let scale = Scale::of(cases);
    let cases: Vec<Vec<f64>> = cases.iter().map(|case| scale.apply(case)).collect();
    let kernel: Vec<Vec<f64>> = cases.iter().map(|a| cases.iter().map(|b| 1.0 + dot(a, b)).collect()).collect();
    let targets: Vec<Vec<f64>> = labels
        .iter()
        .map(|label| classes.iter().map(|class| if label == class { 1.0 } else { -1.0 }).collect())
        .collect();
    let diagonal = kernel.iter().enumerate().map(|(i, row)| row[i]).sum::<f64>() / kernel.len().max(1) as f64;
    let fits = RIDGES.iter().filter_map(|ridge| fit(&kernel, &targets, ridge * diagonal));
    let best = fits.min_by(|a, b| a.0.total_cmp(&b.0));
    let weights = best.map_or_else(Vec::new, |(_, weights)| weights);
    let class = |case: &Vec<f64>| {
        let case = scale.apply(case);
        let mut votes = vec![0.0; classes.len()];
        for (known, weights) in cases.iter().zip(&weights) {
            let likeness = 1.0 + dot(known, &case);
            votes.iter_mut().zip(weights).for_each(|(vote, weight)| *vote += likeness * weight);
        }
        let winner = (0..votes.len()).max_by(|a, b| votes[*a].total_cmp(&votes[*b]));
        winner.map_or_else(String::new, |winner| classes[winner].to_owned())
    };
    test.iter().map(class).collect()
}

/// The squared error of leaving one out, and the cases' weights `[cases, classes]`; `None` where the ridge is too small.
fn fit(kernel: &[Vec<f64>], targets: &[Vec<f64>], ridge: f64) -> Option<(f64, Vec<Vec<f64>>)> {
    let inverse = inverse(kernel, ridge)?;
    let product = |row: &Vec<f64>| {
        let mut sums = vec![0.0; targets.first().map_or(0, Vec::len)];
        for (weight, target) in row.iter().zip(targets) {
            sums.iter_mut().zip(target).for_each(|(sum, target)| *sum += weight * target);
        }
        sums
    };
    let weights: Vec<Vec<f64>> = inverse.iter().map(product).collect();
    let left_out = weights
        .iter()
        .enumerate()
        .map(|(i, row)| row.iter().map(|weight| (weight / inverse[i][i]).powi(2)).sum::<f64>());
    Some((left_out.sum(), weights))
}

/// The inverse of a symmetric matrix with a ridge on its diagonal, by Gauss and Jordan; `None` if it has none.
fn inverse(matrix: &[Vec<f64>], ridge: f64) -> Option<Vec<Vec<f64>>> {
    let n = matrix.len();
    let mut rows: Vec<Vec<f64>> = matrix.to_vec();
    rows.iter_mut().enumerate().for_each(|(i, row)| row[i] += ridge);
    // In place: the column that is done makes room for one of the inverse. Positive definite: no pivots are sought.
    for at in 0..n {
        let pivot = rows[at][at];
        if !(pivot.is_finite() && pivot > 1e-12) {
            return None;
        }
        rows[at][at] = 1.0;
        rows[at].iter_mut().for_each(|value| *value /= pivot);
        let done = rows[at].clone();
        for (_, row) in rows.iter_mut().enumerate().filter(|(other, _)| *other != at) {
            let factor = std::mem::replace(&mut row[at], 0.0);
            row.iter_mut().zip(&done).for_each(|(value, done)| *value -= factor * done);
        }
    }
    Some(rows)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Means and deviations of the training cases' features.
struct Scale(Vec<(f64, f64)>);

impl Scale {
    fn of(cases: &[Vec<f64>]) -> Self {
        let count = cases.len() as f64;
        let column = |at: usize| {
            let mean = cases.iter().map(|case| case[at]).sum::<f64>() / count;
            let variance = cases.iter().map(|case| (case[at] - mean).powi(2)).sum::<f64>() / count;
            (mean, variance.sqrt())
        };
        Self((0..cases.first().map_or(0, Vec::len)).map(column).collect())
    }

    /// A feature that never varied says nothing.
    fn apply(&self, case: &[f64]) -> Vec<f64> {
        let scaled = |(value, (mean, deviation)): (&f64, &(f64, f64))| {
            if *deviation > 1e-12 { (value - mean) / deviation } else { 0.0 }
        };
        case.iter().zip(&self.0).map(scaled).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverse_times_its_matrix_is_one() {
        let matrix = vec![vec![4.0, 1.0, 0.5], vec![1.0, 3.0, -1.0], vec![0.5, -1.0, 2.0]];
        let inverse = inverse(&matrix, 0.5).expect("there is one");
        // Both are symmetric: rows stand for columns.
        for (i, row) in matrix.iter().enumerate() {
            for (j, column) in inverse.iter().enumerate() {
                let ridge = |k: usize| if k == i { 0.5 } else { 0.0 };
                let product: f64 = row.iter().zip(column).enumerate().map(|(k, (a, b))| (a + ridge(k)) * b).sum();
                assert!((product - if i == j { 1.0 } else { 0.0 }).abs() < 1e-12);
            }
        }
        assert!(super::inverse(&[vec![1.0, 1.0], vec![1.0, 1.0]], 0.0).is_none());
    }

    #[test]
    fn three_classes_that_a_line_parts() {
        let case = |i: usize| {
            let class = i % 3;
            let noise = |k: usize| ((i * 37 + k * 101) % 17) as f64 / 17.0 - 0.5;
            let centre = [(0.0, 4.0), (4.0, 0.0), (-4.0, -4.0)][class];
            (vec![centre.0 + noise(1), 1e3 * (centre.1 + noise(2)), noise(3), 7.0], ["a", "b", "c"][class])
        };
        let (train, labels): (Vec<Vec<f64>>, Vec<&str>) = (0..30).map(case).unzip();
        let (test, expected): (Vec<Vec<f64>>, Vec<&str>) = (30..90).map(case).unzip();
        assert_eq!(classify((&train, &labels), &test), expected);
        // Labels that have nothing to do with the features cannot be learnt.
        let mixed: Vec<&str> = (0..30).map(|i| ["a", "b", "c"][(i * i * 7 + i / 5) % 3]).collect();
        let right = classify((&train, &mixed), &test).iter().zip(&expected).filter(|(a, b)| a == b).count();
        assert!(right < 50, "{right}");
    }
}
