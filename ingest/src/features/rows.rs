//! The columns of a batch of features while it fills.

use std::{borrow::Cow, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Builder, StringBuilder, UInt8Builder, UInt64Builder},
    datatypes::{DataType, Field, Schema, SchemaRef},
};

use crate::{one_by_one, schema};

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
pub(super) struct Columns {
    schema: SchemaRef,
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

impl Columns {
    /// No rows yet, with a column for each attribute asked for.
    pub(super) fn new(attributes: &[String]) -> Self {
        let mut fields: Vec<Arc<Field>> = schema::features().fields().iter().map(Arc::clone).collect();
        let asked = attributes.iter().map(|name| Field::new(format!("attribute_{name}"), DataType::Utf8, true));
        fields.extend(asked.map(Arc::new));
        Self {
            schema: Arc::new(Schema::new(fields)),
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

    /// Adds a row; returns its bytes of text.
    pub(super) fn push(&mut self, feature: &Feature<'_>) -> usize {
        let texts = [&feature.name, &feature.kind].into_iter().chain(&feature.attributes).flatten();
        let bytes = feature.contig.len() + texts.map(|text| text.len()).sum::<usize>();
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
        bytes
    }
}

impl one_by_one::Columns for Columns {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn finish(&mut self) -> Vec<ArrayRef> {
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
        arrays
    }
}
