//! What runs took: a log beside the output, for its report. It decides nothing.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// The log's file: a JSON object a line.
const NAME: &str = "_runs.jsonl";

/// A run that ended well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEntry {
    /// When it began: RFC 3339, UTC.
    pub began: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Rows read.
    pub rows_read: u64,
    /// Events encoded.
    pub events: u64,
    /// Rows given.
    pub rows_written: u64,
    /// The device, and how many workers.
    pub place: String,
    /// The folder that the manifest names files relative to.
    pub folder: PathBuf,
}

impl RunEntry {
    /// The runs of an output's folder, oldest first; lines that are not understood are left out.
    #[must_use]
    pub fn all(dir: &Path) -> Vec<Self> {
        let text = std::fs::read_to_string(dir.join(NAME)).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Adds it to the log.
    pub(super) fn log(&self, dir: &Path) {
        let write = || -> std::io::Result<()> {
            let mut line = serde_json::to_vec(self)?;
            line.push(b'\n');
            File::options().create(true).append(true).open(dir.join(NAME))?.write_all(&line)
        };
        if let Err(error) = write() {
            tracing::warn!(dir = %dir.display(), %error, "the run was not logged");
        }
    }
}
