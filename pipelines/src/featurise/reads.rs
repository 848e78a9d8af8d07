//! Reads and contigs to chunks of bases.

use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch, StringArray, UInt64Array},
    datatypes::{DataType, UInt64Type},
};
use unspool_ingest::Reject;
use unspool_model::dna;

use crate::{Chunk, End, Error, Events, Owner, Result, Sequence};

/// A reject keeps at most this many bytes of the row.
const PAYLOAD_BYTES: usize = 64 << 10;

/// A record that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its sequence.
    pub sequence: Sequence,
    /// Its name.
    pub id: Option<String>,
    /// 0-based place of its first base: not 0 where a region was asked for.
    pub start: u64,
    /// The row of the batch that it begins with.
    pub row: usize,
}

/// What a batch of rows gave.
#[derive(Debug, Default)]
pub struct Featurised {
    /// Records that begin in the batch.
    pub begun: Vec<Record>,
    /// Their bases, and those of a record that began earlier, in order.
    pub chunks: Vec<Chunk>,
    /// Rows that cannot be used.
    pub rejects: Vec<Reject>,
}

/// Rows of the reads schema (at least `id`, `start`, `last` and `sequence`) to chunks of bases.
///
/// The pieces of a long record follow one another; they keep one sequence until `last`, and those of one batch are one chunk. A letter that is no base makes a
/// reject of its record: what stands before it is a chunk that ends [`End::Broken`], what follows is skipped.
#[derive(Debug, Default)]
pub struct ReadsFeaturiser {
    next: u64,
    open: Option<Open>,
}

/// A record whose last piece has not come yet.
#[derive(Debug)]
struct Open {
    record: Record,
    bases: u64,
    broken: bool,
    /// Where its last chunk begins in the batch's text, if that is of this batch.
    chunk: Option<usize>,
}

/// The columns of a batch.
struct Columns<'a> {
    id: &'a StringArray,
    start: &'a UInt64Array,
    last: &'a BooleanArray,
    sequence: &'a StringArray,
}

impl ReadsFeaturiser {
    /// Cuts a batch into chunks; copies no base.
    ///
    /// # Errors
    /// When a column is missing or has another type.
    pub fn featurise(&mut self, rows: &RecordBatch) -> Result<Featurised> {
        let columns = Columns::of(rows)?;
        let mut found = Featurised::default();
        if let Some(open) = &mut self.open {
            open.chunk = None;
        }
        for row in 0..rows.num_rows() {
            self.row(&columns, row, &mut found);
        }
        Ok(found)
    }

    /// Numbers the next record so, and those after it from there on.
    pub(crate) fn number_from(&mut self, next: u64) {
        self.next = next;
    }

    /// The number of the next record; `None` within one.
    pub(crate) fn between_records(&self) -> Option<u64> {
        self.open.is_none().then_some(self.next)
    }

    /// A record that the input's end cut off, as a reject.
    pub fn end(&mut self) -> Option<(Sequence, Reject)> {
        let open = self.open.take()?;
        let reason = "the input ends within the record".into();
        Some((open.record.sequence, Reject { place: open.record.place(), reason, payload: vec![] }))
    }

    fn row(&mut self, columns: &Columns<'_>, row: usize, found: &mut Featurised) {
        let mut open = self.open.take().unwrap_or_else(|| {
            let sequence = Sequence(self.next);
            self.next += 1;
            let id = columns.id.is_valid(row).then(|| columns.id.value(row).to_owned());
            let record = Record { sequence, id, start: columns.start.value(row), row };
            Open { record, bases: 0, broken: false, chunk: None }
        });
        let last = columns.last.value(row);
        if !open.broken {
            open.piece(columns, row, found);
        }
        if !last {
            self.open = Some(open);
        }
    }
}

impl Open {
    /// Takes the record's next piece.
    fn piece(&mut self, columns: &Columns<'_>, row: usize, found: &mut Featurised) {
        let last = columns.last.value(row);
        let bases = if columns.sequence.is_valid(row) { columns.sequence.value(row).as_bytes() } else { &[] };
        if last && bases.is_empty() && self.bases == 0 {
            let reason = "it has no bases".into();
            found.rejects.push(Reject { place: self.record.place(), reason, payload: vec![] });
            return;
        }
        let bad = dna::check(bases).err();
        let good = bad.map_or(bases.len(), |bad| bad.at);
        let end = match bad {
            Some(_) => End::Broken,
            None if last => End::Complete,
            None => End::Open,
        };
        if self.bases == 0 && (good > 0 || end != End::Broken) {
            found.begun.push(Record { row, ..self.record.clone() });
        }
        if self.bases > 0 || good > 0 || end != End::Broken {
            let at = usize::try_from(columns.sequence.value_offsets()[row]).unwrap_or_default();
            let before = self.chunk.and_then(|start| found.chunks.pop().map(|_| start));
            let start = before.unwrap_or(at);
            self.chunk = Some(start);
            let events = Events::Bases(columns.sequence.values().slice_with_length(start, at + good - start));
            found.chunks.push(Chunk { sequence: self.record.sequence, owner: Owner::default(), events, end });
        }
        if let Some(bad) = bad {
            let place = format!("{}, base {} (0-based)", self.record.place(), columns.start.value(row) + bad.at as u64);
            let letter = bad.byte.escape_ascii();
            let reason = format!("'{letter}' is no base: A C G T U N and the IUPAC ambiguity codes are");
            let payload = bases[..bases.len().min(PAYLOAD_BYTES)].to_vec();
            found.rejects.push(Reject { place, reason, payload });
            self.broken = true;
        }
        self.bases += good as u64;
    }
}

impl Record {
    /// For a person.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.id {
            Some(id) => format!("record '{id}'"),
            None => format!("record number {} (unnamed)", self.sequence.0 + 1),
        }
    }
}

impl<'a> Columns<'a> {
    fn of(rows: &'a RecordBatch) -> Result<Self> {
        let column = |name: &str, expected: &DataType| match rows.column_by_name(name) {
            Some(column) if column.data_type() == expected => Ok(column),
            _ => Err(Error::Rows(format!("a column '{name}' of type {expected} is needed"))),
        };
        Ok(Self {
            id: column("id", &DataType::Utf8)?.as_string(),
            start: column("start", &DataType::UInt64)?.as_primitive::<UInt64Type>(),
            last: column("last", &DataType::Boolean)?.as_boolean(),
            sequence: column("sequence", &DataType::Utf8)?.as_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::ArrayRef;

    use super::*;

    type Row<'a> = (Option<&'a str>, u64, bool, Option<&'a str>);

    fn rows(rows: &[Row<'_>]) -> RecordBatch {
        let columns: [(&str, ArrayRef); 4] = [
            ("id", Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>())),
            ("start", Arc::new(rows.iter().map(|row| row.1).collect::<UInt64Array>())),
            ("last", Arc::new(rows.iter().map(|row| Some(row.2)).collect::<BooleanArray>())),
            ("sequence", Arc::new(rows.iter().map(|row| row.3).collect::<StringArray>())),
        ];
        RecordBatch::try_from_iter(columns).expect("rows")
    }

    /// Chunks as `sequence:bases` with `.` (complete), `+` (open) or `!` (broken), those of one sequence put together, and
    /// rejects as `place: reason`.
    fn check(input: &[Row<'_>], chunks: &[&str], rejects: &[&str]) {
        for batch_rows in [1, 2, 100] {
            let (mut featuriser, mut found, mut refused) = (ReadsFeaturiser::default(), Vec::<String>::new(), vec![]);
            for part in input.chunks(batch_rows) {
                let featurised = featuriser.featurise(&rows(part)).expect("the reads schema");
                let sequences = featurised.chunks.iter().map(|chunk| chunk.sequence);
                assert!(sequences.is_sorted_by(|a, b| a < b), "a sequence has one chunk a batch");
                for chunk in featurised.chunks {
                    let Events::Bases(bases) = &chunk.events else { panic!("bases") };
                    let end = match chunk.end {
                        End::Open => '+',
                        End::Complete => '.',
                        End::Broken => '!',
                    };
                    let text = format!("{}:{}{end}", chunk.sequence.0, std::str::from_utf8(bases).expect("text"));
                    match found.last_mut().filter(|last| last.ends_with('+')) {
                        Some(open) => open.replace_range(open.len() - 1.., text.split_once(':').expect("a colon").1),
                        None => found.push(text),
                    }
                }
                refused.extend(
                    featurised.rejects.into_iter().map(|reject| format!("{}: {}", reject.place, reject.reason)),
                );
            }
            refused.extend(featuriser.end().map(|(_, reject)| format!("{}: {}", reject.place, reject.reason)));
            assert_eq!(found, chunks, "{input:?}");
            assert_eq!(refused, rejects, "{input:?}");
        }
    }

    #[test]
    fn records_and_pieces() {
        let (a, b) = (Some("a"), Some("b"));
        check(&[(a, 0, true, Some("ACGT")), (b, 0, true, Some("nnU"))], &["0:ACGT.", "1:nnU."], &[]);
        check(
            &[(a, 5, false, Some("AC")), (a, 7, true, Some("GT")), (a, 0, true, Some("T"))],
            &["0:ACGT.", "1:T."],
            &[],
        );
        check(&[(a, 0, false, Some("AC")), (a, 2, true, Some(""))], &["0:AC."], &[]);
        check(&[], &[], &[]);
    }

    #[test]
    fn rejects() {
        let (a, b) = (Some("a"), Some("b"));
        let no_base = "is no base: A C G T U N and the IUPAC ambiguity codes are";
        check(
            &[(a, 0, true, None), (None, 0, true, Some(""))],
            &[],
            &["record 'a': it has no bases", "record number 2 (unnamed): it has no bases"],
        );
        let place = format!("record 'a', base 2 (0-based): '*' {no_base}");
        check(&[(a, 0, true, Some("AC*T")), (b, 0, true, Some("G"))], &["0:AC!", "1:G."], &[&place]);
        let place = format!("record 'a', base 0 (0-based): '\\t' {no_base}");
        check(&[(a, 0, true, Some("\t")), (b, 0, true, Some("G"))], &["1:G."], &[&place]);
        let place = format!("record 'a', base 103 (0-based): '-' {no_base}");
        let pieces = [
            (a, 100, false, Some("AC")),
            (a, 102, false, Some("G-T")),
            (a, 105, false, Some("*")),
            (a, 106, true, Some("A")),
        ];
        check(&pieces, &["0:ACG!"], &[&place]);
        check(&[(a, 0, false, Some("AC"))], &["0:AC+"], &["record 'a': the input ends within the record"]);
    }

    #[test]
    fn other_columns_are_refused() {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        let rows = RecordBatch::try_from_iter([("id", column)]).expect("rows");
        let error = ReadsFeaturiser::default().featurise(&rows).expect_err("columns are missing").to_string();
        assert_eq!(error, "a column 'start' of type UInt64 is needed");
    }
}
