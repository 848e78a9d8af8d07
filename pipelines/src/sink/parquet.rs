//! Writing one Parquet file whose bytes depend on the rows alone, not on how they were cut into batches.

use std::{fs::File, sync::Arc};

use arrow::{
    array::RecordBatch,
    compute::BatchCoalescer,
    datatypes::{DataType, SchemaRef},
};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder},
    },
    schema::types::ColumnPath,
};

/// Rows are handed to the encoder this many at a time, whatever the commits: so pages end at the same rows.
const WRITE_ROWS: usize = 1024;
/// A row group's size that readers like, in bytes before compression; it is also what writing keeps in memory.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// Rows of a row group, at most.
const ROW_GROUP_ROWS: usize = 1 << 20;

/// A Parquet file being written.
pub(crate) struct Writer {
    coalescer: BatchCoalescer,
    file: ArrowWriter<File>,
}

impl Writer {
    /// Starts a file of `schema`, with key-value metadata.
    pub(crate) fn new(file: File, schema: &SchemaRef, metadata: &[(String, String)]) -> Result<Self, ParquetError> {
        Self::with_row_groups(file, schema, (metadata, None))
    }

    /// As [`Writer::new`], with so many rows in a row group (`None`: as many as suit readers).
    pub(crate) fn with_row_groups(
        file: File,
        schema: &SchemaRef,
        (metadata, row_group_rows): (&[(String, String)], Option<usize>),
    ) -> Result<Self, ParquetError> {
        let coalescer = BatchCoalescer::new(Arc::clone(schema), WRITE_ROWS);
        let file = ArrowWriter::try_new(file, Arc::clone(schema), Some(properties(schema, metadata, row_group_rows)?))?;
        Ok(Self { coalescer, file })
    }

    /// Appends rows.
    pub(crate) fn write(&mut self, rows: RecordBatch) -> Result<(), ParquetError> {
        self.coalescer.push_batch(rows)?;
        self.write_completed()
    }

    /// Puts a pair of key and value into the footer.
    pub(crate) fn note(&mut self, key: &str, value: &str) {
        self.file.append_key_value_metadata(KeyValue::new(key.to_owned(), value.to_owned()));
    }

    /// Its size so far, in bytes: what is written, and what the encoder holds.
    pub(crate) fn bytes(&self) -> usize {
        self.file.bytes_written() + self.file.in_progress_size()
    }

    /// Writes what is left and the footer.
    pub(crate) fn close(mut self) -> Result<File, ParquetError> {
        self.coalescer.finish_buffered_batch()?;
        self.write_completed()?;
        self.file.into_inner()
    }

    fn write_completed(&mut self) -> Result<(), ParquetError> {
        while let Some(rows) = self.coalescer.next_completed_batch() {
            self.file.write(&rows)?;
        }
        Ok(())
    }
}

/// Zstd, row groups by size, and no dictionary or statistics for embeddings: neither pays there.
fn properties(
    schema: &SchemaRef,
    metadata: &[(String, String)],
    row_group_rows: Option<usize>,
) -> Result<WriterProperties, ParquetError> {
    let metadata = metadata.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
    let mut row_bytes = 0;
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_key_value_metadata(Some(metadata));
    for field in schema.fields() {
        row_bytes += 16;
        if let DataType::FixedSizeList(item, len) = field.data_type() {
            row_bytes += 4 * usize::try_from(*len).unwrap_or(0);
            properties =
                plain(properties, ColumnPath::new(vec![field.name().clone(), "list".into(), item.name().clone()]));
        }
    }
    let suitable = (ROW_GROUP_BYTES / row_bytes.max(1)).clamp(WRITE_ROWS, ROW_GROUP_ROWS);
    let rows = row_group_rows.unwrap_or(suitable).max(1);
    Ok(properties.set_max_row_group_row_count(Some(rows)).build())
}

fn plain(properties: WriterPropertiesBuilder, column: ColumnPath) -> WriterPropertiesBuilder {
    properties
        .set_column_dictionary_enabled(column.clone(), false)
        .set_column_statistics_enabled(column, EnabledStatistics::None)
}
