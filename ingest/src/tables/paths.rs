//! Files by their names and sizes.

use std::path::{Path, PathBuf};

/// Endings of a file name that say how it is stored.
const STORED: [&str; 7] = [".gz", ".bgz", ".csv", ".tsv", ".txt", ".tsf", ".parquet"];

/// The largest text file, as stored, whose rows are counted for a description.
pub(super) const MAX_COUNTED_BYTES: u64 = 64 << 20;

/// A file's name without what says how it is stored: the id of its only series.
pub(super) fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let mut stem = &*name;
    while let Some(shorter) = STORED.iter().find_map(|end| stem.strip_suffix(end)).filter(|s| !s.is_empty()) {
        stem = shorter;
    }
    stem.to_owned()
}

/// Stored bytes of all files.
pub(super) fn total_size(files: &[PathBuf]) -> u64 {
    files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|metadata| metadata.len()).sum()
}
