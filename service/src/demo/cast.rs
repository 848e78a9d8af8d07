//! The processes of the demonstration.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    HORIZON,
    process::{Process, Setting},
};
use crate::{args::DeviceArgs, error::Result};

/// Where the batch jobs' outputs lie in the folder.
pub(super) const NIGHTLY_SCORES: &str = "nightly/scores";
/// As above.
pub(super) const NIGHTLY_FORECASTS: &str = "nightly/forecasts";
/// Where the scores of variants lie.
pub(super) const VARIANTS: &str = "variants.parquet";

/// A process that ends by itself.
struct Job {
    words: String,
    process: Process,
    took: Option<Duration>,
}

/// All of them.
pub(super) struct Cast {
    folder: PathBuf,
    device: DeviceArgs,
    scores: Process,
    forecasts: Process,
    server: Process,
    /// Where the server listens.
    pub(super) address: SocketAddr,
    jobs: Vec<Job>,
}

impl Cast {
    /// Starts them; returns when the server is ready.
    ///
    /// # Errors
    /// When one cannot be started, or the server does not come up.
    pub(super) fn start(folder: &Path, device: DeviceArgs) -> Result<Self> {
        let setting = Setting { folder, device };
        let scores = Process::start(&setting, "the stream job of scores", &SCORES_WORDS)?;
        let forecasts = Process::start(&setting, "the stream job of forecasts", &FORECASTS_WORDS)?;
        let (server, address) = Process::serve(&setting, "the server", &SERVER_WORDS)?;
        let horizon = HORIZON.to_string();
        let batch = ["run", "--input", "rides.csv", "--what"];
        let of_scores = [&batch[..], &["scores", "--output", NIGHTLY_SCORES]].concat();
        let of_forecasts = [&batch[..], &["forecasts", "--horizon", &horizon, "--output", NIGHTLY_FORECASTS]].concat();
        let of_variants = ["score", "lambda_variants.vcf", "--reference", "lambda.fa.gz", "--output", VARIANTS];
        let mut jobs = vec![];
        for (what, words) in [
            ("the batch job of scores", &of_scores[..]),
            ("the batch job of forecasts", &of_forecasts),
            ("the variants", &of_variants),
        ] {
            let process = Process::start(&setting, what, words)?;
            jobs.push(Job { words: words.join(" "), process, took: None });
        }
        Ok(Self { folder: folder.to_owned(), device, scores, forecasts, server, address, jobs })
    }

    /// What runs, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |part: &str, words: &str, process: &Process| {
            format!("{part:9} unspool {words}  (process {})", process.id())
        };
        let mut lines = vec![
            line("stream", &SCORES_WORDS.join(" "), &self.scores),
            line("stream", &FORECASTS_WORDS.join(" "), &self.forecasts),
            format!("{} on {}", line("server", "serve", &self.server), self.address),
        ];
        let part = |job: &Job| if job.words.starts_with("run") { "batch" } else { "variants" };
        lines.extend(self.jobs.iter().map(|job| line(part(job), &job.words, &job.process)));
        lines
    }

    /// Looks after them; whether all that end by themselves have ended. `ended` is told of each that does.
    ///
    /// # Errors
    /// When one has ended that should not have, or not as it should have.
    pub(super) fn look(&mut self, ended: &mut dyn FnMut(&str, Duration)) -> Result<bool> {
        for process in [&mut self.scores, &mut self.forecasts, &mut self.server] {
            process.runs()?;
        }
        for job in &mut self.jobs {
            let before = job.took;
            job.took = job.process.done()?;
            if let (None, Some(took)) = (before, job.took) {
                ended(&job.words, took);
            }
        }
        Ok(self.jobs.iter().all(|job| job.took.is_some()))
    }

    /// A job that has not ended yet.
    pub(super) fn unfinished(&self) -> Option<&'static str> {
        self.jobs.iter().find(|job| job.took.is_none()).map(|job| job.process.what())
    }

    /// How long each job took that has ended: its command, and seconds.
    pub(super) fn took(&self) -> impl Iterator<Item = (&str, f64)> {
        self.jobs.iter().filter_map(|job| Some((job.words.as_str(), job.took?.as_secs_f64())))
    }

    /// Kills the stream job of scores, and starts it again.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn kill_and_start(self) -> Result<Self> {
        let Self { folder, device, scores, forecasts, server, address, jobs } = self;
        scores.kill();
        let setting = Setting { folder: &folder, device };
        let scores = Process::start(&setting, "the stream job of scores", &SCORES_WORDS)?;
        Ok(Self { folder, device, scores, forecasts, server, address, jobs })
    }

    /// Has all of them end.
    ///
    /// # Errors
    /// When one does not end well.
    pub(super) fn stop(self) -> Result<()> {
        let running = [self.scores, self.forecasts, self.server];
        running.iter().for_each(Process::ask);
        // All are waited for, even if one has not ended well.
        let ended: Vec<Result<()>> = running.into_iter().map(Process::wait).collect();
        ended.into_iter().collect()
    }
}

const SCORES_WORDS: [&str; 2] = ["stream", "scores.toml"];
const FORECASTS_WORDS: [&str; 2] = ["stream", "forecasts.toml"];
const SERVER_WORDS: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];
