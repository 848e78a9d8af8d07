//! How far a job is: a bar on a terminal, a line now and then elsewhere.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use unspool_pipelines::{Progress, Summary};

/// Where there is no terminal, a line comes this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows progress on standard error.
pub(crate) struct Display {
    total_bytes: u64,
    began: Instant,
    kind: Kind,
}

enum Kind {
    Quiet,
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl Display {
    /// A display for inputs of so many bytes (0: not known).
    pub(crate) fn new(quiet: bool, total_bytes: u64) -> Self {
        let began = Instant::now();
        let kind = if quiet {
            Kind::Quiet
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new(total_bytes);
            let template = "{bar:20} {percent:>3}%  {eta} left  {wide_msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            Kind::Bar(bar)
        } else {
            Kind::Lines { last: began }
        };
        Self { total_bytes, began, kind }
    }

    /// Shows the counts.
    pub(crate) fn show(&mut self, progress: &Progress) {
        let counts = counts(progress, self.began.elapsed());
        match &mut self.kind {
            Kind::Quiet => (),
            Kind::Bar(bar) => {
                let (done, all) = share(progress, self.total_bytes);
                if bar.length() != Some(all) {
                    // The input has been read: what waited for its end is counted anew.
                    bar.set_length(all);
                    bar.reset();
                }
                bar.set_position(done);
                bar.set_message(counts);
            }
            Kind::Lines { last } if last.elapsed() >= LINE_EVERY => {
                *last = Instant::now();
                let what = if progress.closing.is_some() { "done" } else { "read" };
                let (done, all) = share(progress, self.total_bytes);
                say(&format!("{}% {what}, {counts}", done * 100 / all.max(1)));
            }
            Kind::Lines { .. } => (),
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Kind::Bar(bar) = &self.kind {
            bar.finish_and_clear();
        }
    }
}

/// How much is done, and how much there is: bytes of the input, and after its end sequences that waited for it.
fn share(progress: &Progress, total_bytes: u64) -> (u64, u64) {
    progress.closing.unwrap_or((progress.bytes_read.min(total_bytes), total_bytes))
}

fn counts(progress: &Progress, elapsed: Duration) -> String {
    let rate = progress.events as f64 / elapsed.as_secs_f64().max(1e-3);
    format!(
        "{} rows read, {} events ({}/s), {} rows out",
        HumanCount(progress.rows_read),
        HumanCount(progress.events),
        HumanCount(rate.round() as u64),
        HumanCount(progress.rows_written),
    )
}

/// The last lines: what was done, and what was rejected.
pub(crate) fn summarize(summary: &Summary, output: &str, rejects: Option<&str>) {
    let Progress { rows_read, events, rows_written, rejects: count, .. } = summary.progress;
    let rate = events as f64 / summary.elapsed.as_secs_f64().max(1e-3);
    say(&format!(
        "{} rows to {output}, from {} rows and {} events in {:.2} s ({} events/s)",
        HumanCount(rows_written),
        HumanCount(rows_read),
        HumanCount(events),
        summary.elapsed.as_secs_f64(),
        HumanCount(rate.round() as u64),
    ));
    if count == 0 {
        return;
    }
    // Without a file of rejects each was said when it came.
    let Some(rejects) = rejects else { return say(&format!("{} rejected", HumanCount(count))) };
    say(&format!("{} rejected; all of them are in {rejects}", HumanCount(count)));
    for reject in &summary.first_rejects {
        say(&format!("  {}: {}", reject.place, reject.reason));
    }
}

/// A line for the user.
pub(crate) fn say(line: &str) {
    // Standard error may be closed: the work goes on.
    let _ = writeln!(std::io::stderr(), "{line}");
}
