//! The last values of each series as bars, unlikely ones in red.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write,
    sync::Arc,
};

use chrono::DateTime;

/// Values of a series that are kept: a line fits a terminal of 80 columns.
const WIDTH: usize = 36;
/// Values of a forecast that are shown.
const AHEAD: usize = 16;
/// A value less likely than this is marked.
pub(crate) const UNLIKELY: f64 = 0.005;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A value and its p-value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// µs since 1970.
    pub(crate) time: i64,
    /// The value.
    pub(crate) value: f64,
    /// How likely one as unusual was; NaN: nothing was forecast yet.
    pub(crate) p_value: f64,
}

#[derive(Default)]
struct Series {
    points: VecDeque<Point>,
    ahead: Vec<f64>,
}

/// What came last.
#[derive(Default)]
pub(crate) struct Recent {
    series: BTreeMap<Arc<str>, Series>,
    worst: Option<(Arc<str>, Point)>,
}

impl Recent {
    /// Takes in a score.
    pub(crate) fn scored(&mut self, series: &Arc<str>, point: Point) {
        if point.p_value < self.worst.as_ref().map_or(1.0, |(_, worst)| worst.p_value) {
            self.worst = Some((Arc::clone(series), point));
        }
        let recent = self.series.entry(Arc::clone(series)).or_default();
        recent.points.push_back(point);
        if recent.points.len() > WIDTH {
            recent.points.pop_front();
        }
    }

    /// Takes in a forecast's medians.
    pub(crate) fn forecast(&mut self, series: &Arc<str>, medians: Vec<f64>) {
        self.series.entry(Arc::clone(series)).or_default().ahead = medians;
    }

    /// A line for each series.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.series.iter().map(|(name, series)| format!("{name:7} {}", line(series))).collect()
    }

    /// The least likely value so far.
    pub(crate) fn worst(&self) -> Option<String> {
        let (series, point) = self.worst.as_ref()?;
        let time = DateTime::from_timestamp_micros(point.time)?.format("%Y-%m-%d %H:%M");
        Some(format!("{series} at {time}: {} passengers, p = {:.1e}", point.value, point.p_value))
    }
}

/// A series' last values as bars, then its last forecast, pale.
fn line(series: &Series) -> String {
    let ahead = &series.ahead[..series.ahead.len().min(AHEAD)];
    let values = series.points.iter().map(|point| point.value).chain(ahead.iter().copied());
    let (least, most) = values.fold((f64::MAX, f64::MIN), |(least, most), v| (least.min(v), most.max(v)));
    let height = |value: f64| ((value - least) / (most - least).max(f64::MIN_POSITIVE) * 7.0).round() as usize;
    let bar = |value: f64| BARS[height(value).min(7)];
    let mut text = String::new();
    for point in &series.points {
        let bar = bar(point.value);
        if point.p_value < UNLIKELY {
            // red: the terminal knows how
            text.push_str(&format!("\x1b[31m{bar}\x1b[0m"));
        } else {
            text.push(bar);
        }
    }
    if let Some(last) = series.points.back() {
        let score = if last.p_value.is_nan() { "–".into() } else { format!("{:.1}", -last.p_value.log10()) };
        // Writing to a string does not fail.
        let _ = write!(text, " {:>6} score {score:>4}", last.value);
    }
    if !ahead.is_empty() {
        let bars: String = ahead.iter().map(|value| bar(*value)).collect();
        let _ = write!(text, " ┊\x1b[2m{bars}\x1b[0m");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_scores_and_forecasts() {
        let mut recent = Recent::default();
        let id: Arc<str> = "a".into();
        for (time, (value, p_value)) in (0..).zip([(0.0, f64::NAN), (7.0, 0.1), (3.0, 1e-4)]) {
            recent.scored(&id, Point { time: time * 60_000_000, value, p_value });
        }
        assert_eq!(recent.lines(), ["a       ▁█\u{1b}[31m▄\u{1b}[0m      3 score  4.0"]);
        recent.forecast(&id, vec![14.0, 0.0]);
        assert_eq!(recent.lines(), ["a       ▁▅\u{1b}[31m▃\u{1b}[0m      3 score  4.0 ┊\u{1b}[2m█▁\u{1b}[0m"]);
        assert_eq!(recent.worst().as_deref(), Some("a at 1970-01-01 00:02: 3 passengers, p = 1.0e-4"));
    }
}
