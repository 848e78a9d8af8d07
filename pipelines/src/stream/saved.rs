//! Hand-over: what a stream job has come to of each series, for sessions to go on from.

#[cfg(test)]
mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;
use unspool_model::{Model, State};

use super::{
    core::{Core, CoreOptions},
    emit::{Emit, Every, Give},
    error::{Error, Result},
    snapshot::Snapshots,
    time::{Grid, Order, TimeOptions},
};

/// Series whose states are brought up at a time.
const AT_ONCE: usize = 64;
/// States in memory while they are handed over, in bytes.
const STATES_BYTES: usize = 256 << 20;

/// A series as a stream job left it.
#[derive(Clone, Debug)]
pub struct SavedSeries {
    /// Its name.
    pub id: String,
    /// The partition that it came from.
    pub partition: i32,
    /// The time of its last event: µs since 1970, or a step number.
    pub last_time: i64,
    /// What it has come to.
    pub state: State,
}

/// How far a partition's states are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedPartition {
    /// The partition.
    pub partition: i32,
    /// The first offset that is not in its states: what a group has committed beyond that is not handed over.
    pub next: i64,
    /// Its series.
    pub series: u64,
}

/// The parts of a job's identity that say how rows become states.
#[derive(Debug, Deserialize)]
struct Identity {
    order: Order,
    grid: Option<Grid>,
    give: Give,
    every: Every,
    model: String,
    route: Option<String>,
}

/// The snapshots of a stream job that is stopped.
#[derive(Debug)]
pub struct Saved {
    dir: PathBuf,
    snapshots: Snapshots,
    identity: Identity,
    partitions: Vec<i32>,
}

impl Saved {
    /// Those of a job's data folder, or of the folder `snapshots/GROUP/TOPIC` in one that several jobs share. `None`: it holds none.
    ///
    /// # Errors
    /// When several jobs have theirs there, or files cannot be read.
    pub fn find(dir: &Path) -> Result<Option<Self>> {
        let Some(dir) = the_only_job(dir)? else { return Ok(None) };
        let mut partitions: Vec<i32> = folders(&dir)?.iter().filter_map(|path| number(path)).collect();
        partitions.sort_unstable();
        let Some(snapshots) = Snapshots::of_any_job(&dir, &partitions)? else { return Ok(None) };
        let identity = serde_json::from_str(snapshots.identity());
        let identity = identity.map_err(|error| Error::damaged(&dir, error.to_string()))?;
        Ok(Some(Self { dir, snapshots, identity, partitions }))
    }

    /// The digest of the model that the job ran.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.identity.model
    }

    /// Hands over the states of each partition's newest snapshot, with what waited there for its watermark let go as a flush does.
    /// Going on from a state gives the same bits as one run over all events.
    ///
    /// # Errors
    /// When the model is not the one that the job ran, or runs elsewhere; files are damaged; or `take` fails.
    pub fn states(
        &self,
        model: &Arc<Model>,
        take: &mut dyn FnMut(SavedSeries) -> Result<()>,
    ) -> Result<Vec<SavedPartition>> {
        let Identity { order, grid, give, every, .. } = &self.identity;
        self.own(model)?;
        let options = CoreOptions {
            time: TimeOptions { order: *order, grid: *grid },
            emit: Emit { give: give.clone(), every: *every },
            states_bytes: STATES_BYTES,
        };
        let (mut core, mut ends) = (Core::new(Arc::clone(model), &options)?, vec![]);
        for partition in &self.partitions {
            let Some(manifest) = self.snapshots.newest(*partition, i64::MAX)? else { continue };
            let next = manifest.next;
            core.begin((*partition, next, next), &self.snapshots, Some(manifest))?;
            core.flush(*partition, false)?;
            let mut series = 0;
            for ids in core.series(*partition).chunks(AT_ONCE) {
                for (id, entry) in ids.iter().zip(core.hand_over(*partition, ids)?) {
                    // Of a series that has ended, whose name alone is remembered, there is nothing to go on from.
                    let Some(last_time) = entry.beside.last else { continue };
                    take(SavedSeries { id: id.to_string(), partition: *partition, last_time, state: entry.state })?;
                    series += 1;
                }
            }
            core.drop_partition(*partition);
            ends.push(SavedPartition { partition: *partition, next, series });
        }
        Ok(ends)
    }

    fn own(&self, model: &Model) -> Result<()> {
        let (info, here) = (model.info(), self.dir.display());
        if info.digest.to_string() != self.identity.model {
            let (of, name) = (&self.identity.model, &info.name);
            return Err(Error::Settings(format!("{here} is of the model {of}, not of {name} ({})", info.digest)));
        }
        let route = info.route.to_string();
        match &self.identity.route {
            Some(there) if *there != route => {
                Err(Error::Settings(format!("{here} was computed by {there}, this is {route}: go on where it ran")))
            }
            _ => Ok(()),
        }
    }
}

/// The folder of a job's topic: the one named, or the only one in a data folder.
fn the_only_job(dir: &Path) -> Result<Option<PathBuf>> {
    let groups = dir.join("snapshots");
    if !groups.is_dir() {
        let named = folders(dir)?.iter().any(|path| number(path).is_some());
        return Ok(named.then(|| dir.to_owned()));
    }
    let mut jobs = vec![];
    for group in folders(&groups)? {
        jobs.extend(folders(&group)?);
    }
    jobs.sort();
    if jobs.len() > 1 {
        let names: Vec<String> = jobs.iter().map(|job| job.display().to_string()).collect();
        let here = dir.display();
        return Err(Error::Settings(format!("{here} holds several jobs' states: name one of {}", names.join(", "))));
    }
    Ok(jobs.pop())
}

fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    let all = match fs::read_dir(dir) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        all => all.map_err(|source| Error::io(dir, &source))?,
    };
    let all = all.map(|entry| entry.map(|entry| entry.path()).map_err(|source| Error::io(dir, &source)));
    let all: Vec<PathBuf> = all.collect::<Result<_>>()?;
    Ok(all.into_iter().filter(|path| path.is_dir()).collect())
}

fn number(path: &Path) -> Option<i32> {
    path.file_name()?.to_str()?.parse().ok()
}
