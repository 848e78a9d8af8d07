//! The log of a run: a JSON object a line.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::TrainError;

/// The log in a run's folder.
const FILE: &str = "log.jsonl";

/// A line: what the steps since the one before came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Steps done.
    pub step: u64,
    /// Mean loss.
    pub loss: f64,
    /// Mean norm of the gradients, before they were clipped, and the largest.
    pub norm: f64,
    /// The largest norm.
    pub largest_norm: f64,
    /// Learning rate of the last step.
    pub rate: f64,
    /// Steps left out because their gradient was not finite.
    pub skipped: u64,
    /// The held-out loss of the weights' running average, where there is something to measure it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
    /// Patches, or bases, that steps were made of.
    pub patches: u64,
    /// Seconds that they took.
    pub seconds: f64,
}

/// A run's log.
pub(super) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens the log of a run that has done so many steps; lines of later ones are of a run that was interrupted and go.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(run: &Path, step: u64) -> Result<Self, TrainError> {
        let path = run.join(FILE);
        let io = |source| TrainError::Io { path: path.clone(), source };
        let kept: Vec<Line> = read(run)?.into_iter().filter(|line| line.step <= step).collect();
        let text: String = kept.iter().map(|line| text(line).map_err(io)).collect::<Result<_, _>>()?;
        let mut whole = tempfile::NamedTempFile::new_in(run).map_err(io)?;
        whole.write_all(text.as_bytes()).map_err(io)?;
        whole.persist(&path).map_err(|error| io(error.error))?;
        let file = OpenOptions::new().append(true).open(&path).map_err(io)?;
        Ok(Self { path, file })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn add(&mut self, line: &Line) -> Result<(), TrainError> {
        let written = text(line).and_then(|text| self.file.write_all(text.as_bytes()));
        written.map_err(|source| TrainError::Io { path: self.path.clone(), source })
    }
}

/// The lines of a run's log, none where there is none yet. A last line that was cut off is left out.
///
/// # Errors
/// When the file cannot be read.
pub fn read(run: &Path) -> Result<Vec<Line>, TrainError> {
    let path = run.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().map_while(|line| serde_json::from_str(line).ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        Err(source) => Err(TrainError::Io { path, source }),
    }
}

fn text(line: &Line) -> io::Result<String> {
    Ok(serde_json::to_string(line)? + "\n")
}
