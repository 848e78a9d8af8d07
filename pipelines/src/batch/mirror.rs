//! An output in an object store: what the local folder makes, put where others read it.
//!
//! A unit's files are put first, then the manifest, over the version that was read before: two machines cannot both commit.
//! The manifest in the store counts; the local folder holds what a unit needs while it is made, and the series' values and states.

use std::{
    fs,
    path::{Path, PathBuf},
};

use object_store::{UpdateVersion, path::Path as Key};
use unspool_ingest::objects::{Objects, StoreSettings};

use super::{
    book,
    error::{Error, Result},
    manifest::{self, Manifest},
    segment,
};

/// The store's side of an output.
pub(super) struct Mirror {
    store: Objects,
    root: Key,
    dir: PathBuf,
    /// The manifest's, as read or put last.
    version: Option<UpdateVersion>,
}

impl Mirror {
    /// The output at a URL, made in a local folder.
    ///
    /// # Errors
    /// When the URL is not understood.
    pub(super) fn open(url: &str, settings: &StoreSettings, dir: &Path) -> Result<Self> {
        let (store, root) = Objects::open(url, settings)?;
        Ok(Self::over((store, root), dir))
    }

    /// The same in a store that is there.
    pub(super) fn over((store, root): (Objects, Key), dir: &Path) -> Self {
        Self { store, root, dir: dir.to_owned(), version: None }
    }

    /// The manifest in the store.
    ///
    /// # Errors
    /// When the store refuses, or the manifest is damaged.
    pub(super) fn manifest(&mut self) -> Result<Option<Manifest>> {
        let key = self.key(Path::new(manifest::NAME));
        let Some((bytes, version)) = self.store.read(&key)? else {
            self.version = None;
            return Ok(None);
        };
        self.version = Some(version);
        Manifest::parse(&bytes, Path::new(&self.store.url(&key))).map(Some)
    }

    /// Refuses a place without a manifest where somebody else's objects are.
    ///
    /// # Errors
    /// When there are, or the store refuses.
    pub(super) fn refuse_foreign(&self) -> Result<()> {
        let root = self.root.as_ref();
        let name = |key: &Key| key.as_ref().strip_prefix(root).unwrap_or_default().trim_start_matches('/').to_owned();
        let ours =
            |name: &String| name.starts_with('_') || name.rsplit('/').next().is_some_and(|n| n.starts_with("part-"));
        let foreign = self.store.list(&self.root)?.iter().map(|meta| name(&meta.location)).find(|name| !ours(name));
        let Some(name) = foreign else { return Ok(()) };
        let url = self.store.url(&self.root);
        Err(Error::Settings(format!("output.dir: {url}/{name} is there, but no _manifest.json: name an empty folder")))
    }

    /// Makes the local folder hold what the manifest in the store says: its values and states.
    ///
    /// # Errors
    /// When the store or the disk refuses.
    pub(super) fn begin(&self, manifest: Option<&Manifest>) -> Result<()> {
        let Some(manifest) = manifest else { return Manifest::forget(&self.dir) };
        let folder = self.dir.join(segment::FOLDER);
        fs::create_dir_all(&folder).map_err(|source| Error::io(&folder, &source))?;
        for entry in &manifest.segments {
            let (path, name) = (folder.join(book::name(entry.unit)), book::name(entry.unit));
            if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == entry.bytes) {
                continue;
            }
            let draft = folder.join(format!("{name}.partial"));
            let failed = |source: std::io::Error| Error::io(&draft, &source);
            let file = fs::File::create(&draft).map_err(failed)?;
            let key = self.key(&Path::new(segment::FOLDER).join(&name));
            self.store.fetch(&key, std::slice::from_ref(&(0..entry.bytes)), &file)?;
            file.sync_all().and_then(|()| fs::rename(&draft, &path)).map_err(failed)?;
        }
        manifest.write(&self.dir)
    }

    /// Puts a unit's files, by their paths in the folder.
    ///
    /// # Errors
    /// When the store refuses.
    pub(super) fn put(&self, names: &[String]) -> Result<()> {
        names.iter().try_for_each(|name| Ok(self.store.put_file(&self.key(Path::new(name)), &self.dir.join(name))?))
    }

    /// Commits: the manifest takes the place of the one that was read or put last.
    ///
    /// # Errors
    /// When the store refuses, or another machine has committed since.
    pub(super) fn commit(&mut self, manifest: &Manifest) -> Result<()> {
        let key = self.key(Path::new(manifest::NAME));
        let bytes = manifest.bytes()?;
        self.version = Some(self.store.replace(&key, &bytes, self.version.as_ref())?);
        Ok(())
    }

    /// Removes a unit's local files: they are in the store.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn leave(&self, names: &[String]) -> Result<()> {
        let remove = |name: &String| {
            let path = self.dir.join(name);
            fs::remove_file(&path).map_err(|source| Error::io(&path, &source))
        };
        names.iter().try_for_each(remove)
    }

    /// Removes objects by their paths in the folder.
    ///
    /// # Errors
    /// When the store refuses.
    pub(super) fn remove(&self, paths: &[PathBuf]) -> Result<()> {
        let name = |path: &PathBuf| path.strip_prefix(&self.dir).map(Path::to_owned).unwrap_or_default();
        paths.iter().try_for_each(|path| Ok(self.store.delete(&self.key(&name(path)))?))
    }

    fn key(&self, name: &Path) -> Key {
        let joined = format!("{}/{}", self.root, name.display());
        // Names are keys as they are: `%2F` in one is no slash, and stays.
        Key::parse(&joined).unwrap_or_else(|_| Key::from(joined))
    }
}
