//! The table of embeddings.

use std::{fmt::Display, sync::Arc};

use arrow::{
    array::{
        ArrayRef, FixedSizeListArray, Float32Array, RecordBatch, StringArray, StringBuilder, UInt32Array, UInt64Array,
    },
    compute::concat_batches,
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
    error::ArrowError,
};

use super::kept::KeptColumns;

/// Events that a row is about: `start..start + len`, 0-based.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

/// The name of a row's sequence, and the row of columns that goes along.
pub(crate) type Named<'a> = (Option<&'a str>, Option<&'a RecordBatch>);

/// What a row says of the feature that it is of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Label {
    pub(crate) name: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) strand: Option<char>,
}

/// Rows being collected.
pub(crate) struct Table {
    schema: SchemaRef,
    item: FieldRef,
    width: usize,
    layer: u32,
    pooling: String,
    model: String,
    ids: StringBuilder,
    spans: Vec<Span>,
    embeddings: Vec<f32>,
    /// One a row; `None`: rows have none.
    labels: Option<Vec<Label>>,
    /// The columns that go along, and their row for each row; `None`: there are none.
    kept: Option<(SchemaRef, Vec<RecordBatch>)>,
}

impl Table {
    /// An empty table of embeddings `width` wide; layer, pooling and model stand in every row.
    pub(crate) fn new(width: usize, layer: usize, pooling: impl Display, model: String) -> Self {
        let item = Arc::new(Field::new("item", DataType::Float32, false));
        let list = DataType::FixedSizeList(Arc::clone(&item), i32::try_from(width).unwrap_or(i32::MAX));
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Utf8, true),
            Field::new("start", DataType::UInt64, false),
            Field::new("end", DataType::UInt64, false),
            Field::new("length", DataType::UInt64, false),
            Field::new("layer", DataType::UInt32, false),
            Field::new("pooling", DataType::Utf8, false),
            Field::new("embedding", list, false),
            Field::new("model", DataType::Utf8, false),
        ]));
        let layer = u32::try_from(layer).unwrap_or(u32::MAX);
        let (ids, spans, embeddings) = (StringBuilder::new(), vec![], vec![]);
        let (pooling, labels, kept) = (pooling.to_string(), None, None);
        Self { schema, item, width, layer, pooling, model, ids, spans, embeddings, labels, kept }
    }

    /// The same with columns for features: each row is to be pushed by [`Self::push_feature`].
    pub(crate) fn of_features(self) -> Self {
        let more = ["name", "kind", "strand"].map(|name| Arc::new(Field::new(name, DataType::Utf8, true)));
        Self { labels: Some(vec![]), ..self.with(&more) }
    }

    /// The same with columns that go along: each row is to be pushed with its row of them.
    pub(crate) fn keeping(self, kept: &KeptColumns) -> Self {
        if kept.fields().is_empty() {
            return self;
        }
        let schema = Arc::new(Schema::new(kept.fields().to_vec()));
        Self { kept: Some((schema, vec![])), ..self.with(kept.fields()) }
    }

    fn with(self, more: &[FieldRef]) -> Self {
        let fields: Vec<FieldRef> = self.schema.fields().iter().chain(more).cloned().collect();
        Self { schema: Arc::new(Schema::new(fields)), ..self }
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Appends a row of the sequence of that name, with what goes along.
    pub(crate) fn push(&mut self, (id, kept): Named<'_>, span: Span, embedding: &[f32]) {
        self.ids.append_option(id);
        self.spans.push(span);
        if let (Some((_, rows)), Some(kept)) = (&mut self.kept, kept) {
            rows.push(kept.clone());
        }
        self.embeddings.extend_from_slice(embedding);
    }

    /// Appends the row of a feature.
    pub(crate) fn push_feature(&mut self, (name, label): (Named<'_>, Label), span: Span, embedding: &[f32]) {
        self.push(name, span, embedding);
        self.labels.get_or_insert_default().push(label);
    }

    /// The rows so far; the table is empty then.
    pub(crate) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let spans = std::mem::take(&mut self.spans);
        let embeddings = Float32Array::from(std::mem::take(&mut self.embeddings));
        let width = i32::try_from(self.width).unwrap_or(i32::MAX);
        let column = |of: fn(&Span) -> u64| Arc::new(spans.iter().map(of).collect::<UInt64Array>()) as ArrayRef;
        let text = |text: &str| Arc::new(spans.iter().map(|_| Some(text)).collect::<StringArray>()) as ArrayRef;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.ids.finish()),
            column(|span| span.start),
            column(|span| span.start + span.len),
            column(|span| span.len),
            Arc::new(UInt32Array::from_value(self.layer, spans.len())),
            text(&self.pooling),
            Arc::new(FixedSizeListArray::try_new(Arc::clone(&self.item), width, Arc::new(embeddings), None)?),
            text(&self.model),
        ];
        if let Some(labels) = &mut self.labels {
            let labels = std::mem::take(labels);
            columns.push(Arc::new(labels.iter().map(|label| label.name.as_deref()).collect::<StringArray>()));
            columns.push(Arc::new(labels.iter().map(|label| label.kind.as_deref()).collect::<StringArray>()));
            let strand = |label: &Label| label.strand.map(String::from);
            columns.push(Arc::new(labels.iter().map(strand).collect::<StringArray>()));
        }
        if let Some((schema, rows)) = &mut self.kept {
            columns.extend(concat_batches(schema, &std::mem::take(rows))?.columns().iter().cloned());
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}
