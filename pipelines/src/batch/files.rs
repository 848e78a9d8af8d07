//! Which files an input names, in which order, and how to know them again.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use unspool_ingest::format::{self, Format};

use super::error::{Error, Result};

/// What files are taken out of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Series,
    Reads,
}

impl Kind {
    /// Endings of the files' names.
    pub(super) fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Series => &[".parquet", ".csv", ".csv.gz", ".tsf"],
            Self::Reads => &[
                ".bam",
                ".cram",
                ".sam",
                ".fa",
                ".fasta",
                ".fna",
                ".fq",
                ".fastq",
                ".sam.gz",
                ".fa.gz",
                ".fasta.gz",
                ".fna.gz",
                ".fq.gz",
                ".fastq.gz",
            ],
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Series => Self::Reads,
            Self::Reads => Self::Series,
        }
    }

    /// That a file is of this kind and the model takes the other one, and what to do.
    pub(super) fn instead(self) -> &'static str {
        match self {
            Self::Series => "series, and the model takes DNA: leave `model` out for the built-in one of series",
            Self::Reads => "reads, and the model takes series: name a model of DNA, such as dna-1",
        }
    }

    /// The kind of files of a format; `None`: no job reads them.
    fn of(format: Format) -> Option<Self> {
        match format {
            Format::Fasta | Format::Fastq | Format::Sam | Format::Bam | Format::Cram => Some(Self::Reads),
            Format::Csv | Format::Tsf | Format::Parquet => Some(Self::Series),
            _ => None,
        }
    }

    /// Refuses a file of the other kind; one that is not understood is left to its reader.
    ///
    /// # Errors
    /// When it is.
    pub(super) fn check(self, path: &Path) -> Result<()> {
        match format::detect(path).ok().and_then(Self::of) {
            Some(found) if found != self => {
                Err(Error::Input { path: path.into(), problem: format!("it holds {}", found.instead()) })
            }
            _ => Ok(()),
        }
    }

    /// Whether a folder's file of this name is taken.
    pub(super) fn takes(self, name: &str) -> bool {
        self.endings().iter().any(|ending| name.to_ascii_lowercase().ends_with(ending))
    }
}
/// So many bytes of a file's beginning and of its end are hashed.
const EDGE_BYTES: u64 = 64 << 10;

/// An input file, as the manifest knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its path relative to the job's folder, where it lies in there.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// A hash of its size, its first and its last 64 KiB: a Parquet file's metadata are in its end.
    pub print: String,
}

/// The files that a pattern names, by name, folder by folder.
///
/// # Errors
/// When it is no pattern or names no file.
pub(super) fn find(folder: &Path, pattern: &str, kind: Kind) -> Result<Vec<PathBuf>> {
    let path = folder.join(pattern.strip_prefix("file://").unwrap_or(pattern));
    let mut found = vec![];
    if path.is_dir() {
        walk(&path, kind, &mut found)?;
    } else if path.is_file() {
        found.push(path.clone());
    } else {
        globbed(&path, &mut found)?;
    }
    found.sort();
    if found.is_empty() {
        let mut others = vec![];
        if path.is_dir() {
            walk(&path, kind.other(), &mut others)?;
        }
        if !others.is_empty() {
            return Err(Error::Settings(format!("input.paths: '{pattern}' holds {}", kind.other().instead())));
        }
        let wanted = kind.endings().join(", ");
        return Err(Error::Settings(format!("input.paths: '{pattern}' names no file (of folders: {wanted})")));
    }
    Ok(found)
}

/// The name of a file in the manifest.
pub(super) fn name(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

/// What is known of a file.
///
/// # Errors
/// When it cannot be read.
pub(super) fn entry(folder: &Path, path: &Path) -> Result<FileEntry> {
    let print = || -> std::io::Result<(u64, String)> {
        let mut file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut hasher = blake3::Hasher::new();
        hasher.update(&bytes.to_le_bytes());
        for start in [0, bytes.saturating_sub(EDGE_BYTES)] {
            file.seek(SeekFrom::Start(start))?;
            let mut edge = vec![];
            (&file).take(EDGE_BYTES).read_to_end(&mut edge)?;
            hasher.update(&edge);
        }
        Ok((bytes, hasher.finalize().to_hex()[..32].to_owned()))
    };
    let (bytes, print) = print().map_err(|source| unreadable(path, &source))?;
    Ok(FileEntry { name: name(folder, path), bytes, print })
}

fn globbed(pattern: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let text = pattern.to_string_lossy();
    let paths = glob::glob(&text).map_err(|error| Error::Settings(format!("input.paths: '{text}': {error}")))?;
    for path in paths {
        let path = path.map_err(|error| unreadable(error.path(), error.error()))?;
        if path.is_file() && !hidden(&path) {
            found.push(path);
        }
    }
    Ok(())
}

/// Files in a folder and in the folders in it (`key=value` ones too), but for hidden ones.
fn walk(dir: &Path, kind: Kind, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(dir).map_err(|source| unreadable(dir, &source))?;
    for entry in entries {
        let path = entry.map_err(|source| unreadable(dir, &source))?.path();
        if hidden(&path) {
            continue;
        }
        if path.is_dir() {
            walk(&path, kind, found)?;
        } else if kind.takes(&path.to_string_lossy()) {
            found.push(path);
        }
    }
    Ok(())
}

/// Data sets keep what is no data under names with an underscore or a dot.
fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(['_', '.']))
}

fn unreadable(path: &Path, source: &std::io::Error) -> Error {
    Error::Input { path: path.into(), problem: source.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_by_name_within_partitions() {
        let lake = tempfile::tempdir().unwrap();
        for name in ["day=02/b.parquet", "day=02/a.parquet", "day=01/z.csv", "day=01/_x.csv", "notes.txt", "_m/a.csv"] {
            let path = lake.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let check = |patterns: &[&str], expected: Result<&[&str], &str>| {
            let found =
                patterns.iter().map(|pattern| find(lake.path(), pattern, Kind::Series)).collect::<Result<Vec<_>>>();
            let found = found.map(|all| all.concat()).map_err(|error| error.to_string());
            let found = found.map(|paths| paths.iter().map(|path| name(lake.path(), path)).collect::<Vec<_>>());
            assert_eq!(
                found,
                expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect()).map_err(str::to_owned)
            );
        };
        let all = ["day=01/z.csv", "day=02/a.parquet", "day=02/b.parquet"];
        check(&["."], Ok(&all));
        check(&["day=*/*"], Ok(&all));
        check(&["**/*.parquet", "day=01"], Ok(&[all[1], all[2], all[0]]));
        check(&["day=03/*"], Err("input.paths: 'day=03/*' names no file (of folders: .parquet, .csv, .csv.gz, .tsf)"));
    }

    #[test]
    fn a_print_sees_what_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let print = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            entry(folder.path(), &path).unwrap()
        };
        let (first, same, longer, other) = (print(b"abc"), print(b"abc"), print(b"abcd"), print(b"abd"));
        assert_eq!((&first, first.bytes, first.name.as_str()), (&same, 3, "a.csv"));
        assert_ne!(first.print, longer.print);
        assert_ne!(first.print, other.print);
    }
}
