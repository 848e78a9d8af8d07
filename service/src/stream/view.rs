//! A worker's progress, a line now and then.

use std::time::{Duration, Instant};

use indicatif::HumanCount;
use unspool_ingest::kafka::Rejected;
use unspool_pipelines::stream::{Progress, emit::Output};

use crate::progress::say;

/// A line comes this often.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Trouble that goes on is told again so often: while a broker is away its client says two or three things in turn.
const TROUBLE_EVERY: Duration = Duration::from_secs(30);

/// Shows progress on standard error.
pub(crate) struct View {
    quiet: bool,
    last: Instant,
    /// Messages at the last line.
    messages: u64,
    ready: bool,
    /// What trouble was told within [`TROUBLE_EVERY`], and when.
    trouble: Vec<(String, Instant)>,
}

impl View {
    /// A view; a quiet one shows trouble alone.
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, last: Instant::now(), messages: 0, ready: false, trouble: vec![] }
    }

    /// Shows the counts.
    pub(crate) fn show(&mut self, progress: &Progress) {
        if !self.ready && !progress.partitions.is_empty() {
            self.ready = true;
            say(&format!("unspool streams {} partitions", progress.partitions.len()));
        }
        if self.quiet || self.last.elapsed() < LINE_EVERY {
            return;
        }
        let rate = (progress.messages - self.messages) as f64 / self.last.elapsed().as_secs_f64();
        let lag: i64 = progress.partitions.values().map(|partition| partition.lag).sum();
        let rejects: u64 = progress.rejects.values().sum();
        say(&format!(
            "{} messages ({rate:.0}/s), {} outputs, {} rejects, lag {}, {} series on {} partitions",
            HumanCount(progress.messages),
            HumanCount(progress.outputs),
            HumanCount(rejects),
            HumanCount(lag.unsigned_abs()),
            HumanCount(progress.states.series),
            progress.partitions.len()
        ));
        (self.last, self.messages) = (Instant::now(), progress.messages);
    }

    /// What was committed: a line has no room for it.
    pub(crate) fn committed(&mut self, outputs: &[Output], rejects: &[Rejected]) {
        if let Some(reject) = rejects.first() {
            tracing::info!(partition = reject.partition, offset = reject.offset, reason = reject.reason, "rejected");
        }
        tracing::debug!(outputs = outputs.len(), rejects = rejects.len(), "committed");
    }

    /// Something went wrong and is being mended; the same again is not told for a while.
    pub(crate) fn trouble(&mut self, problem: &str) {
        self.trouble.retain(|(_, at)| at.elapsed() < TROUBLE_EVERY);
        if !self.trouble.iter().any(|(told, _)| told == problem) {
            say(&format!("warning: {problem}"));
            self.trouble.push((problem.to_owned(), Instant::now()));
        }
    }
}

/// The last line.
pub(crate) fn summarize(progress: &Progress) {
    let rejects: u64 = progress.rejects.values().sum();
    say(&format!(
        "stopped: {} messages, {} outputs, {} rejects, {} transactions ({} begun again), {} snapshots",
        HumanCount(progress.messages),
        HumanCount(progress.outputs),
        HumanCount(rejects),
        HumanCount(progress.transactions),
        HumanCount(progress.aborted),
        HumanCount(progress.snapshots)
    ));
}
