//! Snapshots of partitions at committed positions: a manifest names the segments that hold the states, and holds the rest.
//!
//! ```text
//! DIR/PARTITION/00000000000000001500-UNIQUE.states      a segment (see `states`)
//! DIR/PARTITION/00000000000000001500-UNIQUE.snapshot    the manifest: sealed, written, then named
//! ```
//!
//! Writers need not know of each other: names are unique, and whoever had a partition too long can only have written
//! snapshots of positions that were committed, which are as good as anyone's.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::{
    error::{Error, Result},
    remote::{Remote, Upload, Uploads},
    states::SegmentName,
    time::EventTime,
};

const MAGIC: &[u8; 8] = b"UNSPSNP1";
const SEAL: usize = 32;
/// Snapshots kept of a partition.
pub(super) const KEPT: usize = 2;
/// Unnamed files older than this were left by a crash.
pub(super) const LEFT_OVER: Duration = Duration::from_secs(3600);

/// What a partition's snapshot holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The settings that decide what states and outputs are, as a JSON object.
    pub identity: String,
    /// The first offset that is not in the states.
    pub next: i64,
    /// Files of states, oldest first.
    pub segments: Vec<SegmentName>,
    /// The event time, with the rows that wait.
    pub time: EventTime,
}

/// A name that no other process and no other call gives.
pub(super) fn unique() -> String {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("{:08x}{nanos:024x}{:08x}", std::process::id(), CALLS.fetch_add(1, Ordering::Relaxed))
}

/// The snapshots of one job's topic.
#[derive(Clone, Debug)]
pub struct Snapshots {
    dir: PathBuf,
    identity: String,
    /// Where they are put too.
    remote: Option<(Arc<Remote>, Arc<Uploads>)>,
}

impl Snapshots {
    /// Those in a folder, which need not exist yet; `identity` is a JSON object.
    #[must_use]
    pub fn new(dir: PathBuf, identity: String) -> Self {
        Self { dir, identity, remote: None }
    }

    /// Those of these partitions in a folder, of whatever job they are; `None`: there are none.
    ///
    /// # Errors
    /// When the folder cannot be read, or the newest one is damaged.
    pub(super) fn of_any_job(dir: &Path, partitions: &[i32]) -> Result<Option<Self>> {
        let any = Self::new(dir.to_owned(), String::new());
        for partition in partitions {
            if let Some((_, newest)) = manifests(&any.partition(*partition))?.into_iter().max() {
                return Ok(Some(Self { identity: read(&newest)?.identity, ..any }));
            }
        }
        Ok(None)
    }

    /// These, put into an object store too, and looked for there.
    pub(super) fn in_store(self, remote: Remote) -> Self {
        let remote = Arc::new(remote);
        let uploads = Arc::new(Uploads::to(Arc::clone(&remote)));
        Self { remote: Some((remote, uploads)), ..self }
    }

    /// A partition's folder.
    #[must_use]
    pub fn partition(&self, partition: i32) -> PathBuf {
        self.dir.join(partition.to_string())
    }

    /// The settings that snapshots are of.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The newest whole snapshot at or before an offset: of the folder, or of the store where that has a newer one.
    ///
    /// # Errors
    /// When the folder or the store cannot be read, or a snapshot is of another job.
    pub fn newest(&self, partition: i32, at_or_before: i64) -> Result<Option<Manifest>> {
        let here = self.newest_here(partition, at_or_before)?;
        let Some((remote, _)) = &self.remote else { return Ok(here) };
        let after = here.as_ref().map(|manifest| manifest.next);
        let there = remote.newest(partition, (after, at_or_before))?;
        there.iter().try_for_each(|manifest| self.own(manifest))?;
        Ok(there.or(here))
    }

    /// Brings the segments of a snapshot into the folder that only the store has.
    ///
    /// # Errors
    /// When the store does not give them.
    pub(super) fn fetch(&self, partition: i32, segments: &[SegmentName]) -> Result<()> {
        let Some((remote, _)) = &self.remote else { return Ok(()) };
        let dir = self.partition(partition);
        for segment in segments.iter().filter(|segment| !segment.is_in(&dir)) {
            remote.fetch(partition, segment, &dir)?;
        }
        Ok(())
    }

    /// Snapshots put into the store so far.
    ///
    /// # Errors
    /// When it takes no more.
    pub(super) fn uploaded(&self) -> Result<u64> {
        self.remote.as_ref().map_or(Ok(0), |(_, uploads)| uploads.done())
    }

    /// Waits until the store has all of them, at most so long; whether it has.
    ///
    /// # Errors
    /// When it takes no more.
    pub(super) fn flush(&self, most: Duration) -> Result<bool> {
        self.remote.as_ref().map_or(Ok(true), |(_, uploads)| uploads.flush(most))
    }

    /// Has a snapshot put that is in the folder.
    fn upload(&self, partition: i32, (name, bytes): (String, Vec<u8>), manifest: &Manifest) -> Result<()> {
        let Some((_, uploads)) = &self.remote else { return Ok(()) };
        let dir = self.partition(partition);
        let mut files = BTreeMap::new();
        for segment in manifest.segments.iter().filter(|segment| !uploads.has(partition, &segment.name)) {
            let path = dir.join(&segment.name);
            files.insert(segment.name.clone(), File::open(&path).map_err(|source| Error::io(&path, &source))?);
        }
        uploads.put(Upload { partition, name, manifest: bytes, segments: manifest.segments.clone(), files });
        Ok(())
    }

    fn newest_here(&self, partition: i32, at_or_before: i64) -> Result<Option<Manifest>> {
        let dir = self.partition(partition);
        let mut found = manifests(&dir)?;
        found.retain(|(next, _)| *next <= at_or_before);
        found.sort_unstable();
        for (_, path) in found.iter().rev() {
            match read(path) {
                Ok(manifest) if manifest.is_whole(&dir) => {
                    self.own(&manifest)?;
                    return Ok(Some(manifest));
                }
                Ok(_) => {
                    tracing::warn!(snapshot = %path.display(), "a file of this snapshot is gone; an older one is taken")
                }
                Err(error) => tracing::warn!(%error, "an older snapshot is taken"),
            }
        }
        Ok(None)
    }

    /// Makes a snapshot: from now on it is there, whole, and others may go.
    ///
    /// # Errors
    /// When the disk refuses; there is no snapshot then.
    pub fn write(&self, partition: i32, manifest: &Manifest) -> Result<()> {
        let dir = self.partition(partition);
        fs::create_dir_all(&dir).map_err(|source| Error::io(&dir, &source))?;
        let name = format!("{:020}-{}", manifest.next, unique());
        let (draft, path) = (dir.join(format!("{name}.tmp")), dir.join(format!("{name}.snapshot")));
        let body = postcard::to_stdvec(manifest).map_err(|e| Error::damaged(&path, e.to_string()))?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&body);
        bytes.extend_from_slice(blake3::hash(&body).as_bytes());
        let write = || -> io::Result<()> {
            let mut file = File::create(&draft)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(&dir)?.sync_all()
        };
        write().map_err(|source| {
            let _ = fs::remove_file(&draft);
            Error::io(&path, &source)
        })?;
        self.upload(partition, (format!("{name}.snapshot"), bytes), manifest)?;
        self.tidy(partition)
    }

    /// Removes snapshots beyond the newest two, the files that only they name, and what crashes left.
    ///
    /// Others may be at work in the same folder: one that was frozen here and wakes must not take away what a successor
    /// has begun. So a young file that no snapshot names stays, and of the others only those go that the snapshots removed
    /// here have named: a successor's snapshots are made of what the newest ones name, and of files of its own.
    fn tidy(&self, partition: i32) -> Result<()> {
        let dir = self.partition(partition);
        let mut found = manifests(&dir)?;
        found.sort_unstable();
        let (old, newest) = found.split_at(found.len().saturating_sub(KEPT));
        let manifests =
            |paths: &[(i64, PathBuf)]| paths.iter().filter_map(|(_, path)| read(path).ok()).collect::<Vec<_>>();
        let (gone, kept) = (manifests(old), manifests(newest));
        if kept.len() != newest.len() {
            return Ok(()); // one of them cannot be read: what it names is not known
        }
        let names = |all: &[Manifest]| -> BTreeSet<String> {
            all.iter().flat_map(|manifest| &manifest.segments).map(|segment| segment.name.clone()).collect()
        };
        let kept = names(&kept);
        let left_over = |path: &PathBuf| {
            let unnamed = match path.extension().and_then(|e| e.to_str()) {
                Some("states") => path.file_name().is_some_and(|name| !kept.contains(&*name.to_string_lossy())),
                extension => extension == Some("tmp"),
            };
            unnamed && age(path).is_some_and(|age| age > LEFT_OVER)
        };
        let unnamed = names(&gone).difference(&kept).map(|name| dir.join(name)).collect::<Vec<_>>();
        let left_over = files(&dir)?.into_iter().filter(left_over);
        // Manifests first: what is left of a tidying that breaks off is files that nobody names.
        let paths = old.iter().map(|(_, path)| path.clone()).chain(unnamed).chain(left_over);
        for path in paths {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(Error::io(&path, &source)),
                _ => (),
            }
        }
        Ok(())
    }

    /// Refuses a snapshot that other settings made.
    fn own(&self, manifest: &Manifest) -> Result<()> {
        if manifest.identity == self.identity {
            return Ok(());
        }
        let parse =
            |text: &str| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).unwrap_or_default();
        let (ours, theirs) = (parse(&self.identity), parse(&manifest.identity));
        let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        let differ = keys.into_iter().filter(|key| ours.get(*key) != theirs.get(*key));
        let show = |value: Option<&serde_json::Value>| value.map_or("none".into(), ToString::to_string);
        let differ: Vec<String> =
            differ.map(|key| format!("{key}: {} there, {} here", show(theirs.get(key)), show(ours.get(key)))).collect();
        Err(Error::OtherJob { path: self.dir.clone(), differ: differ.join("; ") })
    }
}

impl Manifest {
    fn is_whole(&self, dir: &Path) -> bool {
        self.segments.iter().all(|segment| segment.is_in(dir))
    }
}

fn read(path: &Path) -> Result<Manifest> {
    let bytes = fs::read(path).map_err(|source| Error::io(path, &source))?;
    decode(&bytes).map_err(|problem| Error::damaged(path, problem))
}

/// A manifest of its file's bytes.
pub(super) fn decode(bytes: &[u8]) -> Result<Manifest, String> {
    let body = bytes.strip_prefix(MAGIC).and_then(|rest| rest.split_at_checked(rest.len().checked_sub(SEAL)?));
    let (body, seal) = body.ok_or("it is no snapshot")?;
    if blake3::hash(body).as_bytes() != seal {
        return Err("it does not match its checksum".into());
    }
    postcard::from_bytes(body).map_err(|e| e.to_string())
}

/// The position that a manifest's name tells; `None`: it is no manifest's.
pub(super) fn position(name: &str) -> Option<i64> {
    name.strip_suffix(".snapshot")?.split('-').next()?.parse().ok()
}

/// Position and path of each manifest.
fn manifests(dir: &Path) -> Result<Vec<(i64, PathBuf)>> {
    let positioned = |path: PathBuf| Some((position(path.file_name()?.to_str()?)?, path));
    Ok(files(dir)?.into_iter().filter_map(positioned).collect())
}

/// What stands in a folder; nothing where there is none.
pub(super) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Ok(all) => all.map(|entry| entry.map(|e| e.path()).map_err(|source| Error::io(dir, &source))).collect(),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        Err(source) => Err(Error::io(dir, &source)),
    }
}

/// How long ago a file was last written.
pub(super) fn age(path: &Path) -> Option<Duration> {
    fs::metadata(path).ok()?.modified().ok()?.elapsed().ok()
}
