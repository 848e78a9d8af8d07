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

/// What a `key=value` folder that a file lies in says of a key, the innermost one first.
pub(super) fn partition(path: &Path, key: &str) -> Option<String> {
    let folders = path.parent()?.components().rev();
    folders
        .filter_map(|folder| folder.as_os_str().to_str()?.split_once('='))
        .find_map(|(found, value)| (found == key).then(|| unescaped(value)))
}

/// `%XX` as the byte that it stands for: so Hive writes what no folder's name may hold.
fn unescaped(text: &str) -> String {
    let (mut bytes, mut rest) = (vec![], text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        match code.filter(|_| first == b'%').and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Stored bytes of all files.
pub(super) fn total_size(files: &[PathBuf]) -> u64 {
    files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|metadata| metadata.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_name_what_is_the_same_for_all_rows() {
        let check = |path: &str, key: &str, expected: Option<&str>| {
            assert_eq!(partition(Path::new(path), key).as_deref(), expected, "{path} {key}");
        };
        check("lake/region=north/day=1/x.parquet", "region", Some("north"));
        check("lake/region=north/region=south/x.parquet", "region", Some("south"));
        check("lake/region=a%2Fb%3D/x.parquet", "region", Some("a/b="));
        check("lake/region=100%/x.parquet", "region", Some("100%"));
        check("lake/region=north/x.parquet", "day", None);
        check("lake/day=1.parquet", "day", None);
    }
}
