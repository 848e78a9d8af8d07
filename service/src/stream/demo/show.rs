//! The live view: rates, lag, and each series' last values with the least likely ones marked.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use unspool_pipelines::stream::{
    Progress,
    emit::{Given, Output},
};

use crate::{
    demo::recent::{Point, Recent},
    progress::say,
};

/// The view is drawn so often; where there is no terminal, a line comes every ten of these.
const EVERY: Duration = Duration::from_millis(200);

/// The view.
pub(super) struct Screen {
    bar: Option<ProgressBar>,
    quiet: bool,
    drawn: Instant,
    lines: u64,
    /// When, and how many messages were done then: the rate is since that.
    before: (Instant, u64),
    recent: Recent,
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
        Self { bar, quiet, drawn: now, lines: 0, before: (now, 0), recent: Recent::default() }
    }

    /// Takes in scores.
    pub(super) fn take(&mut self, outputs: &[Output]) {
        for Output { series, time, content, .. } in outputs {
            let Given::Score { value, p_value } = *content else { continue };
            self.recent.scored(series, Point { time: *time, value, p_value });
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
                let worst = self.worst().map(|worst| format!("the least likely: {worst}"));
                let lines: Vec<String> = [head].into_iter().chain(self.recent.lines()).chain(worst).collect();
                bar.set_message(lines.join("\n"));
                bar.tick();
            }
            None if self.lines % 10 == 1 => say(&head),
            None => (),
        }
    }

    /// The least likely value so far.
    pub(super) fn worst(&self) -> Option<String> {
        self.recent.worst()
    }
}
