//! What the terminal shows meanwhile: a view that is drawn anew, or a line now and then where there is no terminal.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use super::recent::Recent;
use crate::progress::say;

/// The view is drawn so often.
const DRAW: Duration = Duration::from_millis(200);
/// Where there is no terminal, a line comes so often.
const LINE: Duration = Duration::from_secs(4);

/// How far all is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    /// Events in all.
    pub(super) events: usize,
    /// Events handed to the broker.
    pub(super) played: usize,
    /// Scores committed and read back.
    pub(super) scored: usize,
    /// Whole forecasts, likewise.
    pub(super) forecasts: usize,
}

/// The view.
pub(super) struct Screen {
    bar: Option<ProgressBar>,
    began: Instant,
    drawn: Instant,
    /// When, and how many events were played then: the rate is since that.
    before: (Instant, usize),
}

impl Screen {
    /// A view on this terminal, or lines.
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        let now = Instant::now();
        Self { bar, began: now, drawn: now, before: (now, 0) }
    }

    /// A line that stays.
    pub(super) fn tell(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(line)),
            None => say(line),
        }
    }

    /// Draws, if it is time; when all events are through, with what is waited for.
    pub(super) fn show(&mut self, counts: Counts, (waits, recent): (Option<&str>, &Recent)) {
        let every = if self.bar.is_some() { DRAW } else { LINE };
        if self.drawn.elapsed() < every {
            return;
        }
        self.drawn = Instant::now();
        let head = self.head(counts, waits);
        let worst = recent.worst().map(|worst| format!("least likely: {worst}"));
        match &self.bar {
            Some(bar) => {
                let lines: Vec<String> = [head].into_iter().chain(recent.lines()).chain(worst).collect();
                bar.set_message(lines.join("\n"));
            }
            None if waits.is_some() => say(&head),
            None => say(&[Some(head), worst].into_iter().flatten().collect::<Vec<_>>().join("; ")),
        }
    }

    fn head(&mut self, counts: Counts, waits: Option<&str>) -> String {
        let Counts { events, played, scored, forecasts } = counts;
        let (at, before) = self.before;
        let rate = (played - before) as f64 / at.elapsed().as_secs_f64().max(1e-3);
        if at.elapsed() > Duration::from_secs(2) {
            self.before = (Instant::now(), played);
        }
        let (count, seconds) = (|n: usize| HumanCount(n as u64).to_string(), self.began.elapsed().as_secs_f64());
        if let Some(job) = waits {
            return format!("{seconds:3.0} s  all events are through; {job} not yet");
        }
        format!(
            "{seconds:3.0} s  {}/{} events, {rate:.0}/s; {} scored, {} wait; {} forecasts",
            count(played),
            count(events),
            count(scored),
            count(played.saturating_sub(scored)),
            count(forecasts)
        )
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
