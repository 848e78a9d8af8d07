//! Where a job's output is: a folder, and an object store behind it if the job names one.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use super::{
    BatchJob,
    error::{Error, Result},
    manifest::Manifest,
    mirror::Mirror,
    part,
};

/// The place of an output.
pub(super) struct Output {
    dir: PathBuf,
    mirror: Option<Mirror>,
    /// Keeps other processes out of the folder.
    lock: Option<File>,
}

impl Output {
    /// The place of a job's output; nothing is made or changed yet.
    ///
    /// # Errors
    /// When a URL is not understood.
    pub(super) fn open(job: &BatchJob) -> Result<Self> {
        let mirror = job.output_url.as_ref().map(|url| Mirror::open(url, &job.stores, &job.output));
        Ok(Self { dir: job.output.clone(), mirror: mirror.transpose()?, lock: None })
    }

    /// What is finished; `None`: there is no job as yet.
    ///
    /// # Errors
    /// When it cannot be read, or the place holds something else.
    pub(super) fn manifest(&mut self) -> Result<Option<Manifest>> {
        let (manifest, foreign) = match &mut self.mirror {
            Some(mirror) => {
                let manifest = mirror.manifest()?;
                let foreign = if manifest.is_none() { mirror.refuse_foreign() } else { Ok(()) };
                (manifest, foreign)
            }
            None => {
                let manifest = Manifest::read(&self.dir)?;
                let foreign = if manifest.is_none() { part::refuse_foreign(&self.dir) } else { Ok(()) };
                (manifest, foreign)
            }
        };
        foreign.map(|()| manifest)
    }

    /// Makes the folder, and keeps other processes out of it.
    ///
    /// # Errors
    /// When another one is at work in it, or the disk refuses.
    pub(super) fn lock(&mut self) -> Result<()> {
        fs::create_dir_all(&self.dir).map_err(|source| Error::io(&self.dir, &source))?;
        self.lock = Some(lock(&self.dir)?);
        Ok(())
    }

    /// Makes the folder ready to go on from a manifest: what a killed run left goes away.
    ///
    /// # Errors
    /// When the store or the disk refuses.
    pub(super) fn begin(&self, manifest: Option<&Manifest>) -> Result<()> {
        if let Some(mirror) = &self.mirror {
            mirror.begin(manifest)?;
        }
        part::tidy(&self.dir, manifest)
    }

    /// Puts a unit's files where they belong: all that a manifest will name and the one before it does not.
    ///
    /// # Errors
    /// When the store refuses.
    pub(super) fn put(&self, names: &[String]) -> Result<()> {
        self.mirror.as_ref().map_or(Ok(()), |mirror| mirror.put(names))
    }

    /// Commits a manifest.
    ///
    /// # Errors
    /// When the store or the disk refuses, or another machine has committed since.
    pub(super) fn commit(&mut self, manifest: &Manifest) -> Result<()> {
        if let Some(mirror) = &mut self.mirror {
            mirror.commit(manifest)?;
        }
        manifest.write(&self.dir)
    }

    /// Removes what is of no more use after a commit: local files that the store has, and everywhere these.
    ///
    /// # Errors
    /// When the store or the disk refuses.
    pub(super) fn clean(&self, names: &[String], gone: &[PathBuf]) -> Result<()> {
        if let Some(mirror) = &self.mirror {
            mirror.leave(names)?;
            mirror.remove(gone)?;
        }
        let remove = |path: &PathBuf| fs::remove_file(path).map_err(|source| Error::io(path, &source));
        gone.iter().try_for_each(remove)
    }
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("_lock");
    let file = File::create(&path).map_err(|source| Error::io(&path, &source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::Settings(format!("another process runs a job into {}: wait for it", dir.display())))
        }
        Err(TryLockError::Error(source)) => Err(Error::io(&path, &source)),
    }
}
