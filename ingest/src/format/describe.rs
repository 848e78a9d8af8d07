//! What a file holds, for a person.

use std::path::Path;

use super::{FIRST_BYTES, Format, of};
use crate::{Result, reads::input::Input, tables, variants};

/// Facts about a file, as name and value: its format and size, then what its header or footer says. Text tables of up
/// to 64 MiB (as stored) are read to the end to count their rows.
///
/// # Errors
/// As [`super::detect`], and when the file's header is damaged.
pub fn describe(path: &Path) -> Result<Vec<(String, String)>> {
    let mut input = Input::open(path, 0)?;
    let format = of(&input.first(FIRST_BYTES)?, path)?;
    let stored = match (input.is_bgzf(), input.is_seekable()) {
        (true, _) => "BGZF",
        (false, true) => "as it is",
        (false, false) => "gzip",
    };
    let mut facts = vec![fact("format", format), fact("stored", stored)];
    facts.extend(input.size().map(|size| fact("size", bytes(size))));
    match format {
        Format::Csv => facts.extend(tables::csv_facts(input)?),
        Format::Tsf => facts.extend(tables::tsf_facts(input)?),
        Format::Parquet => facts.extend(tables::parquet_facts(path)?),
        Format::Vcf | Format::Bcf => {
            let header = variants::header(path)?;
            facts.push(fact("contigs", header.contigs().count()));
            facts.push(fact("samples", format!("{} (not read)", header.samples())));
            facts.push(fact("INFO fields", header.info_names().join(", ")));
        }
        Format::Fasta | Format::Fastq | Format::Sam | Format::Bam | Format::Cram => {}
    }
    Ok(facts)
}

/// A fact.
pub(crate) fn fact(name: impl Into<String>, value: impl ToString) -> (String, String) {
    (name.into(), value.to_string())
}

/// A number of bytes as a person reads it.
fn bytes(n: u64) -> String {
    let scaled = |unit: u32| n as f64 / f64::from(1 << unit);
    match n {
        0..1024 => format!("{n} bytes"),
        1024..0x10_0000 => format!("{n} bytes ({:.1} KiB)", scaled(10)),
        0x10_0000..0x4000_0000 => format!("{n} bytes ({:.1} MiB)", scaled(20)),
        _ => format!("{n} bytes ({:.1} GiB)", scaled(30)),
    }
}
