//! The columns of a batch of reads while it fills.

mod columns;
mod tags;

use std::{ops::Range, path::Path, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, BooleanBufferBuilder, Int32Builder, RecordBatch, RecordBatchOptions,
        UInt8Builder, UInt16Builder, UInt64Builder, new_null_array,
    },
    datatypes::SchemaRef,
};

use self::columns::Bytes;
pub(super) use self::{
    columns::{Bases, Scores},
    tags::{Tags, data_type},
};
use super::{Limits, TagColumn, cigar::Cigar, input::Input};
use crate::{Error, Result, schema};

/// A record as its format's reader shows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) id: Option<&'a [u8]>,
    /// `None`: not stored.
    pub(super) bases: Option<Bases<'a>>,
    /// As many as bases; `None`: missing.
    pub(super) scores: Option<Scores<'a>>,
    /// `None`: the format has no alignments.
    pub(super) alignment: Option<Alignment<'a>>,
}

impl Record<'_> {
    /// Bases of the record that are stored.
    pub(super) fn len(&self) -> usize {
        self.bases.map_or(0, |bases| bases.len())
    }
}

/// The alignment columns; positions are 0-based.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alignment<'a> {
    pub(super) flag: u16,
    pub(super) reference: Option<&'a [u8]>,
    pub(super) position: Option<u64>,
    pub(super) mapping_quality: Option<u8>,
    pub(super) cigar: Option<Cigar<'a>>,
    pub(super) mate_reference: Option<&'a [u8]>,
    pub(super) mate_position: Option<u64>,
    pub(super) template_length: i32,
    pub(super) tags: Tags<'a>,
}

/// Bytes of one column of text beside the bases (names, CIGARs) that end a batch: all of it stays far below the 2^31
/// bytes that a column can hold, since no record has more than a quarter of them.
const MAX_TEXT_BYTES: usize = 64 << 20;

/// A batch that fills: a builder for each column asked for.
pub(super) struct Rows {
    schema: SchemaRef,
    rows: usize,
    bases: usize,
    aligned: bool,
    id: Option<Bytes>,
    start: Option<UInt64Builder>,
    last: Option<BooleanBufferBuilder>,
    sequence: Option<Bytes>,
    quality: Option<Bytes>,
    flag: Option<UInt16Builder>,
    reference: Option<Bytes>,
    position: Option<UInt64Builder>,
    mapping_quality: Option<UInt8Builder>,
    cigar: Option<Bytes>,
    mate_reference: Option<Bytes>,
    mate_position: Option<UInt64Builder>,
    template_length: Option<Int32Builder>,
    tags: Vec<tags::Column>,
    tag_bytes: usize,
}

impl Rows {
    /// An empty batch of the columns named (all when `None`), and of the tags asked for.
    ///
    /// # Errors
    /// When a name is not a column of [`schema::reads`].
    pub(super) fn new(path: &Path, columns: Option<&[String]>, tags: &[TagColumn]) -> Result<Self> {
        let all = schema::reads();
        let wanted = |name: &str| columns.is_none_or(|columns| columns.iter().any(|c| c == name));
        if let Some(unknown) = columns.into_iter().flatten().find(|c| all.field_with_name(c).is_err()) {
            let names: Vec<_> = all.fields().iter().map(|f| f.name().as_str()).collect();
            let problem = format!("there is no column '{unknown}'; there are {}", names.join(", "));
            return Err(Error::Request { path: path.into(), problem });
        }
        let count = all.fields().len();
        let asked = super::schema(tags);
        let kept = (0..asked.fields().len()).filter(|&i| i >= count || wanted(asked.field(i).name()));
        let schema = Arc::new(asked.project(&kept.collect::<Vec<_>>()).map_err(|error| {
            let problem = error.to_string();
            Error::Request { path: path.into(), problem }
        })?);
        Ok(Self {
            schema,
            rows: 0,
            bases: 0,
            aligned: false,
            id: wanted("id").then(Bytes::default),
            start: wanted("start").then(UInt64Builder::new),
            last: wanted("last").then(|| BooleanBufferBuilder::new(0)),
            sequence: wanted("sequence").then(Bytes::default),
            quality: wanted("quality").then(Bytes::default),
            flag: wanted("flag").then(UInt16Builder::new),
            reference: wanted("reference").then(Bytes::default),
            position: wanted("position").then(UInt64Builder::new),
            mapping_quality: wanted("mapping_quality").then(UInt8Builder::new),
            cigar: wanted("cigar").then(Bytes::default),
            mate_reference: wanted("mate_reference").then(Bytes::default),
            mate_position: wanted("mate_position").then(UInt64Builder::new),
            template_length: wanted("template_length").then(Int32Builder::new),
            tags: tags.iter().map(|tag| tags::Column::new(*tag)).collect(),
            tag_bytes: 0,
        })
    }

    /// The schema of every batch.
    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether the batch ends here.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        let texts = [&self.id, &self.reference, &self.cigar, &self.mate_reference];
        self.rows >= limits.batch_rows
            || self.bases >= limits.batch_bases
            || self.tag_bytes >= MAX_TEXT_BYTES
            || texts.into_iter().flatten().any(|text| text.len() >= MAX_TEXT_BYTES)
    }

    /// Adds one row: bases `range` of a record. It is the record's last row when the range ends where the record does.
    pub(super) fn push(&mut self, record: &Record<'_>, range: Range<usize>) {
        let (start, last) = (range.start as u64, range.end == record.len());
        self.push_at(record, range, start, last);
    }

    /// Adds one row: bases `range` of those at hand, of which the first is base `start` of the record.
    pub(super) fn push_at(&mut self, record: &Record<'_>, range: Range<usize>, start: u64, last: bool) {
        self.rows += 1;
        self.bases += range.len();
        if let Some(column) = &mut self.id {
            column.push(record.id);
        }
        if let Some(column) = &mut self.start {
            column.append_value(start);
        }
        if let Some(column) = &mut self.last {
            column.append(last);
        }
        if let Some(column) = &mut self.sequence {
            column.push_with(record.bases, |bases, values| bases.append(range.clone(), values));
        }
        if let Some(column) = &mut self.quality {
            column.push_with(record.scores, |scores, values| scores.append(range, values));
        }
        if let Some(alignment) = &record.alignment {
            self.aligned = true;
            self.push_alignment(alignment);
        }
    }

    fn push_alignment(&mut self, alignment: &Alignment<'_>) {
        for column in &mut self.tags {
            self.tag_bytes += column.push(alignment.tags);
        }
        if let Some(column) = &mut self.flag {
            column.append_value(alignment.flag);
        }
        if let Some(column) = &mut self.reference {
            column.push(alignment.reference);
        }
        if let Some(column) = &mut self.position {
            column.append_option(alignment.position);
        }
        if let Some(column) = &mut self.mapping_quality {
            column.append_option(alignment.mapping_quality);
        }
        if let Some(column) = &mut self.cigar {
            column.push_with(alignment.cigar, |cigar, values| cigar.append(values));
        }
        if let Some(column) = &mut self.mate_reference {
            column.push(alignment.mate_reference);
        }
        if let Some(column) = &mut self.mate_position {
            column.append_option(alignment.mate_position);
        }
        if let Some(column) = &mut self.template_length {
            column.append_value(alignment.template_length);
        }
    }

    /// The batch, and an empty one in its place.
    ///
    /// # Errors
    /// Never for what the readers of this crate push: they check that text is text.
    pub(super) fn finish(&mut self, input: &Input) -> Result<RecordBatch> {
        let rows = std::mem::take(&mut self.rows);
        (self.bases, self.tag_bytes) = (0, 0);
        let arrow = |e: arrow::error::ArrowError| input.invalid(input.place(), e.to_string());
        let mut arrays: Vec<Option<ArrayRef>> = vec![];
        let text = |column: &mut Bytes| column.finish_text().map(|a| Arc::new(a) as ArrayRef);
        let mut texts =
            [&mut self.id, &mut self.sequence, &mut self.reference, &mut self.cigar, &mut self.mate_reference]
                .into_iter()
                .map(|column| column.as_mut().map(text).transpose().map_err(arrow))
                .collect::<Result<Vec<_>>>()?
                .into_iter();
        let mut next_text = || texts.next().flatten();
        let (id, sequence, reference, cigar, mate_reference) =
            (next_text(), next_text(), next_text(), next_text(), next_text());
        arrays.push(id);
        arrays.push(self.start.as_mut().map(|c| Arc::new(c.finish()) as ArrayRef));
        arrays.push(self.last.as_mut().map(|c| Arc::new(BooleanArray::new(c.finish(), None)) as ArrayRef));
        arrays.push(sequence);
        arrays.push(self.quality.as_mut().map(|c| Arc::new(c.finish_binary()) as ArrayRef));
        arrays.push(self.flag.as_mut().map(|c| Arc::new(c.finish()) as ArrayRef));
        arrays.push(reference);
        arrays.push(self.position.as_mut().map(|c| Arc::new(c.finish()) as ArrayRef));
        arrays.push(self.mapping_quality.as_mut().map(|c| Arc::new(c.finish()) as ArrayRef));
        arrays.push(cigar);
        arrays.push(mate_reference);
        arrays.push(self.mate_position.as_mut().map(|c| Arc::new(c.finish()) as ArrayRef));
        arrays.push(self.template_length.as_mut().map(|c| Arc::new(c.finish()) as ArrayRef));
        arrays.extend(self.tags.iter_mut().map(|column| Some(column.finish())));
        // The columns that a format without alignments never pushed are null.
        let arrays = arrays
            .into_iter()
            .flatten()
            .zip(self.schema.fields())
            .map(|(a, field)| if a.len() == rows { a } else { new_null_array(field.data_type(), rows) })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema(), arrays, &options).map_err(arrow)
    }
}
