//! Scores of a classifier of two classes.

/// How well test cases were told apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Classified {
    /// Area under the receiver operating characteristic.
    pub auc: f64,
    /// Matthews correlation coefficient where a case is positive from a margin of 0 on.
    pub mcc: f64,
}

impl Classified {
    /// Of margins, positive ones for the class that `labels` say is true.
    #[must_use]
    pub fn of(margins: &[f64], labels: &[bool]) -> Self {
        let found: Vec<bool> = margins.iter().map(|&margin| margin > 0.0).collect();
        Self { auc: auc(margins, labels), mcc: mcc(&found, labels) }
    }
}

/// The probability that a positive case has a greater margin than a negative one; equal ones count half. 0.5 where there is
/// one class only.
#[must_use]
pub fn auc(margins: &[f64], labels: &[bool]) -> f64 {
    let mut order: Vec<usize> = (0..margins.len()).collect();
    order.sort_by(|&a, &b| margins[a].total_cmp(&margins[b]));
    let (mut below, mut sum) = (0.0, 0.0);
    for equal in order.chunk_by(|&a, &b| margins[a] == margins[b]) {
        let positive = equal.iter().filter(|&&i| labels[i]).count() as f64;
        let negative = equal.len() as f64 - positive;
        sum += positive * (below + 0.5 * negative);
        below += negative;
    }
    let positive = labels.iter().filter(|&&label| label).count() as f64;
    if positive > 0.0 && below > 0.0 { sum / (positive * below) } else { 0.5 }
}

/// The Matthews correlation coefficient; 0 where a class was never found or never there.
#[must_use]
pub fn mcc(found: &[bool], labels: &[bool]) -> f64 {
    let count = |a: bool, b: bool| found.iter().zip(labels).filter(|&(&f, &l)| (f, l) == (a, b)).count() as f64;
    let [tp, fp, fneg, tn] = [(true, true), (true, false), (false, true), (false, false)].map(|(a, b)| count(a, b));
    let scale = ((tp + fp) * (tp + fneg) * (tn + fp) * (tn + fneg)).sqrt();
    if scale > 0.0 { (tp * tn - fp * fneg) / scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_cases_that_were_counted_by_hand() {
        let check = |margins: &[f64], labels: &[bool], expected: (f64, f64)| {
            let found = Classified::of(margins, labels);
            assert!((found.auc - expected.0).abs() < 1e-12 && (found.mcc - expected.1).abs() < 1e-12, "{found:?}");
        };
        let labels = [false, false, true, true];
        check(&[-2.0, -1.0, 1.0, 2.0], &labels, (1.0, 1.0));
        check(&[2.0, 1.0, -1.0, -2.0], &labels, (0.0, -1.0));
        // Of the four pairs three are in order; one positive is found, one negative is not.
        check(&[-2.0, 0.5, 0.2, 1.0], &labels, (0.75, 1.0 / 3.0_f64.sqrt()));
        check(&[1.0, 1.0, 1.0, 1.0], &labels, (0.5, 0.0));
        check(&[1.0, -1.0], &[true, true], (0.5, 0.0));
        check(&[], &[], (0.5, 0.0));
    }
}
