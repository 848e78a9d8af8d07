//! An object store that is asked again, within limits, while its trouble is of a kind that passes.
//!
//! Every question has a time; after a few times that the trouble is an error that says what to do. A store that stalls
//! holds a job up for so long and no longer.

use std::{
    collections::BTreeMap,
    fs::File,
    future::Future,
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::TryStreamExt;
use object_store::{
    GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion, path::Path as Key,
};
use tokio::runtime::{Builder, Runtime};

/// Files are put and fetched in pieces of this size.
const PIECE: u64 = 8 << 20;
/// Pieces under way at a time.
const SIDE_BY_SIDE: usize = 4;
/// A question is asked again for so many times its time.
const PATIENCE: u32 = 4;
/// Waits between two attempts: the first, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Names in the environment that stores look at.
const ENVIRONMENT: [&str; 4] = ["AWS_", "AZURE_", "GOOGLE_", "SERVICE_ACCOUNT"];

/// How object stores are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Settings by their usual names (`aws_region`, `aws_endpoint`, ...); the environment's (`AWS_REGION`, ...) count
    /// where these say nothing.
    pub settings: BTreeMap<String, String>,
    /// How long one question may take: a listing, or a piece of 8 MiB.
    pub timeout: Duration,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { settings: BTreeMap::new(), timeout: Duration::from_secs(30) }
    }
}

/// What a store refused or did not answer.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {problem}")]
pub struct StoreError {
    /// The object, or the store.
    pub url: String,
    /// What is wrong and for how long it was tried.
    pub problem: String,
}

type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A store, asked by a runtime of its own: not from within another one.
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    /// What stands before an object's key in its URL.
    root: String,
    timeout: Duration,
    runtime: Runtime,
}

/// Whether a text names an object store.
#[must_use]
pub fn is_url(text: &str) -> bool {
    text.contains("://")
}

impl Objects {
    /// The store of a URL, and the key in it. Nothing is asked yet.
    ///
    /// # Errors
    /// When the URL or a setting is not understood.
    pub fn open(url: &str, settings: &StoreSettings) -> Result<(Self, Key)> {
        let (store, key) = parse(url, settings)?;
        let path =
            url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or(0, |(_, path)| path.len() + 1);
        let root = url[..url.len() - path].to_owned();
        Ok((Self::over(store, root, settings.timeout)?, key))
    }

    /// A store that is there; `root` stands before the keys in its URLs, without the slash between.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn over(store: Arc<dyn ObjectStore>, root: String, timeout: Duration) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let failed = |error: std::io::Error| StoreError { url: root.clone(), problem: format!("no runtime: {error}") };
        let runtime = runtime.map_err(failed)?;
        Ok(Self { store, root, timeout, runtime })
    }

    /// An object's URL.
    #[must_use]
    pub fn url(&self, key: &Key) -> String {
        format!("{}/{key}", self.root)
    }

    /// All objects below a key.
    ///
    /// # Errors
    /// When the store refuses, or gives no answer in time.
    pub fn list(&self, key: &Key) -> Result<Vec<ObjectMeta>> {
        self.ask("listing", key, || within(self.timeout, self.store.list(Some(key)).try_collect()))
    }

    /// What is known of an object; `None` where there is none.
    ///
    /// # Errors
    /// When the store refuses, or gives no answer in time.
    pub fn head(&self, key: &Key) -> Result<Option<ObjectMeta>> {
        self.ask("looking", key, || async { found(within(self.timeout, self.store.head(key)).await) })
    }

    /// A small object whole, with its version; `None` where there is none.
    ///
    /// # Errors
    /// When the store refuses, or gives no answer in time.
    pub fn read(&self, key: &Key) -> Result<Option<(Vec<u8>, UpdateVersion)>> {
        self.ask("reading", key, || async {
            let read = async {
                let answer = self.store.get(key).await?;
                let version = UpdateVersion { e_tag: answer.meta.e_tag.clone(), version: answer.meta.version.clone() };
                Ok((answer.bytes().await?.to_vec(), version))
            };
            found(within(self.timeout, read).await)
        })
    }

    /// Part of an object, of the version that was looked at, where the store tells versions apart.
    ///
    /// # Errors
    /// When the store refuses, gives no answer in time, or has another version by now.
    pub fn part(&self, meta: &ObjectMeta, range: Range<u64>) -> Result<Vec<u8>> {
        let key = &meta.location;
        // A weak tag is of no use here.
        let if_match = meta.e_tag.clone().filter(|tag| !tag.starts_with("W/"));
        let options = GetOptions { range: Some(range.into()), if_match, ..GetOptions::default() };
        self.ask("fetching", key, || {
            within(self.timeout, async { Ok(self.store.get_opts(key, options.clone()).await?.bytes().await?.to_vec()) })
        })
    }

    /// Brings parts of an object to their places in a file.
    ///
    /// # Errors
    /// When the store refuses or gives no answer in time, or the disk refuses.
    pub fn fetch(&self, key: &Key, ranges: &[Range<u64>], file: &File) -> Result<()> {
        let pieces: Vec<Range<u64>> = ranges.iter().flat_map(|range| cut(range.clone())).collect();
        for pieces in pieces.chunks(SIDE_BY_SIDE) {
            self.ask("fetching", key, || async {
                let fetch = |range: Range<u64>| async move {
                    let bytes = within(self.timeout, self.store.get_range(key, range.clone())).await?;
                    file.write_all_at(&bytes, range.start).map_err(|e| generic(format!("the local disk: {e}")))
                };
                futures::future::try_join_all(pieces.iter().cloned().map(fetch)).await.map(drop)
            })?;
        }
        Ok(())
    }

    /// Puts a small object: over the version that was read, or only where there is none (`None`), if the store can tell; else
    /// over whatever is there. The version that is there then.
    ///
    /// # Errors
    /// When the store refuses, gives no answer in time, or has another version.
    pub fn replace(&self, key: &Key, bytes: &[u8], over: Option<&UpdateVersion>) -> Result<UpdateVersion> {
        let payload = PutPayload::from(bytes.to_vec());
        let mode = over.map_or(PutMode::Create, |version| PutMode::Update(version.clone()));
        self.ask("writing", key, || async {
            let put = self.store.put_opts(key, payload.clone(), mode.clone().into());
            let done = match within(self.timeout, put).await {
                Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {
                    within(self.timeout, self.store.put(key, payload.clone())).await
                }
                // An earlier attempt may have arrived without its answer.
                Err(error @ (object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. })) => {
                    let there = within(self.timeout, async { self.store.get(key).await?.bytes().await }).await?;
                    if there.as_ref() != bytes {
                        return Err(error);
                    }
                    let meta = within(self.timeout, self.store.head(key)).await?;
                    return Ok(UpdateVersion { e_tag: meta.e_tag, version: meta.version });
                }
                done => done,
            };
            done.map(|put| UpdateVersion { e_tag: put.e_tag, version: put.version })
        })
    }

    /// Puts a file, piece by piece, over one of that name.
    ///
    /// # Errors
    /// When the store refuses or gives no answer in time, or the file cannot be read.
    pub fn put_file(&self, key: &Key, path: &Path) -> Result<()> {
        let failed =
            |error: std::io::Error| StoreError { url: self.url(key), problem: format!("{}: {error}", path.display()) };
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let piece = |range: Range<u64>| {
            let mut piece = vec![0; usize::try_from(range.end - range.start).unwrap_or(usize::MAX)];
            file.read_exact_at(&mut piece, range.start).map_err(|e| generic(format!("a local file: {e}")))?;
            Ok::<_, object_store::Error>(PutPayload::from(piece))
        };
        if bytes <= PIECE {
            let put = || async { within(self.timeout, self.store.put(key, piece(0..bytes)?)).await.map(drop) };
            return self.ask("writing", key, put);
        }
        self.ask("writing", key, || async {
            let mut upload = within(self.timeout, self.store.put_multipart(key)).await?;
            let mut put = async || {
                for range in cut(0..bytes) {
                    within(self.timeout, upload.put_part(piece(range)?)).await?;
                }
                within(self.timeout, upload.complete()).await
            };
            let done = put().await;
            if done.is_err() {
                // What is left of it is the store's to clean up.
                let _ = within(self.timeout, upload.abort()).await;
            }
            done.map(drop)
        })
    }

    /// Removes an object, if it is there.
    ///
    /// # Errors
    /// When the store refuses, or gives no answer in time.
    pub fn delete(&self, key: &Key) -> Result<()> {
        self.ask("removing", key, || async { found(within(self.timeout, self.store.delete(key)).await).map(drop) })
    }

    /// Asks until there is an answer, or trouble that does not pass or has lasted too long.
    fn ask<T, F>(&self, what: &str, key: &Key, question: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let (began, mut wait) = (Instant::now(), BACKOFF.0);
        loop {
            let problem = match self.runtime.block_on(question()) {
                Ok(answer) => return Ok(answer),
                Err(error) if !passes(&error) => {
                    return Err(StoreError { url: self.url(key), problem: format!("{what}: {}", line(&error)) });
                }
                Err(error) => line(&error),
            };
            if began.elapsed() + wait > PATIENCE * self.timeout {
                let seconds = began.elapsed().as_secs();
                let problem =
                    format!("{what}: {problem}; tried for {seconds} s: start the job again when the store answers");
                return Err(StoreError { url: self.url(key), problem });
            }
            tracing::warn!(url = self.url(key), problem, "{what}: the object store is asked again");
            std::thread::sleep(wait);
            wait = (2 * wait).min(BACKOFF.1);
        }
    }
}

/// The store that a URL names, and the key in it.
///
/// # Errors
/// When the URL or a setting is not understood.
pub fn parse(url: &str, settings: &StoreSettings) -> Result<(Arc<dyn ObjectStore>, Key)> {
    let wrong = |problem: String| StoreError { url: url.into(), problem };
    let forms = "give file:///..., s3://BUCKET/..., gs://BUCKET/..., az://CONTAINER/... or https://...";
    let parsed = url.parse().map_err(|_| wrong(forms.into()))?;
    let environment = std::env::vars().filter(|(name, _)| ENVIRONMENT.iter().any(|start| name.starts_with(start)));
    // Who writes http:// means it.
    let plain = url.starts_with("http://").then(|| ("allow_http".to_owned(), "true".to_owned()));
    let all = environment.chain(plain).chain(settings.settings.clone());
    let opened = object_store::parse_url_opts(&parsed, all.map(|(name, value)| (name.to_lowercase(), value)));
    let (store, key) = opened.map_err(|error| wrong(format!("{error}: {forms}")))?;
    Ok((Arc::from(store), key))
}

/// A range in pieces.
fn cut(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let pieces = (range.end - range.start).div_ceil(PIECE);
    (0..pieces).map(move |n| range.start + n * PIECE..(range.start + (n + 1) * PIECE).min(range.end))
}

/// `None` where there is no such object.
fn found<T>(answer: object_store::Result<T>) -> object_store::Result<Option<T>> {
    match answer {
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        answer => answer.map(Some),
    }
}

/// Whether asking again may help. A status of 400 to 499 (a bucket that is not there, say) comes as an error of any kind, and its
/// number is told in the text alone; of these 408 and 429 pass.
#[must_use]
pub fn passes(error: &object_store::Error) -> bool {
    let text = error.to_string();
    let status = text.split("status code: ").nth(1).and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0);
    let refused = (400..500).contains(&status) && ![408, 429].contains(&status);
    !refused && matches!(error, object_store::Error::Generic { .. } | object_store::Error::JoinError { .. })
}

/// An error's text on one line: a store's answer may be a page.
fn line(error: &object_store::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Trouble of ours as a store would tell it; it may pass.
#[must_use]
pub fn generic(problem: String) -> object_store::Error {
    object_store::Error::Generic { store: "unspool", source: problem.into() }
}

/// An answer in time, or an error that may pass.
///
/// # Errors
/// As the answer's, and when it does not come in time.
pub async fn within<T>(
    time: Duration,
    answer: impl Future<Output = object_store::Result<T>>,
) -> object_store::Result<T> {
    match tokio::time::timeout(time, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(generic(format!("no answer within {time:?}"))),
    }
}
