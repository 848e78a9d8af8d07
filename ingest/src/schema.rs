//! The two Arrow schemas that every reader yields. They are stable: columns are only ever added.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde::{Deserialize, Serialize};

/// How a series' time is written: a column type for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeKind {
    /// An instant: microseconds since 1970-01-01T00:00, UTC where the input names a zone, else as written.
    Timestamp,
    /// A step number (no calendar).
    Step,
}

/// Long-form series: `id` (text), `time` (timestamp in µs, or a step number), `value` (f64, null = missing).
///
/// The rows of one series come in strictly growing time; rows of different series may be mixed.
#[must_use]
pub fn series(time: TimeKind) -> SchemaRef {
    let time = match time {
        TimeKind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        TimeKind::Step => DataType::Int64,
    };
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("time", time, false),
        Field::new("value", DataType::Float64, true),
    ]))
}

/// Reads and contigs, from FASTA, FASTQ, SAM and BAM: one row a record, or a piece of one.
///
/// | column | type | meaning |
/// |---|---|---|
/// | `id` | text | the record's name (null: `*`) |
/// | `start` | u64 | 0-based place in the record of `sequence`'s first base: a long contig comes in pieces |
/// | `last` | bool | this row ends its record |
/// | `sequence` | text | bases as written (null: not stored) |
/// | `quality` | binary | Phred scores, one byte a base, no offset (null: missing) |
/// | `flag` | u16 | SAM flag |
/// | `reference` | text | name of the reference aligned to |
/// | `position` | u64 | leftmost aligned base, 0-based |
/// | `mapping_quality` | u8 | null: not available (255) |
/// | `cigar` | text | CIGAR string (null: `*`) |
/// | `mate_reference` | text | name of the mate's reference |
/// | `mate_position` | u64 | 0-based |
/// | `template_length` | i32 | signed observed template length |
///
/// Columns that a format lacks are null; a projection leaves columns out, in this order.
#[must_use]
pub fn reads() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, true),
        Field::new("start", DataType::UInt64, false),
        Field::new("last", DataType::Boolean, false),
        Field::new("sequence", DataType::Utf8, true),
        Field::new("quality", DataType::Binary, true),
        Field::new("flag", DataType::UInt16, true),
        Field::new("reference", DataType::Utf8, true),
        Field::new("position", DataType::UInt64, true),
        Field::new("mapping_quality", DataType::UInt8, true),
        Field::new("cigar", DataType::Utf8, true),
        Field::new("mate_reference", DataType::Utf8, true),
        Field::new("mate_position", DataType::UInt64, true),
        Field::new("template_length", DataType::Int32, true),
    ]))
}

/// The longest name of a series, in bytes.
pub const MAX_ID_BYTES: usize = 4 << 10;

/// Events of many series as they come out of a topic, in the order of offsets within each partition.
///
/// | column | type | meaning |
/// |---|---|---|
/// | `partition`, `offset` | i32, i64 | the message; one message may bring several rows |
/// | `id` | text | the series |
/// | `time` | i64 | µs since 1970, or a step number ([`TimeKind`]) |
/// | `value` | f64 | a value of a series (null: missing) |
/// | `sequence` | text | bases, where the job reads them (else null) |
/// | `end` | bool | the series ends here; the row brings nothing else |
#[must_use]
pub fn events() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("id", DataType::Utf8, false),
        Field::new("time", DataType::Int64, false),
        Field::new("value", DataType::Float64, true),
        Field::new("sequence", DataType::Utf8, true),
        Field::new("end", DataType::Boolean, false),
    ]))
}
