//! Tables of labelled sequences: CSV, plain or gzip, with a column `sequence` and perhaps a column `label`.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use flate2::read::MultiGzDecoder;

use super::DataError;

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Labelled {
    /// The file and the line.
    pub(crate) place: String,
    /// Bases as written.
    pub(crate) sequence: String,
    /// Its label; empty where the table has none.
    pub(crate) label: String,
}

/// The rows of a table, in order.
///
/// # Errors
/// When the file cannot be read, is no CSV, or has no column `sequence`.
pub(crate) fn read(path: &Path) -> Result<Vec<Labelled>, DataError> {
    let fail = |problem: String| DataError::File { path: path.to_owned(), problem };
    let file = BufReader::new(File::open(path).map_err(|error| fail(error.to_string()))?);
    let packed = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gz"));
    let bytes: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut table = csv::Reader::from_reader(bytes);
    let headers = table.headers().map_err(|error| fail(error.to_string()))?;
    let column = |name: &str| headers.iter().position(|header| header == name);
    let (Some(sequence), label) = (column("sequence"), column("label")) else {
        return Err(fail("no column `sequence`".into()));
    };
    let row = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.map_err(|error| fail(error.to_string()))?;
        let text = |column: Option<usize>| column.and_then(|column| record.get(column)).unwrap_or_default().to_owned();
        let line = record.position().map_or(0, csv::Position::line);
        let place = format!("{}, line {line}", path.display());
        Ok(Labelled { place, sequence: text(Some(sequence)), label: text(label) })
    };
    table.records().map(row).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn tables_are_read_and_damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            super::read(&path).map(|rows| rows.into_iter().map(|row| (row.sequence, row.label)).collect::<Vec<_>>())
        };
        let row = |sequence: &str, label: &str| (sequence.to_owned(), label.to_owned());
        assert_eq!(read("sequence,label\nACG,1\nTTA,0\n").unwrap(), [row("ACG", "1"), row("TTA", "0")]);
        assert_eq!(read("start,sequence\n4,ACG\n").unwrap(), [row("ACG", "")]);
        let refused = |text: &str, expected: &str| {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("a.csv") && error.contains(expected), "{error}");
        };
        refused("bases,label\nACG,1\n", "no column `sequence`");
        refused("sequence,label\nACG,1\nACG\n", "line: 3");
        std::fs::write(dir.path().join("b.csv.gz"), "no gzip").unwrap();
        assert!(super::read(&dir.path().join("b.csv.gz")).is_err() && super::read(&dir.path().join("c.csv")).is_err());
    }
}
