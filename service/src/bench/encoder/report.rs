//! What came of it, for people and for programs.

use serde_json::{Value, json};

use super::{
    cases::{Case, PEER, Shape},
    measure::{Times, WARM_UP},
};

/// Where and when was measured.
#[derive(Debug)]
pub(super) struct Place {
    /// Such as `cpu` or `cuda:0`.
    pub(super) device: String,
    /// The processor's or the card's name.
    pub(super) name: String,
    /// The card's driver and the CUDA that it runs.
    pub(super) driver: Option<String>,
    pub(super) weights: String,
    pub(super) route: String,
    /// Runs that count, of each case.
    pub(super) runs: usize,
    /// Universal time, as in 2026-11-25.
    pub(super) date: String,
}

/// A row: what was run, and what it took or why it was not.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) case: Case,
    pub(super) ran: Shape,
    pub(super) times: Result<Times, String>,
    /// Of a mix: its rate divided by that of equal lengths.
    pub(super) of_equal: Option<f64>,
}

impl Row {
    fn tokens(&self) -> usize {
        self.ran.lengths().iter().sum()
    }

    /// Million tokens a second.
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    pub(super) fn mtok_s(&self) -> Option<f64> {
        self.times.as_ref().ok().map(|times| self.tokens() as f64 / times.median_ms / 1e3)
    }

    /// How often as fast as the peer; only where the same was run.
    fn times_peer(&self) -> Option<f64> {
        let (times, peer) = (self.times.as_ref().ok()?, self.case.peer_ms?);
        (self.ran == self.case.shape).then_some(peer / times.median_ms)
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    fn peer_mtok_s(&self) -> Option<f64> {
        let tokens: usize = self.case.shape.lengths().iter().sum();
        self.case.peer_ms.map(|ms| tokens as f64 / ms / 1e3)
    }
}

/// The lines above the table.
pub(super) fn head(place: &Place) -> String {
    let driver = place.driver.as_ref().map_or(String::new(), |driver| format!(", {driver}"));
    let Place { device, name, weights, route, runs, date, .. } = place;
    format!(
        "unspool {} on {device}, {name}{driver}; weights {weights}, route {route}; {date}\nmedian of {runs} runs after {WARM_UP}; \
         random weights, vocabulary 256\nbeside: {PEER}\n\n{:24} {:38} {:>11} {:>10}   {:>11} {:>10} {:>6}",
        env!("CARGO_PKG_VERSION"),
        "backbone",
        "batch x length",
        "ms",
        "Mtok/s",
        "peer's ms",
        "Mtok/s",
        "ratio"
    )
}

/// A row of the table.
pub(super) fn line(row: &Row) -> String {
    let number = |value: Option<f64>| value.map_or("-".into(), significant);
    let here = if row.ran == row.case.shape { String::new() } else { format!(", here {}", row.ran) };
    let what = format!("{:24} {:38}", row.case.backbone.to_string(), format!("{}{here}", row.case.shape));
    match &row.times {
        Err(problem) => format!("{what} not run: {problem}"),
        Ok(times) => {
            let note = row.of_equal.map_or(String::new(), |share| format!("  {:.0} % of equal lengths", share * 100.0));
            format!(
                "{what} {:>11} {:>10}   {:>11} {:>10} {:>6}{note}",
                significant(times.median_ms),
                number(row.mtok_s()),
                number(row.case.peer_ms),
                number(row.peer_mtok_s()),
                number(row.times_peer())
            )
        }
    }
}

/// The scan by itself: its name, `(d_in, r)`, and sequences and tokens of each.
pub(super) const SCAN: &str = "selective scan alone, d_in=1536, n=16 8 x 8192";
pub(super) const SCAN_SHAPE: (usize, usize) = (1536, 48);
pub(super) const SCAN_BATCH: (usize, usize) = (8, 8192);
/// The peer's, without the projection of dt that is part of ours.
const SCAN_PEER_MS: f64 = 2.13;

/// The row of the scan alone.
pub(super) fn scan_line(ms: f64) -> String {
    format!(
        "{SCAN:63} {:>11} {:>10}   {:>11} {:>10} {:>6}",
        significant(ms),
        "-",
        significant(SCAN_PEER_MS),
        "-",
        significant(SCAN_PEER_MS / ms)
    )
}

/// A number with three digits that count.
fn significant(value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 9")]
    let digits = (2.0 - value.abs().log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{value:.digits$}")
}

/// All of it, for programs.
pub(super) fn json(place: &Place, rows: &[Row], scan_ms: Option<f64>) -> Value {
    let cases: Vec<Value> = rows
        .iter()
        .map(|row| {
            let times = row.times.as_ref().ok();
            json!({
                "backbone": row.case.backbone.to_string(),
                "shape": row.case.shape.to_string(),
                "ran": row.ran.to_string(),
                "tokens": row.tokens(),
                "ms": times.map(|times| times.median_ms),
                "least_ms": times.map(|times| times.least_ms),
                "most_ms": times.map(|times| times.most_ms),
                "mtok_s": row.mtok_s(),
                "of_equal_lengths": row.of_equal,
                "peer_ms": row.case.peer_ms,
                "peer_mtok_s": row.peer_mtok_s(),
                "ratio": row.times_peer(),
                "problem": row.times.as_ref().err(),
            })
        })
        .collect();
    json!({
        "unspool": env!("CARGO_PKG_VERSION"),
        "date": place.date,
        "device": place.device,
        "name": place.name,
        "driver": place.driver,
        "weights": place.weights,
        "route": place.route,
        "runs": place.runs,
        "warm_up": WARM_UP,
        "peer": PEER,
        "cases": cases,
        "scan_ms": scan_ms,
        "scan_peer_ms": SCAN_PEER_MS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_count() {
        let check = |value, expected: &str| assert_eq!(significant(value), expected);
        check(0.003_714, "0.00371");
        check(6.855_2, "6.86");
        check(81.7, "81.7");
        check(1849.8, "1850");
    }
}
