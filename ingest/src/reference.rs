//! Whole contigs of a FASTA file by their names, one at a time: what variants are compared with.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::UInt64Type,
};

use crate::{
    Decode, Error, Place, Result,
    reads::{
        self, ReadFormat, ReadOptions,
        input::{Input, beside, read_whole},
    },
};

/// The columns that are read.
const COLUMNS: [&str; 4] = ["id", "start", "last", "sequence"];

/// A FASTA file (plain, gzip or bgzip) whose contigs are asked for by name.
///
/// The contig asked for last is held in memory, a byte a base. With an index beside the file (`.fai`, and `.gzi` of a
/// bgzip file) any contig is reached at once; without one the file is read on from the last contig, and once more from its
/// start where that does not find the name.
pub struct Reference {
    path: PathBuf,
    /// The index's names, where there is one.
    names: Option<HashSet<String>>,
    held: Option<(String, Arc<[u8]>)>,
    reading: Option<Reading>,
}

/// Where reading without an index is.
struct Reading {
    decoder: Box<dyn Decode>,
    rows: RecordBatch,
    row: usize,
    /// Bases of the record at hand.
    bases: Vec<u8>,
}

impl Reference {
    /// Opens a file; none of its sequences is read yet.
    ///
    /// # Errors
    /// When it cannot be read, or is no FASTA.
    pub fn open(path: &Path) -> Result<Self> {
        let found = crate::format::detect(path)?;
        if found != crate::format::Format::Fasta {
            let problem = format!("a reference is a FASTA file; this is {found}");
            return Err(Error::Request { path: path.into(), problem });
        }
        Ok(Self { path: path.into(), names: index_names(path)?, held: None, reading: None })
    }

    /// The bases of a contig as they are written; `None` where the file has none of this name.
    ///
    /// # Errors
    /// When the file is damaged, holds what is no base, or has changed since its index was made.
    pub fn contig(&mut self, name: &str) -> Result<Option<Arc<[u8]>>> {
        if let Some((held, bases)) = &self.held
            && held == name
        {
            return Ok(Some(Arc::clone(bases)));
        }
        let found = match &self.names {
            Some(names) if !names.contains(name) => None,
            Some(_) => Reading::open(&self.path, Some(name))?.next(&self.path)?.map(|(_, bases)| bases),
            None => self.search(name)?,
        };
        let Some(bases) = found else { return Ok(None) };
        let bases: Arc<[u8]> = bases.into();
        self.held = Some((name.to_owned(), Arc::clone(&bases)));
        Ok(Some(bases))
    }

    /// Reads on to a contig, once more from the start where it was not found.
    fn search(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        for again in [false, true] {
            if again {
                self.reading = None;
            }
            let reading = match &mut self.reading {
                Some(reading) => reading,
                none => none.insert(Reading::open(&self.path, None)?),
            };
            while let Some((found, bases)) = reading.next(&self.path)? {
                if found == name {
                    return Ok(Some(bases));
                }
            }
        }
        Ok(None)
    }
}

impl Reading {
    fn open(path: &Path, region: Option<&str>) -> Result<Self> {
        let columns = Some(COLUMNS.map(str::to_owned).to_vec());
        let region = region.map(str::to_owned);
        let options = ReadOptions { format: Some(ReadFormat::Fasta), columns, region, ..ReadOptions::default() };
        let decoder = reads::decoder(path, &options)?;
        let rows = RecordBatch::new_empty(decoder.schema());
        Ok(Self { decoder, rows, row: 0, bases: vec![] })
    }

    /// The next record, or `None` at the end of the file.
    fn next(&mut self, path: &Path) -> Result<Option<(String, Vec<u8>)>> {
        loop {
            while self.row < self.rows.num_rows() {
                let row = self.row;
                self.row += 1;
                let text = |column: &str| self.rows[column].as_string::<i32>();
                if self.rows["start"].as_primitive::<UInt64Type>().value(row) == 0 {
                    self.bases.clear();
                }
                let sequence = text("sequence");
                if sequence.is_valid(row) {
                    self.bases.extend_from_slice(sequence.value(row).as_bytes());
                }
                if self.rows["last"].as_boolean().value(row) {
                    let id = text("id");
                    let id = if id.is_valid(row) { id.value(row).to_owned() } else { String::new() };
                    return Ok(Some((id, std::mem::take(&mut self.bases))));
                }
            }
            let Some(batch) = self.decoder.decode()? else { return Ok(None) };
            if let Some(reject) = batch.rejects.first() {
                let problem = format!("{}: {}", reject.place, reject.reason);
                return Err(Error::Invalid { path: path.into(), place: Place::Whole, problem });
            }
            (self.rows, self.row) = (batch.rows, 0);
        }
    }
}

/// The names in `FILE.fai`, where the file's indexes are all there.
fn index_names(path: &Path) -> Result<Option<HashSet<String>>> {
    let input = Input::open(path, 0)?;
    let blocks = if input.is_bgzf() { read_whole(&beside(path, "gzi"))? } else { Some(vec![]) };
    if !input.is_seekable() || blocks.is_none() {
        return Ok(None);
    }
    let Some(text) = read_whole(&beside(path, "fai"))? else { return Ok(None) };
    let text = String::from_utf8_lossy(&text);
    Ok(Some(text.lines().filter_map(|line| line.split('\t').next()).map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for contigs in an order; `.` stands for one that is not there.
    fn check(reference: &mut Reference, asked: &[(&str, &str)]) {
        for (name, expected) in asked {
            let found = reference.contig(name).unwrap();
            let found = found.as_deref().map_or(".".into(), String::from_utf8_lossy);
            assert_eq!(found, *expected, "{name}");
        }
    }

    #[test]
    fn contigs_in_any_order_with_and_without_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.fa");
        std::fs::write(&path, ">a first\nACG\nT\n>b\nnnN\n>c\nRY\n").unwrap();
        let asked = [("b", "nnN"), ("c", "RY"), ("c", "RY"), ("a", "ACGT"), ("d", "."), ("b", "nnN")];
        check(&mut Reference::open(&path).unwrap(), &asked);
        std::fs::write(folder.path().join("x.fa.fai"), "a\t4\t9\t3\t4\nb\t3\t18\t3\t4\nc\t2\t25\t2\t3\n").unwrap();
        check(&mut Reference::open(&path).unwrap(), &asked);
    }

    #[test]
    fn what_is_no_reference_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.fq");
        std::fs::write(&path, "@a\nACGT\n+\nIIII\n").unwrap();
        let problem = Reference::open(&path).err().unwrap().to_string();
        assert!(problem.ends_with("a reference is a FASTA file; this is FASTQ"), "{problem}");
        std::fs::write(&path, ">a\nAC1\n").unwrap();
        let problem = Reference::open(&path).unwrap().contig("a").err().unwrap().to_string();
        assert!(problem.contains("'1'"), "{problem}");
    }
}
