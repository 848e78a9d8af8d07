//! The columns of a batch of variants while it fills.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanBuilder, Float32Builder, Int32Builder, ListBuilder, StringBuilder, UInt64Builder},
    datatypes::{DataType, Field, Schema, SchemaRef},
};

use super::{
    header::InfoKind,
    info::{Value, Wanted},
    site::Site,
};
use crate::{one_by_one, schema};

/// A batch that fills.
pub(super) struct Columns {
    schema: SchemaRef,
    contig: StringBuilder,
    position: UInt64Builder,
    id: StringBuilder,
    reference: StringBuilder,
    alternatives: ListBuilder<StringBuilder>,
    quality: Float32Builder,
    filters: ListBuilder<StringBuilder>,
    info: Vec<Column>,
}

/// A column of an INFO field.
enum Column {
    Flag(BooleanBuilder),
    Integer(Int32Builder),
    Float(Float32Builder),
    Text(StringBuilder),
    Integers(ListBuilder<Int32Builder>),
    Floats(ListBuilder<Float32Builder>),
    Texts(ListBuilder<StringBuilder>),
}

impl Columns {
    /// No rows yet, with a column for each field asked for.
    pub(super) fn new(wanted: &[Wanted]) -> Self {
        let mut fields: Vec<Arc<Field>> = schema::variants().fields().iter().map(Arc::clone).collect();
        let mut info = vec![];
        for wanted in wanted {
            let (kind, column) = Column::new(wanted);
            fields.push(Arc::new(Field::new(format!("info_{}", wanted.name), kind, true)));
            info.push(column);
        }
        Self {
            schema: Arc::new(Schema::new(fields)),
            contig: StringBuilder::new(),
            position: UInt64Builder::new(),
            id: StringBuilder::new(),
            reference: StringBuilder::new(),
            alternatives: ListBuilder::new(StringBuilder::new()),
            quality: Float32Builder::new(),
            filters: ListBuilder::new(StringBuilder::new()),
            info,
        }
    }

    /// Adds a row; returns its bytes of text.
    pub(super) fn push(&mut self, site: &Site<'_>) -> usize {
        let texts = site.alternatives.iter().chain(site.filters.iter().flatten());
        let lists: usize = texts.map(|text| text.len()).sum();
        let id = site.id.map_or(0, str::len);
        let mut bytes = site.contig.len() + id + site.reference.len() + lists;
        self.contig.append_value(site.contig);
        self.position.append_option(site.position);
        self.id.append_option(site.id);
        self.reference.append_value(site.reference);
        self.alternatives.append_value(site.alternatives.iter().map(Some));
        self.quality.append_option(site.quality);
        self.filters.append_option(site.filters.as_ref().map(|filters| filters.iter().map(Some)));
        for (column, value) in self.info.iter_mut().zip(&site.info) {
            bytes += column.push(value);
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
            Arc::new(self.position.finish()),
            Arc::new(self.id.finish()),
            Arc::new(self.reference.finish()),
            Arc::new(self.alternatives.finish()),
            Arc::new(self.quality.finish()),
            Arc::new(self.filters.finish()),
        ];
        arrays.extend(self.info.iter_mut().map(Column::finish));
        arrays
    }
}

impl Column {
    fn new(wanted: &Wanted) -> (DataType, Self) {
        let list = |item| DataType::List(Arc::new(Field::new_list_field(item, true)));
        match (wanted.field.kind, wanted.field.list) {
            (InfoKind::Flag, _) => (DataType::Boolean, Self::Flag(BooleanBuilder::new())),
            (InfoKind::Integer, false) => (DataType::Int32, Self::Integer(Int32Builder::new())),
            (InfoKind::Float, false) => (DataType::Float32, Self::Float(Float32Builder::new())),
            (InfoKind::Text, false) => (DataType::Utf8, Self::Text(StringBuilder::new())),
            (InfoKind::Integer, true) => (list(DataType::Int32), Self::Integers(ListBuilder::new(Int32Builder::new()))),
            (InfoKind::Float, true) => (list(DataType::Float32), Self::Floats(ListBuilder::new(Float32Builder::new()))),
            (InfoKind::Text, true) => (list(DataType::Utf8), Self::Texts(ListBuilder::new(StringBuilder::new()))),
        }
    }

    /// Adds a value; returns its bytes of text.
    fn push(&mut self, value: &Value) -> usize {
        match (self, value) {
            (Self::Flag(column), value) => column.append_value(*value == Value::Flag),
            (Self::Integer(column), Value::Integers(values)) => column.append_option(values.first().copied().flatten()),
            (Self::Float(column), Value::Floats(values)) => column.append_option(values.first().copied().flatten()),
            (Self::Text(column), Value::Texts(values)) => {
                let text = values.first().and_then(Option::as_deref);
                column.append_option(text);
                return text.map_or(0, str::len);
            }
            (Self::Integers(column), Value::Integers(values)) => column.append_value(values.iter().copied()),
            (Self::Floats(column), Value::Floats(values)) => column.append_value(values.iter().copied()),
            (Self::Texts(column), Value::Texts(values)) => {
                column.append_value(values.iter().map(Option::as_deref));
                return values.iter().flatten().map(String::len).sum();
            }
            (Self::Integer(column), _) => column.append_null(),
            (Self::Float(column), _) => column.append_null(),
            (Self::Text(column), _) => column.append_null(),
            (Self::Integers(column), _) => column.append_null(),
            (Self::Floats(column), _) => column.append_null(),
            (Self::Texts(column), _) => column.append_null(),
        }
        0
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Flag(column) => Arc::new(column.finish()),
            Self::Integer(column) => Arc::new(column.finish()),
            Self::Float(column) => Arc::new(column.finish()),
            Self::Text(column) => Arc::new(column.finish()),
            Self::Integers(column) => Arc::new(column.finish()),
            Self::Floats(column) => Arc::new(column.finish()),
            Self::Texts(column) => Arc::new(column.finish()),
        }
    }
}
