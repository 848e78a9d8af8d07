//! Checkpoints of a run: a directory each, which appears whole under its name or not at all.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use unspool_model::{train::Moments, weights::Spec};

use super::TrainError;

/// The folder of checkpoints in a run's.
const FOLDER: &str = "checkpoints";
/// What a checkpoint says of itself.
const META: &str = "checkpoint.json";
/// The form that this program writes.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Meta {
    version: u32,
    /// Steps done.
    step: u64,
}

/// The checkpoints of a run.
pub(super) struct Checkpoints {
    folder: PathBuf,
    keep: usize,
}

impl Checkpoints {
    /// Those in a run's folder.
    pub fn of(run: &Path, keep: usize) -> Self {
        Self { folder: run.join(FOLDER), keep }
    }

    /// The newest one: steps done and moments.
    ///
    /// # Errors
    /// When it is damaged, or not of these tensors.
    pub fn newest(&self, specs: &[Spec]) -> Result<Option<(u64, Moments)>, TrainError> {
        let Some((step, path)) = self.list()?.pop() else { return Ok(None) };
        let meta = path.join(META);
        let text = fs::read_to_string(&meta).map_err(|source| TrainError::Io { path: meta.clone(), source })?;
        let damaged = |problem: String| TrainError::Checkpoint { path: path.clone(), problem };
        let found: Meta = serde_json::from_str(&text).map_err(|error| damaged(format!("{META}: {error}")))?;
        if found.version != VERSION || found.step != step {
            return Err(damaged(format!("version {}, step {}: not what its name says", found.version, found.step)));
        }
        let moments = Moments::load(&path, specs).map_err(|error| damaged(error.to_string()))?;
        Ok(Some((step, moments)))
    }

    /// Writes one, and removes the oldest. The moments must have been rounded.
    ///
    /// # Errors
    /// When the system refuses: the checkpoints before stay as they are.
    pub fn save(&self, step: u64, moments: &Moments, specs: &[Spec]) -> Result<(), TrainError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| TrainError::Io { path, source }
        };
        fs::create_dir_all(&self.folder).map_err(io(&self.folder))?;
        let hidden = tempfile::Builder::new().prefix(".step-").tempdir_in(&self.folder).map_err(io(&self.folder))?;
        moments.save(hidden.path(), specs)?;
        let meta = hidden.path().join(META);
        let written = serde_json::to_string(&Meta { version: VERSION, step }).map_err(io::Error::from);
        written.and_then(|text| fs::write(&meta, text + "\n")).map_err(io(&meta))?;
        fs::File::open(&meta).and_then(|file| file.sync_all()).map_err(io(&meta))?;
        let path = self.folder.join(format!("step-{step:09}"));
        if path.exists() {
            fs::remove_dir_all(&path).map_err(io(&path))?;
        }
        let hidden = hidden.keep();
        fs::rename(&hidden, &path).map_err(io(&path))?;
        fs::File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(io(&self.folder))?;
        let all = self.list()?;
        for (_, path) in &all[..all.len().saturating_sub(self.keep)] {
            fs::remove_dir_all(path).map_err(io(path))?;
        }
        Ok(())
    }

    /// Steps and paths, oldest first. What an interrupted write has left is removed.
    fn list(&self) -> Result<Vec<(u64, PathBuf)>, TrainError> {
        let io = |source| TrainError::Io { path: self.folder.clone(), source };
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(io(error)),
        };
        let mut found = vec![];
        for entry in entries {
            let path = entry.map_err(io)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(".step-") {
                fs::remove_dir_all(&path).map_err(io)?;
            } else if let Some(step) = name.strip_prefix("step-").and_then(|step| step.parse().ok()) {
                found.push((step, path));
            }
        }
        found.sort();
        Ok(found)
    }
}
