//! The live view: rates, lag, and each series' last values with the least likely ones marked.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write,
    io::IsTerminal,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::DateTime;
use indicatif::{ProgressBar, ProgressStyle};
use unspool_pipelines::stream::{
    Progress,
    emit::{Given, Output},
};

use crate::progress::say;

/// Values of a series that are shown.
const WIDTH: usize = 48;
/// The view is drawn so often; where there is no terminal, a line comes every ten of these.
const EVERY: Duration = Duration::from_millis(200);
/// A value less likely than this is marked.
const UNLIKELY: f64 = 1e-3;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A value and its p-value.
#[derive(Clone, Copy)]
struct Point {
    time: i64,
    value: f64,
    p_value: f64,
}

/// The view.
pub(super) struct Screen {
    bar: Option<ProgressBar>,
    quiet: bool,
    drawn: Instant,
    lines: u64,
    /// When, and how many messages were done then: the rate is since that.
    before: (Instant, u64),
    recent: BTreeMap<Arc<str>, VecDeque<Point>>,
    worst: Option<(Arc<str>, Point)>,
}

impl Screen {
    pub(super) fn new(quiet: bool) -> Self {
        let terminal = !quiet && std::io::stderr().is_terminal();
        let bar = terminal.then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        let now = Instant::now();
        Self { bar, quiet, drawn: now, lines: 0, before: (now, 0), recent: BTreeMap::new(), worst: None }
    }

    /// Takes in scores.
    pub(super) fn take(&mut self, outputs: &[Output]) {
        for Output { series, time, content, .. } in outputs {
            let Given::Score { value, p_value } = *content else { continue };
            let point = Point { time: *time, value, p_value };
            if p_value < self.worst.as_ref().map_or(1.0, |(_, worst)| worst.p_value) {
                self.worst = Some((Arc::clone(series), point));
            }
            let recent = self.recent.entry(Arc::clone(series)).or_default();
            recent.push_back(point);
            if recent.len() > WIDTH {
                recent.pop_front();
            }
        }
    }

    /// Draws, if it is time.
    pub(super) fn show(&mut self, progress: &Progress, sent: u64) {
        if self.quiet || self.drawn.elapsed() < EVERY {
            return;
        }
        self.drawn = Instant::now();
        self.lines += 1;
        let (at, messages) = self.before;
        let rate = (progress.messages - messages) as f64 / at.elapsed().as_secs_f64();
        if at.elapsed() > Duration::from_secs(2) {
            self.before = (Instant::now(), progress.messages);
        }
        let lag = sent.saturating_sub(progress.messages);
        let head = format!(
            "{} events, {rate:.0}/s, {lag} wait, {} transactions of {:.0} ms",
            progress.messages,
            progress.transactions,
            progress.commit_took.as_secs_f64() * 1e3
        );
        match &self.bar {
            Some(bar) => {
                let rows = self.recent.iter().map(|(series, points)| format!("\n{series:10} {}", line(points)));
                let worst = self.worst().map_or(String::new(), |worst| format!("\nthe least likely: {worst}"));
                bar.set_message(format!("{head}{}{worst}", rows.collect::<String>()));
                bar.tick();
            }
            None if self.lines % 10 == 1 => say(&head),
            None => (),
        }
    }

    /// The least likely value so far.
    pub(super) fn worst(&self) -> Option<String> {
        let (series, point) = self.worst.as_ref()?;
        let time = DateTime::from_timestamp_micros(point.time)?.format("%Y-%m-%d %H:%M");
        Some(format!("{series} at {time}: {} passengers, p = {:.1e}", point.value, point.p_value))
    }
}

/// A series' last values as bars, unlikely ones marked below by their score.
fn line(points: &VecDeque<Point>) -> String {
    let (least, most) = points.iter().fold((f64::MAX, f64::MIN), |(l, m), p| (l.min(p.value), m.max(p.value)));
    let height = |value: f64| ((value - least) / (most - least).max(f64::MIN_POSITIVE) * 7.0).round() as usize;
    let mut text = String::new();
    for point in points {
        let bar = BARS[height(point.value).min(7)];
        if point.p_value < UNLIKELY {
            // red: the terminal knows how
            text.push_str(&format!("\x1b[31m{bar}\x1b[0m"));
        } else {
            text.push(bar);
        }
    }
    if let Some(last) = points.back() {
        let score = if last.p_value.is_nan() { "–".into() } else { format!("{:.1}", -last.p_value.log10()) };
        // Writing to a string does not fail.
        let _ = write!(text, " {:>6} score {score}", last.value);
    }
    text
}
