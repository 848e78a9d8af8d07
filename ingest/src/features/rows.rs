//! The columns of a batch of features while it fills.

use std::{borrow::Cow, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Builder, RecordBatch, StringBuilder, UInt8Builder, UInt64Builder},
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};

use crate::{one_by_one::Filling, schema};

/// Bytes of text that end a batch.
const MAX_TEXT_BYTES: usize = 32 << 20;

/// A line as its format's reader shows it.
#[derive(Clone, Debug)]
pub(super) struct Feature<'a> {
    pub(super) contig: Cow<'a, str>,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) name: Option<Cow<'a, str>>,
    pub(super) kind: Option<Cow<'a, str>>,
    pub(super) score: Option<f64>,
    pub(super) strand: Option<&'a str>,
    pub(super) phase: Option<u8>,
    /// A value for each attribute asked for.
    pub(super) attributes: Vec<Option<Cow<'a, str>>>,
}

/// A batch that fills.
pub(super) struct Rows {
    schema: SchemaRef,
    most: usize,
    rows: usize,
    text_bytes: usize,
    contig: StringBuilder,
    start: UInt64Builder,
    end: UInt64Builder,
    name: StringBuilder,
    kind: StringBuilder,
    score: Float64Builder,
    strand: StringBuilder,
    phase: UInt8Builder,
    attributes: Vec<StringBuilder>,
}

impl Rows {
    /// An empty batch of at most `most` rows, with a column for each attribute asked for.
    pub(super) fn new(attributes: &[String], most: usize) -> Self {
        let mut fields: Vec<Arc<Field>> = schema::features().fields().iter().map(Arc::clone).collect();
        let asked = attributes.iter().map(|name| Field::new(format!("attribute_{name}"), DataType::Utf8, true));
        fields.extend(asked.map(Arc::new));
        Self {
            schema: Arc::new(Schema::new(fields)),
            most,
            rows: 0,
            text_bytes: 0,
            contig: StringBuilder::new(),
            start: UInt64Builder::new(),
            end: UInt64Builder::new(),
            name: StringBuilder::new(),
            kind: StringBuilder::new(),
            score: Float64Builder::new(),
            strand: StringBuilder::new(),
            phase: UInt8Builder::new(),
            attributes: attributes.iter().map(|_| StringBuilder::new()).collect(),
        }
    }

    /// Adds a row.
    pub(super) fn push(&mut self, feature: &Feature<'_>) {
        self.rows += 1;
        let texts = [&feature.name, &feature.kind].into_iter().chain(&feature.attributes).flatten();
        self.text_bytes += feature.contig.len() + texts.map(|text| text.len()).sum::<usize>();
        self.contig.append_value(&feature.contig);
        self.start.append_value(feature.start);
        self.end.append_value(feature.end);
        self.name.append_option(feature.name.as_deref());
        self.kind.append_option(feature.kind.as_deref());
        self.score.append_option(feature.score);
        self.strand.append_option(feature.strand);
        self.phase.append_option(feature.phase);
        for (column, value) in self.attributes.iter_mut().zip(&feature.attributes) {
            column.append_option(value.as_deref());
        }
    }
}

impl Filling for Rows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn most(&self) -> usize {
        self.most
    }

    fn len(&self) -> usize {
        self.rows
    }

    fn is_large(&self) -> bool {
        self.text_bytes >= MAX_TEXT_BYTES
    }

    fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        (self.rows, self.text_bytes) = (0, 0);
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(self.contig.finish()),
            Arc::new(self.start.finish()),
            Arc::new(self.end.finish()),
            Arc::new(self.name.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.score.finish()),
            Arc::new(self.strand.finish()),
            Arc::new(self.phase.finish()),
        ];
        arrays.extend(self.attributes.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        RecordBatch::try_new(self.schema(), arrays)
    }
}
