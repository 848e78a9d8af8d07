//! Where test data lies, and files made on the spot.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use noodles::bgzf;

/// A file or folder of the project's data, or `None` (said on stderr) where the data is not at hand.
pub(crate) fn data(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("UNSPOOL_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let path = root.join(path);
    if !path.exists() {
        eprintln!("skipped: {} is not there (set UNSPOOL_DATA to the folder of the data)", path.display());
        return None;
    }
    Some(path)
}

/// The files of a folder whose names end so, sorted.
pub(crate) fn files(folder: &Path, ends: &[&str]) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| ends.iter().any(|end| path.to_string_lossy().ends_with(end)))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no files in {}", folder.display());
    files
}

/// One gzip member.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// BGZF blocks of `block` bytes each, and the end-of-file block.
pub(crate) fn bgzip(bytes: &[u8], block: usize) -> Vec<u8> {
    let mut writer = bgzf::io::Writer::new(vec![]);
    for chunk in bytes.chunks(block) {
        writer.write_all(chunk).unwrap();
        writer.flush().unwrap();
    }
    writer.finish().unwrap()
}

/// A file of a test, gone with the test.
pub(crate) struct Sample {
    folder: tempfile::TempDir,
    name: String,
}

impl Sample {
    pub(crate) fn new(name: &str, bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), bytes).unwrap();
        Self { folder, name: name.into() }
    }

    /// Adds a file beside, `.ext` after the sample's whole name.
    pub(crate) fn with(self, extension: &str, bytes: &[u8]) -> Self {
        std::fs::write(self.folder.path().join(format!("{}.{extension}", self.name)), bytes).unwrap();
        self
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }
}
