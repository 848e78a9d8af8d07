//! The two directions in which points differ most.

/// Rounds until the directions stand still, at most.
const ROUNDS: usize = 200;
/// They stand still when they turn less than this.
const STILL: f64 = 1e-9;

/// Points `[n, d]` in the plane of their two principal components, and the share of the variance that each one holds.
///
/// By orthogonal iteration on the covariance, in f64, from fixed directions: the same points give the same map. A direction
/// is turned so that its greatest entry is positive.
pub(super) fn project(points: &[Vec<f64>]) -> (Vec<(f64, f64)>, [f64; 2]) {
    let (n, d) = (points.len(), points.first().map_or(0, Vec::len));
    if n == 0 || d == 0 {
        return (vec![(0.0, 0.0); n], [0.0; 2]);
    }
    let mean: Vec<f64> = (0..d).map(|i| points.iter().map(|point| point[i]).sum::<f64>() / n as f64).collect();
    let centred: Vec<Vec<f64>> = points.iter().map(|p| p.iter().zip(&mean).map(|(x, m)| x - m).collect()).collect();
    let mut covariance = vec![vec![0.0; d]; d];
    for point in &centred {
        for (row, x) in covariance.iter_mut().zip(point) {
            row.iter_mut().zip(point).for_each(|(cell, y)| *cell += x * y);
        }
    }
    let total: f64 = (0..d).map(|i| covariance[i][i]).sum();
    // Fixed directions that no axis is perpendicular to.
    let start = |k: usize| (0..d).map(move |i| 1.0 + ((i * 7 + k * 13) % 11) as f64 * if k == 0 { 1.0 } else { -0.37 });
    let (mut first, mut second): (Vec<f64>, Vec<f64>) = (start(0).collect(), start(1).collect());
    normalise(&mut first);
    for _ in 0..ROUNDS {
        let (mut a, mut b) = (times(&covariance, &first), times(&covariance, &second));
        if !normalise(&mut a) {
            break;
        }
        let along = dot(&a, &b);
        b.iter_mut().zip(&a).for_each(|(x, y)| *x -= along * y);
        let flat = !normalise(&mut b);
        let turned = (1.0 - dot(&a, &first).abs()) + if flat { 0.0 } else { 1.0 - dot(&b, &second).abs() };
        (first, second) = (a, b);
        if turned < STILL {
            break;
        }
    }
    for direction in [&mut first, &mut second] {
        let greatest = direction.iter().copied().fold(0.0, |most: f64, x| if x.abs() > most.abs() { x } else { most });
        if greatest < 0.0 {
            direction.iter_mut().for_each(|x| *x = -*x);
        }
    }
    let placed: Vec<(f64, f64)> = centred.iter().map(|point| (dot(point, &first), dot(point, &second))).collect();
    let share = |of: &dyn Fn(&(f64, f64)) -> f64| placed.iter().map(|p| of(p) * of(p)).sum::<f64>() / total.max(1e-300);
    let shares = [share(&|p| p.0), share(&|p| p.1)];
    (placed, shares)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn times(matrix: &[Vec<f64>], vector: &[f64]) -> Vec<f64> {
    matrix.iter().map(|row| dot(row, vector)).collect()
}

/// Makes a vector's length 1; false (and all zeros) where it has none.
fn normalise(vector: &mut [f64]) -> bool {
    let length = dot(vector, vector).sqrt();
    let fits = length.is_finite() && length > 1e-150;
    vector.iter_mut().for_each(|x| *x = if fits { *x / length } else { 0.0 });
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_directions_come_first() {
        // Along (3, 4) / 5 with variance 100, across it with 1, nothing else.
        let points: Vec<Vec<f64>> = (0..200)
            .map(|i| {
                let (along, across) = (10.0 * (f64::from(i) * 0.7).sin(), (f64::from(i) * 1.3).cos());
                vec![7.0 + along * 0.6 - across * 0.8, along * 0.8 + across * 0.6, -2.0]
            })
            .collect();
        let (placed, shares) = project(&points);
        assert!((shares[0] + shares[1] - 1.0).abs() < 1e-9, "{shares:?}");
        assert!(shares[0] > 0.98, "{shares:?}");
        for (i, (x, y)) in placed.iter().enumerate() {
            // Up to the means, which are all but nothing.
            let (along, across) = (10.0 * (i as f64 * 0.7).sin(), (i as f64 * 1.3).cos());
            assert!((x - along).abs() < 0.3 && (y.abs() - across.abs()).abs() < 0.3, "{i}: {x} {y}, {along} {across}");
        }
    }

    #[test]
    fn points_without_a_spread_lie_in_the_middle() {
        for points in [vec![], vec![vec![]], vec![vec![1.0, 2.0]], vec![vec![3.0; 4]; 5]] {
            let (placed, shares) = project(&points);
            assert_eq!(placed.len(), points.len());
            assert!(placed.iter().all(|p| *p == (0.0, 0.0)), "{placed:?}");
            assert_eq!(shares, [0.0; 2]);
        }
        let line: Vec<Vec<f64>> = (0..9).map(|i| vec![f64::from(i), 0.0]).collect();
        let (placed, shares) = project(&line);
        assert!((shares[0] - 1.0).abs() < 1e-9 && placed.iter().all(|p| p.1.abs() < 1e-9), "{placed:?}");
    }
}
