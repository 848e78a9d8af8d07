//! An object store for snapshots: what the local folder holds, where other machines find it too.
//!
//! ```text
//! URL/GROUP/TOPIC/PARTITION/00000000000000001500-UNIQUE.states
//! URL/GROUP/TOPIC/PARTITION/00000000000000001500-UNIQUE.snapshot    put last: a snapshot is there whole or not at all
//! ```
//!
//! Every question has a time, is asked again while the trouble is of a kind that passes, and after a few times its time is an
//! error that says what to do: a store that stalls holds a job up for so long and no longer.

#[cfg(test)]
pub(crate) mod faulty;
#[cfg(test)]
mod tests;
mod uploads;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    future::Future,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload, path::Path as Key};
use tokio::runtime::{Builder, Runtime};
use unspool_ingest::objects::{generic, passes, within};

pub(super) use self::uploads::{Upload, Uploads};
use super::{
    error::{Error, Result},
    snapshot::{KEPT, LEFT_OVER, Manifest, decode, position},
    states::SegmentName,
};

/// Files are put and fetched in pieces of this size.
const PIECE: usize = 8 << 20;
/// A question is asked again for so many times its time.
const PATIENCE: u32 = 4;
/// Waits between two attempts: the first, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Where snapshots are kept beside the local folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// `s3://bucket/prefix` or `file:///folder`.
    pub url: String,
    /// Settings of the store by their usual names (`aws_region`, `aws_endpoint`, ...); the environment's (`AWS_REGION`, ...)
    /// count where these say nothing.
    pub settings: BTreeMap<String, String>,
    /// How long one question may take: a listing, or a piece of 8 MiB.
    pub timeout: Duration,
}

/// A job's part of an object store.
pub(super) struct Remote {
    store: Arc<dyn ObjectStore>,
    root: Key,
    url: String,
    timeout: Duration,
    runtime: Runtime,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Remote {
    /// The part of a group and a topic. Nothing is asked yet.
    ///
    /// # Errors
    /// When the URL or a setting is not understood.
    pub(super) fn open(options: &StoreOptions, (group, topic): (&str, &str)) -> Result<Self> {
        let wrong = |problem: String| Error::Settings(format!("run.snapshot_store {}: {problem}", options.url));
        let url = options.url.parse().map_err(|_| wrong("give s3://BUCKET/PREFIX or file:///FOLDER".into()))?;
        let environment = std::env::vars().filter(|(name, _)| name.starts_with("AWS_"));
        let settings = environment.chain(options.settings.clone());
        let opened = object_store::parse_url_opts(&url, settings.map(|(name, value)| (name.to_lowercase(), value)));
        let (store, prefix) = opened.map_err(|error| wrong(error.to_string()))?;
        Self::over(Arc::from(store), (options, prefix), (group, topic))
    }

    /// The part of a group and a topic of a store that is there.
    fn over(
        store: Arc<dyn ObjectStore>,
        (options, prefix): (&StoreOptions, Key),
        (group, topic): (&str, &str),
    ) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|source| Error::io(Path::new("a runtime for the object store"), &source))?;
        let root = prefix.join(group).join(topic);
        Ok(Self { store, root, url: options.url.clone(), timeout: options.timeout, runtime })
    }

    fn key(&self, partition: i32, name: &str) -> Key {
        self.root.clone().join(partition.to_string()).join(name)
    }

    /// Asks until there is an answer, or trouble that does not pass or has lasted too long.
    fn ask<T, F>(&self, what: &str, key: &Key, question: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let (began, mut wait) = (Instant::now(), BACKOFF.0);
        loop {
            let answer = self.runtime.block_on(question());
            let problem = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) if !passes(&error) => return Err(self.refused(what, key, &error)),
                Err(error) => error.to_string(),
            };
            if began.elapsed() + wait > PATIENCE * self.timeout {
                let seconds = began.elapsed().as_secs();
                let (url, key) = (self.url.clone(), key.to_string());
                return Err(Error::Store { url, key, problem: format!("{what}: {problem}; tried for {seconds} s") });
            }
            tracing::warn!(url = self.url, %key, problem, "{what}: the object store is asked again");
            std::thread::sleep(wait);
            wait = (2 * wait).min(BACKOFF.1);
        }
    }

    fn refused(&self, what: &str, key: &Key, error: &object_store::Error) -> Error {
        Error::Store { url: self.url.clone(), key: key.to_string(), problem: format!("{what}: {error}") }
    }

    /// What lies in a partition's folder: names, sizes and ages.
    fn list(&self, partition: i32) -> Result<BTreeMap<String, ObjectMeta>> {
        let folder = self.root.clone().join(partition.to_string());
        let all: Vec<ObjectMeta> =
            self.ask("listing", &folder, || within(self.timeout, self.store.list(Some(&folder)).try_collect()))?;
        let named = |meta: ObjectMeta| Some((meta.location.filename()?.to_owned(), meta));
        Ok(all.into_iter().filter_map(named).collect())
    }

    /// A small object whole.
    fn read(&self, key: &Key) -> Result<Vec<u8>> {
        let read = || within(self.timeout, async { self.store.get(key).await?.bytes().await });
        Ok(self.ask("reading", key, read)?.to_vec())
    }

    /// The newest whole snapshot after `after` and at or before `at`.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(super) fn newest(&self, partition: i32, (after, at): (Option<i64>, i64)) -> Result<Option<Manifest>> {
        let there = self.list(partition)?;
        let mut found: Vec<(i64, &ObjectMeta)> =
            there.iter().filter_map(|(name, meta)| Some((position(name)?, meta))).collect();
        found.retain(|(next, _)| Some(*next) > after && *next <= at);
        found.sort_unstable_by_key(|(next, meta)| (*next, &meta.location));
        for (_, meta) in found.into_iter().rev() {
            let whole = |manifest: &Manifest| {
                let is_there =
                    |segment: &SegmentName| there.get(&segment.name).is_some_and(|m| m.size == segment.bytes);
                manifest.segments.iter().all(is_there)
            };
            match decode(&self.read(&meta.location)?) {
                Ok(manifest) if whole(&manifest) => return Ok(Some(manifest)),
                Ok(_) => {
                    tracing::warn!(snapshot = %meta.location, "an object of this snapshot is gone; an older one is taken")
                }
                Err(problem) => tracing::warn!(snapshot = %meta.location, problem, "an older snapshot is taken"),
            }
        }
        Ok(None)
    }

    /// Brings a segment into a local folder.
    ///
    /// # Errors
    /// When the store does not answer, or the disk refuses.
    pub(super) fn fetch(&self, partition: i32, segment: &SegmentName, dir: &Path) -> Result<()> {
        let (key, path) = (self.key(partition, &segment.name), dir.join(&segment.name));
        let failed = |source: std::io::Error| Error::io(&path, &source);
        fs::create_dir_all(dir).map_err(failed)?;
        let draft = tempfile::Builder::new().suffix(".tmp").tempfile_in(dir).map_err(failed)?;
        let bytes = self.ask("fetching", &key, || async {
            let mut pieces = within(self.timeout, self.store.get(&key)).await?.into_stream();
            let (mut at, file) = (0, draft.as_file());
            while let Some(piece) = within(self.timeout, async { pieces.next().await.transpose() }).await? {
                file.write_all_at(&piece, at).map_err(|e| generic(format!("{}: {e}", path.display())))?;
                at += piece.len() as u64;
            }
            Ok(at)
        })?;
        if bytes != segment.bytes {
            let problem = format!("{} bytes expected, found {bytes}", segment.bytes);
            return Err(Error::Store { url: self.url.clone(), key: key.to_string(), problem });
        }
        draft.as_file().sync_all().map_err(failed)?;
        draft.persist(&path).map(drop).map_err(|error| Error::io(&path, &error.error))
    }

    /// Puts a small object, over one of that name.
    fn put(&self, key: &Key, bytes: &[u8]) -> Result<()> {
        let payload = PutPayload::from(bytes.to_vec());
        self.ask("writing", key, || within(self.timeout, self.store.put(key, payload.clone()))).map(drop)
    }

    /// Puts a file, piece by piece.
    fn put_file(&self, key: &Key, (file, bytes): (&File, u64)) -> Result<()> {
        let piece = |at: u64| {
            let len = usize::try_from(bytes - at).unwrap_or(PIECE).min(PIECE);
            let mut piece = vec![0; len];
            file.read_exact_at(&mut piece, at).map(|()| piece)
        };
        let failed = |source: std::io::Error| generic(format!("a local file: {source}"));
        if bytes <= PIECE as u64 {
            return self.put(key, &piece(0).map_err(|source| self.refused("writing", key, &failed(source)))?);
        }
        self.ask("writing", key, || async {
            let mut upload = within(self.timeout, self.store.put_multipart(key)).await?;
            let mut put = async || {
                let mut at = 0;
                while at < bytes {
                    let piece = piece(at).map_err(failed)?;
                    at += piece.len() as u64;
                    within(self.timeout, upload.put_part(piece.into())).await?;
                }
                within(self.timeout, upload.complete()).await
            };
            let done = put().await;
            if done.is_err() {
                // What is left of it is the store's to clean up.
                let _ = within(self.timeout, upload.abort()).await;
            }
            done
        })
        .map(drop)
    }

    /// Makes a snapshot: its segments first, those that are there already left out.
    ///
    /// # Errors
    /// When the store does not take it; there is no such snapshot then.
    fn upload(&self, upload: &Upload) -> Result<BTreeSet<String>> {
        let Upload { partition, name, manifest, segments, files } = upload;
        let mut there = self.list(*partition)?;
        for segment in segments {
            if there.get(&segment.name).is_none_or(|meta| meta.size != segment.bytes) {
                let Some(file) = files.get(&segment.name) else {
                    // One that was there and is gone: the next snapshot brings its file.
                    there.remove(&segment.name);
                    return Ok(there.into_keys().collect());
                };
                self.put_file(&self.key(*partition, &segment.name), (file, segment.bytes))?;
            }
        }
        self.put(&self.key(*partition, name), manifest)?;
        there = self.list(*partition)?;
        self.tidy(&there)?;
        Ok(there.into_keys().collect())
    }

    /// Removes snapshots beyond the newest two, the segments that only they name, and what crashes left: as the local
    /// folder does, and for the same reasons.
    fn tidy(&self, there: &BTreeMap<String, ObjectMeta>) -> Result<()> {
        let mut found: Vec<(i64, &String)> = there.keys().filter_map(|name| Some((position(name)?, name))).collect();
        found.sort_unstable();
        let (old, newest) = found.split_at(found.len().saturating_sub(KEPT));
        let names = |all: &[(i64, &String)]| -> Result<Option<BTreeSet<String>>> {
            let mut names = BTreeSet::new();
            for (_, name) in all {
                let Ok(manifest) = decode(&self.read(&there[*name].location)?) else { return Ok(None) };
                names.extend(manifest.segments.into_iter().map(|segment| segment.name));
            }
            Ok(Some(names))
        };
        // One that cannot be read: what it names is not known.
        let (Some(kept), Some(gone)) = (names(newest)?, names(old)?) else { return Ok(()) };
        let now = chrono::DateTime::<chrono::Utc>::from(SystemTime::now());
        let left_over = |(name, meta): &(&String, &ObjectMeta)| {
            let age = now.signed_duration_since(meta.last_modified).to_std().unwrap_or_default();
            name.ends_with(".states") && !kept.contains(*name) && (gone.contains(*name) || age > LEFT_OVER)
        };
        let manifests = old.iter().map(|(_, name)| &there[*name]);
        for meta in manifests.chain(there.iter().filter(left_over).map(|(_, meta)| meta)) {
            let delete = || within(self.timeout, self.store.delete(&meta.location));
            self.ask("removing", &meta.location, || async {
                match delete().await {
                    // Somebody else was first.
                    Err(object_store::Error::NotFound { .. }) => Ok(()),
                    done => done,
                }
            })?;
        }
        Ok(())
    }

    /// The number of partitions that was noted when the job first began; noted now if it never was.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(super) fn known_partitions(&self, partitions: i32) -> Result<i32> {
        let key = self.root.clone().join("partitions");
        let note = PutPayload::from(partitions.to_string().into_bytes());
        let put = || {
            let put = self.store.put_opts(&key, note.clone(), PutMode::Create.into());
            within(self.timeout, async {
                match put.await {
                    Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(()),
                    done => done.map(drop),
                }
            })
        };
        self.ask("writing", &key, put)?;
        let noted = String::from_utf8_lossy(&self.read(&key)?).trim().parse();
        noted.map_err(|_| Error::Store {
            url: self.url.clone(),
            key: key.to_string(),
            problem: "a number expected".into(),
        })
    }
}
