//! The Arrow schemas that the readers yield. They are stable: columns are only ever added.

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
/// | `tag_XX` | i64, f64 or text | for each optional field asked for, of SAM, BAM and CRAM |
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

/// Variants, from VCF and BCF: one row a record.
///
/// | column | type | meaning |
/// |---|---|---|
/// | `contig` | text | the reference's name |
/// | `position` | u64 | first base of the reference allele, 0-based: VCF's POS less 1 (null: POS 0, the telomere) |
/// | `id` | text | as written, `;` between several (null: `.`) |
/// | `reference` | text | the reference allele, as written |
/// | `alternatives` | list of text | the alternative alleles: bases, `*`, `<ID>` or breakends (empty: `.`) |
/// | `quality` | f32 | Phred-scaled (null: `.`) |
/// | `filter` | list of text | names of filters that failed, or `PASS` (null: `.`, none was applied) |
/// | `info_NAME` | by the header | for each INFO field asked for: i32, f32, text or bool; lists where `Number` is not 1 |
#[must_use]
pub fn variants() -> SchemaRef {
    let texts = || DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    Arc::new(Schema::new(vec![
        Field::new("contig", DataType::Utf8, false),
        Field::new("position", DataType::UInt64, true),
        Field::new("id", DataType::Utf8, true),
        Field::new("reference", DataType::Utf8, false),
        Field::new("alternatives", texts(), false),
        Field::new("quality", DataType::Float32, true),
        Field::new("filter", texts(), true),
    ]))
}

/// Features, from BED, GFF3 and GTF: one row a line.
///
/// | column | type | meaning |
/// |---|---|---|
/// | `contig` | text | the reference's name |
/// | `start`, `end` | u64 | the bases, 0-based and half-open, whatever the format counts |
/// | `name` | text | BED's name; of a GFF the attribute `ID`, else `Name`; of a GTF `transcript_id`, else `gene_id` |
/// | `kind` | text | GFF's and GTF's type, such as `CDS` (null in BED) |
/// | `score` | f64 | as written (null: `.` or not there) |
/// | `strand` | text | `+` or `-` (null: `.`, `?` or not there) |
/// | `phase` | u8 | bases to the first codon (null in BED, and where it is `.`) |
/// | `attribute_NAME` | text | for each attribute asked for, of GFF and GTF: its value, `,` between several |
#[must_use]
pub fn features() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("contig", DataType::Utf8, false),
        Field::new("start", DataType::UInt64, false),
        Field::new("end", DataType::UInt64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("kind", DataType::Utf8, true),
        Field::new("score", DataType::Float64, true),
        Field::new("strand", DataType::Utf8, true),
        Field::new("phase", DataType::UInt8, true),
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
