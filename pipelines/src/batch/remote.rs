//! Input files in object stores: found by their keys, and brought to the local disk one at a time.
//!
//! Of a Parquet file only the footer and the columns that are read are fetched, to where they stand in a file with holes;
//! of others all. So every reader works on them, and a lake is never on the disk whole.

use std::{
    collections::HashMap,
    fs::{self, File},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use object_store::{ObjectMeta, path::Path as Key};
use unspool_ingest::{
    objects::{Objects, StoreSettings},
    tables::{self, SeriesOptions},
};

use super::{
    error::{Error, Result},
    files::{FileEntry, Kind},
};

/// So much of a file's beginning and of its end is fetched to see what it is.
const EDGE: u64 = 1 << 20;

/// An object, and where it lies on the local disk once it was brought.
#[derive(Clone)]
pub(super) struct Remote {
    store: Arc<Objects>,
    key: Key,
    bytes: u64,
    local: PathBuf,
}

/// The stores of a job's inputs, each opened once.
pub(super) struct Stores<'a> {
    settings: &'a StoreSettings,
    folder: &'a Path,
    open: HashMap<String, Arc<Objects>>,
}

impl<'a> Stores<'a> {
    /// No store is open; files are brought into this folder.
    pub(super) fn new(settings: &'a StoreSettings, folder: &'a Path) -> Self {
        Self { settings, folder, open: HashMap::new() }
    }

    /// The objects that a URL names, in the order of their keys: one object, those below a key, or those that fit `*` and
    /// `**`.
    ///
    /// # Errors
    /// When the store refuses, or there are none.
    pub(super) fn find(&mut self, url: &str, kind: Kind) -> Result<Vec<(FileEntry, Remote)>> {
        let plain = url.find('*').map_or(url, |star| &url[..url[..star].rfind('/').unwrap_or(star)]);
        let (opened, key) = Objects::open(plain, self.settings)?;
        let store = self.open.entry(opened.url(&Key::default())).or_insert_with(|| Arc::new(opened));
        let found = found(store, (url, plain), (key, kind))?;
        if found.is_empty() {
            let wanted = kind.endings().join(", ");
            return Err(Error::Settings(format!("input.paths: '{url}' names no object (of folders: {wanted})")));
        }
        let of = |meta: ObjectMeta| {
            let name = store.url(&meta.location);
            let changed = meta.e_tag.unwrap_or_else(|| meta.last_modified.to_rfc3339());
            let print = blake3::hash(format!("{} {changed}", meta.size).as_bytes()).to_hex()[..32].to_owned();
            let place = blake3::hash(store.url(&Key::default()).as_bytes()).to_hex()[..8].to_owned();
            let local = self.folder.join(place).join(meta.location.as_ref());
            let remote = Remote { store: Arc::clone(store), key: meta.location, bytes: meta.size, local };
            (FileEntry { name, bytes: meta.size, print }, remote)
        };
        Ok(found.into_iter().map(of).collect())
    }
}

fn found(store: &Objects, (url, plain): (&str, &str), (key, kind): (Key, Kind)) -> Result<Vec<ObjectMeta>> {
    if url == plain
        && let Some(meta) = store.head(&key)?
    {
        return Ok(vec![meta]);
    }
    let below = store.list(&key)?;
    let name = |meta: &ObjectMeta| meta.location.as_ref().strip_prefix(key.as_ref()).unwrap_or_default().to_owned();
    let rest = url[plain.len()..].trim_start_matches('/');
    let pattern = glob::Pattern::new(rest);
    let pattern = pattern.map_err(|error| Error::Settings(format!("input.paths: '{url}': {error}")))?;
    let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
    let mut below: Vec<ObjectMeta> = below
        .into_iter()
        .filter(|meta| {
            let name = name(meta);
            let name = name.trim_start_matches('/');
            let hidden = name.split('/').any(|part| part.starts_with(['_', '.']));
            let fits = if rest.is_empty() { kind.takes(name) } else { pattern.matches_with(name, options) };
            !hidden && fits
        })
        .collect();
    below.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(below)
}

impl Remote {
    /// Where it lies on the local disk once it was brought.
    pub(super) fn local(&self) -> &Path {
        &self.local
    }

    /// Brings its edges, which say what it is: nothing between them is there.
    ///
    /// # Errors
    /// When the store or the disk refuses.
    pub(super) fn bring_edges(&self) -> Result<()> {
        let file = self.create()?;
        let first = 0..EDGE.min(self.bytes);
        let last = first.end.max(self.bytes.saturating_sub(EDGE))..self.bytes;
        self.store.fetch(&self.key, &[first, last.clone()], &file)?;
        // A longer footer says how long it is.
        let mut tail = [0; 8];
        if self.bytes > 2 * EDGE && std::os::unix::fs::FileExt::read_exact_at(&file, &mut tail, self.bytes - 8).is_ok()
        {
            let (len, magic) = tail.split_at(4);
            let len = u64::from(u32::from_le_bytes(len.try_into().unwrap_or_default())) + 8;
            if magic == b"PAR1" && len > EDGE && len < self.bytes {
                self.store.fetch(&self.key, std::slice::from_ref(&(self.bytes - len..last.start)), &file)?;
            }
        }
        Ok(())
    }

    /// Brings what is read of it.
    ///
    /// # Errors
    /// When the store or the disk refuses.
    pub(super) fn bring(&self, columns: &SeriesOptions) -> Result<()> {
        self.bring_edges()?;
        let file = File::options().write(true).open(&self.local).map_err(|source| Error::io(&self.local, &source))?;
        let all: Range<u64> = EDGE.min(self.bytes)..self.bytes;
        let ranges = tables::column_ranges(&self.local, columns)?.unwrap_or_else(|| vec![all]);
        Ok(self.store.fetch(&self.key, &ranges, &file)?)
    }

    /// Removes what was brought.
    pub(super) fn leave(&self) {
        // What stays goes with the folder.
        let _ = fs::remove_file(&self.local);
    }

    fn create(&self) -> Result<File> {
        let create = || {
            fs::create_dir_all(self.local.parent().unwrap_or(Path::new("")))?;
            let file = File::options().create(true).truncate(true).read(true).write(true).open(&self.local)?;
            file.set_len(self.bytes)?;
            Ok(file)
        };
        create().map_err(|source: std::io::Error| Error::io(&self.local, &source))
    }
}
